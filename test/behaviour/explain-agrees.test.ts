/**
 * What `explain` says of a request is what then happens to it, for every reason that can be known before.
 */
import { Stream } from 'node:stream'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type InjectOptions, type RouteOptions } from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import { REASONS } from '../../lib/reasons.js'
import type { CoalesceOptions, CoalesceRouteOptions } from '../../types/index.js'
import { gate, TestClock, until, type Gate } from '../fixtures/gate.js'

interface Scene {
  readonly app: FastifyInstance
  readonly clock: TestClock
  /** What the handler waits for. */
  readonly gate: Gate
  /** The handler does this first. */
  handle: (request: FastifyRequest, reply: FastifyReply) => unknown
  /** Sends the request of the row, or another one. */
  send (request?: InjectOptions): Promise<unknown>
}

interface Row {
  /** outcome/reason/cause; no more than can be known before. */
  readonly expected: string
  readonly coalesce?: CoalesceRouteOptions
  readonly options?: CoalesceOptions
  readonly route?: Partial<RouteOptions>
  readonly request?: InjectOptions
  /** What happened before. */
  readonly before?: (scene: Scene) => unknown
  /** The handler waits for the gate. */
  readonly held?: boolean
  /** Its own run waits for one that waits for the gate. */
  readonly waits?: boolean
}

const throws = (): never => { throw new Error('no') }
const cookie = { cookie: '_ga=1' }
const once = ({ send }: Scene): Promise<unknown> => send()
/** The run of somebody else is in the air. */
const held = {
  held: true,
  before: async ({ app, send }: Scene) => {
    send({ method: 'GET', headers: {} }).catch(() => {})
    await until(() => app.coalesce.stats().actualExecutions > 0, 'a run')
  }
}
const remembered = (cause: string, answer: Scene['handle'], coalesce?: CoalesceRouteOptions): Row => ({
  expected: `bypass/unshareable/${cause}`,
  ...coalesce === undefined ? {} : { coalesce },
  before: async scene => {
    scene.handle = answer
    const told = await scene.app.coalesce.explain('/')
    if (told.outcome !== 'leader') throw new Error(`not yet: ${told.summary}`)
    await scene.send()
  }
})
const header = (name: string, value: string): Scene['handle'] => (_request, reply) => { reply.header(name, value) }
/** Somebody else's run, of another key, has the only slot. */
const busy = async (scene: Scene): Promise<void> => {
  const { app, gate, send } = scene
  const runs = app.coalesce.stats().actualExecutions
  scene.handle = request => request.url === '/?other' ? gate.promise : undefined
  send({ method: 'GET', url: '/?other', headers: {} }).catch(() => {})
  await until(() => app.coalesce.stats().actualExecutions > runs, 'a run')
}
/** A run of another key has failed, and the breaker is open. */
const down = async (scene: Scene): Promise<void> => {
  scene.handle = throws
  await scene.send({ method: 'GET', url: '/?failing', headers: {} })
  scene.handle = () => {}
}
const expire = async ({ clock, send }: Scene): Promise<void> => {
  await send()
  clock.advance(11_000)
}
const full = { queue: { maxRuns: 1, maxQueued: 0 } } as const
const opens = { breaker: { consecutive: 1, openFor: '5s' } } as const
const lasts = { ttl: '10s', staleIfError: '1m' } as const
const heeds = { ttl: '10s', staleIfError: '1m', respectRequestCacheControl: true } as const

const rows: readonly Row[] = [
  { expected: 'leader' },
  { expected: 'bypass/method', request: { method: 'POST' }, route: { method: ['GET', 'POST'] } },
  { expected: 'bypass/credentials/authorization', request: { headers: { authorization: 'Bearer x' } } },
  { expected: 'bypass/credentials/cookie', request: { headers: cookie } },
  { expected: 'bypass/credentials/other', request: { headers: { 'x-api-key': 'x' } } },
  { expected: 'bypass/credentials/certificate', route: { onRequest: certified } },
  { expected: 'bypass/connection-closed', coalesce: { identity: () => 'a' }, route: { onRequest: closed } },
  { expected: 'bypass/request-body', request: { method: 'GET', payload: 'x' } },
  { expected: 'bypass/range', request: { headers: { range: 'bytes=0-1' } } },
  { expected: 'bypass/range', request: { method: 'POST', payload: 'x', headers: { range: 'bytes=0-1', 'content-type': 'text/plain' } }, route: { method: ['POST'] }, coalesce: { body: true } },
  { expected: 'bypass/head', request: { method: 'HEAD' } },
  { expected: 'bypass/upgrade', request: { headers: { upgrade: 'h2c' } } },
  { expected: 'bypass/method-override', request: { headers: { 'x-http-method-override': 'DELETE' } } },
  { expected: 'bypass/connection-header', request: { headers: { connection: 'x-a' } } },
  { expected: 'bypass/no-key', coalesce: { key: () => '' } },
  { expected: 'bypass/no-key', coalesce: { key: () => ({}) as never } },
  { expected: 'bypass/key-threw', coalesce: { key: throws } },
  { expected: 'bypass/no-identity', coalesce: { identity: () => '' } },
  { expected: 'bypass/identity-threw', coalesce: { identity: throws } },
  { expected: 'bypass/body-unknown', route: { method: ['POST'] }, coalesce: { body: { maxBytes: 1 } }, request: { method: 'POST', payload: { a: 'long' } } },
  { expected: 'bypass/disabled', before: ({ app }) => { app.coalesce.disable() } },
  { expected: 'bypass/disabled', before: ({ app }) => { app.coalesce.disable({ url: '/' }) } },
  { expected: 'bypass/observed', coalesce: { observe: true } },
  { expected: 'bypass/observed', coalesce: { observe: true }, request: { headers: { authorization: 'Bearer x' } } },
  { expected: 'bypass/disabled', coalesce: { observe: true }, before: ({ app }) => { app.coalesce.disable() } },
  { expected: 'shed/queue-full', coalesce: { ...full, observe: true }, before: busy },
  { expected: 'bypass/max-flights', options: { maxFlights: 0 } },
  { ...held, expected: 'bypass/max-waiters', options: { maxWaiters: 0 } },
  { ...held, expected: 'bypass/max-waiters-per-key', coalesce: { maxWaitersPerKey: 0 } },
  { expected: 'leader', coalesce: { ...full, ...opens } },
  { expected: 'leader', coalesce: { queue: { maxRuns: 1 } }, before: busy, waits: true },
  { expected: 'shed/queue-full', coalesce: full, before: busy },
  { expected: 'shed/queue-full', coalesce: full, before: busy, request: { headers: { authorization: 'Bearer x' } } },
  { expected: 'shed/queue-full', coalesce: full, before: busy, request: { method: 'HEAD' } },
  { expected: 'shed/queue-full', coalesce: full, before: busy, options: { maxFlights: 0 } },
  {
    expected: 'shed/queue-full',
    coalesce: full,
    before: async scene => {
      scene.handle = header('cache-control', 'private')
      await scene.send()
      await busy(scene)
    }
  },
  { expected: 'shed/fallback', coalesce: { ...full, fallback: () => 'instead' }, before: busy },
  { expected: 'shed/fallback', coalesce: { ...full, fallback: () => 'instead' }, before: busy, request: { headers: cookie } },
  { expected: 'stale/queue-full', coalesce: { ...full, ...lasts }, before: async scene => { await expire(scene); await busy(scene) } },
  { expected: 'bypass/credentials/cookie', coalesce: { ...full, ...opens }, request: { headers: cookie } },
  { expected: 'shed/breaker-open', coalesce: opens, before: down },
  { expected: 'shed/breaker-open', coalesce: opens, before: down, request: { headers: cookie } },
  { expected: 'shed/fallback', coalesce: { ...opens, fallback: () => 'instead' }, before: down },
  { expected: 'stale/breaker-open', coalesce: { ...opens, ...lasts }, before: async scene => { await expire(scene); await down(scene) } },
  { expected: 'leader', coalesce: opens, before: async scene => { await down(scene); scene.clock.advance(6_000) } },
  { expected: 'shed/breaker-probing', coalesce: opens, before: async scene => { await down(scene); scene.clock.advance(6_000); await busy(scene) } },
  {
    expected: 'stale/breaker-probing',
    coalesce: { ...opens, ...lasts },
    before: async scene => { await scene.send(); await down(scene); scene.clock.advance(11_000); await busy(scene) }
  },
  // A refresh tries it.
  { expected: 'stale/breaker-probing', coalesce: { ...opens, ...lasts }, before: async scene => { await scene.send(); await down(scene); scene.clock.advance(11_000) } },
  { expected: 'bypass/request-no-store', coalesce: heeds, request: { headers: { 'cache-control': 'no-store' } } },
  { expected: 'bypass/only-if-cached', coalesce: heeds, request: { headers: { 'cache-control': 'only-if-cached' } } },
  { ...held, expected: 'follower' },
  { ...held, expected: 'follower', request: { method: 'HEAD' } },
  { ...held, expected: 'follower', request: { headers: { range: 'bytes=0-1' } } },
  { expected: 'hit/fresh', coalesce: { ttl: '10s' }, before: once },
  { expected: 'hit/fresh', coalesce: { ttl: '10s' }, before: ({ send }) => send({ method: 'GET' }), request: { method: 'HEAD' } },
  { expected: 'leader', coalesce: { ttl: '10s' }, before: async ({ clock, send }) => { await send(); clock.advance(11_000) } },
  { expected: 'leader', coalesce: { ttl: '10s', staleIfError: '1m' }, before: async ({ clock, send }) => { await send(); clock.advance(11_000) } },
  { expected: 'leader', coalesce: { ttl: '10s' }, before: async ({ app, send }) => { await send(); app.coalesce.invalidate({ url: '/' }) } },
  { expected: 'stale/stale-while-revalidate', coalesce: { ttl: '10s', staleWhileRevalidate: '1m' }, before: async ({ clock, send }) => { await send(); clock.advance(11_000) } },
  { expected: 'stale/max-stale', coalesce: heeds, request: { headers: { 'cache-control': 'max-stale=60' } }, before: async ({ clock, send }) => { await send(); clock.advance(11_000) } },
  {
    expected: 'stale/stale-if-error',
    coalesce: heeds,
    before: async scene => {
      await scene.send()
      scene.clock.advance(11_000)
      scene.handle = throws
      await scene.send()
    }
  },
  {
    expected: 'leader',
    request: { headers: { 'accept-language': 'de' } },
    coalesce: { ttl: '10s' },
    before: async scene => {
      scene.handle = request => request.headers['accept-language']
      await scene.send({ headers: { 'accept-language': 'en' } })
    }
  },
  {
    expected: 'hit/fresh',
    request: { headers: { 'accept-language': 'de' } },
    coalesce: { ttl: '10s' },
    before: async scene => {
      scene.handle = request => request.headers['accept-language']
      await scene.send({ headers: { 'accept-language': 'en' } })
      await scene.send()
    }
  },
  {
    expected: 'leader',
    request: { headers: { 'accept-language': 'de' } },
    before: async scene => {
      scene.handle = (request, reply) => { if (request.headers['accept-language'] === 'en') reply.header('cache-control', 'private') }
      await scene.send({ headers: { 'accept-language': 'en' } })
    }
  },
  {
    expected: 'bypass/unshareable/private',
    request: { headers: { 'accept-language': 'en' } },
    before: async scene => {
      scene.handle = (request, reply) => { if (request.headers['accept-language'] === 'en') reply.header('cache-control', 'private') }
      await scene.send()
      await scene.send({ headers: { 'accept-language': 'de' } })
    }
  },
  {
    expected: 'bypass/head',
    request: { method: 'HEAD' },
    before: async scene => {
      scene.handle = header('cache-control', 'private')
      await scene.send({ method: 'GET' })
    }
  },
  remembered('set-cookie', header('set-cookie', 'a=1')),
  remembered('private', header('cache-control', 'private')),
  remembered('no-store', header('cache-control', 'no-store')),
  remembered('cache-control-malformed', header('cache-control', 'max-age=1; private')),
  remembered('vary-any', header('vary', '*')),
  remembered('vary-malformed', header('vary', 'a b')),
  remembered('status', (_request, reply) => { reply.code(400) }),
  remembered('trailers', (_request, reply) => { reply.trailer('x-a', async () => 'a') }),
  remembered('event-stream', header('content-type', 'text/event-stream')),
  remembered('too-large', () => {}, { maxBodyBytes: 1 }),
  remembered('hijacked', (_request, reply) => { reply.hijack(); reply.raw.end('x') }),
  remembered('unrecorded', (_request, reply) => { reply.raw.end('x') }),
  remembered('unknown-payload', () => {
    const old = new Stream()
    setImmediate(() => { old.emit('end') })
    return old
  }),
  remembered('reads-all-headers', request => { JSON.stringify(request.headers) }),
  remembered('varies-too-much', request => { for (let index = 0; index < 100; index++) String(request.headers[`x-${index}`]) }),
  remembered('csp-nonce', (_request, reply) => { reply.header('content-security-policy', "script-src 'nonce-abcdefgh'"); return '<script nonce="abcdefgh">' }, { ttl: '10s' }),
  remembered('request-id', request => `this is ${request.id}`, { ttl: '10s' })
]

/** Only a run tells. */
const AFTER = [
  'shared', 'failed', 'split', 'client-left', 'answered-elsewhere', 'cut-off', 'unheard', 'no-reply', 'hook-failed', 'handler-timeout',
  'flight-timeout', 'wait-timeout', 'vary', 'peer-lost', 'queue-timeout', 'evicted', 'verified'
]

async function certified ({ raw }: FastifyRequest): Promise<void> {
  Object.assign(raw.socket, { encrypted: true, getPeerCertificate: () => ({ subject: { CN: 'a' } }) })
}

async function closed ({ raw }: FastifyRequest): Promise<void> {
  Object.defineProperty(raw.socket, 'destroyed', { value: true })
}

for (const [index, row] of rows.entries()) {
  t.test(`${row.expected} is foreseen (${index})`, async t => {
    const clock = new TestClock()
    const opening = gate()
    const told: string[] = []
    const app = Fastify({ genReqId: () => 'request-0123456789' })
    t.teardown(() => app.close())
    await app.register(coalesce, { clock, metrics: true, ...row.options })
    app.addHook('onResponse', async ({ coalesce }) => {
      told.push([coalesce?.outcome, coalesce?.reason, coalesce?.cause, ''].filter(part => part !== undefined).join('/'))
    })
    const scene: Scene = {
      app: app as unknown as FastifyInstance,
      clock,
      gate: opening,
      handle: () => {},
      send: request => app.inject({ url: '/', ...row.request, ...request })
    }
    app.route({
      method: 'GET',
      url: '/',
      ...row.route,
      config: { coalesce: row.coalesce ?? true },
      handler: async (request, reply) => {
        const answer = scene.handle(request, reply)
        if (reply.sent) return reply
        if (row.held === true) await opening.promise
        return answer ?? { hello: 'world' }
      }
    } as RouteOptions as never)
    await app.ready()
    await row.before?.(scene)

    const figures = async (): Promise<string> =>
      // To look for what has expired makes a store drop it.
      JSON.stringify(app.coalesce.stats()) + (await app.coalesce.registry?.metrics())?.replaceAll(/^coalesce_cache_(?:entries|bytes).*$/gm, '')
    const before = await figures()
    const explanation = await app.coalesce.explain({ url: '/', ...row.request })
    t.equal(await figures(), before, 'nothing was counted')
    const { cause, outcome, reason } = explanation
    const foreseen = [outcome, reason, cause].filter(part => part !== undefined).join('/')
    t.equal(foreseen, row.expected)
    t.match(explanation.summary, `${row.expected}: `)
    t.equal(explanation.steps.at(-1)?.decides, true)
    t.equal(explanation.steps.filter(({ decides }) => decides).length, 1)
    t.same(await app.coalesce.explain({ url: '/', ...row.request }), explanation, 'and says so again')

    told.length = 0
    const meets = row.held === true || row.waits === true
    const sent = scene.send()
    if (meets) {
      await until(() => app.coalesce.stats().totalRequests > 1, 'the request')
      opening.open()
    }
    await sent
    await until(() => told.length === (meets ? 2 : 1), 'its outcome')
    t.ok(told.some(each => each.startsWith(`${foreseen}/`)), `${told.join(' ')} was foreseen as ${foreseen}`)
  })
}

t.test('every reason is foreseen, or is one that only a run tells', async t => {
  const foreseen = new Set(rows.flatMap(({ expected }) => expected.split('/').slice(1)))
  const left = [...new Set(Object.values(REASONS).flat())].filter(reason => !foreseen.has(reason))
  t.same(left.sort(), [...AFTER].sort())
  t.same(Object.keys(REASONS).filter(outcome => !rows.some(({ expected }) => expected.split('/')[0] === outcome)), ['peer', 'alone'])
})
