/**
 * Background refreshes: an internal request that passes all hooks of its route.
 *
 * Invariant: it carries what the key covers and what tells the variant apart, and nothing else; never a credential. It is recognized by
 * the object that Node made for it, so no client can send one.
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { chosenBy, type Strategies } from '../dependencies/constraints.js'
import { RefreshError } from '../../errors.js'
import { carriesOnly } from '../../http/cookies.js'
import { headerOfName } from '../../http/dimensions.js'
import { headerOf } from '../../http/key.js'
import { replacedHeaders } from '../dependencies/replaced-by-hooks.js'
import { CLIENT_ADDRESS } from '../../http/reads.js'
import type { Recording } from '../../http/recording.js'
import type { Refresh } from '../../engine/refresh.js'
import { targetFor } from '../dependencies/narrowing.js'
import type { RouteSettings } from '../../options/route-options.js'
import { ask, type Answer, type OwnRequest } from './own-request.js'

/** A refresh that is made by a request of the app's own. */
export interface RefreshRun {
  readonly refresh: Refresh<Recording>
  /** Its request has boarded, so that its handler runs. */
  taken: boolean
}

/** By the request that Node made. */
const runs = new WeakMap<object, RefreshRun>()
/** How many of them may still come to a route. */
let underWay = 0

/** The refresh that a request was made for; undefined if it is a client's. */
export function refreshOf ({ raw }: FastifyRequest): RefreshRun | undefined {
  return underWay === 0 ? undefined : runs.get(raw)
}

/** What of a route decides whether, and with what, its requests can be made once more. */
export interface Refreshable {
  readonly settings: RouteSettings
  /** Those of its app; undefined if it has a constraint of which it cannot be told what it is chosen by. */
  readonly strategies: Strategies | undefined
}

/** Whether an internal request without credentials can have the same key and come to the same route. */
export function isRefreshable (request: FastifyRequest, route: Refreshable, variant: readonly string[]): boolean {
  const { body, headers } = request
  const { settings } = route
  return headersOfChoice(request, route) !== undefined && settings.identity === undefined && isRepeatable(body, headers['content-type']) && settings.credentials.every(name => headers[name] === undefined
    ? !variant.includes(name)
    : name === 'cookie' && carriesOnly(headerOf(headers, name) as string, settings.cookies.key))
}

/**
 * Makes the request once more, and ends when it has been answered, or is given up.
 *
 * @throws why, if nothing was refreshed
 */
export async function sendRefresh (
  request: FastifyRequest, route: Refreshable, variant: readonly string[], refresh: Refresh<Recording>
): Promise<void> {
  const { server } = request
  const run: RefreshRun = { refresh, taken: false }
  const asked = ask(requestLike(request, route, variant), (raw, response) => {
    underWay++
    runs.set(raw, run);
    (server.routing as (raw: IncomingMessage, response: ServerResponse) => void)(raw, response)
  })
  refresh.onCancel(() => { asked.destroy() })
  const answer = await asked.answer
  // One that was broken off may still wait in a hook, and come to its route later.
  if (answer.complete) underWay--
  if (refresh.result === 'failed') throw whyFailed(run, answer)
}

function whyFailed ({ refresh, taken }: RefreshRun, { complete, error, status }: Answer): unknown {
  if (refresh.error !== undefined) return refresh.error
  if (!complete) return error ?? new RefreshError('its response was cut off')
  return new RefreshError(taken ? `its handler answered ${String(status)}` : `it was answered ${String(status)} before its handler`)
}

const NO_NAMES: readonly string[] = Object.freeze([])

/** An address that no client has, and to which no hook grants more than to others. */
export const NO_ADDRESS = '0.0.0.0'

/** The headers that its route was chosen by; undefined if that cannot be told. */
function headersOfChoice (request: FastifyRequest, { settings, strategies }: Refreshable): readonly string[] | undefined {
  if (strategies === undefined || strategies.size === 0) return strategies && NO_NAMES
  const { headers, raw } = request
  return chosenBy(strategies, raw, { ...headers, ...Object.fromEntries(replacedHeaders(request, settings)) as IncomingHttpHeaders })
}

function requestLike (request: FastifyRequest, route: Refreshable, variant: readonly string[]): OwnRequest {
  const { settings } = route
  const { body, method, protocol, raw } = request
  const given = request.headers
  // The key has the host that a trusted proxy reports; routes are chosen by the Host header itself.
  const isForwardedHost = given.host !== undefined && given.host !== request.host && raw.socket.remoteAddress !== undefined
  const headers: Record<string, unknown> = { host: isForwardedHost ? given.host : request.host }
  if (isForwardedHost) headers['x-forwarded-host'] = given['x-forwarded-host']
  const names = ['accept-version', ...headersOfChoice(request, route) as readonly string[], ...settings.headers, ...variant.map(headerOfName)]
  if (settings.cookies.key.length > 0) names.push('cookie')
  if (body !== undefined) names.push('content-type')
  for (const name of names) if (given[name] !== undefined && !name.startsWith(':')) headers[name] = given[name]
  // Original values, because its hooks will replace them again.
  for (const [name, value] of replacedHeaders(request, settings)) {
    if (value === undefined) Reflect.deleteProperty(headers, name)
    else headers[name] = value
  }
  // A trusted proxy reported the protocol.
  const isForwarded = protocol === 'https' && !isEncrypted(request)
  if (isForwarded) headers['x-forwarded-proto'] = protocol
  const knowsAddress = variant.includes(CLIENT_ADDRESS)
  if (knowsAddress && request.ip !== raw.socket.remoteAddress) headers['x-forwarded-for'] = given['x-forwarded-for']
  return {
    method: method === 'HEAD' ? 'GET' : method,
    url: targetFor(request, variant),
    headers,
    body: bodyOf(body, given['content-type']),
    peer: {
      address: (knowsAddress || isForwarded || isForwardedHost ? raw.socket.remoteAddress : undefined) ?? NO_ADDRESS,
      encrypted: protocol === 'https',
      servername: (raw.socket as { servername?: unknown }).servername
    }
  }
}

/** Makes a body to send from a parsed one. */
function bodyOf (body: unknown, type: string | undefined): string | Buffer | undefined {
  if (body === undefined || Buffer.isBuffer(body)) return body
  return typeof body === 'object' || isJson(type) ? JSON.stringify(body) : String(body)
}

/** Whether a parsed body can be sent once more. */
function isRepeatable (body: unknown, type: string | undefined): boolean {
  return typeof body !== 'object' || body === null || Buffer.isBuffer(body) || type === undefined || isJson(type)
}

function isJson (type: string | undefined): boolean {
  return type !== undefined && /^application\/(?:[\w.+-]+\+)?json\b/i.test(type)
}

function isEncrypted ({ raw }: FastifyRequest): boolean {
  return (raw.socket as { encrypted?: boolean }).encrypted === true
}
