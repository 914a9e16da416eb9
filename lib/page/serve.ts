/**
 * The routes of the live page.
 *
 * Invariant: each answers only who may ask, under a policy of its own that comes last. What changes something is posted by the page itself.
 * No answer is kept by anybody.
 */
import { STATUS_CODES } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { InvalidOptionError, PageRefusedError, UnknownBreakerError, UnknownRouteError } from '../errors.js'
import type { DashboardSettings } from '../options/dashboard-options.js'
import { explanationText, stateText } from './answers.js'
import { PAGE_CSS, PAGE_HTML, PAGE_JS } from './assets.js'
import type { History } from './history.js'
import { readAction, readQuestion } from './questions.js'
import type { PageSource } from './source.js'
import type { PageAction } from './state.js'
import { refusalOf, type Wanted } from './visitors.js'

const HEADERS: Readonly<Record<string, string>> = Object.freeze({
  'content-security-policy': "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; " +
    "frame-ancestors 'none'; require-trusted-types-for 'script'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store'
})

const HTML = 'text/html; charset=utf-8'
const JSON_TYPE = 'application/json; charset=utf-8'
/** What a form may send, in bytes. */
const BODY_LIMIT = 65_536

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown
type Done = (error?: Error) => void

/** Adds the page's routes to a context. */
export function servePage (fastify: FastifyInstance, settings: DashboardSettings, source: PageSource, history: History): void {
  const { path, reveal, routeOptions } = settings
  // Without the slash at the end the page's own folder has to be named.
  const html = PAGE_HTML.replaceAll(/(href|src)="(?=page\.)/g, `$1="${path.slice(path.lastIndexOf('/') + 1)}/`)
  // A context of its own, since what the app makes of JSON is not known.
  fastify.register(async page => {
    page.removeAllContentTypeParsers()
    page.addContentTypeParser('application/json', { parseAs: 'string', bodyLimit: BODY_LIMIT }, (_request, text, done) => { done(null, text) })
    const route = (method: 'GET' | 'POST', url: string, wanted: Wanted, handler: Handler): void => {
      page.route({
        logLevel: 'warn',
        ...routeOptions,
        method,
        url,
        config: { ...routeOptions.config, coalesce: false },
        // For @fastify/swagger: no page of an API.
        schema: { hide: true, ...routeOptions.schema } as RouteOptions['schema'],
        onRequest: [gate(settings, wanted), ...listOf(routeOptions.onRequest)] as RouteOptions['onRequest'],
        // After the hooks of the instance and of others, whatever they set.
        onSend: [...listOf(routeOptions.onSend), setHeaders] as RouteOptions['onSend'],
        handler
      })
    }
    route('GET', '/', 'document', async (request, reply) => {
      await send(reply, HTML, request.originalUrl.split('?', 1)[0]?.endsWith('/') === true ? PAGE_HTML : html)
    })
    route('GET', '/page.js', 'document', async (_request, reply) => { await send(reply, 'text/javascript; charset=utf-8', PAGE_JS) })
    route('GET', '/page.css', 'document', async (_request, reply) => { await send(reply, 'text/css; charset=utf-8', PAGE_CSS) })
    route('GET', '/state', 'data', async ({ query }, reply) => {
      const since = Number((query as { since?: unknown } | undefined)?.since)
      await send(reply, JSON_TYPE, stateText(source, history, settings, since > 0 ? since : 0))
    })
    route('POST', '/explain', 'deed', async (request, reply) => {
      const { host, ':authority': authority } = request.raw.headers
      await answer(reply, async () => {
        const asker = { host: String(host ?? authority), address: request.ip, mayForward: settings.actions }
        const question = readQuestion(parsed(request), asker)
        return explanationText(await source.explain(question, reveal.includes('values')), reveal)
      })
    })
    if (!settings.actions) return
    route('POST', '/actions', 'deed', async (request, reply) => {
      await answer(reply, async () => {
        const action = readAction(parsed(request))
        act(source, action)
        fastify.log.info({ coalesce: { page: action } }, 'coalesce: done at the live page')
        return '{"done":true}'
      })
    })
  }, { prefix: path })
}

function listOf (hooks: unknown): unknown[] {
  return hooks === undefined ? [] : [hooks].flat()
}

/** The first hook of a route: whom it refuses no guard is asked about. */
function gate (settings: DashboardSettings, wanted: Wanted): (request: FastifyRequest, reply: FastifyReply, done: Done) => void {
  return function pageGate (request, reply, done) {
    const { headers, httpVersion: version, socket } = request.raw
    const why = refusalOf({ address: socket.remoteAddress, version, headers }, wanted, settings)
    if (why === undefined) done()
    else refuse(reply, new PageRefusedError(why), 403)
  }
}

function setHeaders (_request: FastifyRequest, reply: FastifyReply, _payload: unknown, done: Done): void {
  reply.headers(HEADERS)
  done()
}

function send (reply: FastifyReply, type: string, text: string): FastifyReply {
  return reply.header('content-type', type).send(text)
}

/** Not thrown: what the app makes of errors is for those of its guards. */
function refuse (reply: FastifyReply, error: { readonly code: string, readonly message: string }, statusCode: number): FastifyReply {
  const { code, message } = error
  return send(reply.code(statusCode), JSON_TYPE, JSON.stringify({ statusCode, code, error: STATUS_CODES[statusCode], message }))
}

function parsed ({ body }: FastifyRequest): unknown {
  try {
    return JSON.parse(body as string)
  } catch {
    throw new InvalidOptionError('what is posted', 'JSON', 'something else')
  }
}

async function answer (reply: FastifyReply, text: () => Promise<string>): Promise<FastifyReply> {
  try {
    return await send(reply, JSON_TYPE, await text())
  } catch (error) {
    if (error instanceof UnknownRouteError || error instanceof UnknownBreakerError) return await refuse(reply, error, 404)
    if (error instanceof InvalidOptionError) return await refuse(reply, error, 400)
    throw error
  }
}

function act (source: PageSource, action: PageAction): void {
  switch (action.action) {
    case 'disable':
    case 'enable':
      source.setDisabled(action.action === 'disable', action.route)
      return
    case 'purge':
      source.purge(action.purge)
      return
    default: {
      const breakers = source.breakers(action.breaker)
      if (breakers.length === 0) throw new UnknownBreakerError(action.breaker)
      for (const breaker of breakers) breaker[action.action]()
    }
  }
}
