/**
 * Tracers that wait for the end of a handler see it for each request, whoever answers that: not before its answer has been sent.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { connect } from 'node:http2'
import type { FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify'
import t from 'tap'
import type { CoalesceOptions, CoalesceRouteOptions, Entry } from '../../types/index.js'
import { held, queue, times } from '../fixtures/crowd.js'
import { grounded, leave, outcomes, waiting } from '../fixtures/endings.js'
import { gate, TestClock, until } from '../fixtures/gate.js'
import { mapStore } from '../fixtures/kept.js'
import { serve, type TestServer } from '../fixtures/server.js'

const NAME = 'tracing:fastify.request.handler'

interface Trace {
  readonly reply: FastifyReply
  readonly async?: boolean
  readonly error?: unknown
}

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown

interface Traced extends TestServer {
  readonly clock: TestClock
  /** Resolves once so many handlers have begun and all of these have ended. */
  ended (count: number): Promise<void>
  /** How many ended before their answer had been sent, or could not be any more. */
  early (): number
  /** The replies, in order. */
  readonly raws: ReadonlyArray<FastifyReply['raw']>
}

/** A route where requests wait before their handler, with a tracer. */
async function traced (
  test: Parameters<typeof serve>[0], handler: Handler, config: CoalesceRouteOptions = {}, options: CoalesceOptions = {},
  fastify: FastifyServerOptions = {}
): Promise<Traced> {
  let started = 0
  let ended = 0
  let early = 0
  const over = ({ reply: { raw } }: Trace): void => {
    ended++
    if (!raw.writableEnded && !raw.destroyed && !raw.headersSent) early++
  }
  const listeners: Record<string, (message: unknown) => void> = {
    start () { started++ },
    end (message) { if ((message as Trace).async !== true) over(message as Trace) },
    asyncEnd (message) { over(message as Trace) }
  }
  for (const [name, listener] of Object.entries(listeners)) {
    subscribe(`${NAME}:${name}`, listener)
    test.teardown(() => { unsubscribe(`${NAME}:${name}`, listener) })
  }
  const clock = new TestClock()
  const raws: Array<FastifyReply['raw']> = []
  const server = await serve(test, app => {
    app.addHook('preHandler', async (_request, reply) => { raws.push(reply.raw) })
    app.get('/', { config: { coalesce: config } }, handler as never)
  }, { clock, ...options }, fastify)
  return {
    ...server,
    clock,
    raws,
    early: () => early,
    async ended (count) { await until(() => started === count && ended === count, `${count} ends`) }
  }
}

t.test('the handlers of a leader and of those who shared its run end', async t => {
  const handler = held()
  const server = await traced(t, handler)
  const answers = await queue(server, times(5, server, '/'))
  handler.gate.open()
  await Promise.all(answers)
  await server.ended(5)
  t.equal(server.early(), 0)
  t.equal(handler.runs, 1)
})

t.test('an answer whose hooks take their time has been sent when its handler ends, and is sent once', async t => {
  const handler = held()
  const hook = gate()
  let sending = 0
  const logged: string[] = []
  const server = await serve(t, app => {
    app.addHook('preHandler', async () => {})
    app.addHook('onSend', async () => { if (sending++ > 0) await hook.promise })
    app.get('/', { config: { coalesce: true } }, handler)
  }, {}, { logger: { level: 'warn', stream: { write (line: string) { logged.push(line) } } } })
  const answers = await queue(server, times(3, server, '/'))
  handler.gate.open()
  await until(() => sending === 3)
  hook.open()
  t.same(new Set((await Promise.all(answers)).map(({ body }) => body)), new Set(['{"hello":"world"}']))
  await grounded(server.app)
  t.same(logged, [])
})

t.test('the handlers of those who got an error end', async t => {
  const handler = held(() => { throw new Error('failed') })
  const server = await traced(t, handler)
  const answers = await queue(server, times(3, server, '/'))
  handler.gate.open()
  t.same((await Promise.all(answers)).map(({ status }) => status), [500, 500, 500])
  await server.ended(3)
  t.equal(handler.runs, 1)
})

t.test('the handlers of those who run for themselves end, whether they return their answer or send it', async t => {
  for (const returns of [true, false]) {
    const opening = gate()
    const server = await traced(t, (_request, reply) => {
      reply.header('cache-control', 'no-store')
      if (returns) return opening.promise.then(() => 'own')
      opening.promise.then(() => { reply.send('own') }, () => {})
      return undefined
    })
    const answers = await queue(server, times(4, server, '/'))
    opening.open()
    t.same((await Promise.all(answers)).map(({ body }) => body), Array(4).fill('own'))
    await server.ended(4)
    t.equal(server.early(), returns ? 0 : 1, 'who does not return it, and did not wait, has no more to say')
    t.same(await outcomes(server.app), { 'leader no-store': 1, 'alone no-store': 3 })
    await server.close()
  }
})

t.test('the handler of one that takes over ends, whether it returns its answer, sends it or throws', async t => {
  for (const second of ['return', 'send', 'throw'] as const) {
    const opening = gate()
    let runs = 0
    const server = await traced(t, (_request, reply) => {
      if (++runs > 1) {
        if (second === 'throw') throw new Error('failed')
        if (second === 'return') return 'second'
        setImmediate(() => { reply.send('second') })
        return undefined
      }
      return opening.promise.then(async () => {
        reply.raw.destroy()
        await once(reply.raw, 'close')
        throw new Error('cut off')
      })
    })
    const answers = await queue(server, times(4, server, '/'))
    const [first, ...others] = answers.map(answer => answer.then(({ status }) => status, () => 'cut off'))
    opening.open()
    t.equal(await first, 'cut off')
    t.same(await Promise.all(others), Array(3).fill(second === 'throw' ? 500 : 200))
    await server.ended(4)
    t.equal(runs, 2)
    await server.close()
  }
})

t.test('the handlers of those who are given what is kept end', async t => {
  for (const store of [undefined, mapStore()]) {
    const handler = held()
    const server = await traced(t, handler, { ttl: '60s' }, store === undefined ? {} : { store })
    handler.gate.open()
    for (let requests = 1; requests <= 3; requests++) {
      await server.get('/')
      await server.ended(requests)
    }
    t.equal(server.early(), 0)
    t.equal(handler.runs, 1)
    await server.close()
  }
})

t.test('the handlers of those whose patience ends end', async t => {
  const handler = held()
  const server = await traced(t, handler, { waitTimeout: '1s', onWaitTimeout: 'error' })
  const answers = await queue(server, times(3, server, '/'))
  server.clock.advance(1000)
  t.same((await Promise.all(answers.slice(1))).map(({ status }) => status), [503, 503])
  handler.gate.open()
  await answers[0]
  await server.ended(3)
  t.equal(server.early(), 0)
})

t.test('the handler of one that waits, and whose client leaves, ends', async t => {
  const handler = held()
  const server = await traced(t, handler)
  const [first, second, third] = await queue(server, times(3, server, '/'))
  await leave(second as NonNullable<typeof second>)
  await waiting(server.app, 1)
  handler.gate.open()
  await Promise.all([first, third])
  await server.ended(3)
  t.same(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 1, 'follower client-left': 1 })
})

/** A server whose store answers when the test says so, of three requests the leader, whose client has left by now, and the others. */
async function leaderLeft (test: Parameters<typeof serve>[0], handler: Handler, followers: number) {
  const opening = gate<Entry | undefined>()
  const server = await traced(test, handler, { ttl: '60s' }, { store: { ...mapStore(), get: async () => await opening.promise }, storeTimeout: '60s' })
  const [leader, ...others] = await queue(server, times(1 + followers, server, '/'))
  await leave(leader as NonNullable<typeof leader>)
  await until(() => server.raws[0]?.destroyed === true)
  return { server, opening, others }
}

t.test('what a handler returns goes to those who wait although its client left before it ran, and all handlers end', async t => {
  for (const returns of [true, false]) {
    let runs = 0
    const { server, opening, others } = await leaderLeft(t, (_request, reply) => {
      runs++
      if (returns) return 'answer'
      setImmediate(() => { reply.send('answer') })
      return undefined
    }, 2)
    opening.open(undefined)
    t.same((await Promise.all(others)).map(({ body }) => body), ['answer', 'answer'])
    await server.ended(3)
    t.equal(runs, 1)
    await server.close()
  }
})

t.test('the handler of one that is given what is kept, or nothing, when its client has left, ends', async t => {
  for (const followers of [0, 1]) {
    const handler = held()
    handler.gate.open()
    const kept: Entry[] = []
    const first = await traced(t, handler, { ttl: '60s' }, { store: { get: () => undefined, set: entry => { kept.push(entry) }, delete () {} } })
    await first.get('/')
    await first.close()

    const { server, opening, others } = await leaderLeft(t, handler, followers)
    opening.open({ ...kept[0] as Entry, key: (kept[0] as Entry).key.replace(String(first.port), String(server.port)) })
    t.same((await Promise.all(others)).map(({ body }) => body), Array(followers).fill('{"hello":"world"}'))
    await server.ended(1 + followers)
    t.equal(handler.runs, 1)
    await server.close()
  }
})

t.test('the handler of one whose flight ends while it waits for the store, and whose client has left, ends', async t => {
  const handler = held()
  const { server, opening, others } = await leaderLeft(t, handler, 1)
  server.app.coalesce.disable()
  opening.open(undefined)
  handler.gate.open()
  await Promise.all(others)
  await server.ended(2)
  t.equal(handler.runs, 1)
})

t.test('the handlers of requests over HTTP/2 end', async t => {
  const handler = held()
  const server = await traced(t, handler, {}, {}, { http2: true } as FastifyServerOptions)
  const session = connect(`http://127.0.0.1:${server.port}`)
  t.teardown(() => { session.destroy() })
  const streams = Array.from({ length: 4 }, () => session.request({ ':path': '/' }).resume())
  await server.arrived(4)
  streams[2]?.close(8)
  await waiting(server.app, 2)
  handler.gate.open()
  await Promise.all(streams.map(async stream => { if (!stream.closed) await once(stream, 'close') }))
  await server.ended(4)
  t.equal(handler.runs, 1)
})
