/**
 * A reply that is over before it is known who may have it is an ending like any other: nobody waits out their patience for it.
 *
 * No clock moves here, so whoever waits for one waits for ever.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import t from 'tap'
import type { CoalesceOptions } from '../../types/index.js'
import { held, queue, times } from '../fixtures/crowd.js'
import { grounded, leave, outcomes } from '../fixtures/endings.js'
import { gate, TestClock, until } from '../fixtures/gate.js'
import { serve, type Answer, type TestServer } from '../fixtures/server.js'

const ON = { config: { coalesce: true } }

type Test = Parameters<typeof serve>[0]

async function still (test: Test, routes: (app: FastifyInstance) => unknown, options: CoalesceOptions = {}): Promise<TestServer> {
  return await serve(test, routes, { clock: new TestClock(), ...options })
}

const brief = ({ status, body }: Answer): string =>
  `${status} ${body.startsWith('{') ? (JSON.parse(body) as { message: string }).message : body}`

const errorHandlers: Record<string, (app: FastifyInstance) => unknown> = {
  'Fastify answers': () => {},
  'a handler of errors answers': app => app.setErrorHandler(async (error: Error, _request, reply) => reply.code(500).send(`handled: ${error.message}`)),
  'a handler of errors answers with a stream': app => app.setErrorHandler(async (_error, _request, reply) => reply.code(500).send(Readable.from(['handled']))),
  'a handler of errors fails': app => app.setErrorHandler(async () => { throw new Error('broken as well') })
}

for (const [name, prepare] of Object.entries(errorHandlers)) {
  t.test(`a handler fails, ${name}, and an onSend hook fails on that: one more run is tried, then each has its own`, async t => {
    const handler = held(() => { throw new Error('broken') })
    const server = await still(t, async app => {
      await prepare(app)
      app.addHook('onSend', async (_request, reply) => { if (reply.statusCode >= 500) throw new Error('circuit open') })
      app.get('/', ON, handler)
    })
    const answers = await queue(server, times(4, server, '/'))
    handler.gate.open()
    t.strictSame((await Promise.all(answers)).map(brief), Array(4).fill('500 circuit open'))
    t.equal(handler.runs, 4)
    t.strictSame(await outcomes(server.app), { 'leader hook-failed': 2, 'alone hook-failed': 2 })
    await grounded(server.app)
  })
}

t.test('where the run after that does well, all others get it', async t => {
  const handler = held(() => {
    if (handler.runs === 1) throw new Error('broken')
    return 'second run'
  })
  const server = await still(t, app => {
    app.addHook('onSend', async (_request, reply) => { if (reply.statusCode >= 500) throw new Error('circuit open') })
    app.get('/', ON, handler)
  })
  const answers = await queue(server, times(4, server, '/'))
  handler.gate.open()
  t.strictSame((await Promise.all(answers)).map(brief), ['500 circuit open', ...Array<string>(3).fill('200 second run')])
  t.equal(handler.runs, 2)
  await grounded(server.app)
})

t.test('so it is when the client has left before the hook fails', async t => {
  const hook = gate()
  const hooked = gate()
  const left = gate()
  const handler = held(() => {
    if (handler.runs === 1) throw new Error('broken')
    return 'second run'
  })
  const server = await still(t, app => {
    app.addHook('onSend', async (_request, reply) => {
      if (reply.statusCode < 500) return
      reply.raw.once('close', () => { left.open() })
      hooked.open()
      await hook.promise
      throw new Error('circuit open')
    })
    app.get('/', ON, handler)
  })
  const [leader, ...others] = await queue(server, times(3, server, '/'))
  handler.gate.open()
  await hooked.promise
  if (leader !== undefined) await leave(leader)
  await left.promise
  hook.open()
  t.strictSame((await Promise.all(others)).map(brief), ['200 second run', '200 second run'])
  await grounded(server.app)
})

t.test('who comes when such an answer has been sent, and nobody had waited for it, is answered', async t => {
  const server = await still(t, app => {
    app.addHook('onSend', async (_request, reply) => { if (reply.statusCode >= 500) throw new Error('circuit open') })
    app.get('/', ON, async () => { throw new Error('broken') })
  })
  for (let turn = 0; turn < 2; turn++) t.equal(brief(await server.get('/')), '500 circuit open')
  await grounded(server.app)
})

t.test('what is kept does not stand in for a hook that fails on the error reply', async t => {
  const clock = new TestClock()
  let runs = 0
  const server = await serve(t, app => {
    app.addHook('onSend', async (_request, reply) => { if (reply.statusCode >= 500 || reply.hasHeader('x-broken')) throw new Error('hook broken') })
    app.get('/', { config: { coalesce: { ttl: '1s', staleIfError: '1h' } } }, async (_request, reply) => {
      if (++runs > 1) reply.header('x-broken', 'yes')
      return `run ${runs}`
    })
  }, { clock })
  t.equal(brief(await server.get('/')), '200 run 1')
  clock.advance(2000)
  t.equal(brief(await server.get('/')), '500 hook broken')
  await grounded(server.app)
})

const raw: Record<string, (reply: FastifyReply) => unknown> = {
  ends: reply => reply.raw.end('by hand'),
  'begins, and never ends': reply => {
    reply.raw.writeHead(200)
    reply.raw.write('by hand')
  }
}

for (const [name, answer] of Object.entries(raw)) {
  t.test(`an onSend hook ${name} the reply itself, and the hooks after it never run: each has its own`, async t => {
    const handler = held(() => 'answer')
    const replies: FastifyReply[] = []
    const server = await still(t, app => {
      app.addHook('onSend', (_request, reply) => {
        replies.push(reply)
        answer(reply)
      })
      app.get('/', ON, handler)
    })
    const answers = await queue(server, times(3, server, '/'))
    handler.gate.open()
    await until(() => replies.length === 3, 'all runs')
    for (const reply of replies) if (!reply.raw.writableEnded) reply.raw.end()
    t.strictSame((await Promise.all(answers)).map(brief), Array(3).fill('200 by hand'))
    t.strictSame(await outcomes(server.app), { 'leader unrecorded': 1, 'alone unrecorded': 2 })
    await grounded(server.app)
  })
}

/** A store whose look never ends. */
const silent = { get: async () => await new Promise<undefined>(() => {}), set () {}, delete () {} }

t.test('a leader that is answered past its reply while it waits for a store leaves its place to the next', async t => {
  let parked: FastifyReply | undefined
  let runs = 0
  const server = await still(t, app => {
    app.addHook('onRequest', async (_request, reply) => { parked ??= reply })
    app.get('/', { config: { coalesce: { ttl: '1m' } } }, async () => `run ${++runs}`)
  }, { store: silent as never })
  const [leader, ...others] = await queue(server, times(3, server, '/'))
  parked?.raw.end('by hand')
  t.equal(brief(await (leader as Promise<Answer>)), '200 by hand')
  t.strictSame((await Promise.all(others)).map(brief), ['200 run 1', '200 run 1'])
  t.strictSame(await outcomes(server.app), { 'leader answered-elsewhere': 1, 'leader shared': 1, 'follower shared': 1 })
  await grounded(server.app)
})

const sources: Record<string, () => Readable> = {
  'that gives nothing': () => new Readable({ read () {} }),
  'that is there already': () => Readable.from(['streamed']),
  'that has begun and has no end': () => {
    let begun = false
    return new Readable({ read () { if (!begun) begun = this.push('streamed') } })
  }
}

for (const [name, source] of Object.entries(sources)) {
  t.test(`a handler sends a stream ${name} and ends the reply itself: each has its own, and the key is remembered`, async t => {
    const made: Readable[] = []
    const handler = held(async (_request: FastifyRequest, reply: FastifyReply) => {
      const stream = source()
      made.push(stream)
      reply.send(stream)
      reply.raw.end('by hand')
      await once(reply.raw, 'close')
      return reply
    })
    const server = await still(t, app => { app.get('/', ON, handler) })
    const answers = await queue(server, times(4, server, '/'))
    handler.gate.open()
    t.strictSame((await Promise.all(answers)).map(brief), Array(4).fill('200 by hand'))
    t.equal(brief(await server.get('/')), '200 by hand')
    t.strictSame(await outcomes(server.app), { 'leader unrecorded': 1, 'alone unrecorded': 3, 'bypass unshareable': 1 })
    await until(() => made.every(({ destroyed }) => destroyed), 'the end of all streams')
    await grounded(server.app)
  })
}

t.test('so it is where the stream is over before its reply is, whose end takes its time', async t => {
  const handler = held((_request, reply) => {
    if (handler.runs > 1) return `run ${handler.runs}`
    reply.send(Readable.from(['streamed']))
    // As without the plugin, it is cut off when the stream comes too late for it.
    reply.raw.end(Buffer.alloc(20_000_000))
    return reply
  })
  const server = await still(t, app => { app.get('/', ON, handler) })
  const [leader, ...others] = await queue(server, times(2, server, '/'))
  const cut = leader?.then(() => {}, () => {})
  handler.gate.open()
  t.strictSame((await Promise.all(others)).map(brief), ['200 run 2'])
  t.match(await outcomes(server.app), { 'leader unrecorded': 1, 'alone unrecorded': 1 })
  await cut
  await grounded(server.app)
})

t.test('a stream whose reply its handler ends later takes no newcomers from then on', async t => {
  const replies: FastifyReply[] = []
  const made: Readable[] = []
  const server = await still(t, app => {
    app.get('/', ON, (_request, reply) => {
      const source = new Readable({ read () {} })
      source.push('begun ')
      replies.push(reply)
      made.push(source)
      return reply.send(source)
    })
  })
  const first = server.get('/')
  await server.arrived(1)
  const second = server.get('/')
  await once(second.request, 'response')
  replies[0]?.raw.end('by hand')
  t.equal(brief(await first), '200 begun by hand')
  const third = server.get('/')
  await until(() => made.length === 2, 'a run of its own')
  for (const source of made) {
    source.push('ended')
    source.push(null)
  }
  t.strictSame((await Promise.all([second, third])).map(brief), ['200 begun ended', '200 begun ended'])
  await grounded(server.app)
})

t.test('a hook that sends something else than the stream to its own client takes nothing from the others', async t => {
  const handler = held(() => Readable.from(['streamed']))
  const server = await still(t, app => {
    app.addHook('onSend', async (request, reply, payload) => {
      if (request.headers['x-request-id'] === undefined) return payload
      reply.code(304)
      return null
    })
    app.get('/', ON, handler)
  })
  const answers = await queue(server, [...times(1, server, '/', { headers: { 'x-request-id': '1' } }), ...times(2, server, '/')])
  handler.gate.open()
  t.strictSame((await Promise.all(answers)).map(brief), ['304 ', '200 streamed', '200 streamed'])
  t.equal(handler.runs, 1)
  await grounded(server.app)
})

t.test('what is answered past reply while nobody waits holds no place for another run', async t => {
  const handler = held(() => 'answer')
  const server = await still(t, app => {
    app.get('/raw/:id', ON, (_request, reply) => { reply.raw.end('by hand') })
    app.get('/', ON, handler)
  }, { maxFlights: 2 })
  for (let id = 0; id < 5; id++) t.equal(brief(await server.get(`/raw/${id}`)), '200 by hand')
  await grounded(server.app)
  t.strictSame(await outcomes(server.app), { 'leader unrecorded': 5 })
  const answers = await queue(server, times(3, server, '/'))
  handler.gate.open()
  t.strictSame((await Promise.all(answers)).map(brief), Array(3).fill('200 answer'))
  t.equal(handler.runs, 1)
})

t.test('a stream that begins once its reply was ended by hand is for nobody else', async t => {
  const handler = held((_request, reply) => {
    const source = new Readable({ read () {} })
    source.push('a')
    source.push(null)
    reply.send(source)
    reply.raw.end()
    return reply
  })
  const server = await still(t, app => { app.get('/', ON, handler) })
  const answers = await queue(server, times(3, server, '/'))
  handler.gate.open()
  await Promise.allSettled(answers)
  t.equal(handler.runs, 3)
  t.strictSame(await outcomes(server.app), { 'leader unrecorded': 1, 'alone unrecorded': 2 })
  await grounded(server.app)
})

t.test('a stream that begins once its reply was ended by hand, before its turn on a connection, is for nobody else', async t => {
  const first = held(() => 'first')
  const handler = held((_request, reply) => {
    reply.send(Readable.from(['a', 'b']))
    reply.raw.end()
    return reply
  })
  const server = await still(t, app => {
    app.get('/first', first)
    app.get('/', ON, handler)
  })
  const socket = connect(server.port, '127.0.0.1').on('error', () => {}).resume()
  t.teardown(() => { socket.destroy() })
  for (const path of ['/first', '/']) socket.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1:${server.port}\r\n\r\n`)
  await server.arrived(1)
  const answers = await queue(server, times(2, server, '/'))
  handler.gate.open()
  await Promise.allSettled(answers)
  first.gate.open()
  t.equal(handler.runs, 3)
  t.strictSame(await outcomes(server.app), { 'leader unrecorded': 1, 'alone unrecorded': 2 })
  await grounded(server.app)
})
