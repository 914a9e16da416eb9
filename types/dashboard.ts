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
  /** Options of its routes. They must hold a hook that runs before the handler and guards it, unless the instance has one, or `public` is set. */
  routeOptions?: RouteShorthandOptions
  /**
   * Whether it may be without a guard. Then only clients on this machine are answered, who name it by a loopback address, `localhost` or one of
   * `hosts`.
   * @default false
   */
  public?: boolean
  /**
   * Names by which it may be asked for, with or without a port, so that no other site's name can be made to lead to it. Default: any with a guard; loopback names without.
   */
  hosts?: readonly string[]
  /**
   * What it shows of requests: `'ids'` of those that run, `'keys'` of flights and of what is cached, `'values'` in explanations.
   * @default []
   */
  reveal?: ReadonlyArray<'ids' | 'keys' | 'values'>
  /**
   * Whether it can disable and enable routes, purge, and open and close breakers.
   * @default false
   */
  actions?: boolean
}
