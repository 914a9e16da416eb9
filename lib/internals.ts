/**
 * What Fastify knows and does not tell: read by the descriptions of its symbols, and forgotten where it is out of date.
 *
 * Invariant: what is not found is `undefined`, and it is for the caller to take the safe side.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'

export interface RouterOptions {
  readonly useSemicolonDelimiter?: boolean
  readonly querystringParser?: (query: string) => unknown
}

/** The instance-level hooks that run between `onRequest` and the handler. */
export interface GateHooks {
  readonly preParsing: readonly unknown[]
  readonly preValidation: readonly unknown[]
  readonly preHandler: readonly unknown[]
}

/** The hooks of a route's instance; complete once the app is ready. */
export function gateHooks (fastify: FastifyInstance): GateHooks | undefined {
  const hooks = internal(fastify, 'fastify.hooks') as GateHooks | undefined
  return Array.isArray(hooks?.preParsing) && Array.isArray(hooks.preValidation) && Array.isArray(hooks.preHandler) ? hooks : undefined
}

export function routerOptions (fastify: FastifyInstance): RouterOptions {
  const options = internal(fastify, 'fastify.options') as { routerOptions?: RouterOptions } | undefined
  return options?.routerOptions ?? (fastify.initialConfig as { routerOptions?: RouterOptions }).routerOptions ?? {}
}

function internal (fastify: FastifyInstance, description: string): unknown {
  for (let object: object | null = fastify; object !== null; object = Object.getPrototypeOf(object) as object | null) {
    const symbol = Object.getOwnPropertySymbols(object).find(each => each.description === description)
    if (symbol !== undefined) return (object as Record<symbol, unknown>)[symbol]
  }
  return undefined
}

/** Makes a request read its original URL anew: it keeps what it was when a hook first asked. */
export function forgetOriginalUrl (request: FastifyRequest): void {
  const symbol = Object.getOwnPropertySymbols(request).find(({ description }) => description === 'fastify.request.originalUrl')
  if (symbol !== undefined) (request as unknown as Record<symbol, unknown>)[symbol] = undefined
}
