/**
 * Runs that no client asked for: a request of the app's own, past every hook of its route.
 *
 * Invariant: it carries what the key covers and what tells the variant apart, and nothing else; never a credential. It is known
 * by the asynchronous context that it is made in, once, so that no header of a client's can pass for it.
 */
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import { finished } from 'node:stream/promises'
import type { FastifyRequest, HTTPMethods, InjectOptions } from 'fastify'
import type { Clock } from '../types/index.js'
import { FlightTimeoutError } from './errors.js'
import { ENCODINGS } from './http/accept-encoding.js'
import { carriesOnly } from './http/cookies.js'
import { headerOf } from './http/key.js'
import { changeUrl, replacedHeaders, replacedUrl } from './hook-reads.js'
import { CLIENT_ADDRESS } from './http/reads.js'
import type { Refresh } from './keeper.js'
import type { RouteSettings } from './options.js'

export interface Errand {
  readonly refresh: Refresh
  /** What it asks for. A hook before its route may ask the app something else in the same context. */
  readonly method: string
  readonly url: string
  /** What the connection of who saw that it is needed was: over TLS, by what a trusted proxy says as well, and begun with which name. */
  readonly socket: { readonly servername: unknown, readonly encrypted?: true }
  /** Its request has come. */
  taken: boolean
  cancel: ((reason: Error) => void) | undefined
}

/** Nobody's context: what the client that happened to come has in its own is not for this run. */
const nowhere = new AsyncResource('CoalescedRefresh')
const errands = new AsyncLocalStorage<Errand>()

/** What the request that is just being served was made for; undefined if it is a client's. */
export function takeErrand (request: FastifyRequest): Errand | undefined {
  const errand = errands.getStore()
  if (errand === undefined || errand.taken) return undefined
  if (errand.method !== request.method || !isSame(errand.url, originalUrlOf(request))) return undefined
  errand.taken = true
  const { originalUrl } = request.raw as { originalUrl?: string }
  if (originalUrl === undefined && replacedUrl(request) === undefined) changeUrl(request, () => errand.url)
  Object.assign(request.raw.socket, errand.socket)
  return errand
}

/** Whether a request without credentials can have the key of this one. */
export function isRefreshable ({ body, headers }: FastifyRequest, settings: RouteSettings, variant: readonly string[]): boolean {
  return settings.identity === undefined && isRepeatable(body, headers['content-type']) && settings.credentials.every(name => headers[name] === undefined
    ? !variant.includes(name)
    : name === 'cookie' && carriesOnly(headerOf(headers, name) as string, settings.cookies))
}

/**
 * Makes the request once more, and ends when it has been answered.
 *
 * @throws FST_COALESCE_FLIGHT_TIMEOUT if that takes longer than `flightTimeout`
 */
export async function runErrand (
  request: FastifyRequest, settings: RouteSettings, variant: readonly string[], refresh: Refresh, clock: Clock
): Promise<void> {
  const injection = requestLike(request, settings, variant)
  const { method, url } = injection
  const { servername } = request.raw.socket as { servername?: unknown }
  const socket = { servername, ...request.protocol === 'https' ? { encrypted: true as const } : {} }
  const errand: Errand = { refresh, method, url, socket, taken: false, cancel: undefined }
  let timer: unknown
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = clock.setTimeout(() => {
      const error = new FlightTimeoutError(settings.flightTimeout)
      errand.cancel?.(error)
      reject(error)
    }, settings.flightTimeout)
  })
  try {
    const send = async (): Promise<void> => {
      const response = await request.server.inject(injection)
      await finished(response.stream().resume())
    }
    await Promise.race([nowhere.runInAsyncScope(() => errands.run(errand, send)), timeout])
  } finally {
    clock.clearTimeout(timer)
    // Nothing that goes on in its context is it any more.
    errand.taken = true
  }
}

/** No client's, and none that a hook would grant more than anybody. */
export const NO_ADDRESS = '0.0.0.0'

type Injection = InjectOptions & { readonly payloadAsStream: true, readonly method: HTTPMethods, readonly url: string }

function requestLike (request: FastifyRequest, settings: RouteSettings, variant: readonly string[]): Injection {
  const { body, method, protocol, raw } = request
  const given = request.headers
  const headers: Record<string, string | string[] | undefined> = { host: request.host, 'user-agent': undefined }
  const names = ['accept-version', ...settings.headers, ...variant.map(name => name === ENCODINGS ? 'accept-encoding' : name)]
  if (settings.cookies.length > 0) names.push('cookie')
  if (body !== undefined) names.push('content-type')
  for (const name of names) if (given[name] !== undefined && !name.startsWith(':')) headers[name] = given[name]
  // Its hooks make of them what they made of this one's.
  for (const [name, value] of replacedHeaders(request, settings)) {
    if (value === undefined) Reflect.deleteProperty(headers, name)
    else headers[name] = value as string | string[]
  }
  // Behind a proxy that is trusted the protocol is what that says.
  const isForwarded = protocol === 'https' && !isEncrypted(request)
  if (isForwarded) headers['x-forwarded-proto'] = protocol
  const knowsAddress = variant.includes(CLIENT_ADDRESS)
  if (knowsAddress && request.ip !== raw.socket.remoteAddress) headers['x-forwarded-for'] = given['x-forwarded-for']
  return {
    method: (method === 'HEAD' ? 'GET' : method) as HTTPMethods,
    url: originalUrlOf(request),
    headers: headers as Record<string, string>,
    remoteAddress: (knowsAddress || isForwarded ? raw.socket.remoteAddress : undefined) ?? NO_ADDRESS,
    ...body === undefined || body === null ? {} : { payload: body as string | object | Buffer },
    payloadAsStream: true
  } as Injection
}

/** Before the router rewrote it, or a hook changed it. */
function originalUrlOf (request: FastifyRequest): string {
  return (request.raw as { originalUrl?: string }).originalUrl ?? replacedUrl(request) ?? request.url
}

/** Whether a request for `url` comes as one for `came`: to inject it encodes what of its query a client may have left as it is. */
function isSame (url: string, came: string): boolean {
  if (url === came) return true
  const query = url.indexOf('?')
  if (query === -1 || url.includes('#') || url.slice(0, query) !== came.slice(0, query)) return false
  return new URL(url.slice(query), 'http://localhost').search === came.slice(query)
}

/** Whether a body can be sent once more from what its parser made of it. */
function isRepeatable (body: unknown, type: string | undefined): boolean {
  return typeof body !== 'object' || body === null || Buffer.isBuffer(body) || type === undefined || /^application\/(?:[\w.+-]+\+)?json\b/i.test(type)
}

function isEncrypted ({ raw }: FastifyRequest): boolean {
  return (raw.socket as { encrypted?: boolean }).encrypted === true
}
