/**
 * "A cached response is given at once only to whom it would have been given after a closer look."
 */
import t from 'tap'
import { connect as connectHttp2 } from 'node:http2'
import type { FastifyReply, FastifyServerOptions } from 'fastify'
import { memoryStore } from '../../lib/stores/memory.js'
import type { Entry } from '../../types/index.js'
import { gate, until } from '../fixtures/gate.js'
import { serve } from '../fixtures/server.js'

const NO_CACHE = { headers: { 'cache-control': 'no-cache' } }

t.test('an entry of a variant is given to its variant only, also where it stands under the key of all', async t => {
  const store = memoryStore()
  const on = async () => await serve(t, app => {
    app.get('/', { config: { coalesce: { ttl: '1m' } } }, async ({ headers }) => headers['accept-language'])
  }, { store })
  const [first, second] = [await on(), await on()]
  await first.get('/', { headers: { host: 'one.test', 'accept-language': 'de' } })
  const entries = store.entries()
  const variant = entries.find(({ value }) => (value as { body?: unknown }).body === 'de') as Entry
  const { key } = entries.find(entry => entry !== variant) as Entry
  store.set({ ...variant, key }, 60_000)
  // The other one has learned nothing yet.
  t.match(await second.get('/', { headers: { host: 'one.test', 'accept-language': 'fr' } }), { status: 200, body: 'fr' })
})

t.test('an entry that is larger than a route keeps is not given by it', async t => {
  const store = memoryStore()
  let runs = 0
  const on = async (maxEntryBytes: number) => await serve(t, app => {
    app.get('/', { config: { coalesce: { ttl: '1m', maxEntryBytes } } }, async () => `${'x'.repeat(1000)}${++runs}`)
  }, { store })
  const [large, small] = [await on(10_000), await on(500)]
  const host = { headers: { host: 'one.test' } }
  await large.get('/', host)
  await large.get('/', host)
  t.equal(runs, 1)
  await small.get('/', host)
  t.equal(runs, 2)
})

t.test('what is cached for all is not given once responses of its key are known to differ', async t => {
  let runs = 0
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: { ttl: '1m', respectRequestCacheControl: true } } }, async ({ headers }, reply) => {
      if (++runs !== 2) return `run ${runs}`
      reply.header('cache-control', 'max-age=0')
      return `run ${runs} for ${String(headers['accept-language'])}`
    })
  })
  await server.get('/')
  t.match(await server.get('/'), { body: 'run 1' })
  t.match(await server.get('/', { headers: { ...NO_CACHE.headers, 'accept-language': 'de' } }), { body: 'run 2 for de' })
  t.match(await server.get('/'), { body: 'run 3' })
})

t.test('who comes while a newer response is being made waits for that', async t => {
  let runs = 0
  const opening = gate()
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: { ttl: '1m', respectRequestCacheControl: true } } }, async () => {
      if (++runs === 2) await opening.promise
      return `run ${runs}`
    })
  })
  await server.get('/')
  const newer = server.get('/', NO_CACHE)
  await until(() => runs === 2, 'the newer run')
  const follower = server.get('/')
  await server.arrived(3)
  opening.open()
  t.match(await Promise.all([newer, follower]), [{ body: 'run 2' }, { body: 'run 2' }])
  t.equal(server.app.coalesce.stats().deduplicatedRequests, 1)
})

t.test('what another one has cached is not given while it is remembered that the response cannot be shared', async t => {
  const store = memoryStore()
  let isOwn = true
  let runs = 0
  const answer = async (_request: unknown, reply: FastifyReply) => {
    if (isOwn) reply.header('set-cookie', 'a=b')
    return `run ${++runs}`
  }
  const on = async () => await serve(t, app => { app.get('/', { config: { coalesce: { ttl: '1m' } } }, answer) }, { store })
  const [first, second] = [await on(), await on()]
  const host = { headers: { host: 'one.test' } }
  t.match(await first.get('/', host), { body: 'run 1' })
  isOwn = false
  t.match(await second.get('/', host), { body: 'run 2' })
  t.match(await second.get('/', host), { body: 'run 2' })
  t.match(await first.get('/', host), { body: 'run 3' }, 'it tries whether that can be shared again')
})

t.test('over HTTP/2 a large body is written in pieces, as Fastify does', async t => {
  const written: number[] = []
  const server = await serve(t, app => {
    app.addHook('onRequest', async (_request, { raw }) => {
      const write = raw.write.bind(raw) as (chunk: Buffer) => boolean
      raw.write = ((chunk: Buffer) => {
        written.push(chunk.length)
        return write(chunk)
      }) as never
    })
    app.get('/', { config: { coalesce: { ttl: '1m' } } }, async () => 'x'.repeat(200_000))
  }, {}, { http2: true } as FastifyServerOptions)
  const session = connectHttp2(`http://127.0.0.1:${server.port}`)
  t.teardown(() => { session.destroy() })
  for (const pieces of [4, 8]) {
    await new Promise<void>((resolve, reject) => { session.request({ ':path': '/' }).on('error', reject).on('end', resolve).resume() })
    t.equal(written.length, pieces)
  }
  t.equal(server.app.coalesce.stats().cacheHits, 1)
})
