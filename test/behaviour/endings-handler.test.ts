import t from 'tap'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { queue, times } from '../fixtures/crowd.js'
import { grounded, leave, outcomes } from '../fixtures/endings.js'
import { gate, TestClock, timersGone, until } from '../fixtures/gate.js'
import { serve, type Answer, type TestServer } from '../fixtures/server.js'

const CLIENTS = 5

type Test = Parameters<typeof serve>[0]
type Handler = (request: FastifyRequest, reply: FastifyReply, run: number) => unknown

interface Ended {
  readonly server: TestServer
  readonly leader: Answer | 'cut off'
  /** What the others were answered, without repetition. */
  readonly others: string[]
  readonly runs: number
  readonly outcomes: Record<string, number>
}

const brief = ({ status, body }: Answer): string => {
  const message = body.startsWith('{') ? (JSON.parse(body) as { message?: string }).message : undefined
  return `${status} ${message ?? body}`
}

/** A leader and four followers of a handler, which goes on once all are there. */
async function end (
  test: Test, handler: Handler, config: CoalesceRouteOptions = {}, prepare: (app: FastifyInstance) => unknown = () => {}
): Promise<Ended> {
  const opening = gate()
  let runs = 0
  const server = await serve(test, async app => {
    await prepare(app)
    app.get('/', { config: { coalesce: config } }, async (request, reply) => {
      const run = ++runs
      await opening.promise
      return await handler(request, reply, run)
    })
  })
  const [first, ...others] = await queue(server, times(CLIENTS, server, '/'))
  const leader = Promise.resolve(first as Promise<Answer>).catch(() => 'cut off' as const)
  opening.open()
  const answers = await Promise.all(others)
  const ended = { server, leader: await leader, others: [...new Set(answers.map(brief))], runs, outcomes: await outcomes(server.app) }
  await grounded(server.app)
  return ended
}

const failures: Record<string, Handler> = {
  'throws after a wait': () => { throw new Error('broken') },
  'sends an error': (_request, reply) => reply.send(new Error('broken')),
  'answers 5xx by hand': (_request, reply) => reply.code(500).send({ message: 'broken' })
}

for (const [name, fails] of Object.entries(failures)) {
  t.test(`a handler that ${name} fails for everybody, once`, async t => {
    const { leader, others, runs, outcomes } = await end(t, fails)
    t.same([leader === 'cut off' ? leader : brief(leader), others, runs], ['500 broken', ['500 broken'], 1])
    t.same(outcomes, { 'leader failed': 1, 'follower failed': 4 })
  })

  t.test(`a handler that ${name} is run once more where the route says so, and that is shared`, async t => {
    const { leader, others, runs } = await end(t, (request, reply, run) => run === 1 ? fails(request, reply, run) : `run ${run}`, { onError: 'promote' })
    t.same([leader === 'cut off' ? leader : brief(leader), others, runs], ['500 broken', ['200 run 2'], 2])
  })

  t.test(`a handler that ${name} again is not run a third time`, async t => {
    const { others, runs } = await end(t, fails, { onError: 'promote' })
    t.same([others, runs], [['500 broken'], 2])
  })
}

t.test('a handler that throws at once fails for its own client, and the next one runs afresh', async t => {
  let runs = 0
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, () => {
      if (++runs === 1) throw new Error('broken')
      return Promise.resolve('fine')
    })
  })
  t.equal(brief(await server.get('/')), '500 broken')
  t.equal(brief(await server.get('/')), '200 fine')
  await grounded(server.app)
})

for (const hook of ['onRequest', 'preHandler'] as const) {
  t.test(`a promoted run that throws at once, parked at ${hook}, is shared`, async t => {
    const opening = gate()
    let runs = 0
    const server = await serve(t, app => {
      app.get('/', { config: { coalesce: { hook, onError: 'promote' } } }, () => {
        if (++runs === 1) return opening.promise.then(() => { throw new Error('broken') })
        throw new Error('broken at once')
      })
    })
    const [leader, ...others] = await queue(server, times(3, server, '/'))
    opening.open()
    t.equal(brief(await (leader as Promise<Answer>)), '500 broken')
    t.same((await Promise.all(others)).map(brief), ['500 broken at once', '500 broken at once'])
    t.equal(runs, 2)
  })
}

t.test('an error is never kept', async t => {
  const { server } = await end(t, (_request, _reply, run) => {
    if (run === 1) throw new Error('broken')
    return `run ${run}`
  })
  t.equal(brief(await server.get('/')), '200 run 2')
})

t.test('what a custom error handler answers is shared, whatever its status', async t => {
  const { others, runs, outcomes } = await end(t, () => { throw new Error('broken') }, {}, app => {
    app.setErrorHandler(async (error: Error, _request, reply) => reply.code(200).send(`handled: ${error.message}`))
  })
  t.same([others, runs], [['200 handled: broken'], 1])
  t.same(outcomes, { 'leader failed': 1, 'follower failed': 4 })
})

t.test('a custom error handler that sets a cookie keeps its answer from the others', async t => {
  const { runs, outcomes } = await end(t, () => { throw new Error('broken') }, {}, app => {
    app.setErrorHandler(async (_error, _request, reply) => reply.code(500).header('set-cookie', 'sid=1').send('handled'))
  })
  t.equal(runs, CLIENTS)
  t.match(outcomes, { 'leader set-cookie': 1, 'alone set-cookie': 4 })
})

t.test('a handler that hands over to the not-found handler is answered for everybody', async t => {
  const { others, runs } = await end(t, (_request, reply) => {
    reply.callNotFound()
    return reply
  })
  t.same([others.map(each => each.slice(0, 3)), runs], [['404'], 1])
})

t.test('a handler that hangs is given up after its time, and one follower runs it again for the rest', async t => {
  const clock = new TestClock()
  const openings = [gate(), gate()]
  let runs = 0
  let signal: AbortSignal | undefined
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: { flightTimeout: 1000 } } }, async request => {
      const run = ++runs
      if (run === 1) signal = request.signal
      await openings[run - 1]?.promise
      return `run ${run}`
    })
  }, { clock })
  const [leader, ...others] = await queue(server, times(4, server, '/'))
  clock.advance(999)
  t.equal(runs, 1)
  clock.advance(1)
  t.equal(runs, 2)
  t.match(signal?.reason, { code: 'FST_COALESCE_FLIGHT_TIMEOUT' })
  // The late one answers its own client, and has no say in what the others get.
  openings[0]?.open()
  t.equal((await (leader as Promise<Answer>)).body, 'run 1')
  const late = server.get('/')
  await server.arrived(5)
  t.equal(runs, 2, 'its successor\'s flight is still there to be joined')
  openings[1]?.open()
  t.same(new Set((await Promise.all([...others, late])).map(brief)), new Set(['200 run 2']))
  await timersGone(clock)
  await grounded(server.app)
})

t.test('a handler that hangs every time costs one further run, then the rest is let go', async t => {
  const clock = new TestClock()
  let runs = 0
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: { flightTimeout: 1000, waitTimeout: 60_000 } } }, async () => {
      runs++
      return await new Promise<string>(() => {})
    })
  }, { clock })
  const answers = await queue(server, times(8, server, '/'))
  const after: number[] = []
  for (let turn = 0; turn < 4; turn++) {
    clock.advance(1000)
    after.push(runs)
  }
  t.same(after, [2, 8, 8, 8])
  await Promise.all(answers.map(leave))
  await grounded(server.app)
})

t.test('a handler that never replies is given up as well', async t => {
  const clock = new TestClock()
  let runs = 0
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: { waitTimeout: '2m' } } }, (_request, reply) => { if (++runs > 1) reply.send('second run') })
  }, { clock })
  const [leader, ...others] = await queue(server, times(4, server, '/'))
  clock.advance(60_000)
  t.same(new Set((await Promise.all(others)).map(brief)), new Set(['200 second run']))
  t.equal(runs, 2)
  if (leader !== undefined) await leave(leader)
  await grounded(server.app)
})

t.test('a handler that replies twice is heard once', async t => {
  const { others, runs } = await end(t, (_request, reply) => {
    reply.send('first')
    reply.send('second')
    return reply
  })
  t.same([others, runs], [['200 first'], 1])
})

t.test('a handler that hijacks lets the others go at once, and its key is remembered', async t => {
  let runs = 0
  const replies: FastifyReply[] = []
  const opening = gate()
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async (_request, reply) => {
      runs++
      await opening.promise
      reply.hijack()
      replies.push(reply)
    })
  })
  const answers = await queue(server, times(4, server, '/'))
  opening.open()
  await until(() => replies.length === 4, 'the hijacks')
  const later = await queue(server, times(2, server, '/'))
  await until(() => replies.length === 6, 'the hijacks of those who came later')
  replies.forEach((reply, index) => reply.raw.end(`own ${index}`))
  t.equal(new Set((await Promise.all([...answers, ...later])).map(({ body }) => body)).size, 6)
  t.equal(runs, 6)
  t.same(await outcomes(server.app), { 'leader hijacked': 1, 'alone hijacked': 3, 'bypass unshareable': 2 })
})

t.test('a handler that hijacks in the same turn parks nobody', async t => {
  const replies: FastifyReply[] = []
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, (_request, reply) => {
      reply.hijack()
      replies.push(reply)
    })
  })
  const answers = times(4, server, '/').map(send => send())
  await server.arrived(4)
  t.equal(replies.length, 4)
  for (const reply of replies) reply.raw.end('own')
  await Promise.all(answers)
  await grounded(server.app)
})

t.test('a handler that writes raw is its own client\'s', async t => {
  const { others, runs, outcomes } = await end(t, async (_request, reply, run) => {
    reply.raw.end(`raw ${run}`)
    await once(reply.raw, 'close')
  })
  t.equal(runs, CLIENTS)
  t.equal(others.length, CLIENTS - 1)
  t.match(outcomes, { 'leader unrecorded': 1, 'alone unrecorded': 4 })
})

t.test('a handler that destroys the socket costs one further run', async t => {
  const { leader, others, runs } = await end(t, async (_request, reply, run) => {
    if (run > 1) return `run ${run}`
    reply.raw.destroy()
    await once(reply.raw, 'close')
    return undefined
  })
  t.same([leader, others, runs], ['cut off', ['200 run 2'], 2])
})

t.test('a stream that fails before its first byte costs one further run', async t => {
  const { others, runs } = await end(t, (_request, _reply, run) => run > 1
    ? `run ${run}`
    : new Readable({ read () { this.destroy(new Error('broken')) } }))
  t.same([others, runs], [['200 run 2'], 2])
})

t.test('an onSend hook that fails for the leader costs one further run, and nobody else gets its error', async t => {
  let first = true
  const { leader, others, runs } = await end(t, (_request, _reply, run) => `run ${run}`, {}, app => {
    app.addHook('onSend', async () => {
      if (!first) return
      first = false
      throw new Error('hook broken')
    })
  })
  t.same([leader === 'cut off' ? leader : brief(leader), others, runs], ['500 hook broken', ['200 run 2'], 2])
})

t.test('Fastify\'s handlerTimeout of the leader is its own, and its run is aborted with Fastify\'s reason', async t => {
  let runs = 0
  let reason: unknown
  const opening = gate()
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true }, handlerTimeout: 1_000 }, async request => {
      const run = ++runs
      if (run > 1) return `run ${run}`
      const { signal } = request
      signal.addEventListener('abort', () => { reason = signal.reason })
      await opening.promise
      return 'too late'
    })
  })
  const leader = server.get('/')
  await server.arrived(1)
  await new Promise(resolve => setTimeout(resolve, 500))
  const others = times(3, server, '/').map(send => send())
  await server.arrived(4)
  t.equal((await leader).status, 503)
  t.same(new Set((await Promise.all(others)).map(brief)), new Set(['200 run 2']))
  t.equal(runs, 2)
  t.match(reason, { code: 'FST_ERR_HANDLER_TIMEOUT' })
  opening.open()
  await grounded(server.app)
})

t.test('of a hundred flights that end badly at once none costs more than two runs', async t => {
  const opening = gate()
  const runs = new Map<string, number>()
  const bad: Array<(reply: FastifyReply) => unknown> = [
    () => { throw new Error('broken') },
    reply => reply.code(500).send('broken'),
    async reply => {
      reply.raw.destroy()
      await once(reply.raw, 'close')
    },
    () => new Readable({ read () { this.destroy(new Error('broken')) } })
  ]
  const server = await serve(t, app => {
    app.get<{ Params: { id: string } }>('/:id', { config: { coalesce: { onError: 'promote' } } }, async (request, reply) => {
      const run = (runs.get(request.url) ?? 0) + 1
      runs.set(request.url, run)
      await opening.promise
      return run === 1 ? await bad[Number(request.params.id) % bad.length]?.(reply) : `run ${run}`
    })
  })
  const paths = Array.from({ length: 100 }, (_, index) => `/${index}`)
  const leaders = Promise.allSettled(paths.map(path => server.get(path)))
  await server.arrived(100)
  const others = paths.flatMap(path => times(4, server, path).map(send => send()))
  await server.arrived(500)
  opening.open()
  t.same(new Set((await Promise.all(others)).map(brief)), new Set(['200 run 2']))
  t.same(new Set(runs.values()), new Set([2]))
  await leaders
  await grounded(server.app)
})
