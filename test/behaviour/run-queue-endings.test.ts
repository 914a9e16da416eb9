/**
 * "Where a run ends is known: its slot is free then, not before, and once."
 */
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import t, { type Test } from 'tap'
import coalesce, { runQueue } from '../../lib/index.js'
import { gate, TestClock, until } from '../fixtures/gate.js'
import { protectedServer, HeldRuns, type Protected } from '../fixtures/protected.js'
import type { GetOptions, Pending } from '../fixtures/server.js'

const ALONE: GetOptions = { headers: { authorization: 'Bearer a' } }

/** Some turns of the event loop, in which nothing is to happen. */
async function turns (): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve))
}

/** The slot is free: one runs in it, and it is free once more. */
async function isFree (t: Test, server: Protected): Promise<void> {
  const { queue, runs } = server
  await server.quiet()
  const { answer } = await server.begins('/run/next')
  t.strictSame([queue.running, queue.waiting], [1, 0])
  runs.end('next')
  t.equal((await answer).body, 'next')
  await server.quiet()
}

/** The run goes on, and its slot is not free. */
async function isHeld (t: Test, { queue }: Protected): Promise<void> {
  await turns()
  t.strictSame([queue.running, queue.waiting], [1, 0])
}

function firstBytes (answer: Pending): Promise<unknown> {
  return new Promise(resolve => { answer.request.on('response', response => { response.once('data', resolve) }) })
}

t.test('the response is there: the slot is free, whatever hooks do with the response', async t => {
  const hook = gate()
  const server = await protectedServer(t, {
    routes (app) { app.addHook('onSend', async request => { if (request.url === '/run/a') await hook.promise }) }
  })
  const { answer } = await server.begins('/run/a')
  server.runs.end('a')
  await isFree(t, server)
  hook.open()
  t.equal((await answer).body, 'a')
})

t.test('the handler throws', async t => {
  const server = await protectedServer(t)
  const { answer } = await server.begins('/run/a')
  server.runs.fail('a')
  t.equal((await answer).status, 500)
  await isFree(t, server)
})

const STREAMS: Record<string, (source: PassThrough) => unknown> = {
  'a stream': source => source,
  'a web stream': source => PassThrough.toWeb(source).readable,
  'a Response': source => new Response(PassThrough.toWeb(source).readable as never)
}

for (const [name, make] of Object.entries(STREAMS)) {
  for (const followers of [0, 2]) {
    t.test(`${name}, with ${followers} followers: once its source has ended`, async t => {
      const source = new PassThrough()
      const server = await protectedServer(t, { answer: result => result === 'next' ? result : make(source) })
      const { answer } = await server.begins('/run/a')
      const answers = [answer, ...Array.from({ length: followers }, () => server.get('/run/a'))]
      await server.arrived(1 + followers)
      const begun = answers.map(firstBytes)
      server.runs.end('a')
      source.write('one ')
      await Promise.all(begun)
      await isHeld(t, server)
      source.end('two')
      t.strictSame((await Promise.all(answers)).map(({ body }) => body), answers.map(() => 'one two'))
      await isFree(t, server)
    })
  }

  t.test(`${name} of a request by itself: once its source has ended`, async t => {
    const source = new PassThrough()
    const server = await protectedServer(t, { answer: result => result === 'next' ? result : make(source) })
    const { answer } = await server.begins('/run/a', ALONE)
    const begun = firstBytes(answer)
    server.runs.end('a')
    source.write('one ')
    await begun
    await isHeld(t, server)
    source.end('two')
    t.equal((await answer).body, 'one two')
    await isFree(t, server)
  })

  for (const options of [undefined, ALONE]) {
    t.test(`${name} that breaks off, ${options === undefined ? 'of a leader' : 'by itself'}`, async t => {
      const source = new PassThrough()
      const server = await protectedServer(t, { answer: result => result === 'next' ? result : make(source) })
      const { answer } = await server.begins('/run/a', options)
      const begun = firstBytes(answer)
      server.runs.end('a')
      source.write('one ')
      await begun
      await isHeld(t, server)
      source.destroy(new Error('broken off'))
      await t.rejects(answer)
      await isFree(t, server)
    })

    t.test(`${name} whose client leaves, ${options === undefined ? 'of a leader' : 'by itself'}`, async t => {
      const source = new PassThrough()
      const server = await protectedServer(t, { answer: result => result === 'next' ? result : make(source) })
      const { answer } = await server.begins('/run/a', options)
      const begun = firstBytes(answer)
      server.runs.end('a')
      source.write('one ')
      await begun
      await isHeld(t, server)
      await server.leaves(answer)
      await isFree(t, server)
    })
  }

  t.test(`${name} whose leader's client leaves flows on for the others, in its slot`, async t => {
    const source = new PassThrough()
    const server = await protectedServer(t, { answer: result => result === 'next' ? result : make(source) })
    const { answer: leader } = await server.begins('/run/a')
    const follower = server.get('/run/a')
    await server.arrived(2)
    const begun = firstBytes(follower)
    server.runs.end('a')
    source.write('one ')
    await begun
    await server.leaves(leader)
    await isHeld(t, server)
    source.end('two')
    t.equal((await follower).body, 'one two')
    await isFree(t, server)
  })

  t.test(`${name} of a handler whose client had left before it answered: once its source has ended`, async t => {
    const source = new PassThrough()
    const server = await protectedServer(t, { answer: result => result === 'next' ? result : make(source) })
    const { answer: leader } = await server.begins('/run/a')
    const follower = server.get('/run/a')
    await server.arrived(2)
    await server.leaves(leader)
    await turns()
    const begun = firstBytes(follower)
    server.runs.end('a')
    source.write('one ')
    await begun
    await isHeld(t, server)
    source.end('two')
    t.equal((await follower).body, 'one two')
    await isFree(t, server)
  })
}

t.test('a hijacked reply: once it is closed', async t => {
  let raw: FastifyReply['raw'] | undefined
  const server = await protectedServer(t, {
    answer (result, _request, reply) {
      if (result === 'next') return result
      reply.hijack()
      raw = reply.raw
      raw.write('one ')
      return undefined
    }
  })
  const { answer } = await server.begins('/run/a')
  const begun = firstBytes(answer)
  server.runs.end('a')
  await begun
  await isHeld(t, server)
  raw?.end('two')
  t.equal((await answer).body, 'one two')
  await isFree(t, server)
})

t.test('a reply that is ended by hand', async t => {
  const hang = gate()
  const server = await protectedServer(t, {
    async answer (result, _request, reply) {
      if (result === 'next') return result
      reply.raw.end('by hand')
      await hang.promise
      return reply
    }
  })
  const { answer } = await server.begins('/run/a')
  server.runs.end('a')
  t.equal((await answer).body, 'by hand')
  await isFree(t, server)
  hang.open()
})

for (const options of [undefined, ALONE]) {
  const who = options === undefined ? 'a leader' : 'a request by itself'

  t.test(`a handler that never answers ${who}: after flightTimeout, counted from take-off`, async t => {
    const server = await protectedServer(t, { queue: { queueTimeout: '1m' }, route: { flightTimeout: 3000 } })
    const { clock, queue, runs } = server
    const { answer: other } = await server.begins('/run/other')
    const { answer } = await server.waits(1, '/run/a', options)
    clock.advance(2500)
    runs.end('other')
    await other
    await server.began('other', 'a')
    clock.advance(2900)
    await isHeld(t, server)
    t.equal(queue.running, 1)
    clock.advance(200)
    await isFree(t, server)
    runs.end('a', 'late')
    t.equal((await answer).body, 'late')
    await isFree(t, server)
  })

  t.test(`the client of ${who} leaves: once the handler's promise has settled`, async t => {
    const server = await protectedServer(t, { answer: (result, _request, reply) => reply.raw.destroyed ? undefined : result })
    const { answer } = await server.begins('/run/a', options)
    await server.leaves(answer)
    await isHeld(t, server)
    server.runs.end('a')
    await isFree(t, server)
  })

  t.test(`the client of ${who} leaves, and a handler that returned its reply sends later: not before that`, async t => {
    let sent: FastifyReply | undefined
    const server = await protectedServer(t, {
      answer (result, _request, reply) {
        if (result === 'next') return result
        sent = reply
        return reply
      }
    })
    const { answer } = await server.begins('/run/a', options)
    await server.leaves(answer)
    await turns()
    server.runs.end('a')
    await until(() => sent !== undefined)
    await isHeld(t, server)
    sent?.send('late')
    await isFree(t, server)
  })
}

t.test('a leader that waits for a slot by itself leaves: nothing runs', async t => {
  const server = await protectedServer(t)
  const { queue, runs } = server
  const { answer: other } = await server.begins('/run/other')
  for (const options of [undefined, ALONE]) {
    const { answer } = await server.waits(1, '/run/a', options)
    await server.leaves(answer)
    await until(() => queue.waiting === 0)
  }
  runs.end('other')
  await other
  await isFree(t, server)
  t.strictSame(runs.names, ['other', 'next'])
})

t.test('a leader leaves while others wait for its run: it keeps its place, until the last of them leaves', async t => {
  const server = await protectedServer(t)
  const { queue, runs } = server
  const { answer: other } = await server.begins('/run/other')
  const { answer: kept } = await server.waits(1, '/run/kept')
  const { answer: left } = await server.waits(2, '/run/left')
  const followers = [server.get('/run/kept'), server.get('/run/left'), server.get('/run/kept')] as const
  await server.arrived(6)
  await server.leaves(kept)
  await server.leaves(left)
  await server.leaves(followers[2])
  await turns()
  t.equal(queue.waiting, 2)
  await server.leaves(followers[1])
  await until(() => queue.waiting === 1)
  runs.end('other')
  await server.began('other', 'kept')
  runs.end('kept')
  t.equal((await followers[0]).body, 'kept')
  await other
  await isFree(t, server)
})

t.test('a handler that does not answer, because its client has left while it waited, does so for nobody else', async t => {
  const server = await protectedServer(t, {
    answer: (result, _request, reply) => reply.raw.destroyed ? undefined : result
  })
  const { runs } = server
  const { answer: other } = await server.begins('/run/other')
  const { answer: leader } = await server.waits(1, '/run/a')
  const follower = server.get('/run/a')
  await server.arrived(3)
  await server.leaves(leader)
  runs.end('other')
  await other
  await server.began('other', 'a')
  runs.end('a')
  await server.began('other', 'a', 'a')
  runs.end('a')
  t.equal((await follower).body, 'a')
  await isFree(t, server)
})

t.test('a leader is answered by something else while it waits: a follower takes its place, and time in the queue is no time in the air', async t => {
  const server = await protectedServer(t, {
    queue: { queueTimeout: '1m' },
    route: { flightTimeout: 3000 },
    routes (app, { queue, runs }) { app.get('/second', { config: { coalesce: { queue, flightTimeout: '1m' } } }, async () => await runs.run('second')) }
  })
  const { clock, queue, replies, runs } = server
  const { answer: other } = await server.begins('/run/other')
  const { answer: leader } = await server.waits(1, '/run/a?p=low')
  const follower = server.get('/run/a')
  await server.arrived(3)
  const { answer: second } = await server.waits(2, '/second')
  const third = server.get('/run/a')
  await server.arrived(5)
  replies[1]?.code(418).send('elsewhere')
  t.equal((await leader).status, 418)
  t.equal(queue.waiting, 2)
  runs.end('other')
  await other
  await server.began('other', 'a')
  runs.end('a')
  t.strictSame([(await follower).body, (await third).body], ['a', 'a'])
  await server.began('other', 'a', 'second')
  // It has to wait longer than a run may take.
  const { answer: fourth } = await server.waits(1, '/run/fourth')
  const fifth = server.get('/run/fourth')
  await server.arrived(7)
  replies[5]?.code(418).send('elsewhere')
  t.equal((await fourth).status, 418)
  clock.advance(3500)
  runs.end('second')
  await second
  await server.began('other', 'a', 'second', 'fourth')
  clock.advance(2000)
  await isHeld(t, server)
  t.equal(runs.names.length, 4)
  runs.end('fourth')
  t.equal((await fifth).body, 'fourth')
  await isFree(t, server)
})

t.test('a leader is answered by something else when it has just got a slot: the slot is its follower\'s', async t => {
  let replies: readonly FastifyReply[] = []
  const server = await protectedServer(t, {
    routes (app) {
      app.addHook('onSend', (request, _reply, _payload, done) => {
        if (request.url === '/run/other') replies[1]?.code(418).send('elsewhere')
        done()
      })
    }
  })
  replies = server.replies
  const { answer: other } = await server.begins('/run/other')
  const { answer: leader } = await server.waits(1, '/run/a')
  const follower = server.get('/run/a')
  await server.arrived(3)
  server.runs.end('other')
  await server.began('other', 'a')
  server.runs.end('a')
  t.strictSame([(await other).body, (await leader).status, (await follower).body], ['other', 418, 'a'])
  await isFree(t, server)
})

t.test('one that waits to run by itself is answered by something else: it leaves the queue', async t => {
  const server = await protectedServer(t)
  const { queue, replies, runs } = server
  const { answer: other } = await server.begins('/run/other')
  const { answer } = await server.waits(1, '/run/a', ALONE)
  replies[1]?.code(418).send('elsewhere')
  t.equal((await answer).status, 418)
  t.equal(queue.waiting, 0)
  runs.end('other')
  await other
  await isFree(t, server)
  t.strictSame(runs.names, ['other', 'next'])
})

t.test('handlerTimeout ends a wait for a slot, and a run', async t => {
  const server = await protectedServer(t, {
    routes (app, { queue, runs }) {
      app.get('/slow/:name', { handlerTimeout: 100, config: { coalesce: { queue } } }, async request => await runs.run((request.params as { name: string }).name))
    }
  })
  const { queue, runs } = server
  const { answer: running } = await server.begins('/slow/a')
  const { answer: waiting } = await server.waits(1, '/slow/b')
  t.strictSame([(await running).status, (await waiting).status], [503, 503])
  await server.quiet()
  t.equal(queue.waiting, 0)
  runs.end('a')
  await isFree(t, server)
})

t.test('a hook answers after the request has boarded: the slot is free', async t => {
  const server = await protectedServer(t, {
    route: { hook: 'onRequest' },
    options: { warnings: false } as never,
    routes (app) { app.addHook('preHandler', async (request, reply) => request.url === '/run/a' ? await reply.code(418).send('from a hook') : undefined) }
  })
  const { answer: other } = await server.begins('/run/other')
  const { answer } = await server.waits(1, '/run/a')
  server.runs.end('other')
  t.strictSame([(await other).body, (await answer).status], ['other', 418])
  await isFree(t, server)
  t.strictSame(server.runs.names, ['other', 'next'])
})

t.test('pipelined requests whose connection closes', async t => {
  const server = await protectedServer(t, { queue: { maxRuns: 2 } })
  const { queue, runs } = server
  const socket = connect(server.port, '127.0.0.1')
  socket.write(['a', 'b', 'c', 'd'].map(name => `GET /run/${name} HTTP/1.1\r\nHost: localhost\r\n\r\n`).join(''))
  await until(() => queue.running === 2 && queue.waiting === 2)
  socket.destroy()
  await until(() => queue.waiting === 0)
  t.equal(queue.running, 2)
  runs.end('b')
  runs.end('a')
  await isFree(t, server)
  t.strictSame(runs.names, ['a', 'b', 'next'])
})

t.test('HTTP/2: answers, streams that are reset, and a connection that closes', async t => {
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  const queue = runQueue({ maxRuns: 1, clock: new TestClock() })
  const runs = new HeldRuns()
  await app.register(coalesce)
  app.get('/run/:name', { config: { coalesce: { queue } } }, async request => await runs.run((request.params as { name: string }).name))
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connectHttp2(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  t.teardown(async () => {
    session.destroy()
    await app.close()
  })
  const ask = (name: string) => {
    const stream = session.request({ ':path': `/run/${name}` })
    stream.on('error', () => {})
    return stream.resume()
  }
  const a = ask('a')
  await until(() => queue.running === 1)
  const b = ask('b')
  await until(() => queue.waiting === 1)
  const c = ask('c')
  await until(() => queue.waiting === 2)
  b.close()
  await until(() => queue.waiting === 1)
  runs.end('a')
  await until(() => runs.names.length === 2)
  t.strictSame([queue.running, queue.waiting, a.destroyed], [1, 0, a.destroyed])
  c.close()
  await turns()
  t.equal(queue.running, 1)
  runs.end('c')
  await until(() => queue.running === 0)
  ask('d')
  await until(() => queue.running === 1)
  ask('e')
  await until(() => queue.waiting === 1)
  session.destroy()
  await until(() => queue.waiting === 0)
  runs.end('d')
  await until(() => queue.running === 0)
  t.strictSame(runs.names, ['a', 'c', 'd'])
})
