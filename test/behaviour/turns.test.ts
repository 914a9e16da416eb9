/**
 * Those who run by themselves take turns, and one that has begun to answer does not keep the others from theirs, however long
 * its answer takes.
 *
 * No clock moves here, so a place that is not given back is never free again.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import t from 'tap'
import { held, queue, times } from '../fixtures/crowd.js'
import { grounded, outcomes } from '../fixtures/endings.js'
import { gate, TestClock, until } from '../fixtures/gate.js'
import { serve } from '../fixtures/server.js'

const CLIENTS = 7

const begins: Record<string, (reply: FastifyReply) => unknown> = {
  hijacks: reply => { reply.hijack() },
  'hijacks and sends its headers': reply => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
  },
  'sends its headers past reply': async reply => {
    reply.raw.writeHead(200).flushHeaders()
    return await new Promise<never>(() => {})
  },
  'writes past reply': async reply => {
    reply.raw.write('begun ')
    return await new Promise<never>(() => {})
  },
  'sends a stream that has no end': reply => reply.send(new Readable({ read () {} }))
}

for (const hook of ['onRequest', 'preHandler'] as const) {
  for (const [name, begin] of Object.entries(begins)) {
    t.test(`a handler that ${name} lets the next one run, parked at ${hook}`, async t => {
      const replies: FastifyReply[] = []
      const opening = gate()
      const server = await serve(t, app => {
        app.get('/', { config: { coalesce: { hook, releaseConcurrency: 2 } } }, async (_request, reply) => {
          replies.push(reply)
          await opening.promise
          // What is sent is never shared here: it is not that which lets the others go.
          reply.header('cache-control', 'no-store')
          return await begin(reply)
        })
      }, { clock: new TestClock() })
      const answers = await queue(server, times(CLIENTS, server, '/'))
      opening.open()
      await until(() => replies.length === CLIENTS, 'all runs')
      for (const { raw } of replies) raw.end('ended')
      t.strictSame((await Promise.all(answers)).map(({ status }) => status), Array(CLIENTS).fill(200))
      await grounded(server.app)
    })
  }
}

t.test('a handler that has begun nothing keeps its turn', async t => {
  const handler = held((_request, reply) => reply.header('cache-control', 'no-store').send('answer'))
  const waiting: Array<() => void> = []
  let runs = 0
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: { releaseConcurrency: 2 } } }, async (request, reply) => {
      if (++runs > 1) await new Promise<void>(resolve => { waiting.push(resolve) })
      return await handler(request, reply)
    })
  }, { clock: new TestClock() })
  const answers = await queue(server, times(CLIENTS, server, '/'))
  handler.gate.open()
  await until(() => waiting.length === 2, 'two turns')
  for (let turns = 0; turns < 20; turns++) await turn()
  t.equal(runs, 3)
  await until(() => {
    waiting.shift()?.()
    return runs === CLIENTS && waiting.length === 0
  }, 'all runs')
  await Promise.all(answers)
})

for (const [name, answer] of Object.entries<(reply: FastifyReply) => void>({
  'sends it': reply => { reply.send('elsewhere') },
  'hijacks it': reply => {
    reply.hijack()
    reply.raw.end('elsewhere')
  },
  'ends it past reply': reply => { reply.raw.end('elsewhere') }
})) {
  t.test(`a request whose reply something else answers while it waits for its turn is not run: it ${name}`, async t => {
    const handler = held((_request, reply) => reply.header('cache-control', 'no-store').send('answer'))
    const [second, third] = [held(), held()]
    let parked: FastifyReply | undefined
    const server = await serve(t, app => {
      app.addHook('onRequest', async (request, reply) => { if (request.headers['x-request-id'] !== undefined) parked = reply })
      let runs = 0
      app.get('/', { config: { coalesce: { releaseConcurrency: 1 } } }, async (request, reply) => {
        const run = ++runs
        if (run === 2) await second(request, reply)
        if (run === 3) await third(request, reply)
        return await handler(request, reply)
      })
    }, { clock: new TestClock() })
    const [first, runs, waits, last] = await queue(server, [
      ...times(2, server, '/'), ...times(1, server, '/', { headers: { 'x-request-id': '1' } }), ...times(1, server, '/')
    ])
    handler.gate.open()
    await until(() => second.runs === 1, 'the second run')
    answer(parked as FastifyReply)
    t.match(await waits, { body: 'elsewhere' })
    second.gate.open()
    await until(() => third.runs === 1, 'the third run')
    third.gate.open()
    t.match(await Promise.all([first, runs, last]), Array(3).fill({ body: 'answer' }))
    t.equal(handler.runs, 3)
    t.strictSame(await outcomes(server.app), { 'leader no-store': 1, 'alone no-store': 2, 'follower answered-elsewhere': 1 })
    await grounded(server.app)
  })
}
