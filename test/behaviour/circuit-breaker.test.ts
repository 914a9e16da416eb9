/**
 * "A run is one result for the circuit breaker, whoever waited for it and however it was begun; what says nothing of what is behind the
 * handler counts for nothing."
 */
import { connect, type ClientHttp2Stream } from 'node:http2'
import { connect as dial, type AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type RouteShorthandOptions } from 'fastify'
import t, { type Test } from 'tap'
import coalesce, { circuitBreaker, runQueue } from '../../lib/index.js'
import type { BreakerFigures, BreakerOptions, CoalesceRouteOptions } from '../../types/index.js'
import { distinct, times } from '../fixtures/crowd.js'
import { gate, TestClock, until, type Gate } from '../fixtures/gate.js'
import { serve, type GetOptions, type Pending, type TestServer } from '../fixtures/server.js'

type Counted = BreakerFigures['runs']
const GOOD: Counted = { good: 1, failed: 0, neutral: 0 }
const FAILED: Counted = { good: 0, failed: 1, neutral: 0 }
const NEUTRAL: Counted = { good: 0, failed: 0, neutral: 1 }

interface Scene {
  readonly server: TestServer
  readonly clock: TestClock
  /** Of the first run. */
  readonly begun: Promise<void>
  /** The connection of the first run's client is gone. */
  readonly closed: Promise<void>
  readonly opening: Gate
  ask (options?: GetOptions): Pending
}
interface Case {
  readonly comes: Counted
  readonly route?: CoalesceRouteOptions
  readonly fastify?: RouteShorthandOptions
  readonly breaker?: BreakerOptions
  readonly asks?: GetOptions
  readonly before?: (app: FastifyInstance) => void
  readonly handler: (request: FastifyRequest, reply: FastifyReply, opening: Gate) => unknown
  /** What happens while it runs. Default: it is answered. */
  readonly then?: (scene: Scene, first: Pending) => unknown
}

const never = async (): Promise<never> => await new Promise(() => {})
const leaves = async (_: Scene, first: Pending): Promise<void> => {
  first.request.destroy()
  await first.catch(() => {})
}
const AS_ONESELF: GetOptions = { headers: { authorization: 'Bearer me' } }
const notFound = (): never => { throw Object.assign(new Error('no such thing'), { statusCode: 404 }) }
/** Comes to its end in an error when nobody waits. */
const abortable = async ({ signal }: FastifyRequest): Promise<never> => await new Promise((_resolve, reject) => {
  signal.addEventListener('abort', () => { reject(Object.assign(new Error('aborted'), { name: 'AbortError' })) })
})
/** A stream whose first bytes come at once. */
function flowing (source: { cut?: Promise<void>, end?: Promise<void> }): Readable {
  const stream = new Readable({ read () {} })
  stream.push('first bytes ')
  source.cut?.then(() => { stream.destroy(new Error('the upstream is gone')) })
  source.end?.then(() => { stream.push(null) })
  return stream
}
function web (opening: Gate, error: Error | undefined): ReadableStream {
  return new ReadableStream({
    start (controller) {
      controller.enqueue(new TextEncoder().encode('first bytes '))
      opening.promise.then(() => {
        if (error === undefined) controller.close()
        else controller.error(error)
      })
    }
  })
}
/** Its first bytes are here, and then what makes it goes on. */
const opens = async ({ opening }: Scene, first: Pending): Promise<void> => {
  await new Promise<void>(resolve => first.request.once('response', response => response.once('data', () => { resolve() })))
  opening.open()
  await first.catch(() => {})
}
/** Its first bytes are here, and then its client leaves. */
const stops = async (scene: Scene, first: Pending): Promise<void> => {
  await new Promise<void>(resolve => first.request.once('response', response => response.once('data', () => { resolve() })))
  await leaves(scene, first)
}

/** Its first bytes are here, and it is over long after that. */
const lasts = async ({ clock, opening }: Scene, first: Pending): Promise<void> => {
  await new Promise<void>(resolve => first.request.once('response', response => response.once('data', () => { resolve() })))
  clock.advance(2000)
  opening.open()
  await first
}
/** Its client leaves, and `flightTimeout` comes to its end. */
const leavesFor = async ({ begun, clock, closed, opening }: Scene, first: Pending): Promise<void> => {
  await begun
  await leaves({} as Scene, first)
  await closed
  opening.open()
  for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve))
  clock.advance(10_001)
}

const CASES: Readonly<Record<string, Case>> = {
  'its handler answers': { comes: GOOD, handler: () => 'fine' },
  'its handler throws': { comes: FAILED, handler: () => { throw new Error('down') } },
  'its handler throws what a client has done wrong': { comes: GOOD, handler: notFound },
  'its handler answers 404': { comes: GOOD, handler: (_request, reply) => reply.code(404).send('no') },
  'its handler answers 503': { comes: FAILED, handler: (_request, reply) => reply.code(503).send('down') },
  'its handler answers 502 with a stream that is complete': { comes: FAILED, handler: (_request, reply) => reply.code(502).send(Readable.from(['down'])) },
  'an error handler makes 409 of what its handler throws': {
    comes: GOOD,
    before: app => { app.setErrorHandler((_error, _request, reply) => reply.code(409).send('taken')) },
    handler: () => { throw new Error('taken') }
  },
  'Fastify ends its wait for the handler': { comes: FAILED, fastify: { handlerTimeout: 20 }, handler: never },
  'Fastify ends its wait for the handler, which has its signal': { comes: FAILED, fastify: { handlerTimeout: 20 }, handler: abortable },
  'Fastify ends its wait for a handler that runs for one client, and has its signal': {
    comes: FAILED, fastify: { handlerTimeout: 20 }, asks: AS_ONESELF, handler: abortable
  },
  'its handler hangs for flightTimeout': {
    comes: FAILED,
    route: { flightTimeout: '10s' },
    handler: never,
    then: async ({ clock, begun }, first) => {
      await begun
      clock.advance(10_001)
      await leaves({} as Scene, first)
    }
  },
  'its handler hangs for flightTimeout, for one client': {
    comes: FAILED,
    route: { flightTimeout: '10s' },
    asks: AS_ONESELF,
    handler: never,
    then: async ({ clock, begun }, first) => {
      await begun
      clock.advance(10_001)
      await leaves({} as Scene, first)
    }
  },
  'its client leaves, and its handler ends without an answer for the one who waits': {
    comes: { good: 1, failed: 1, neutral: 0 },
    handler: async (request, reply) => {
      if (request.headers['x-nth'] !== '1') return await reply.send('fine')
      await new Promise(resolve => reply.raw.once('close', resolve))
    },
    asks: { headers: { 'x-nth': '1' } },
    then: async ({ ask, begun, server }, first) => {
      await begun
      const second = ask({ headers: { 'x-nth': '2' } })
      await server.arrived(2)
      await leaves({} as Scene, first)
      await second
    }
  },
  'what makes its stream is cut off': {
    comes: FAILED, handler: (_request, reply, { promise }) => reply.send(flowing({ cut: promise })), then: opens
  },
  'what makes its stream is cut off, for one client': {
    comes: FAILED, asks: AS_ONESELF, handler: (_request, reply, { promise }) => reply.send(flowing({ cut: promise })), then: opens
  },
  'what makes its web stream is cut off': {
    comes: FAILED, handler: (_request, reply, opening) => reply.send(web(opening, new Error('the upstream is gone'))), then: opens
  },
  'what makes its web stream is cut off, for one client': {
    comes: FAILED, asks: AS_ONESELF, handler: (_request, reply, opening) => reply.send(web(opening, new Error('the upstream is gone'))), then: opens
  },
  'what makes its Response is cut off, for one client': {
    comes: FAILED, asks: AS_ONESELF, handler: (_request, reply, opening) => reply.send(new Response(web(opening, new Error('the upstream is gone')))), then: opens
  },
  'its Response is complete, for one client': {
    comes: GOOD, asks: AS_ONESELF, handler: (_request, reply, opening) => reply.send(new Response(web(opening, undefined))), then: opens
  },
  'its stream is complete': { comes: GOOD, handler: (_request, reply, { promise }) => reply.send(flowing({ end: promise })), then: opens },
  'its stream is complete, for one client': {
    comes: GOOD, asks: AS_ONESELF, handler: (_request, reply, { promise }) => reply.send(flowing({ end: promise })), then: opens
  },
  'its stream takes longer than flightTimeout': {
    comes: NEUTRAL,
    route: { flightTimeout: '10s' },
    handler: (_request, reply, { promise }) => reply.send(flowing({ end: promise })),
    then: async (scene, first) => {
      await new Promise<void>(resolve => first.request.once('response', response => response.once('data', () => { resolve() })))
      scene.clock.advance(10_001)
      scene.opening.open()
      await first
    }
  },
  'its stream takes longer than flightTimeout, for one client': {
    comes: NEUTRAL,
    route: { flightTimeout: '10s' },
    asks: AS_ONESELF,
    handler: (_request, reply, { promise }) => reply.send(flowing({ end: promise })),
    then: async (scene, first) => {
      await new Promise<void>(resolve => first.request.once('response', response => response.once('data', () => { resolve() })))
      scene.clock.advance(10_001)
      scene.opening.open()
      await first
    }
  },
  'its client leaves in the middle of a good stream': {
    comes: NEUTRAL, handler: (_request, reply) => reply.send(flowing({})), then: stops
  },
  'its client leaves in the middle of a good stream that is for it alone': {
    comes: NEUTRAL, asks: AS_ONESELF, handler: (_request, reply) => reply.send(flowing({})), then: stops
  },
  'its client leaves in the middle of a good web stream that is for it alone': {
    comes: NEUTRAL, asks: AS_ONESELF, handler: (_request, reply) => reply.send(web(gate(), undefined)), then: stops
  },
  'it takes too long': {
    comes: FAILED,
    breaker: { slow: '1s' },
    handler: async (_request, _reply, { promise }) => {
      await promise
      return 'fine'
    },
    then: async ({ begun, clock, opening }, first) => {
      await begun
      clock.advance(1001)
      opening.open()
      await first
    }
  },
  'its stream lasts as long as its client takes': {
    comes: GOOD, breaker: { slow: '1s' }, handler: (_request, reply, { promise }) => reply.send(flowing({ end: promise })), then: lasts
  },
  'its stream lasts as long as its client takes, for one client': {
    comes: GOOD, breaker: { slow: '1s' }, asks: AS_ONESELF, handler: (_request, reply, { promise }) => reply.send(flowing({ end: promise })), then: lasts
  },
  'its stream is long in coming': {
    comes: FAILED,
    breaker: { slow: '1s' },
    handler: async (_request, reply, { promise }) => {
      await promise
      return reply.send(Readable.from(['late']))
    },
    then: async ({ begun, clock, opening }, first) => {
      await begun
      clock.advance(1001)
      opening.open()
      await first
    }
  },
  'its client leaves, and nobody knows whether its handler goes on': {
    comes: NEUTRAL, route: { flightTimeout: '10s' }, handler: () => {}, then: leavesFor
  },
  'its one client leaves, and nobody knows whether its handler goes on': {
    comes: NEUTRAL, route: { flightTimeout: '10s' }, asks: AS_ONESELF, handler: () => {}, then: leavesFor
  },
  'its one client leaves before its handler returns its reply, and nobody knows whether that goes on': {
    comes: NEUTRAL,
    route: { flightTimeout: '10s' },
    asks: AS_ONESELF,
    handler: async (_request, reply, { promise }) => {
      await promise
      return reply
    },
    then: leavesFor
  },
  'its client leaves, and its handler hangs': {
    comes: FAILED, route: { flightTimeout: '10s' }, asks: AS_ONESELF, handler: never, then: leavesFor
  },
  'it is said to have failed': {
    comes: FAILED, breaker: { isFailure: ({ status }) => status === 200 }, handler: () => 'fine'
  },
  'it is ended because nobody waits': { comes: NEUTRAL, handler: abortable, then: async (scene, first) => { await scene.begun; await leaves(scene, first) } },
  'it is ended because its one client has left': {
    comes: NEUTRAL, asks: AS_ONESELF, handler: abortable, then: async (scene, first) => { await scene.begun; await leaves(scene, first) }
  },
  'its client has left, and it comes to its end all the same': {
    comes: GOOD,
    handler: async (_request, _reply, { promise }) => {
      await promise
      return 'fine'
    },
    then: async (scene, first) => {
      await scene.begun
      await leaves(scene, first)
      scene.opening.open()
    }
  },
  'it hijacks its reply': {
    comes: NEUTRAL,
    handler: (_request, reply) => {
      reply.hijack()
      reply.raw.end('by hand')
    }
  },
  'it is answered past Fastify': { comes: NEUTRAL, handler: async (_request, reply) => { reply.raw.end('by hand'); await never() } },
  'a hook fails after a good response': {
    comes: GOOD,
    before: app => { app.addHook('onSend', async () => { throw new Error('of the hook') }) },
    handler: () => 'fine'
  },
  'protection further inside refuses': {
    comes: NEUTRAL,
    before: app => {
      const inner = circuitBreaker()
      inner.open()
      app.decorate('inner', app.coalesce.deduplicate(async () => 'inside', { key: () => 'k', breaker: inner, name: 'inner' }))
    },
    handler: async ({ server }) => await (server as unknown as { inner: () => Promise<string> }).inner()
  },
  'it has a 204 with a stream': { comes: GOOD, handler: (_request, reply) => reply.code(204).send(Readable.from(['nothing'])) }
}

async function scene (t: Test, { asks, before = () => {}, breaker: options = {}, fastify = {}, handler, route = {} }: Case) {
  const clock = new TestClock()
  const breaker = circuitBreaker({ minimumRuns: 1000, ...options, clock })
  const [opening, beginning, closing] = [gate(), gate(), gate()]
  let runs = 0
  const server = await serve(t, app => {
    before(app)
    app.get('/', { ...fastify, config: { coalesce: { learnVary: false, breaker, ...route } } }, (request, reply) => {
      runs++
      beginning.open()
      reply.raw.once('close', () => { closing.open() })
      return handler(request, reply, opening)
    })
  }, { clock })
  const ask = (own: GetOptions = {}): Pending => server.get('/', { ...asks, ...own })
  return { ask, breaker, clock, server, opening, begun: beginning.promise, closed: closing.promise, runs: () => runs }
}

for (const [name, each] of Object.entries(CASES)) {
  const { comes, then = async (_: Scene, first: Pending) => { await first.catch(() => {}) } } = each
  t.test(`of a run of which ${name}, ${comes === GOOD ? 'the breaker knows it did well' : comes === FAILED ? 'the breaker knows it failed' : comes === NEUTRAL ? 'the breaker knows nothing' : 'the breaker knows that, and how the next one ended'}`, async t => {
    const on = await scene(t, each)
    const first = on.ask()
    await Promise.all([then(on, first), first.catch(() => {})])
    const counted = (): number => Object.values(on.breaker.figures().runs).reduce((sum, count) => sum + count, 0)
    await until(() => counted() >= Object.values(comes).reduce((sum, count) => sum + count, 0), 'the result')
    for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve))
    t.strictSame(on.breaker.figures().runs, comes)
  })
}

t.test('a client that takes long to send its body tells the breaker nothing', async t => {
  const clock = new TestClock()
  const breaker = circuitBreaker({ minimumRuns: 1000, clock })
  const queue = runQueue({ maxRuns: 1, clock })
  const server = await serve(t, app => {
    app.route({
      method: ['GET', 'POST'], url: '/', config: { coalesce: { breaker, queue, flightTimeout: '10s', hook: 'onRequest' } }, handler: async () => 'fine'
    })
  }, { clock })
  const socket = dial(server.port)
  t.teardown(() => socket.destroy())
  socket.write('POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 4\r\n\r\n')
  await until(() => queue.running === 1, 'the run')
  clock.advance(10_001)
  t.strictSame([breaker.figures().runs, queue.running], [NEUTRAL, 0])
})

t.test('ten clients of one failed run are one result, and the breaker opens after so many runs, not clients', async t => {
  const opening = gate()
  const on = await scene(t, {
    comes: FAILED,
    breaker: { minimumRuns: 2 },
    handler: async () => {
      await opening.promise
      throw new Error('down')
    }
  })
  const all = times(10, on.server, '/').map(send => send())
  await on.server.arrived(10)
  opening.open()
  t.strictSame(distinct((await Promise.all(all)).map(({ status }) => status)), [500])
  t.strictSame([on.breaker.figures().runs, on.breaker.state, on.runs()], [FAILED, 'closed', 1])
  t.equal((await on.ask()).status, 500)
  t.equal(on.breaker.state, 'open')
})

t.test('runs of every kind count', async t => {
  const clock = new TestClock()
  const breaker = circuitBreaker({ minimumRuns: 1000, clock })
  const opening = gate()
  let held = false
  const server = await serve(t, app => {
    app.get('/:kind', { config: { coalesce: { breaker, ttl: '10s', staleWhileRevalidate: '10m', waitTimeout: '2s', flightTimeout: '60s', onError: 'promote' } } }, async (request, reply) => {
      const { kind } = request.params as { kind: string }
      if (held) await opening.promise
      if (kind === 'fails') return await reply.code(500).send('down')
      if (kind === 'own') reply.header('set-cookie', 'a=b')
      return await reply.send(kind)
    })
  }, { clock })
  const counted = (): number => breaker.figures().runs.good + breaker.figures().runs.failed
  const adds = async (t: Test, what: string, count: number, act: () => Promise<unknown>): Promise<void> => {
    const before = counted()
    await act()
    await until(() => counted() - before >= count, what)
    await new Promise(resolve => setImmediate(resolve))
    t.equal(counted() - before, count, what)
  }
  await adds(t, 'a leader', 1, async () => await server.get('/plain'))
  await adds(t, 'a hit is none', 0, async () => await server.get('/plain'))
  await adds(t, 'a bypass', 1, async () => await server.get('/plain', AS_ONESELF))
  await adds(t, 'HEAD by itself', 1, async () => await server.get('/head', { method: 'HEAD' }))
  await adds(t, 'a range by itself', 1, async () => await server.get('/range', { headers: { range: 'bytes=0-1' } }))
  clock.advance(11_000)
  await adds(t, 'a refresh', 1, async () => await server.get('/plain'))
  held = true
  await adds(t, 'a leader, and each of those who run alone', 3, async () => {
    const all = times(3, server, '/own').map(send => send())
    await server.arrived(9)
    opening.open()
    await Promise.all(all)
  })
  held = false
  await adds(t, 'a probe of what could not be shared', 1, async () => await server.get('/own'))
  const before = breaker.figures().runs.failed
  const failing = gate()
  held = true
  const asked = times(2, server, '/fails').map(send => send())
  await server.arrived(12)
  failing.open()
  await Promise.all(asked)
  t.equal(breaker.figures().runs.failed - before, 2, 'who leads, and who is promoted')
})

t.test('over HTTP/2 as well a web stream that is cut off is told from one whose client leaves', async t => {
  const breaker = circuitBreaker({ minimumRuns: 1000 })
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  t.teardown(async () => { await app.close() })
  await app.register(coalesce)
  let opening = gate()
  app.get('/', { config: { coalesce: { breaker } } }, (_request, reply) => reply.send(web(opening, new Error('the upstream is gone'))))
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  t.teardown(() => { session.destroy() })
  for (const [act, comes] of [[(stream: ClientHttp2Stream) => { stream.close(8) }, NEUTRAL], [() => { opening.open() }, { ...FAILED, neutral: 1 }]] as const) {
    opening = gate()
    const stream = session.request({ ':path': '/', authorization: 'Bearer me' })
    stream.on('error', () => {})
    await new Promise(resolve => stream.once('data', resolve))
    act(stream)
    const { figures } = breaker
    const told = (): number => Object.values(figures.call(breaker).runs).reduce((sum, count) => sum + count, 0)
    await until(() => told() === Object.values(comes).reduce((sum, count) => sum + count, 0))
    t.strictSame(breaker.figures().runs, comes)
  }
})

t.test('a relief flight counts as well', async t => {
  const opening = gate()
  const on = await scene(t, {
    comes: GOOD,
    route: { waitTimeout: '1s', flightTimeout: '60s' },
    handler: async (request, _reply, own) => {
      await (request.headers['x-nth'] === '1' ? opening : own).promise
      return 'fine'
    }
  })
  const first = on.ask({ headers: { 'x-nth': '1' } })
  await on.begun
  const second = on.ask()
  await on.server.arrived(2)
  on.clock.advance(1001)
  await until(() => on.runs() === 2)
  on.opening.open()
  await second
  t.strictSame(on.breaker.figures().runs, GOOD)
  opening.open()
  await first
  t.strictSame(on.breaker.figures().runs, { good: 2, failed: 0, neutral: 0 })
})

t.test('a handler that confirms a cached response with a 304 has done well', async t => {
  const clock = new TestClock()
  const breaker = circuitBreaker({ minimumRuns: 1000, clock })
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: { breaker, ttl: '10s', staleIfError: '10m' } } }, async (request, reply) => {
      reply.header('etag', '"a"')
      return request.headers['if-none-match'] === '"a"' ? await reply.code(304).send(new Readable({ read () {} })) : await reply.send('fine')
    })
  }, { clock })
  await server.get('/')
  clock.advance(11_000)
  t.match(await server.get('/'), { status: 200, body: 'fine' })
  await until(() => breaker.figures().runs.good + breaker.figures().runs.failed === 2)
  t.strictSame(breaker.figures().runs, { good: 2, failed: 0, neutral: 0 })
})

t.test('calls of functions: what counts, and what does not', async t => {
  const clock = new TestClock()
  const app: FastifyInstance = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(coalesce, { clock })
  const call = async (t: Test, what: string, comes: Counted, fn: (signal: AbortSignal) => Promise<unknown>, act?: (asked: Promise<unknown>, abort: AbortController) => unknown, own: BreakerOptions = {}): Promise<void> => {
    const breaker = circuitBreaker({ minimumRuns: 1000, ...own, clock })
    const shared = app.coalesce.deduplicate(async (_key: string, { signal }: { signal: AbortSignal }) => await fn(signal), { key: (key: string) => key === '' ? undefined : key, breaker, name: what, flightTimeout: '10s' } as never)
    const run = shared as (key: string, options: { signal: AbortSignal }) => Promise<unknown>
    const abort = new AbortController()
    const asked = run(what.startsWith('alone') ? '' : 'k', { signal: abort.signal })
    asked.catch(() => {})
    await act?.(asked, abort)
    await asked.catch(() => {})
    await until(() => Object.values(breaker.figures().runs).some(count => count > 0), what)
    t.strictSame(breaker.figures().runs, comes, what)
  }
  const abortable = async (signal: AbortSignal): Promise<never> => await new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => { reject(new Error('gave up')) })
  })
  const turn = async (): Promise<void> => { await new Promise(resolve => setImmediate(resolve)) }
  const aborts = async (_: unknown, abort: AbortController): Promise<void> => {
    await turn()
    abort.abort()
  }
  await call(t, 'it resolves', GOOD, async () => 'fine')
  await call(t, 'it rejects', FAILED, async () => { throw new Error('down') })
  await call(t, 'it rejects with what a client has done wrong', GOOD, async () => notFound())
  await call(t, 'it hangs', FAILED, abortable, async () => {
    await turn()
    clock.advance(10_001)
  })
  await call(t, 'it is slow', FAILED, async () => { clock.advance(2_000) }, undefined, { slow: '1s' })
  await call(t, 'its caller aborts', NEUTRAL, abortable, aborts)
  await call(t, 'alone: its caller aborts', NEUTRAL, abortable, aborts)
  await call(t, 'alone: it rejects', FAILED, async () => { throw new Error('down') })
})
