/**
 * Cookies that a route ignores: they are taken out of its requests before anybody sees them.
 *
 * Invariant: all or nothing. They go before the first hook, out of every place that a request has them in, and never come back; where
 * ours cannot be the first hook, they stay, and count as any other cookie does.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { withoutCookies } from '../../http/cookies.js'
import type { RouteSettings } from '../../options/route-options.js'
import { dropHook, instanceHooks, prependHook, unbound } from '../internals.js'
import { hookedRouteOf, hooksOf } from './hook-reads.js'

/** The hook that takes them. Where it has nothing to do it removes itself from the route. */
export function takeCookies (request: FastifyRequest, _reply: unknown, done: () => void): void {
  const route = hookedRouteOf(request)
  const isIgnored = route?.takesCookies === true ? route.settings.cookies.ignores : undefined
  if (isIgnored === undefined) dropHook(request, 'onRequest', takeCookies)
  else takeFrom(request.raw, isIgnored)
  done()
}
unbound(takeCookies)

/** Asks of a request as it would be without the cookies that its route ignores; afterwards it is as before. `ask` must not throw. */
export function asIfTaken<T> (request: FastifyRequest, isIgnored: (name: string) => boolean, ask: () => T): T {
  const { headers } = request.raw
  const { cookie } = headers
  const left = cookie === undefined ? undefined : withoutCookies(cookie, isIgnored)
  if (left === cookie) return ask()
  const originals = hooksOf(request)?.originals as Map<string, unknown> | undefined
  const original = originals?.get('cookie')
  headers.cookie = left
  if (original === cookie) originals?.set('cookie', left)
  const answer = ask()
  headers.cookie = cookie
  if (original === cookie) originals?.set('cookie', cookie)
  return answer
}

/** Has the ignored cookies of an instance's routes taken, as long as nobody puts a hook before ours. */
export function prepareIgnoredCookies (fastify: FastifyInstance, { cookies }: Pick<RouteSettings, 'cookies'>): void {
  if (cookies.ignores !== undefined) prependHook(fastify, 'onRequest', takeCookies)
}

/** Whether nobody sees a request before its ignored cookies are taken. To be asked once the app is ready. */
export function canTakeCookies (fastify: FastifyInstance): boolean {
  return instanceHooks(fastify)?.onRequest[0] === takeCookies
}

/** All places that a Node request has its headers in. */
interface Carrier {
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: string[]
  /** Of HTTP/1 over a socket. */
  readonly headersDistinct?: Record<string, string[] | undefined>
}

/** What is there is changed, and not replaced: others may have it already, such as the stream of HTTP/2. */
function takeFrom (raw: Carrier, isIgnored: (name: string) => boolean): void {
  const { headers, rawHeaders } = raw
  const { cookie } = headers
  if (typeof cookie !== 'string') return
  const left = withoutCookies(cookie, isIgnored)
  if (left === cookie) return
  // Node makes them of as many raw headers as have come, so while these are there.
  const { headersDistinct } = raw
  if (left === undefined) {
    delete headers.cookie
    delete headersDistinct?.cookie
  } else {
    headers.cookie = left
    const lines = headersDistinct?.cookie
    lines?.splice(0, lines.length, ...lines.flatMap(line => withoutCookies(line, isIgnored) ?? []))
  }

  let length = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string
    const value = rawHeaders[index + 1] as string
    const kept = name.toLowerCase() === 'cookie' ? withoutCookies(value, isIgnored) : value
    if (kept === undefined) continue
    rawHeaders[length++] = name
    rawHeaders[length++] = kept
  }
  rawHeaders.length = length
}
