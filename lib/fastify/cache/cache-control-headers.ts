/**
 * Cache-Control headers for browsers and CDNs. @fastify/caching makes them, for an app that has not registered it.
 *
 * Invariant: where a context has @fastify/caching of its own, nothing here does anything, whichever was registered first, and
 * existing decorations stay. An error that says "no-store" is still shared with those who wait for it, unless privacy is
 * `private`. Whether a client has a response already is decided from that response.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { represent } from '../../http/represent.js'
import { headersOf } from '../internals.js'
import type { CacheControlSettings } from '../../options/options.js'
import { applyPart } from '../replies/payload.js'

type Done = (error?: Error | null, payload?: unknown) => void
type OnSend = (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done) => void

/** What the headers of a context's replies are made with; false: with nothing. */
const kHeaders = Symbol('fastify-coalesce.cache-control')
/** Some app of this process has such headers. */
let areUsed = false
/** Where @fastify/caching leaves word that it is there. */
const REGISTERED = Symbol.for('fastify-caching.registered')

interface Server {
  readonly [kHeaders]?: Headers | false
  readonly [REGISTERED]?: boolean
}

interface Headers {
  /** That of @fastify/caching; it calls back at once. */
  readonly set: OnSend
  readonly isPrivate: boolean
}

/** Has the replies of a context carry `Cache-Control`, and gives them `etag` and `expires`. */
export async function sendCacheControl (
  fastify: FastifyInstance, settings: CacheControlSettings | false | undefined, hasBoarded: (request: FastifyRequest) => boolean
): Promise<void> {
  if (settings === undefined) return
  if (settings === false) {
    Object.defineProperty(fastify, kHeaders, { value: false })
    return
  }
  areUsed = true
  const { default: caching } = await import('@fastify/caching')
  const made = run(caching, settings)
  const own: Headers = { set: made.onSend, isPrivate: settings.privacy === 'private' }
  Object.defineProperty(fastify, kHeaders, { value: own })
  fastify.addHook('onSend', function setCacheControl (request, reply, payload, done) {
    // Of several around a route the innermost speaks.
    if (headersFor(request) !== own) {
      done()
      return
    }
    if (own.isPrivate || reply.statusCode < 300 || !hasBoarded(request)) apply(own, request, reply)
    done(null, whatItLacks(request, reply, payload))
  })
  // Once the app has had its chance to. That routes see it takes a decoration from before, which `coalesce` is.
  fastify.addHook('onReady', function decorateLate (done) {
    decorate(fastify, made)
    done()
  })
}

/** What is left to be set once it has been decided who may have the response. */
export function completeCacheControl (request: FastifyRequest, reply: FastifyReply): void {
  const headers = areUsed && headersFor(request)
  if (headers) apply(headers, request, reply)
}

function headersFor (request: FastifyRequest): Headers | false | undefined {
  const server = request.server as FastifyInstance & Server
  return server[REGISTERED] === true ? undefined : server[kHeaders]
}

function apply ({ set }: Headers, request: FastifyRequest, reply: FastifyReply): void {
  // RFC 9110 section 15.4.5: 304 says what 200 would have said.
  const judged = reply.statusCode === 304 ? Object.create(reply, { statusCode: { value: 200 } }) as FastifyReply : reply
  set(request, judged, undefined, () => {})
}

/**
 * A payload that the client has already, by the tag that `reply.etag` gave it, is none. @fastify/caching would answer so before
 * the route's gates, to whoever names a tag that it has seen with whatever URL.
 */
function whatItLacks (request: FastifyRequest, reply: FastifyReply, payload: unknown): unknown {
  if ((reply as { _etagLife?: number })._etagLife === undefined || (typeof payload !== 'string' && !Buffer.isBuffer(payload))) return payload
  const part = represent({ status: reply.statusCode, headers: headersOf(reply), body: undefined }, request, Date.now())
  if (typeof part === 'string') return payload
  applyPart(reply, part)
  return null
}

interface Made {
  readonly onSend: OnSend
  readonly decorations: ReadonlyMap<string, unknown>
  readonly replyDecorations: ReadonlyMap<string, unknown>
}

/** Lets @fastify/caching register itself where nobody sees it. */
function run (caching: typeof import('@fastify/caching').default, settings: CacheControlSettings): Made {
  const onSend: OnSend[] = []
  const decorations = new Map<string, unknown>()
  const replyDecorations = new Map<string, unknown>()
  const standIn = {
    addHook (name: string, hook: OnSend) { if (name === 'onSend') onSend.push(hook) },
    decorate (name: string, value: unknown) { decorations.set(name, value) },
    decorateReply (name: string, value: unknown) { replyDecorations.set(name, value) }
  }
  caching(standIn as unknown as FastifyInstance, settings, () => {})
  // The first sets Cache-Control; the other one is for answering 304.
  return { onSend: onSend[0] as OnSend, decorations, replyDecorations }
}

function decorate (fastify: FastifyInstance, { decorations, replyDecorations }: Made): void {
  for (const [name, value] of decorations) if (!fastify.hasDecorator(name)) fastify.decorate(name, value)
  for (const [name, value] of replyDecorations) if (!fastify.hasReplyDecorator(name)) fastify.decorateReply(name, value)
}
