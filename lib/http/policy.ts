/**
 * The two questions: may this request join others? May this response be shared?
 *
 * Invariant: pure, and the answer is the first reason against it, or undefined. Where something cannot be told, that is a
 * reason against it.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { parseCacheControl, type Restriction } from './cache-control.js'
import { carriesOnly, type CookieSettings } from './cookies.js'
import { headerOfName } from './dimensions.js'
import { combined, tokenList } from './fields.js'
import type { Headers } from './headers.js'
import { headerOf, sendsBody, type BodySource, type KeySource } from './key.js'
import { targetedRestriction } from './response-directives.js'
import { parseVary } from './vary.js'

/** What is asked of a request before it boards. A Fastify request has it. */
export interface RequestFacts {
  readonly method: string
  readonly headers: IncomingHttpHeaders
  readonly raw: BodySource['raw'] & { readonly socket: PeerSocket | null }
}

export interface JoinSettings {
  readonly credentials: readonly string[]
  readonly headers: readonly string[]
  readonly cookies: Pick<CookieSettings, 'key'>
  readonly identity: unknown
  readonly key: unknown
  readonly body: unknown
  readonly router: {
    /** Whether the address of a connection decides whose word is taken for the host and the protocol. */
    readonly trustsByAddress: boolean
  }
}

export type JoinReason = 'method' | 'credentials' | 'connection-closed' | 'request-body' | 'range' | 'upgrade' |
  'method-override' | 'connection-header'

/** Why a request may not board, whatever its key; undefined if it may. */
export function joinReason (request: RequestFacts, settings: JoinSettings): JoinReason | undefined {
  const { method, headers } = request
  switch (method) {
    case 'GET':
    case 'HEAD':
      if (sendsBody(request)) return 'request-body'
      break
    case 'QUERY':
    case 'POST':
      if (settings.body === undefined) return 'method'
      break
    default:
      return 'method'
  }
  if (headers.range !== undefined && method !== 'GET' && method !== 'HEAD') return 'range'
  if (headers.upgrade !== undefined) return 'upgrade'
  if (headers['x-http-method-override'] !== undefined || headers['x-http-method'] !== undefined ||
    headers['x-method-override'] !== undefined) return 'method-override'
  if (headers.connection !== undefined && !isPlainConnection(headers.connection)) return 'connection-header'
  const { raw: { socket } } = request
  if (socket !== null && isClosed(socket, request) && asksConnection(socket, request, settings)) return 'connection-closed'
  if (settings.identity === undefined) {
    if (uncoveredCredential(headers, settings) !== undefined) return 'credentials'
    if (socket?.encrypted === true) return certificateReason(socket)
  }
  return undefined
}

const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY'])

/** Whether requests with this method only read (RFC 9110 section 9.2.1). */
export function isSafe (method: string): boolean {
  return SAFE.has(method)
}

/** The first header with credentials of which the key does not hold all; undefined if there is none. */
export function uncoveredCredential (headers: IncomingHttpHeaders, settings: JoinSettings): string | undefined {
  const { credentials } = settings
  // V8 makes objects of the steps of an iterator over a frozen array.
  for (let index = 0; index < credentials.length; index++) {
    const name = credentials[index] as string
    if (headers[name] !== undefined && !coversCredential(name, headers, settings)) return name
  }
  return undefined
}

export type FollowReason = 'head' | 'range'

/** Why a request that may board may not lead: its own response would be less than what others ask for. Undefined if it may. */
export function followReason ({ method, headers }: Pick<RequestFacts, 'method' | 'headers'>): FollowReason | undefined {
  if (method === 'HEAD') return 'head'
  return headers.range === undefined ? undefined : 'range'
}

function isPlainConnection (value: string): boolean {
  if (value === 'keep-alive' || value === 'close') return true
  return tokenList(value)?.every(option => option === 'keep-alive' || option === 'close') === true
}

/** Whether the key covers all of this credential. */
function coversCredential (name: string, headers: IncomingHttpHeaders, settings: JoinSettings): boolean {
  return settings.headers.includes(name) || (name === 'cookie' && carriesOnly(headerOf(headers, name) as string, settings.cookies.key))
}

/** Whether the key covers all of a request header, for a request that has boarded. */
export function keyCovers (name: string, { headers, host }: Pick<KeySource, 'headers' | 'host'>, settings: JoinSettings): boolean {
  return settings.headers.includes(headerOfName(name)) ||
    ((name === 'host' || name === ':authority') && headers[name] === host) ||
    (settings.credentials.includes(name) && (name === 'cookie'
      // An identity does not cover other cookies. Without one, no request boards with cookies that are not in the key.
      ? settings.identity === undefined && carriesOnly(headerOf(headers, name) ?? '', settings.cookies.key)
      : settings.identity !== undefined))
}

interface PeerSocket {
  readonly encrypted?: boolean
  readonly destroyed?: boolean
  readonly readyState?: string
  getPeerCertificate? (): object | null
}

/** Whether a connection, or its HTTP/2 stream, is closed. Then its socket no longer tells anything about the client. */
function isClosed (socket: PeerSocket, { raw }: RequestFacts): boolean {
  // The socket of an HTTP/2 stream is closed a little before the stream is destroyed.
  return socket.destroyed === true || (raw.stream !== undefined && socket.readyState === 'closed')
}

/** Whether the key or the identity of this request may depend on its connection. */
function asksConnection (socket: PeerSocket, { headers, raw }: RequestFacts, { identity, key, router }: JoinSettings): boolean {
  return socket.encrypted === true || raw.stream !== undefined || identity !== undefined || key !== undefined ||
    (router.trustsByAddress && (headers['x-forwarded-host'] !== undefined || headers['x-forwarded-proto'] !== undefined))
}

function certificateReason (socket: PeerSocket): 'credentials' | 'connection-closed' | undefined {
  const certificate = socket.getPeerCertificate?.()
  // Node gives an empty object if the client sent none.
  if (certificate === null) return 'connection-closed'
  return certificate !== undefined && Object.keys(certificate).length > 0 ? 'credentials' : undefined
}

/** RFC 9110 section 15.1, without 206, which is part of a response. */
const HEURISTICALLY_CACHEABLE = new Set([200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501])

/**
 * Whether a status answers the conditions or the range of one request, so that it is no answer to any other.
 */
export function answersOneOnly (status: number): boolean {
  return status === 206 || status === 304 || status === 412 || status === 416
}

/** What decides whether a response may be shared. */
export interface ResponseFacts {
  readonly status: number
  readonly headers: Headers
  readonly trailers: boolean
  /** The handler threw. Then the response may be shared whatever its status. */
  readonly failed: boolean
}

export type ShareReason = Restriction | 'status' | 'set-cookie' | 'vary-any' | 'vary-malformed' | 'trailers' | 'event-stream'

/** Why a response may not be shared with any other client; undefined if it may be, with those that match its Vary. */
export function shareReason (response: ResponseFacts, statuses: readonly number[]): ShareReason | undefined {
  const { status, headers } = response
  if (status < 200 || status > 599 || answersOneOnly(status)) return 'status'
  if (headers['set-cookie'] !== undefined) return 'set-cookie'
  const cacheControl = parseCacheControl(headers['cache-control'])
  if (cacheControl.restriction !== undefined) return cacheControl.restriction
  const targeted = targetedRestriction(headers)
  if (targeted !== undefined) return targeted
  if (!HEURISTICALLY_CACHEABLE.has(status) && status < 500 && !response.failed && !statuses.includes(status) &&
    !cacheControl.explicit && headers.expires === undefined) return 'status'
  const vary = parseVary(headers.vary)
  if (typeof vary === 'string') return vary
  if (response.trailers) return 'trailers'
  if (isEventStream(headers)) return 'event-stream'
  return undefined
}

const EVENT_STREAM = /^\s*text\/event-stream/i
/** Those that an app's responses have mostly. */
const PLAIN = new Set<unknown>(['application/json; charset=utf-8', 'text/html; charset=utf-8', undefined])

/** Whether a response is meant to flow to one client while it is made. */
function isEventStream (headers: Headers): boolean {
  const type = headers['content-type']
  return (!PLAIN.has(type) && EVENT_STREAM.test(combined(type))) ||
    (headers['x-accel-buffering'] !== undefined && combined(headers['x-accel-buffering']).trim().toLowerCase() === 'no')
}
