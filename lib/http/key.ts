/**
 * The key: two requests are identical if and only if their keys are equal.
 *
 * Invariant: the encoding is injective. A key is a JSON array whose parts are each at a place of its own: strings, nulls, arrays of
 * these, and what the app's functions return; nothing is joined by a delimiter. An absent header is null, an empty one is ''. If all
 * parts after the target are empty, they are left out.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { notAKey, partText } from './key-parts.js'
import { atOnce } from './at-once.js'
import { digestBody, isPlainJson } from './body-digest.js'
import { cookiePairs, type CookieSettings } from './cookies.js'
import { incomparable } from './incomparable.js'
import { normalizeQuery, queryStart, type Covers } from './query.js'

/** Settings of the app that keys depend on. */
export interface Router {
  /** It ends a path at `;`. */
  readonly semicolonDelimits: boolean
  /** It has a query string parser of its own. */
  readonly parsesItself: boolean
  /** The address of a connection decides whether its proxy headers are trusted. */
  readonly trustsByAddress: boolean
}

/** Which parameters of a query are covered, and the names that the option lists: only these, or all but these. */
export interface NarrowedQuery {
  readonly covers: Covers
  readonly only?: readonly string[]
  readonly ignore?: readonly string[]
}

export interface KeySettings<S> {
  readonly query: 'sorted' | 'raw' | NarrowedQuery
  readonly headers: readonly string[]
  readonly cookies: Pick<CookieSettings, 'key'>
  readonly identity: ((request: S) => unknown) | undefined
  readonly key: ((request: S) => unknown) | undefined
  readonly body: { readonly maxBytes: number } | undefined
  readonly router: Router
}

/** The parts of a request that tell whether it has a body. */
export interface BodySource {
  readonly headers: IncomingHttpHeaders
  readonly raw: {
    /** The stream of HTTP/2, where no header needs to announce a body. */
    readonly stream?: { readonly endAfterHeaders?: boolean }
    /** Whether all of the body has come. */
    readonly complete?: boolean
    /** Fields that came after the body. */
    readonly rawTrailers?: readonly string[]
  }
}

/** What a key is made from. A Fastify request is one. */
export interface KeySource {
  readonly method: string
  readonly url: string
  readonly protocol: string
  readonly host: string
  readonly headers: IncomingHttpHeaders
  readonly body: unknown
  /** Node's own request, with `originalUrl` if the app rewrites URLs. */
  readonly raw: BodySource['raw'] & { readonly originalUrl?: string, readonly socket?: object | null }
}

export type KeyFault = 'no-identity' | 'identity-threw' | 'no-key' | 'key-threw' | 'body-unknown'

/** A key, or the reason why there is none. */
export type KeyResult = string | {
  readonly fault: KeyFault
  readonly error?: unknown
  /** Describes what was returned instead of a key, unless it was nothing. */
  readonly got?: string
}

type Part = string | null | Part[]

/** The beginning of a route's keys. Caches the last one, which is mostly the next one as well. */
export class KeyHead {
  readonly #route: string
  #method = ''
  #protocol = ''
  #host = ''
  #name: string | null | undefined
  #text = ''

  /** @param route what tells this route from every other, its constraints included, as JSON text */
  constructor (route: string) {
    this.#route = route
  }

  of ({ method: own, protocol, host, raw: { socket } }: KeySource): string {
    // GET and HEAD share a key.
    const method = own === 'HEAD' ? 'GET' : own
    const name = nameOf(host, socket as NamedSocket | null | undefined)
    if (host !== this.#host || name !== this.#name || method !== this.#method || protocol !== this.#protocol || this.#text === '') {
      this.#method = method
      this.#protocol = protocol
      this.#host = host
      this.#name = name
      const named = name === undefined ? quote(host) : `[${quote(host)},${encode(name)}]`
      this.#text = `[${this.#route},${quote(method)},${quote(protocol)},${named},`
    }
    return this.#text
  }
}

interface NamedSocket {
  readonly servername?: unknown
}

/** The server name of TLS, if it is not that of `host`; null if the client sent none. Undefined: no TLS, or the names agree. */
function nameOf (host: string, socket: NamedSocket | null | undefined): string | null | undefined {
  const name = socket?.servername
  if (typeof name === 'string') return isNameOf(host, name) ? undefined : name
  return name === undefined ? undefined : null
}

/** Whether TLS was begun with the name of the host that was asked for then, as clients do that mean well. */
function isNameOf (host: string, name: string): boolean {
  return host.startsWith(name) && (host.length === name.length || host.charAt(name.length) === ':')
}

/**
 * @param request handed to the user's `identity` and `key` as well
 * @param hidden what hooks have seen of it that is not there any more
 */
export function buildKey<S extends KeySource> (head: KeyHead, request: S, settings: KeySettings<S>, hidden?: string): KeyResult {
  let identity = 'null'
  if (settings.identity !== undefined) {
    try {
      const answer = atOnce(settings.identity(request))
      const text = answer === '' ? undefined : partText(answer, quote)
      if (text === undefined) return fault('no-identity', answer)
      identity = text
    } catch (error) {
      return { fault: 'identity-threw', error }
    }
  }

  let target: string
  if (settings.key === undefined) {
    const { originalUrl } = request.raw
    target = targetOf(request.url, settings)
    if (originalUrl !== undefined) target = `[${target},${quote(originalUrl)}]`
  } else {
    try {
      const answer = atOnce(settings.key(request))
      const text = keyText(answer)
      if (text === undefined) return fault('no-key', answer)
      target = text
    } catch (error) {
      return { fault: 'key-threw', error }
    }
  }

  let body: Part = null
  if (settings.body !== undefined && request.method !== 'GET' && request.method !== 'HEAD') {
    const digest = digestBody(request.body, settings.body.maxBytes)
    // Nothing, or null, is what a parser gives that leaves a body to the handler. Trailers come after what can be compared, as
    // does what a parser has not waited for.
    if (digest === undefined || ((request.body ?? null) === null && sendsBody(request)) || request.raw.complete === false ||
      (request.raw.rawTrailers ?? []).length > 0) {
      return { fault: 'body-unknown' }
    }
    body = [headerOf(request.headers, 'content-type'), digest]
  }

  const { headers, cookies: { key: cookies } } = settings
  const start = head.of(request) + target
  if (identity === 'null' && body === null && headers.length === 0 && cookies.length === 0 && hidden === undefined) return start + ']'
  const parts = [headersOf(request, headers), cookiesOf(request.headers, cookies), body]
  return `${start},${[identity, ...[...parts, ...hidden === undefined ? [] : [hidden]].map(encode)].join(',')}]`
}

/** As JSON.stringify would, which takes longer for text that it writes as it is: printable ASCII without `"` and `\`. */
function quote (text: string): string {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code < 32 || code > 126 || code === 34 || code === 92) return JSON.stringify(text)
  }
  return `"${text}"`
}

function encode (part: Part): string {
  if (part === null) return 'null'
  return typeof part === 'string' ? quote(part) : `[${part.map(encode).join(',')}]`
}

/**
 * A request header as one string: absent is null. Several lines are a JSON array, and so is the number, the list or whatever else
 * a schema or a hook has made of its text.
 */
export function headerOf (headers: IncomingHttpHeaders, name: string): string | null {
  // What a hook put in their place may have none of its own.
  const value: unknown = Object.hasOwn(headers, name) || !(name in Object.prototype) ? headers[name] : undefined
  if (value === undefined) return null
  if (typeof value === 'string') return value
  return isPlainJson(value) ? JSON.stringify(Array.isArray(value) ? value : [value]) : incomparable()
}

/** Whether the request has a body, parsed or not. */
export function sendsBody ({ headers, raw }: BodySource): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0' || raw.stream?.endAfterHeaders === false
}

/** What a `key` function returned, as text; undefined if it is no key. */
function keyText (answer: unknown): string | undefined {
  if (!Array.isArray(answer)) return answer === '' ? undefined : partText(answer, quote)
  if (answer.length === 0) return undefined
  const texts = Array.from(answer, part => partText(part, quote))
  return texts.includes(undefined) ? undefined : `[${texts.join(',')}]`
}

function fault (name: 'no-identity' | 'no-key', answer: unknown): KeyResult {
  const got = notAKey(answer)
  return got === undefined ? { fault: name } : { fault: name, got }
}

function targetOf (url: string, settings: Pick<KeySettings<never>, 'query' | 'router'>): string {
  const { router } = settings
  const start = queryStart(url, router.semicolonDelimits)
  if (start === url.length) return `[${quote(url)}]`
  const query = url.slice(start + 1)
  // A parser of the app's own may depend on the order of the pairs.
  const sorts = settings.query !== 'raw' && !router.parsesItself
  return encode([url.slice(0, start), url.charAt(start), sorts ? normalizeQuery(query) : query])
}

function headersOf (request: KeySource, names: readonly string[]): Part {
  if (names.length === 0) return null
  return names.map(name => {
    const text = headerOf(request.headers, name)
    return text === null || typeof request.headers[name] === 'string' ? text : [text]
  })
}

function cookiesOf (headers: IncomingHttpHeaders, names: readonly string[]): Part {
  if (names.length === 0) return null
  const pairs = cookiePairs(headerOf(headers, 'cookie') ?? '')
  return names.map(name => pairs.filter(([own]) => own === name).map(([, value]) => value))
}
