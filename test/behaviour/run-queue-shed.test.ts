/**
 * "Where no run is to be had, all who wait for it get what is cached and stale, or the fallback, or 503 with Retry-After."
 */
import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import t, { type Test } from 'tap'
import { errorOf } from '../fixtures/crowd.js'
import { outcomes } from '../fixtures/endings.js'
import { until } from '../fixtures/gate.js'
import { protectedServer, type Protected, type ProtectedOptions } from '../fixtures/protected.js'
import type { Answer, Pending } from '../fixtures/server.js'

const CODES = { 'queue-full': 'FST_COALESCE_QUEUE_FULL', 'queue-timeout': 'FST_COALESCE_QUEUE_TIMEOUT', evicted: 'FST_COALESCE_QUEUE_FULL' } as const
type Reason = keyof typeof CODES

/** Has a run of `/run/a` be refused for a reason. Returns what all who waited for it got: where that can be, two. */
async function shed (server: Protected, reason: Reason): Promise<Answer[]> {
  const { app, clock, queue, runs } = server
  const before = app.coalesce.stats().totalRequests
  const { answer: other } = await server.begins('/run/other')
  const answers: Pending[] = []
  const rest: Pending[] = [other]
  if (reason === 'queue-full') {
    rest.push((await server.waits(1, '/run/first?p=high')).answer)
    answers.push(server.get('/run/a?p=low'))
    await server.arrived(before + 3)
  } else {
    answers.push((await server.waits(1, '/run/a?p=low')).answer)
    answers.push(server.get('/run/a?p=low'))
    await server.arrived(before + 3)
    if (reason === 'evicted') rest.push((await server.waits(1, '/run/first?p=high')).answer)
    else clock.advance(5000)
  }
  const got = await Promise.all(answers)
  for (const name of reason === 'queue-timeout' ? ['other'] : ['other', 'first']) {
    await until(() => runs.names.includes(name))
    runs.end(name)
  }
  await Promise.all(rest)
  await server.quiet()
  if (queue.running !== 0) throw new Error('not quiet')
  return got
}

/** A server that has a response for `/run/a` that is stale. */
async function stale (t: Test, options: ProtectedOptions = {}): Promise<Protected> {
  const server = await protectedServer(t, {
    ...options, queue: { maxQueued: 1 }, route: { ttl: '1s', staleIfError: '60s', cacheStatus: 'test', ...options.route }
  })
  const { answer } = await server.begins('/run/a')
  server.runs.end('a', 'stale')
  await answer
  server.clock.advance(2000)
  await server.quiet()
  return server
}

for (const reason of ['queue-full', 'queue-timeout', 'evicted'] as const) {
  t.test(`${reason}: 503 with Retry-After, for all on board`, async t => {
    const server = await protectedServer(t, { queue: { maxQueued: 1 } })
    const answers = await shed(server, reason)
    for (const { body, headers, status } of answers) {
      t.strictSame([status, headers['retry-after'], (JSON.parse(body) as { code: string }).code], [503, '1', CODES[reason]])
    }
    t.equal((await outcomes(server.app))[`shed ${reason}`], answers.length)
    t.notOk(server.runs.names.includes('a'))
    const { answer } = await server.begins('/run/a')
    server.runs.end('a')
    t.equal((await answer).body, 'a')
  })

  t.test(`${reason}: what is cached and stale, for all on board`, async t => {
    const server = await stale(t, { route: { fallback: () => 'fallback' } })
    const answers = await shed(server, reason)
    for (const { body, headers, status } of answers) {
      t.strictSame([status, body], [200, 'stale'])
      t.match(headers['cache-status'], reason)
    }
    t.equal((await outcomes(server.app))[`stale ${reason}`], answers.length)
  })

  t.test(`${reason}: not what has to be revalidated`, async t => {
    const server = await stale(t, {
      answer: async (result, _request, reply) => reply.header('cache-control', 'max-age=1, must-revalidate').send(result)
    })
    t.ok((await shed(server, reason)).every(({ status }) => status === 503))
  })

  t.test(`${reason}: the fallback, once for all on board`, async t => {
    const called: unknown[] = []
    const server = await protectedServer(t, {
      queue: { maxQueued: 1 },
      route: {
        ttl: '60s',
        fallback (request, reply, why) {
          called.push([request.url, why])
          return reply.code(203).send('fallback')
        }
      }
    })
    const answers = await shed(server, reason)
    t.ok(answers.every(({ body, status }) => status === 203 && body === 'fallback'))
    t.strictSame(called, [['/run/a', reason]])
    t.equal((await outcomes(server.app))['shed fallback'], answers.length)
    const { actualExecutions } = server.app.coalesce.stats()
    t.equal(actualExecutions, server.runs.names.length)
    // It is not cached.
    const { answer } = await server.begins('/run/a')
    server.runs.end('a')
    t.equal((await answer).body, 'a')
    await server.quiet()
  })
}

t.test('a request by itself is refused, or gets the fallback', async t => {
  for (const fallback of [undefined, () => 'fallback']) {
    const server = await protectedServer(t, { queue: { maxQueued: 0 }, route: { fallback } })
    const { answer: other } = await server.begins('/run/other')
    const answer = await server.get('/run/a', { headers: { authorization: 'Bearer a' } })
    t.strictSame([answer.status, answer.headers['retry-after']], fallback === undefined ? [503, '1'] : [200, undefined])
    t.equal((await outcomes(server.app))[fallback === undefined ? 'shed queue-full' : 'shed fallback'], 1)
    server.runs.end('other')
    await other
    await server.quiet()
    t.equal(server.app.coalesce.stats().actualExecutions, 1)
  }
})

t.test('a fallback may stream, and may throw, for all on board', async t => {
  const ways: ReadonlyArray<readonly [() => unknown, number, RegExp]> = [
    [() => Readable.from(['one ', 'two']), 200, /^one two$/],
    [() => { throw new Error('no fallback') }, 500, /no fallback/],
    [async () => { throw Object.assign(new Error('later'), { statusCode: 504 }) }, 504, /later/]
  ]
  for (const onError of ['share', 'promote'] as const) {
    for (const [fallback, status, body] of ways) {
      let called = 0
      const server = await protectedServer(t, { queue: { maxQueued: 1 }, route: { onError, fallback () { called++; return fallback() } } })
      const answers = await shed(server, 'queue-timeout')
      t.match(answers, [{ status, body }, { status, body }])
      t.equal(called, 1)
      t.strictSame(server.runs.names, ['other'])
    }
  }
})

t.test('those who were let go are refused one by one, or get a fallback each', async t => {
  for (const fallback of [undefined, async (_request: unknown, reply: FastifyReply) => reply.header('set-cookie', 'a=b').send('fallback')]) {
    const server = await protectedServer(t, {
      queue: { maxQueued: 2 },
      route: { fallback },
      answer: async (result, _request, reply) => reply.header('set-cookie', 'a=b').send(result)
    })
    const { runs } = server
    const { answer: leader } = await server.begins('/run/a')
    const answers = Array.from({ length: 6 }, () => server.get('/run/a'))
    await server.arrived(7)
    runs.end('a')
    for (let run = 2; run <= 3; run++) {
      await until(() => runs.names.length === run)
      runs.end('a')
    }
    const statuses = (await Promise.all(answers)).map(({ body, status }) => `${status} ${status === 200 ? body : ''}`).sort()
    const other = fallback === undefined ? '503 ' : '200 fallback'
    t.strictSame(statuses, ['200 a', '200 a', other, other, other, other].sort())
    await leader
    await server.quiet()
  }
})

t.test('a call is refused, gets what is stale, or the fallback, which is no run', async t => {
  const server = await protectedServer(t, { queue: { maxQueued: 0 } })
  const { app, clock, queue, runs } = server
  const plain = app.coalesce.deduplicate(async (name: string) => await runs.run(name), { name: 'plain', key: name => name, queue })
  const withFallback = app.coalesce.deduplicate(async (name: string) => await runs.run(name), {
    name: 'with-fallback', key: name => name, queue, fallback: (reason, name) => `${reason} ${name}`
  })
  const kept = app.coalesce.deduplicate(async (name: string) => await runs.run(name), {
    name: 'kept', key: name => name, queue, ttl: '1s', staleIfError: '60s', fallback: () => 'fallback'
  })
  const first = kept('kept')
  runs.end('kept', 'stale')
  t.equal(await first, 'stale')
  clock.advance(2000)
  const { answer: other } = await server.begins('/run/other')
  t.match(await errorOf(async () => await plain('a')), { code: 'FST_COALESCE_QUEUE_FULL', statusCode: 503 })
  t.strictSame(await Promise.all([withFallback('b'), kept('kept')]), ['queue-full b', 'stale'])
  runs.end('other')
  await other
  await server.quiet()
  t.equal(app.coalesce.stats().actualExecutions, 2)
})

t.test('a follower\'s patience ends while its run waits: no other run, but what is stale, or 503', async t => {
  for (const isStale of [false, true]) {
    const route = { waitTimeout: 1000, onWaitTimeout: 'run' } as const
    const server = isStale ? await stale(t, { route }) : await protectedServer(t, { route })
    const { app, clock, queue, runs } = server
    const before = app.coalesce.stats().totalRequests
    const { answer: other } = await server.begins('/run/other')
    const { answer: leader } = await server.waits(1, '/run/a')
    const follower = server.get('/run/a')
    await server.arrived(before + 3)
    clock.advance(1000)
    const { body, headers, status } = await follower
    t.strictSame([status, headers['retry-after']], isStale ? [200, undefined] : [503, '1'])
    if (isStale) t.equal(body, 'stale')
    t.strictSame([queue.running, queue.waiting], [1, 1])
    runs.end('other')
    await until(() => runs.underWay === 1)
    runs.end('a')
    t.equal((await leader).body, 'a')
    await other
    await server.quiet()
  }
})

t.test('a run that waits for one of its own queue is let go on by queueTimeout', async t => {
  const server = await protectedServer(t, {
    routes (app, { queue, runs }) {
      app.get('/nested', { config: { coalesce: { queue } } }, async () => {
        const inner = app.inject('/run/inner')
        runs.names.push('outer')
        return (await inner).statusCode
      })
    }
  })
  const { clock, queue } = server
  const answer = server.get('/nested')
  await until(() => queue.waiting === 1)
  clock.advance(5000)
  t.equal((await answer).body, '503')
  await server.quiet()
})

t.test('an app that closes answers those who wait for slots', async t => {
  const server = await protectedServer(t)
  const { app, runs } = server
  const once = { headers: { connection: 'close' } }
  const { answer: first } = await server.begins('/run/a', once)
  const { answer: second } = await server.waits(1, '/run/b', once)
  const closed = app.close()
  runs.end('a')
  await server.began('a', 'b')
  runs.end('b')
  t.strictSame([(await first).body, (await second).body], ['a', 'b'])
  await closed
  await server.quiet()
})
