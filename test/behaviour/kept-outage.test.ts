/**
 * "An outage of the handler within `staleIfError`: clients see none of it."
 */
import { Readable } from 'node:stream'
import t from 'tap'
import type { FastifyReply } from 'fastify'
import { distinct, queue, times } from '../fixtures/crowd.js'
import { grounded, outcomes } from '../fixtures/endings.js'
import { gate } from '../fixtures/gate.js'
import { KeptConnection } from '../fixtures/kept-connection.js'
import { keeping, type Handler } from '../fixtures/kept.js'

const ROUTE = { ttl: '10s', staleIfError: '10m' } as const
const FAILURES: Readonly<Record<string, (reply: FastifyReply) => unknown>> = {
  'it throws': () => { throw new Error('down') },
  'it answers 503': reply => reply.code(503).send({ error: 'down' }),
  'it answers 500 with a stream': reply => reply.code(500).send(Readable.from(['down'])),
  'it answers 502 with a stream that calls it an error to be destroyed unread': reply => reply.code(502).send(new Readable({
    read () {},
    destroy (error, done) { setImmediate(done, error ?? new Error('aborted')) }
  })),
  'its upstream refuses the connection': () => { throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }) },
  'its stream fails before the first byte': reply => reply.send(new Readable({ read () { this.destroy(new Error('down')) } })),
  'its stream has failed already': reply => {
    const stream = new Readable({ read () {} })
    stream.on('error', () => {}).destroy(new Error('down'))
    return reply.send(stream)
  },
  'its answer cannot be serialized': reply => reply.send({ big: 1n })
}

/** What is kept is stale, and then the handler fails. */
async function broken (t: Parameters<typeof keeping>[0], fails: (reply: FastifyReply) => unknown, fastify = {}) {
  const state = { broken: false }
  const handler: Handler = async (run, _request, reply) => state.broken ? await fails(reply) : { run }
  const server = await keeping(t, { route: ROUTE, handler, fastify })
  await server.get('/thing/1')
  state.broken = true
  server.clock.advance(11_000)
  return Object.assign(server, { state })
}

for (const [name, fails] of Object.entries(FAILURES)) {
  t.test(`${name}: its client, who waits with it and who comes later are given what was kept`, async t => {
    const opening = gate()
    const server = await broken(t, async reply => {
      await opening.promise
      return fails(reply)
    })
    const asked = times(10, server, '/thing/1').map(send => send())
    await server.arrived(11)
    opening.open()
    const answers = await Promise.all(asked)
    t.strictSame(distinct(answers.map(({ status, body, headers }) => [status, body, headers.age, headers['retry-after']])), [[200, '{"run":1}', '11', undefined]])
    t.match(await server.get('/thing/1'), { status: 200, body: '{"run":1}' })
    t.equal(server.runs(), 2, 'and for a while the handler is left alone')
  })

  t.test(`${name}: so are HEAD, ranges and conditions`, async t => {
    const asks = [
      { options: { method: 'HEAD' }, wanted: { status: 200, body: '' } },
      { options: { headers: { range: 'bytes=0-2' } }, wanted: { status: 206, body: '{"r' } },
      { options: { headers: { 'if-none-match': '"other"' } }, wanted: { status: 200, body: '{"run":1}' } }
    ]
    for (const { options, wanted } of asks) {
      const server = await broken(t, fails)
      t.match(await server.get('/thing/1', options), wanted, JSON.stringify(options))
      await server.close()
    }
  })
}

t.test('who has what is kept is told so while the handler fails', async t => {
  let down = false
  const server = await keeping(t, {
    route: ROUTE,
    before: app => { app.addHook('onRequest', async (_request, reply) => { reply.header('x-hook', 'its own') }) },
    handler: (run, _request, reply) => {
      if (down) return reply.code(503).headers({ 'x-down': 'yes', 'x-hook': 'down' }).send({ error: 'down' })
      reply.header('etag', '"v1"')
      return { run }
    }
  })
  await server.get('/thing/1')
  down = true
  server.clock.advance(11_000)
  const { status, body, headers } = await server.get('/thing/1', { headers: { 'if-none-match': '"v1"' } })
  t.match({ status, body, headers }, { status: 304, body: '', headers: { etag: '"v1"', age: '11' } })
  t.equal(headers['x-down'], undefined)
  t.equal(headers['x-hook'], 'its own')
  t.equal(headers['content-length'], undefined)
  t.equal(server.runs(), 2)
})

t.test('a handler that hangs until its time is up', async t => {
  const server = await broken(t, async () => { await new Promise(() => {}) }, { handlerTimeout: 50 })
  const answers = await Promise.all(times(10, server, '/thing/1').map(send => send()))
  t.strictSame(distinct(answers.map(({ status, body }) => [status, body])), [[200, '{"run":1}']])
  t.equal(server.runs(), 2)
})

t.test('who waited as long as it could is given what was kept, and the handler goes on', async t => {
  const opening = gate()
  const server = await broken(t, async () => { await opening.promise })
  const leader = server.get('/thing/1')
  await server.arrived(2)
  const follower = server.get('/thing/1')
  await server.arrived(3)
  await new Promise(resolve => setImmediate(resolve))
  server.clock.advance(30_000)
  t.match(await follower, { status: 200, body: '{"run":1}' })
  opening.open()
  await leader
  t.equal(server.runs(), 2)
})

t.test('the handler is tried again ever more seldom, and its recovery is noticed', async t => {
  const server = await broken(t, () => { throw new Error('down') })
  const tries: number[] = []
  let runs = server.runs()
  for (let second = 0; second < 200; second++) {
    t.equal((await server.get('/thing/1')).status, 200)
    if (server.runs() > runs) {
      runs = server.runs()
      tries.push(second)
    }
    server.clock.advance(1000)
  }
  t.strictSame(tries, [0, 1, 3, 7, 15, 31, 63, 123, 183])
  server.state.broken = false
  server.clock.advance(60_000)
  t.equal((await server.get('/thing/1')).body, `{"run":${runs + 1}}`)
  t.equal((await server.get('/thing/1')).body, `{"run":${runs + 1}}`)
  server.state.broken = true
  server.clock.advance(11_000)
  await server.get('/thing/1')
  server.clock.advance(1001)
  await server.get('/thing/1')
  t.equal(server.runs(), runs + 3, 'the pauses begin anew')
})

t.test('an error is kept for no longer than `negativeTtl` says, however long its handler had failed', async t => {
  for (const option of ['staleIfError', 'staleWhileRevalidate']) {
    let down = true
    const server = await keeping(t, {
      route: { ttl: '10s', [option]: '10m', negativeTtl: { 503: '2s' } },
      handler: (run, _request, reply) => down ? reply.code(503).send({ error: run }) : { run }
    })
    for (let tries = 1; tries <= 5; tries++) {
      t.match(await server.get('/thing/1'), { status: 503, body: `{"error":${tries}}` }, option)
      server.clock.advance(2000)
    }
    down = false
    t.match(await server.get('/thing/1'), { status: 200, body: '{"run":6}' }, option)
    await server.close()
  }
})

t.test('an error that must be told is told: what is not to be served stale is not', async t => {
  for (const value of ['must-revalidate', 'proxy-revalidate', 's-maxage=10']) {
    let down = false
    const server = await keeping(t, {
      route: ROUTE,
      handler: (run, _request, reply) => {
        if (down) throw new Error('down')
        reply.header('cache-control', value)
        return { run }
      }
    })
    await server.get('/thing/1')
    down = true
    server.clock.advance(11_000)
    t.equal((await server.get('/thing/1')).status, 500, value)
    await server.close()
  }
})

t.test('no client of 10,000 fails while the handler does', { timeout: 60_000 }, async t => {
  const kinds = Object.values(FAILURES)
  const server = await broken(t, async reply => await kinds[server.runs() % kinds.length]?.(reply))
  server.state.broken = false
  const first = new KeptConnection(server.port)
  const wanted = (await first.request('GET', '/thing/2', {})).split('\r\n\r\n')[1] as string
  server.state.broken = true
  server.clock.advance(11_000)
  const before = server.runs()
  let sent = 0
  const failed: string[] = []
  await Promise.all(Array.from({ length: 20 }, async () => {
    const connection = new KeptConnection(server.port)
    while (sent++ < 10_000) {
      if (sent % 10 === 0) server.clock.advance(20)
      const answer = await connection.request('GET', '/thing/2', {})
      if (!answer.startsWith('HTTP/1.1 200') || !answer.endsWith(wanted)) failed.push(answer)
    }
    connection.close()
  }))
  t.strictSame(failed.slice(0, 3), [])
  const tries = server.runs() - before
  t.ok(tries >= 4 && tries <= 5, `${tries} runs in 20 seconds`)
  server.state.broken = false
  server.clock.advance(60_000)
  t.notMatch(await first.request('GET', '/thing/2', {}), /^age:/im, 'and its recovery is noticed')
  first.close()
})

t.test('an outage of one key leaves the others to be tried', async t => {
  let down = false
  const server = await keeping(t, {
    route: ROUTE,
    handler: (run, request) => {
      if (down && (request.params as { id: string }).id === '1') throw new Error('down')
      return { run }
    }
  })
  await server.get('/thing/1')
  await server.get('/thing/2')
  down = true
  server.clock.advance(11_000)
  t.equal((await server.get('/thing/1')).body, '{"run":1}')
  t.equal((await server.get('/thing/2')).body, '{"run":4}')
  t.equal((await server.get('/thing/1')).body, '{"run":1}')
  t.equal(server.runs(), 4)
})

t.test('a leader whose time was up, and which fails as its successor begins, is given what was kept and counts once', async t => {
  let fail = (): void => {}
  const handler: Handler = (run, _request, reply) => {
    if (run === 2) return new Promise(resolve => { fail = () => { resolve(reply.code(500).send('down')) } })
    fail()
    return { run }
  }
  const server = await keeping(t, { route: { ...ROUTE, flightTimeout: '5s' }, handler })
  await server.get('/thing/1')
  server.clock.advance(11_000)
  const [leader, follower] = await queue(server, times(2, server, '/thing/1'))
  server.clock.advance(5000)
  t.match(await leader, { status: 200, body: '{"run":1}' })
  t.match(await follower, { status: 200, body: '{"run":3}' })
  t.strictSame(await outcomes(server.app), { 'leader shared': 2, 'leader flight-timeout': 1 })
  await grounded(server.app)
})
