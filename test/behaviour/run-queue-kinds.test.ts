/**
 * "Every kind of run takes a slot of its queue, and nothing else does."
 */
import { connect, type AddressInfo } from 'node:net'
import type { FastifyReply } from 'fastify'
import t from 'tap'
import { queue as oneByOne, times } from '../fixtures/crowd.js'
import { outcomes } from '../fixtures/endings.js'
import { until } from '../fixtures/gate.js'
import { protectedServer, type Protected, type ProtectedOptions } from '../fixtures/protected.js'
import type { GetOptions } from '../fixtures/server.js'

interface Kind {
  readonly with?: ProtectedOptions
  readonly path?: string
  readonly options?: GetOptions
  readonly before?: (server: Protected) => unknown
  readonly outcome: string
}

const setsCookie = async (result: unknown, _request: unknown, reply: FastifyReply): Promise<unknown> => reply.header('set-cookie', 'a=b').send(result)

const KINDS: Readonly<Record<string, Kind>> = {
  'a leader\'s': { outcome: 'leader shared' },
  'that of a request with credentials': { options: { headers: { authorization: 'Bearer a' } }, outcome: 'bypass credentials' },
  'that of another method': { with: { writes: true }, options: { method: 'POST' }, outcome: 'bypass method' },
  'that of a HEAD request by itself': {
    with: { routes (app, { queue, runs }) { app.get('/head', { config: { coalesce: { queue } } }, async () => await runs.run('a')) } },
    path: '/head',
    options: { method: 'HEAD' },
    outcome: 'bypass head'
  },
  'that of a request for a part': { options: { headers: { range: 'bytes=0-0' } }, outcome: 'bypass range' },
  'that of a request where coalescing is switched off': { before ({ app }) { app.coalesce.disable() }, outcome: 'bypass disabled' },
  'that of a request whose key function throws': {
    with: { route: { key () { throw new Error('no key') } } }, outcome: 'bypass key-threw'
  },
  'that of a request that finds no flight': { with: { options: { maxFlights: 1 } }, outcome: 'bypass max-flights' },
  'that of a request whose key is known to be shared by nobody': {
    with: { answer: setsCookie },
    async before (server) {
      const { answer: first } = await server.begins('/run/a')
      server.runs.end('a')
      await first
      await server.quiet()
      server.runs.names.length = 0
    },
    outcome: 'bypass unshareable'
  }
}

for (const [name, { before, options, outcome, path = '/run/a', with: setup }] of Object.entries(KINDS)) {
  t.test(`a run waits for a slot: ${name}`, async t => {
    const server = await protectedServer(t, setup)
    const { app, queue, runs } = server
    await before?.(server)
    const { answer: other } = await server.begins('/run/other')
    const { answer } = await server.waits(1, path, options)
    t.equal(queue.running, 1)
    runs.end('other')
    await server.began('other', 'a')
    t.strictSame([queue.running, queue.waiting], [1, 0])
    runs.end('a')
    t.equal((await answer).status, 200)
    await other
    await server.quiet()
    t.ok((await outcomes(app))[outcome], JSON.stringify(await outcomes(app)))
    t.equal(app.coalesce.stats().actualExecutions, queue.figures().levels.reduce((sum, level) => sum + level.runs, 0))
  })
}

t.test('followers take no slots and no places', async t => {
  const server = await protectedServer(t, { queue: { maxQueued: 1 } })
  const { queue, runs } = server
  const { answer: other } = await server.begins('/run/other')
  const answers = await oneByOne(server, times(5, server, '/run/a'))
  t.strictSame([queue.running, queue.waiting], [1, 1])
  runs.end('other')
  await server.began('other', 'a')
  runs.end('a')
  t.strictSame((await Promise.all(answers)).map(({ body }) => body), ['a', 'a', 'a', 'a', 'a'])
  await other
  await server.quiet()
})

t.test('those whose leader\'s response nobody can share take slots, one by one', async t => {
  const server = await protectedServer(t, { queue: { maxRuns: 2 }, answer: setsCookie })
  const { app, runs } = server
  const { answer: leader } = await server.begins('/run/a')
  const answers = [leader, ...times(6, server, '/run/a').map(send => send())]
  await server.arrived(7)
  for (let run = 1; run <= 7; run++) {
    await until(() => runs.underWay > 0 && (run === 1 || run >= 6 || runs.underWay === 2), `run ${run}`)
    runs.end('a')
  }
  t.ok((await Promise.all(answers)).every(({ status }) => status === 200))
  t.equal(runs.most, 2)
  await server.quiet()
  t.same(await outcomes(app), { 'leader set-cookie': 1, 'alone set-cookie': 6 })
})

t.test('those who are let go because coalescing is switched off take slots, and so does who had not taken off', async t => {
  const server = await protectedServer(t)
  const { app, queue, runs } = server
  const { answer: other } = await server.begins('/run/other')
  const answers = await oneByOne(server, times(3, server, '/run/a'))
  app.coalesce.disable()
  await until(() => queue.waiting === 3, 'the places of all')
  t.equal(queue.running, 1)
  runs.end('other')
  for (let run = 1; run <= 3; run++) {
    await server.began('other', ...Array.from({ length: run }, () => 'a'))
    t.equal(runs.underWay, 1)
    runs.end('a')
  }
  t.ok((await Promise.all([other, ...answers])).every(({ status }) => status === 200))
  await server.quiet()
  t.equal(runs.most, 1)
})

t.test('the place of a leader that is gone is given up when coalescing is switched off, since nobody waits for it any more', async t => {
  const server = await protectedServer(t)
  const { app, queue, runs } = server
  const { answer: other } = await server.begins('/run/other')
  const { answer: leader } = await server.waits(1, '/run/a')
  const follower = server.get('/run/a')
  await server.arrived(3)
  await server.leaves(leader)
  t.equal(queue.waiting, 1, 'the one who waits')
  app.coalesce.disable()
  await new Promise(resolve => setImmediate(resolve))
  t.equal(queue.waiting, 1, 'by itself')
  runs.end('other')
  await server.began('other', 'a')
  runs.end('a')
  t.equal((await follower).body, 'a')
  await other
  await server.quiet()
})

t.test('a follower that takes the place of a leader whose run failed keeps its slot, before those who wait', async t => {
  const server = await protectedServer(t, { route: { onError: 'promote' } })
  const { queue, runs } = server
  const { answer: leader } = await server.begins('/run/a')
  const follower = server.get('/run/a')
  await server.arrived(2)
  const { answer: other } = await server.waits(1, '/run/other')
  runs.fail('a')
  await server.began('a', 'a')
  t.strictSame([queue.running, queue.waiting], [1, 1])
  runs.end('a')
  await server.began('a', 'a', 'other')
  t.strictSame([(await leader).status, (await follower).body], [500, 'a'])
  runs.end('other')
  await other
  await server.quiet()
})

t.test('a follower that takes the place of a leader whose time is up keeps its slot, before those who wait', async t => {
  const server = await protectedServer(t, { route: { flightTimeout: 2000 } })
  const { clock, queue, runs } = server
  const { answer: leader } = await server.begins('/run/a')
  const follower = server.get('/run/a')
  await server.arrived(2)
  const { answer: other } = await server.waits(1, '/run/other')
  clock.advance(2000)
  await server.began('a', 'a')
  t.strictSame([queue.running, queue.waiting], [1, 1])
  runs.end('a', 'late')
  runs.end('a')
  await server.began('a', 'a', 'other')
  t.strictSame([(await leader).body, (await follower).body], ['late', 'a'])
  runs.end('other')
  await other
  await server.quiet()
})

t.test('the run that relieves a slow one takes a slot', async t => {
  const server = await protectedServer(t, { route: { waitTimeout: 1000, onWaitTimeout: 'run' } })
  const { clock, queue, runs } = server
  const { answer: leader } = await server.begins('/run/a')
  const follower = server.get('/run/a')
  await server.arrived(2)
  clock.advance(1000)
  await until(() => queue.waiting === 1, 'the place of the run that relieves')
  runs.end('a')
  await server.began('a', 'a')
  runs.end('a', 'again')
  t.strictSame([(await leader).body, (await follower).body], ['a', 'again'])
  await server.quiet()
})

t.test('two routes and functions, with key and without, share one queue', async t => {
  const server = await protectedServer(t, {
    routes (app, { queue, runs }) { app.get('/second', { config: { coalesce: { queue } } }, async () => await runs.run('second')) }
  })
  const { app, queue, runs } = server
  const keyed = app.coalesce.deduplicate(async (name: string) => await runs.run(name), { name: 'keyed', key: name => name, queue })
  const keyless = app.coalesce.deduplicate(async (name: string) => await runs.run(name), { name: 'keyless', key: () => undefined as never, queue })
  const { answer: other } = await server.begins('/run/other')
  const { answer: second } = await server.waits(1, '/second')
  const calls = [keyed('keyed'), keyed('keyed'), keyless('keyless'), keyless('keyless')]
  t.equal(queue.waiting, 4)
  const names = ['other', 'second', 'keyed', 'keyless', 'keyless']
  for (let run = 1; run <= names.length; run++) {
    await server.began(...names.slice(0, run))
    t.equal(runs.underWay, 1)
    runs.end(names[run - 1] as string)
  }
  t.strictSame(await Promise.all(calls), ['keyed', 'keyed', 'keyless', 'keyless'])
  t.strictSame([(await other).body, (await second).body], ['other', 'second'])
  await server.quiet()
})

t.test('HEAD and GET of one route have one queue, and each route has its own of a registration\'s', async t => {
  const server = await protectedServer(t, {
    options: { queue: { maxRuns: 1 } },
    routes (app, { runs }) {
      for (const name of ['one', 'two']) app.get(`/${name}`, { config: { coalesce: true } }, async () => await runs.run(name))
      app.get('/free', { config: { coalesce: { queue: false } } }, async () => await runs.run('free'))
    }
  })
  const { runs } = server
  const answers = [(await server.begins('/one')).answer]
  const head = server.get('/one', { method: 'HEAD', headers: { authorization: 'Bearer a' } })
  await server.arrived(2)
  for (const path of ['/two', '/free', '/free?again']) answers.push((await server.begins(path)).answer)
  t.strictSame(runs.names, ['one', 'two', 'free', 'free'])
  runs.end('one')
  await server.began('one', 'two', 'free', 'free', 'one')
  for (const name of ['one', 'two', 'free', 'free']) runs.end(name)
  t.ok((await Promise.all([...answers, head])).every(({ status }) => status === 200))
})

t.test('a write that waited for a slot is still a write', async t => {
  const server = await protectedServer(t, { writes: true, route: { ttl: '60s' } })
  const { app, runs } = server
  const { answer: other } = await server.begins('/run/other')
  const { answer: write } = await server.waits(1, '/run/a', { method: 'POST' })
  runs.end('other')
  await server.began('other', 'a')
  const { answer: read } = await server.waits(1, '/run/a')
  runs.end('a', 'written')
  t.equal((await write).body, 'written')
  await server.began('other', 'a', 'a')
  runs.end('a', 'read')
  t.equal((await read).body, 'read')
  await other
  await server.quiet()
  // It took off after the write.
  t.equal((await server.get('/run/a')).body, 'read')
  const { answer: next } = await server.begins('/run/a', { method: 'POST' })
  runs.end('a', 'written again')
  await next
  const { answer: last } = await server.begins('/run/a')
  runs.end('a', 'newest')
  t.equal((await last).body, 'newest')
  t.equal(app.coalesce.stats().cacheHits, 1)
})

t.test('a run that was read before a write, which was waiting meanwhile, is not cached after it', async t => {
  const server = await protectedServer(t, { writes: true, queue: { maxRuns: 2 }, route: { ttl: '60s' } })
  const { runs } = server
  const { answer: read } = await server.begins('/run/a')
  const { answer: other } = await server.begins('/run/other')
  const { answer: write } = await server.waits(1, '/run/a', { method: 'POST' })
  runs.end('other')
  await server.began('a', 'other', 'a')
  runs.end('a', 'old')
  t.equal((await read).body, 'old')
  t.equal((await server.get('/run/a')).body, 'old')
  runs.end('a', 'written')
  await Promise.all([write, other])
  const { answer: next } = await server.begins('/run/a')
  runs.end('a', 'new')
  t.equal((await next).body, 'new')
})

t.test('no slot is for a client that takes long to send its body', async t => {
  const server = await protectedServer(t, { writes: true })
  const { app, queue, runs } = server
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(() => { socket.destroy() })
  socket.write('POST /run/slow HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\n')
  await until(() => server.replies.length === 1, 'the head of the slow one')
  t.equal(queue.running, 0)
  const { answer } = await server.begins('/run/a')
  runs.end('a')
  t.equal((await answer).body, 'a')
  socket.write('body')
  await server.began('a', 'slow')
  runs.end('slow')
  await server.quiet()
  t.equal(app.coalesce.stats().routes[0]?.parking?.at, 'preHandler')
})

t.test('what stands in for a refused read stands in for no write', async t => {
  const server = await protectedServer(t, { writes: true, queue: { maxQueued: 0 }, route: { fallback: () => 'instead' } })
  const { answer: other } = await server.begins('/run/other')
  t.equal((await server.get('/run/a')).body, 'instead')
  const { status, headers } = await server.get('/run/a', { method: 'POST' })
  t.equal(status, 503)
  t.ok(headers['retry-after'])
  server.runs.end('other')
  await other
})
