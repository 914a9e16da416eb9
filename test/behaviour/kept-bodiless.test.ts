/**
 * A response that has no body is complete with its headers, also where it is sent as a stream, as proxies do.
 */
import { PassThrough, Readable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import t from 'tap'
import { queue, times } from '../fixtures/crowd.js'
import { grounded } from '../fixtures/endings.js'
import { until } from '../fixtures/gate.js'
import { keeping } from '../fixtures/kept.js'

const PAYLOADS: Record<string, () => unknown> = {
  'a stream that has ended': () => Readable.from([]),
  'a stream that ends later': () => {
    const stream = new PassThrough()
    setImmediate(() => { stream.end() })
    return stream
  },
  'a stream that does not end': () => new PassThrough(),
  'a stream with bytes': () => Readable.from(['never sent']),
  'a stream that fails': () => new Readable({ read () { this.destroy(new Error('broken')) } }),
  'a web stream': () => new ReadableStream({ start (controller) { controller.close() } })
}

for (const [what, payload] of Object.entries(PAYLOADS)) {
  t.test(`a 204 that is sent as ${what} is kept when it is asked for alone`, async t => {
    const server = await keeping(t, { handler: (_run, _request, reply) => reply.code(204).headers({ 'x-own': 'yes', 'content-type': 'text/plain' }).send(payload()) })
    for (let requests = 0; requests < 3; requests++) {
      const { status, headers, body } = await server.get('/thing/1')
      t.same([status, headers['x-own'], headers['content-type'], headers['content-length'], body], [204, 'yes', undefined, undefined, ''])
    }
    t.equal(server.runs(), 1)
    t.equal(server.hits(), 2)
    await grounded(server.app)
  })
}

t.test('a 204 that is sent as a stream is shared at once, and its source is read to the end', async t => {
  const sources: PassThrough[] = []
  const server = await keeping(t, {
    handler: async (_run, _request, reply) => {
      const source = new PassThrough()
      sources.push(source)
      await until(() => server.app.coalesce.stats().totalRequests === 3)
      return await reply.code(204).send(source)
    }
  })
  const answers = await queue(server, times(3, server, '/thing/1'))
  t.same((await Promise.all(answers)).map(({ status, body }) => [status, body]), Array(3).fill([204, '']))
  t.equal(server.runs(), 1)
  const [source] = sources
  source?.end('ignored')
  await until(() => source?.readableEnded === true)
})

t.test('a refresh in the background that brings a 204 as a stream is kept', async t => {
  const server = await keeping(t, {
    route: { ttl: '10s', staleWhileRevalidate: '60s' },
    handler: (run, _request, reply) => reply.code(204).header('x-run', String(run)).send(new PassThrough().end())
  })
  await server.get('/thing/1')
  server.clock.advance(11_000)
  t.equal((await server.get('/thing/1')).headers['x-run'], '1')
  await until(() => server.runs() === 2)
  await until(() => server.app.coalesce.stats().actualExecutions === 2)
  for (let turns = 0; turns < 20; turns++) await new Promise(resolve => setImmediate(resolve))
  t.equal((await server.get('/thing/1')).headers['x-run'], '2')
  t.equal(server.runs(), 2)
})
