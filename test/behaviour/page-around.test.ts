import { connect } from 'node:http2'
import type { AddressInfo } from 'node:net'
import compress from '@fastify/compress'
import cors from '@fastify/cors'
import etag from '@fastify/etag'
import helmet from '@fastify/helmet'
import proxy from '@fastify/http-proxy'
import swagger from '@fastify/swagger'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import coalesce from '../../lib/index.js'
import { stateOf, rowOf } from '../fixtures/page.js'
import { listen, serve, type TestServer } from '../fixtures/server.js'

const PAGE = { dashboard: { public: true } }
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; " +
  "frame-ancestors 'none'; require-trusted-types-for 'script'"
const ON = { config: { coalesce: true } }

/** The URLs that a page asks for, as a browser makes them of its own. */
function askedFor (html: string, at: string): string[] {
  return [...html.matchAll(/(?:href|src)="([^"]*)"/g)].map(([, url]) => new URL(url as string, `http://localhost${at}`).pathname)
}

/** All that a browser needs of the page at a path is there. */
async function opens (t: Test, { get }: Pick<TestServer, 'get'>, at: string): Promise<void> {
  const { body, headers, status } = await get(at)
  t.match([status, headers['content-type']], [200, /^text\/html/], at)
  const files = askedFor(body, at)
  t.equal(files.length, 2)
  for (const file of files) t.match((await get(file)).headers['content-type'], /^text\/(?:css|javascript)/, file)
  const script = files.find(file => file.endsWith('.js')) as string
  t.equal(JSON.parse((await get(new URL('state', `http://localhost${script}`).pathname)).body).version, 1)
}

t.test('the page has a policy of its own, whatever helmet says and whenever it is registered', async t => {
  for (const order of ['before', 'after']) {
    const app = Fastify()
    if (order === 'before') await app.register(helmet, { contentSecurityPolicy: { directives: { defaultSrc: ["'self'", 'https:'] } } })
    await app.register(coalesce, PAGE)
    if (order === 'after') await app.register(helmet)
    app.addHook('onSend', async (_request, reply) => { reply.headers({ 'content-security-policy': 'default-src *', 'cache-control': 'public, max-age=60' }) })
    const { get } = await listen(t, app)
    for (const path of ['/coalesce', '/coalesce/', '/coalesce/page.js', '/coalesce/state']) {
      const { headers } = await get(path)
      t.equal(headers['content-security-policy'], POLICY, `${path}, ${order}`)
      t.match(headers, { 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer', 'cross-origin-resource-policy': 'same-origin', 'cache-control': 'no-store' })
    }
  }
})

t.test('the page opens with and without a slash at its end, under a prefix and another path', async t => {
  for (const options of [{}, { ignoreTrailingSlash: true }, { ignoreDuplicateSlashes: true }, { caseSensitive: false }]) {
    const server = await serve(t, app => {
      app.register(async inner => { await inner.register(coalesce, { dashboard: { public: true, path: '/ops/live' } }) }, { prefix: '/deep/er' })
    }, PAGE, { routerOptions: options, exposeHeadRoutes: false } as FastifyServerOptions)
    for (const at of ['/coalesce', '/coalesce/', '/deep/er/ops/live', '/deep/er/ops/live/', '/coalesce?x=/']) await opens(t, server, at)
    t.equal((await server.get('/coalesce/nothing')).status, 404)
  }
})

t.test('the page opens behind a proxy that rewrites paths', async t => {
  const upstream = await serve(t, app => {
    app.register(async inner => { await inner.register(coalesce, { dashboard: { routeOptions: { onRequest: async () => {} } } }) }, { prefix: '/inner' })
  })
  const front = Fastify() as unknown as FastifyInstance
  for (const [prefix, rewritePrefix] of [['/stripped', ''], ['/renamed', '/inner'], ['/other', '/inner/coalesce']] as const) {
    await front.register(proxy, { upstream: `http://127.0.0.1:${upstream.port}`, prefix, rewritePrefix })
  }
  await front.register(coalesce)
  const server = await listen(t, front)
  for (const at of ['/stripped/inner/coalesce', '/stripped/inner/coalesce/', '/renamed/coalesce', '/renamed/coalesce/', '/other/']) await opens(t, server, at)
})

t.test('the page opens with what compresses, tags, allows and serializes responses', async t => {
  const app = Fastify()
  await app.register(compress, { threshold: 0 })
  await app.register(etag)
  await app.register(cors, { origin: true })
  app.setReplySerializer(payload => `wrapped: ${JSON.stringify(payload)}`)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', (_request, _payload, done) => { done(null, 'not parsed') })
  await app.register(coalesce, PAGE)
  const server = await listen(t, app)
  await opens(t, server, '/coalesce')
  const { headers } = await server.get('/coalesce/state', { headers: { 'accept-encoding': 'gzip' } })
  t.match(headers, { 'content-encoding': 'gzip', 'content-security-policy': POLICY, 'cache-control': 'no-store' })
  const explained = await server.get('/coalesce/explain', {
    method: 'POST', headers: { 'content-type': 'application/json', 'x-coalesce-page': '1' }, body: '{"url":"/nowhere"}'
  })
  t.match(JSON.parse(explained.body), { coalesced: false, summary: 'no route of the app matches' })
})

t.test('the page opens over HTTP/2', async t => {
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  await app.register(coalesce, PAGE)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const session = connect(`http://localhost:${port}`, { lookup: (_name, _options, found) => { found(null, [{ address: '127.0.0.1', family: 4 }] as never, 4) } })
  t.teardown(async () => {
    session.destroy()
    await app.close()
  })
  const get = async (path: string, more: Record<string, string> = {}): Promise<{ status: number | undefined, body: string }> => {
    const stream = session.request({ ':path': path, ...more })
    const answered = new Promise<number | undefined>(resolve => stream.on('response', headers => { resolve(headers[':status']) }))
    let body = ''
    for await (const chunk of stream) body += String(chunk)
    return { status: await answered, body }
  }
  t.match(await get('/coalesce/'), { status: 200, body: /<!doctype html>/i })
  t.equal(JSON.parse((await get('/coalesce/state')).body).version, 1)
  t.equal((await get('/coalesce/', { ':authority': 'evil.example' })).status, 403)
  const stream = session.request({ ':path': '/coalesce/explain', ':method': 'POST', 'content-type': 'application/json', 'x-coalesce-page': '1' })
  stream.end('{"url":"/nowhere"}')
  let explained = ''
  for await (const chunk of stream) explained += String(chunk)
  t.match(JSON.parse(explained), { summary: 'no route of the app matches' })
})

t.test('the page is neither coalesced nor counted, is no page of an API, and is not logged', async t => {
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'info', stream: { write: (line: string) => { lines.push(line) } } } }) as unknown as FastifyInstance
  await app.register(swagger)
  await app.register(coalesce, { global: true, metrics: true, ...PAGE })
  app.get('/shown', async () => 'body')
  const server = await listen(t, app)
  await server.get('/shown')
  lines.length = 0
  for (const path of ['/coalesce/', '/coalesce/page.js', '/coalesce/state', '/coalesce/state']) await server.get(path)
  t.strictSame(lines, [])
  t.strictSame(app.coalesce.stats().routes.map(({ route }) => route), ['/shown', '/shown'])
  t.strictSame((await stateOf(server)).totals.counts.reduce((sum, count) => sum + count, 0), 1)
  t.strictSame(Object.keys((app as unknown as { swagger: () => { paths: object } }).swagger().paths), ['/shown'])
})

t.test('a page shows the registrations inside its own context, and one inside shows itself', async t => {
  const server = await serve(t, app => {
    app.get('/outer', ON, async () => 'body')
    app.register(async inner => {
      await inner.register(coalesce, PAGE)
      inner.get('/own', ON, async () => 'body')
    }, { prefix: '/inner' })
  }, PAGE)
  await server.get('/outer')
  await server.get('/inner/own')
  const [outer, inner] = [await stateOf(server), await stateOf(server, '/inner/coalesce/state')]
  t.ok(rowOf(outer, '/outer') !== undefined && rowOf(outer, '/inner/own') !== undefined)
  t.strictSame(inner.routes.map(({ route }) => route), ['/inner/own'])
  t.strictSame([outer.totals.runs, inner.totals.runs], [2, 1])
})
