import t from 'tap'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { held, queue, times } from '../fixtures/crowd.js'
import { grounded, leave, outcomes, waiting } from '../fixtures/endings.js'
import { gate, TestClock, timersGone, until } from '../fixtures/gate.js'
import { serve, type Pending, type TestServer } from '../fixtures/server.js'

/** A server elsewhere that a handler asks. */
interface Upstream {
  readonly url: string
  asked (): number
  /** How many of its answers were cut off. */
  cut (): number
  answer (): void
}

async function upstream (test: Parameters<typeof serve>[0]): Promise<Upstream> {
  let asked = 0
  let cut = 0
  const opening = gate()
  const server = createServer((_request, response) => {
    asked++
    response.on('close', () => { if (!response.writableFinished) cut++ })
    opening.promise.then(() => response.end('from upstream'), () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  test.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    asked: () => asked,
    cut: () => cut,
    answer: () => { opening.open() }
  }
}

/** A leader and three followers, whose leader's client then goes away. */
async function leaderless (server: TestServer): Promise<ReturnType<TestServer['get']>[]> {
  const [leader, ...followers] = await queue(server, times(4, server, '/'))
  if (leader !== undefined) await leave(leader)
  return followers
}

const statuses = async (answers: Array<ReturnType<TestServer['get']>>): Promise<string[]> =>
  [...new Set((await Promise.all(answers)).map(({ status, body }) => `${status} ${body}`))]

t.test('the leader\'s client leaves, and a handler that does not care answers the others', async t => {
  const handler = held(() => 'hello')
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const followers = await leaderless(server)
  handler.gate.open()
  t.same(await statuses(followers), ['200 hello'])
  t.equal(handler.runs, 1)
  t.match(await outcomes(server.app), { 'follower shared': 3 })
  await grounded(server.app)
})

for (const access of ['request.signal', 'request.coalesce.signal'] as const) {
  t.test(`the leader's client leaves, and a fetch that was given ${access} goes on for the others`, async t => {
    const { url, asked, cut, answer } = await upstream(t)
    const server = await serve(t, app => {
      app.get('/', { config: { coalesce: true } }, async request => {
        const signal = access === 'request.signal' ? request.signal : request.coalesce?.signal
        return await (await fetch(url, { signal })).text()
      })
    })
    const followers = await leaderless(server)
    await until(() => asked() === 1)
    answer()
    t.same(await statuses(followers), ['200 from upstream'])
    t.same([asked(), cut()], [1, 0])
  })

  t.test(`the last who waits leaves, and a fetch that was given ${access} is cut off`, async t => {
    const { url, asked, cut } = await upstream(t)
    let reason: unknown
    const server = await serve(t, app => {
      app.get('/', { config: { coalesce: true } }, async request => {
        const signal = access === 'request.signal' ? request.signal : request.coalesce?.signal
        try {
          return await (await fetch(url, { signal })).text()
        } catch (error) {
          reason = signal?.reason
          throw error
        }
      })
    })
    const followers = await leaderless(server)
    await until(() => asked() === 1)
    await Promise.all(followers.slice(1).map(leave))
    await waiting(server.app, 1)
    t.equal(cut(), 0, 'while one waits')
    await Promise.all(followers.map(leave))
    await until(() => cut() === 1, 'the cut')
    await until(() => reason !== undefined)
    t.match(reason, { code: 'FST_COALESCE_NOBODY_WAITS' })
    await grounded(server.app)
    t.equal(asked(), 1)
  })
}

t.test('a leader without followers leaves, and its signal aborts', async t => {
  let signal: AbortSignal | undefined
  const clock = new TestClock()
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async request => {
      signal = request.signal
      await once(signal, 'abort')
      return 'nobody hears this'
    })
  }, { clock })
  const leader = server.get('/')
  await server.arrived(1)
  await leave(leader)
  await until(() => signal?.aborted === true, 'the abort')
  await grounded(server.app)
  await timersGone(clock)
  t.same(await outcomes(server.app), { 'leader client-left': 1 })
})

t.test('a handler that never looked at its signal does not hold its key when all are gone', async t => {
  const handler = held(() => `run ${handler.runs}`)
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  await Promise.all((await leaderless(server)).map(leave))
  await grounded(server.app)
  const next = server.get('/')
  await server.arrived(5)
  t.equal(handler.runs, 2)
  handler.gate.open()
  t.equal((await next).body, 'run 2')
})

t.test('a handler that gives up when its client closes costs one further run, which the others share', async t => {
  const opening = gate()
  let runs = 0
  const untilClosed = (request: FastifyRequest): Promise<never> => new Promise((_resolve, reject) => {
    request.raw.once('close', () => { reject(new Error('the client is gone')) })
  })
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async request => {
      const run = ++runs
      await Promise.race([opening.promise, untilClosed(request)])
      return `run ${run}`
    })
  })
  const followers = await leaderless(server)
  await until(() => runs === 2)
  opening.open()
  t.same(await statuses(followers), ['200 run 2'])
  t.equal(runs, 2)
  t.match(await outcomes(server.app), { 'leader client-left': 1, 'leader shared': 1, 'follower shared': 2 })
})

t.test('a handler that goes away without a word when its client does costs one further run', async t => {
  const opening = gate()
  let runs = 0
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async (_request, reply) => {
      const run = ++runs
      const closed = once(reply.raw, 'close').then(() => true)
      if (await Promise.race([opening.promise, closed]) === true) {
        // By now Fastify knows as well that there is nobody to answer.
        await new Promise(resolve => setImmediate(resolve))
        return
      }
      reply.send(`run ${run}`)
      return reply
    })
  })
  const followers = await leaderless(server)
  await until(() => runs === 2)
  opening.open()
  t.same(await statuses(followers), ['200 run 2'])
  t.equal(runs, 2)
})

for (const [kind, hook, route] of [
  ['a function', 'auto', (later: (reply: FastifyReply) => void) => (_request: FastifyRequest, reply: FastifyReply) => { later(reply); return reply }],
  ['an async function', 'auto', (later: (reply: FastifyReply) => void) => async (_request: FastifyRequest, reply: FastifyReply) => { later(reply); return reply }],
  ['a function behind a gate', 'preHandler', (later: (reply: FastifyReply) => void) => (_request: FastifyRequest, reply: FastifyReply) => { later(reply); return reply }],
  ['an async function that awaits it', 'auto', (later: (reply: FastifyReply) => void) => async (_request: FastifyRequest, reply: FastifyReply) => { later(reply); await reply }]
] as const) {
  t.test(`${kind} that returns its reply and answers later answers the others, whose leader's client has left`, async t => {
    const replies: FastifyReply[] = []
    const server = await serve(t, app => {
      app.get('/', { config: { coalesce: { hook } } }, route(reply => { replies.push(reply) }) as never)
    })
    const followers = await leaderless(server)
    // More turns than any promise needs that gives up with its client.
    for (let turns = 0; turns < 20; turns++) await new Promise(resolve => setImmediate(resolve))
    t.equal(replies.length, 1, 'it is not run again')
    replies[0]?.send('late')
    t.same(await statuses(followers), ['200 late'])
    t.match(await outcomes(server.app), { 'follower shared': 3, 'leader shared': 1 })
    await grounded(server.app)
  })

  t.test(`${kind} that returns its reply and never answers is given up after flightTimeout`, async t => {
    const replies: FastifyReply[] = []
    const clock = new TestClock()
    const server = await serve(t, app => {
      app.get('/', { config: { coalesce: { hook, flightTimeout: 1000 } } }, route(reply => { replies.push(reply) }) as never)
    }, { clock })
    const followers = await leaderless(server)
    clock.advance(1000)
    await until(() => replies.length === 2, 'another run')
    replies[1]?.send('hello')
    t.same(await statuses(followers), ['200 hello'])
    await grounded(server.app)
  })
}

t.test('followers that leave are forgotten at once, and the others are answered', async t => {
  const handler = held(() => 'hello')
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const answers = await queue(server, times(6, server, '/'))
  await Promise.all(answers.slice(2, 5).map(leave))
  await waiting(server.app, 2)
  handler.gate.open()
  t.same(await statuses([...answers.slice(0, 2), ...answers.slice(5)]), ['200 hello'])
  t.equal(handler.runs, 1)
  t.match(await outcomes(server.app), { 'leader shared': 1, 'follower client-left': 3, 'follower shared': 2 })
})

t.test('the leader\'s client leaves while its body flows, and the others get all of it', async t => {
  const body = new PassThrough()
  const handler = held(() => body)
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const [leader, ...followers] = await queue(server, times(4, server, '/'))
  handler.gate.open()
  body.write('first half, ')
  if (leader === undefined) throw new Error('nobody leads')
  await once(leader.request, 'response')
  await leave(leader)
  await new Promise(resolve => setImmediate(resolve))
  body.end('second half')
  t.same(await statuses(followers), ['200 first half, second half'])
  t.equal(handler.runs, 1)
  await grounded(server.app)
})

t.test('all leave while the body flows, and its source is destroyed', async t => {
  const body = new PassThrough()
  const handler = held(() => body)
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const answers = await queue(server, times(4, server, '/'))
  handler.gate.open()
  body.write('first half, ')
  await once((answers[0] as ReturnType<TestServer['get']>).request, 'response')
  await Promise.all(answers.map(leave))
  await until(() => body.destroyed, 'the end of the source')
  await grounded(server.app)
  t.equal(body.destroyed, true)
})

t.test('the leader\'s client leaves after its answer, which the others have', async t => {
  const handler = held(() => 'hello')
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const [leader, ...followers] = await queue(server, times(3, server, '/'))
  handler.gate.open()
  await leader
  leader?.request.destroy()
  t.same(await statuses(followers), ['200 hello'])
  t.equal(handler.runs, 1)
})

t.test('the leader\'s connection times out, and those who came later are answered', async t => {
  const handler = held(() => 'hello')
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) }, {}, { connectionTimeout: 1_000 })
  const leader = server.get('/')
  const cut = leader.then(() => 'answered', () => 'cut')
  await server.arrived(1)
  await new Promise(resolve => setTimeout(resolve, 500))
  const follower = server.get('/')
  await server.arrived(2)
  t.equal(await cut, 'cut')
  handler.gate.open()
  t.equal((await follower).body, 'hello')
  t.equal(handler.runs, 1)
})

t.test('of a hundred flights whose clients leave and whose handlers give up none costs more than two runs', async t => {
  const opening = gate()
  const runs = new Map<string, number>()
  const server = await serve(t, app => {
    app.get('/:id', { config: { coalesce: true } }, async request => {
      runs.set(request.url, (runs.get(request.url) ?? 0) + 1)
      await Promise.race([opening.promise, once(request.raw, 'close').then(() => { throw new Error('gone') })])
      return request.url
    })
  })
  const paths = Array.from({ length: 100 }, (_, index) => `/${index}`)
  const leaders = paths.map(path => server.get(path))
  await server.arrived(100)
  const followers = paths.flatMap(path => times(4, server, path).map(send => send()))
  await server.arrived(500)
  await Promise.all(leaders.map(leave))
  await until(() => [...runs.values()].every(count => count === 2), 'the second runs')
  opening.open()
  t.same((await Promise.all(followers)).map(({ body }) => body), paths.flatMap(path => [path, path, path, path]))
  t.same(new Set(runs.values()), new Set([2]))
  await grounded(server.app)
})

t.test('a run whose client has left ends once its response turns out to be for nobody else', async t => {
  const answer = gate()
  let signal: AbortSignal | undefined
  let closed: Promise<unknown> | undefined
  let runs = 0
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async (request, reply) => {
      if (++runs > 1) return 'a run of its own'
      signal = request.signal
      closed = once(request.raw.socket, 'close')
      await answer.promise
      reply.header('set-cookie', 'a=b')
      return 'for one'
    })
  })
  const [leader, follower] = await queue(server, times(2, server, '/'))
  t.equal(signal?.aborted, false)
  await leave(leader as Pending)
  await closed
  answer.open()
  t.equal((await follower)?.body, 'a run of its own')
  await until(() => signal?.aborted === true, 'the abort')
})
