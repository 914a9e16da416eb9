/**
 * Replies of observed routes are byte for byte those of the same app without the plugin, and each request runs its handler.
 */
import { Readable } from 'node:stream'
import etag from '@fastify/etag'
import cookie from '@fastify/cookie'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import t from 'tap'
import coalesce, { defineCoalesce } from '../../lib/index.js'
import type { AddressInfo } from 'node:net'
import { raw } from '../fixtures/sockets.js'

const COALESCE = defineCoalesce({ query: { ignore: ['utm_*'] }, cookies: { ignore: ['_ga'], key: ['theme'] }, ttl: '1m', headers: ['accept-language'] })

/** What an app may do with a request and a reply. */
const handlers: Readonly<Record<string, (request: FastifyRequest, reply: FastifyReply) => unknown>> = {
  json: () => ({ ok: true }),
  html: (_request, reply) => { reply.type('text/html').send('<h1>hello</h1>') },
  bytes: () => Buffer.from([0, 255, 1]),
  stream: () => Readable.from(['a', 'b']),
  web: (_request, reply) => reply.send(new Blob(['web']).stream()),
  response: () => new Response('made', { status: 203, headers: { 'x-made': 'yes' } }),
  redirect: (_request, reply) => reply.redirect('/json'),
  empty: (_request, reply) => reply.code(204).send(),
  cookie: (_request, reply) => reply.header('set-cookie', ['a=1', 'b=2']).send('cookies'),
  missing: (_request, reply) => { reply.callNotFound() },
  fails: () => { throw new Error('no') },
  later: async () => { await Promise.resolve(); throw Object.assign(new Error('teapot'), { statusCode: 418 }) },
  hijacked: (_request, reply) => { reply.hijack(); reply.raw.end('by hand') },
  past: (_request, reply) => { reply.raw.end('past it') },
  sees: request => ({
    url: request.url,
    original: request.originalUrl,
    query: request.query,
    headers: request.headers,
    raw: request.raw.rawHeaders,
    url2: request.raw.url,
    cookies: request.cookies,
    distinct: request.raw.headersDistinct,
    ip: request.ip
  })
}

async function app (observes: boolean, hook: 'auto' | 'onRequest', gates: boolean): Promise<{ readonly app: FastifyInstance, readonly port: number, readonly runs: Record<string, number> }> {
  const app = Fastify()
  const runs: Record<string, number> = {}
  if (observes) await app.register(coalesce, { observe: true })
  await app.register(cookie)
  await app.register(etag)
  app.addHook('onRequest', async (request, reply) => {
    const { lang } = request.query as { lang?: string }
    if (request.headers['accept-language'] !== undefined || lang !== undefined) reply.header('x-lang', lang ?? 'header')
  })
  if (gates) app.addHook('preValidation', async request => { (request.query as { added?: string }).added = 'by a hook' })
  for (const [name, handler] of Object.entries(handlers)) {
    runs[name] = 0
    app.get(`/${name}`, { config: observes ? { coalesce: { ...COALESCE, hook } } : {} }, (request, reply) => {
      runs[name] = (runs[name] as number) + 1
      return handler(request, reply)
    })
  }
  await app.listen({ port: 0, host: '127.0.0.1' })
  return { app, port: (app.server.address() as AddressInfo).port, runs }
}

for (const [hook, gates] of [['auto', false], ['auto', true], ['onRequest', true]] as const) {
  t.test(`replies are byte for byte those without the plugin, with hook: '${hook}' and ${gates ? 'gates' : 'none'}`, async t => {
    const [plain, observed] = [await app(false, hook, gates), await app(true, hook, gates)]
    t.teardown(async () => { await Promise.all([plain.app.close(), observed.app.close()]) })
    const query = '?q=1&utm_source=mail&q=2&lang=de'
    const headers = ['Host: localhost', 'Cookie: _ga=1; theme=dark; _ga=2', 'Accept-Language: fr', 'X-Twice: 1', 'X-Twice: 2']
    for (const name of Object.keys(handlers)) {
      for (const method of ['GET', 'HEAD']) {
        for (const more of [[], ['If-None-Match: *'], ['Range: bytes=0-1'], ['Authorization: Bearer x']]) {
          const lines = [`${method} /${name}${query} HTTP/1.1`, ...headers, ...more]
          // The port of a client is its own.
          const [one, other, again] = [await raw(plain.port, lines), await raw(observed.port, lines), await raw(observed.port, lines)]
          t.equal(other, one, `${method} /${name} ${more.join()}`)
          t.equal(again, one, 'once more')
        }
      }
      t.equal(observed.runs[name], (plain.runs[name] as number) * 2, `/${name} runs for each`)
    }
  })
}
