/**
 * For users of the live page.
 */
import type { RouteShorthandOptions } from 'fastify'

/** Options of the live page. */
export interface DashboardOptions {
  /**
   * Its path, below the prefix of the registering context.
   * @default '/coalesce'
   */
  path?: string
  /**
   * Options of its routes. They must hold a hook that runs before the handler and lets only those pass who may see the page, unless `public` is
   * set. If a hook of the instance guards it, name that here as well: nobody can tell it from one that sets headers.
   */
  routeOptions?: RouteShorthandOptions
  /**
   * Whether it may be without a guard. Then only clients on this machine are answered, who name it by a loopback address, `localhost` or one of
   * `hosts`, and of whom nothing says that a proxy asks for somebody else.
   * @default false
   */
  public?: boolean
  /**
   * Names by which it may be asked for, with or without a port, so that no other site's name can be made to lead to it. Default: loopback
   * names; with a guard addresses as well, and any where a browser says by `Sec-Fetch-Site` that it is over HTTPS. Behind a proxy that changes
   * `Host`, both the public name and the one that the proxy gives.
   */
  hosts?: readonly string[]
  /**
   * What it shows of requests: `'ids'` of those that run, `'keys'` of flights and of what is cached, and tags, `'values'` in explanations.
   * @default []
   */
  reveal?: ReadonlyArray<'ids' | 'keys' | 'values'>
  /**
   * Whether it can disable and enable routes, purge, and open and close breakers.
   * @default false
   */
  actions?: boolean
}
