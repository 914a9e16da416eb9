/**
 * Many clients with secrets of their own, at routes of every kind, at once: no secret may reach a second client.
 * `npm run fuzz` sends a million requests; FUZZ_REQUESTS and FUZZ_SEED say how many and which.
 */
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import t from 'tap'
import coalesce from '../lib/index.js'
import { KeptConnection } from './fixtures/kept-connection.js'

const REQUESTS = Number(process.env.FUZZ_REQUESTS ?? (process.env.CI === undefined ? 10_000 : 100_000))
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31)
const CONCURRENCY = 256
const ON = { config: { coalesce: true } }
/** So short that all of fresh, stale and gone come about. */
const KEPT = { config: { coalesce: { ttl: '15ms', staleWhileRevalidate: '15ms', staleIfError: '50ms', eagerRefresh: 0.5 } } } as const

/** mulberry32: small, and the same sequence for a seed. */
function randomFrom (seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const random = randomFrom(SEED)
const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T
const pause = async (): Promise<void> => { await new Promise(resolve => setTimeout(resolve, random() * 4)) }

const RESTRICTIONS = ['private', 'Private', 'PRIVATE="x"', 'max-age=60, no-store', 'No-Store', 'public, private', ' ,private', 'no-store;']

/** What a hook makes of a header is learned as what a handler reads is. */
const TENANT = {
  onRequest: (request: FastifyRequest, _reply: FastifyReply, done: () => void): void => {
    Object.assign(request, { user: request.headers['x-tenant'] })
    done()
  }
}

/** The client's own secret, told in a way that keeps it from the learned Vary: only the response says that it is not shareable. */
const secretOf = (request: FastifyRequest): string => (request as FastifyRequest & { secret: string }).secret

function build () {
  const app = Fastify()
  app.register(coalesce, { metrics: true, unshareableTtl: '20ms', waitTimeout: '20ms', flightTimeout: '50ms' })
  app.decorateRequest('secret', '')
  app.decorateRequest('user', '')
  app.addHook('onRequest', (request, _reply, done) => {
    Object.assign(request, { secret: request.headers['x-request-id'], user: request.headers.authorization })
    done()
  })
  app.after(() => {
    app.get('/open/:key', ON, async () => {
      await pause()
      return 'open'
    })
    const lazily = async (request: FastifyRequest, reply: FastifyReply) => {
      await pause()
      return reply.type('text/plain').send(Readable.from((async function * () {
        yield 'a'
        await pause()
        yield `tenant=${String(request.headers['x-tenant'])};`
        if (random() < 0.05) throw new Error('cut off')
      })()))
    }
    app.get('/cookie/:key', ON, async (request, reply) => {
      await pause()
      reply.header('set-cookie', `session=${secretOf(request)}`)
      return secretOf(request)
    })
    app.get('/private/:key', ON, async (request, reply) => {
      await pause()
      reply.header('cache-control', pick(RESTRICTIONS))
      return secretOf(request)
    })
    app.get('/flip/:key', ON, async (request, reply) => {
      await pause()
      if (random() < 0.5) return 'open'
      reply.header('cache-control', pick(RESTRICTIONS))
      return secretOf(request)
    })
    app.get('/tenant/:key', ON, async request => {
      await pause()
      return `tenant=${String(request.headers['x-tenant'])};`
    })
    app.get('/hooked/:key', { ...ON, ...TENANT }, async request => {
      await pause()
      return `tenant=${(request as unknown as { user: string }).user};`
    })
    app.get('/raw/:key', ON, async request => {
      await pause()
      return `tenant=${String(request.raw.headers['x-tenant'])};`
    })
    app.get('/all/:key', ON, async request => {
      await pause()
      return JSON.stringify({ ...request.headers })
    })
    app.get('/vary/:key', { config: { coalesce: { learnVary: false } } }, async (request, reply) => {
      await pause()
      reply.header('vary', 'X-Tenant')
      return `tenant=${String(request.headers['x-tenant'])};`
    })
    app.get('/lazy/:key', ON, lazily)
    app.get('/error/:key', ON, async request => {
      await pause()
      throw new Error(`tenant=${String(request.headers['x-tenant'])};`)
    })
    app.get('/auth/:key', ON, async request => {
      await pause()
      return secretOf(request)
    })
    app.get('/user/:key', { config: { coalesce: { identity: request => String((request as unknown as { user: string }).user) } } }, async request => {
      await pause()
      return `user=${String((request as unknown as { user: string }).user)};`
    })
    app.get('/hijack/:key', ON, async (request, reply) => {
      await pause()
      reply.hijack()
      reply.raw.end(secretOf(request))
    })
    app.get('/slow/:key', ON, async (request: FastifyRequest, reply: FastifyReply) => {
      if (random() < 0.1) await new Promise(resolve => setTimeout(resolve, 60))
      else await pause()
      reply.header('set-cookie', `session=${secretOf(request)}`)
      return secretOf(request)
    })
    app.get('/kept-flip/:key', KEPT, async (request, reply) => {
      await pause()
      if (random() < 0.5) return 'open'
      if (random() < 0.3) throw new Error('down')
      if (random() < 0.5) reply.header('set-cookie', `session=${secretOf(request)}`)
      else reply.header('cache-control', pick(RESTRICTIONS))
      return secretOf(request)
    })
    app.get('/kept-tenant/:key', KEPT, async (request, reply) => {
      await pause()
      if (random() < 0.1) throw new Error('down')
      reply.header('etag', `"${String(request.headers['x-tenant'])}"`)
      return request.headers['if-none-match'] === `"${String(request.headers['x-tenant'])}"`
        ? reply.code(304).send()
        : `tenant=${String(request.headers['x-tenant'])};`
    })
    app.get('/kept-hooked/:key', { ...KEPT, ...TENANT }, async request => {
      await pause()
      return `tenant=${(request as unknown as { user: string }).user};`
    })
    app.get('/kept-lazy/:key', KEPT, lazily)
    app.get('/kept-auth/:key', KEPT, async request => {
      await pause()
      return secretOf(request)
    })
    app.get('/kept-user/:key', { config: { coalesce: { ...KEPT.config.coalesce, identity: request => String((request as unknown as { user: string }).user) } } }, async request => {
      await pause()
      return `user=${String((request as unknown as { user: string }).user)};`
    })
    app.post('/open/:key', async () => 'written')
  })
  return app
}

const ROUTES = ['open', 'cookie', 'private', 'flip', 'tenant', 'hooked', 'raw', 'all', 'vary', 'lazy', 'error', 'auth', 'user', 'hijack', 'slow',
  'kept-flip', 'kept-tenant', 'kept-hooked', 'kept-lazy', 'kept-auth', 'kept-user']

t.test(`no secret reaches a second client in ${REQUESTS} requests (seed ${SEED})`, { timeout: 3_600_000 }, async t => {
  const app = build()
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const leaks: string[] = []
  let answered = 0
  let sent = 0

  async function request (connection: KeptConnection): Promise<void> {
    const secret = `secret-${++sent};`
    const tenant = `t${Math.floor(random() * 3)}`
    const user = `u${Math.floor(random() * 3)}`
    const route = pick(ROUTES)
    const path = `/${route}/${Math.floor(random() * 2)}`
    const headers: Record<string, string> = { 'x-request-id': secret, 'x-tenant': tenant }
    if (route.endsWith('auth')) headers.authorization = secret
    if (route.endsWith('user')) headers.authorization = user
    const method = route === 'open' && random() < 0.05 ? 'POST' : 'GET'
    const leaves = random() < 0.05 ? Math.ceil(random() * 5) : undefined
    try {
      const text = await connection.request(method, path, headers, leaves)
      answered++
      const others = [...text.matchAll(/secret-\d+;/g)].filter(([found]) => found !== secret)
      const tenants = [...text.matchAll(/tenant=(\w+);/g)].filter(([, found]) => found !== tenant)
      const users = [...text.matchAll(/user=(\w+);/g)].filter(([, found]) => found !== user)
      if (others.length + tenants.length + users.length > 0) leaks.push(`${path} ${JSON.stringify(headers)} got ${text}`)
    } catch {
      // It left itself, or the stream was cut off.
    }
  }

  await Promise.all(Array.from({ length: CONCURRENCY }, async () => {
    const connection = new KeptConnection(port)
    while (sent < REQUESTS) await request(connection)
    connection.close()
  }))
  t.strictSame(leaks.slice(0, 3), [])
  t.ok(answered > REQUESTS * 0.8, `${answered} were answered`)
  const { deduplicatedRequests } = app.coalesce.stats()
  t.ok(deduplicatedRequests > REQUESTS * 0.05, `${deduplicatedRequests} of them with another one's run`)
  const { cacheHits } = app.coalesce.stats()
  t.ok(cacheHits > REQUESTS * 0.02, `${cacheHits} of them with what was kept`)
  await app.close()
  t.equal((await app.coalesce.registry?.getSingleMetric('coalesce_flights')?.get())?.values[0]?.value, 0, 'no flight is left')
})
