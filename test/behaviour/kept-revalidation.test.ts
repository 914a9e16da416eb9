/**
 * "What is kept and has a validator is asked about; `304` makes it fresh again."
 */
import { Readable } from 'node:stream'
import etag from '@fastify/etag'
import t from 'tap'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import coalesce from '../../lib/index.js'
import { distinct, times } from '../fixtures/crowd.js'
import { gate, TestClock, until } from '../fixtures/gate.js'
import { keeping, type Handler, type Keeping } from '../fixtures/kept.js'
import { listen, serve } from '../fixtures/server.js'

const DATE = 'Wed, 01 Jan 2025 00:00:00 GMT'

/** Answers 304 to whoever has the version that there is, and notes what it was asked. */
function validating (asked: unknown[], more: Record<string, string> = {}): Handler {
  return (run, request, reply) => {
    const { 'if-none-match': tag, 'if-modified-since': since } = request.headers
    asked.push([tag, since])
    reply.headers({ etag: '"v1"', 'last-modified': DATE, 'x-run': String(run), ...more })
    return tag === '"v1"' ? reply.code(304).send() : { run }
  }
}

t.test('only the handler is asked; its client and those who wait get the whole, with the new headers, and it is fresh again', async t => {
  const asked: unknown[] = []
  const seen: unknown[] = []
  const look = (request: FastifyRequest): void => { seen.push(request.headers['if-none-match'] ?? request.headers['if-modified-since']) }
  const opening = gate()
  const handler = validating(asked)
  const server = await keeping(t, {
    before: app => {
      app.addHook('onRequest', async request => { look(request) })
      app.addHook('preHandler', async request => { look(request) })
      app.addHook('preSerialization', async (request, _reply, payload) => { look(request); return payload })
      app.addHook('onSend', async request => { look(request) })
      app.addHook('onResponse', async request => { look(request) })
    },
    handler: async (run, request, reply) => {
      if (run === 2) await opening.promise
      return await handler(run, request, reply)
    }
  })
  await server.get('/thing/1')
  server.clock.advance(61_000)
  const answers = times(5, server, '/thing/1').map(send => send())
  await server.arrived(6)
  opening.open()
  t.strictSame(distinct((await Promise.all(answers)).map(({ status, body, headers }) => [status, body, headers['x-run'], headers.age])), [[200, '{"run":1}', '2', undefined]])
  server.clock.advance(59_000)
  t.match(await server.get('/thing/1'), { status: 200, body: '{"run":1}', headers: { 'x-run': '2', age: '59', 'content-length': '9' } })
  t.strictSame(asked, [[undefined, undefined], ['"v1"', DATE]])
  t.strictSame(distinct(seen), [undefined])
})

t.test('a client that has conditions of its own is answered by them', async t => {
  for (const [own, wanted] of [['"v1"', { status: 304, body: '' }], ['"v0"', { status: 200, body: '{"run":2}' }]] as const) {
    const asked: unknown[] = []
    const server = await keeping(t, { handler: validating(asked) })
    await server.get('/thing/1')
    server.clock.advance(61_000)
    t.match(await server.get('/thing/1', { headers: { 'if-none-match': own } }), wanted)
    t.strictSame(asked.at(-1), [own, undefined])
    await server.close()
  }
})

for (const [kept, answered] of [['"v1"', '"v2"'], [undefined, '"v1"']] as const) {
  t.test(`a 304 that is about ${answered} where ${kept ?? 'what has no tag'} is kept: nobody who did not ask is given it, and nothing is kept of it`, async t => {
    const server = await keeping(t, {
      before: app => { app.addHook('onRequest', async (request, reply) => { reply.header('x-hook', request.headers['x-request-id'] ?? 'none') }) },
      handler: (run, _request, reply) => {
        reply.header('last-modified', DATE)
        if (run === 2) return reply.headers({ etag: answered, 'x-hook': 'down' }).code(304).send()
        if (kept !== undefined) reply.header('etag', kept)
        return { run }
      }
    })
    await server.get('/thing/1')
    server.clock.advance(61_000)
    t.match(await server.get('/thing/1', { headers: { 'x-request-id': 'own' } }),
      { status: 200, body: '{"run":1}', headers: { etag: kept, 'last-modified': DATE, age: '61', 'x-hook': 'own' } })
    t.match(await server.get('/thing/1'), { status: 200, body: '{"run":3}', headers: { age: undefined } })
    t.match(await server.get('/thing/1'), { status: 200, body: '{"run":3}', headers: { age: '0' } }, 'and what comes next is')
  })
}

t.test('who waits for a 304 that is about something else runs by itself, and a refresh that comes to one keeps nothing', async t => {
  const opening = gate()
  const server = await keeping(t, {
    route: { staleWhileRevalidate: '10s' },
    handler: async (run, request, reply) => {
      const tag = request.headers['if-none-match']
      if (run === 2) await opening.promise
      return tag === undefined ? await reply.header('etag', `"v${run}"`).send({ run }) : await reply.header('etag', '"other"').code(304).send()
    }
  })
  await server.get('/thing/1')
  server.clock.advance(71_000)
  const answers = times(3, server, '/thing/1').map(send => send())
  await server.arrived(4)
  opening.open()
  t.strictSame((await Promise.all(answers)).map(({ status, body }) => [status, body]).sort(), [[200, '{"run":1}'], [200, '{"run":3}'], [200, '{"run":4}']])
  await server.get('/thing/1')
  server.clock.advance(61_000)
  t.equal((await server.get('/thing/1')).body, '{"run":5}')
  await until(() => server.runs() === 6)
  t.equal((await server.get('/thing/1')).body, '{"run":7}')
})

for (const [what, lose] of Object.entries<(server: Keeping) => void>({
  'has taken too long': server => { server.clock.advance(6_000) },
  'is not shared any more': server => { server.app.coalesce.disable() }
})) {
  t.test(`the 304 of a run that ${what} is given to nobody who did not ask`, async t => {
    for (const [tag, told] of [['"v1"', { age: undefined, 'x-run': '2' }], ['"v2"', { age: /^6[17]$/, 'x-run': '1' }]] as const) {
      const opening = gate()
      const server = await keeping(t, {
        route: { flightTimeout: '5s' },
        handler: async (run, _request, reply) => {
          reply.header('x-run', String(run))
          if (run === 1) return await reply.header('etag', '"v1"').send({ run })
          await opening.promise
          return await reply.header('etag', tag).code(304).send()
        }
      })
      await server.get('/thing/1')
      server.clock.advance(61_000)
      const answer = server.get('/thing/1')
      await until(() => server.runs() === 2)
      lose(server)
      opening.open()
      t.match(await answer, { status: 200, body: '{"run":1}', headers: { etag: '"v1"', ...told } }, tag)
    }
  })
}

t.test('a server that makes its tag weak when it compresses, and says it as it is with 304, is understood', async t => {
  const server = await keeping(t, {
    handler: (run, request, reply) => request.headers['if-none-match'] === 'W/"v1"'
      ? reply.headers({ etag: '"v1"', 'x-run': String(run) }).code(304).send()
      : reply.header('etag', 'W/"v1"').send({ run })
  })
  await server.get('/thing/1')
  server.clock.advance(61_000)
  for (const who of ['its client', 'who comes later']) {
    t.match(await server.get('/thing/1'), { status: 200, body: '{"run":1}', headers: { etag: 'W/"v1"', 'x-run': '2' } }, who)
  }
  t.equal(server.runs(), 2)
})

t.test('a QUERY is asked about as a GET is, and a POST is not: to that the answer would be 412', async t => {
  const asked: unknown[] = []
  const clock = new TestClock()
  const server = await serve(t, app => {
    app.route({
      method: ['QUERY', 'POST'],
      url: '/search',
      config: { coalesce: { ttl: '60s', body: true } },
      handler: async (request, reply) => {
        const tag = request.headers['if-none-match']
        asked.push(tag)
        reply.header('etag', '"v1"')
        return tag === '"v1"' ? await reply.code(request.method === 'QUERY' ? 304 : 412).send() : { found: 1 }
      }
    })
  }, { clock })
  for (const method of ['QUERY', 'POST']) {
    for (const wait of [0, 61_000]) {
      clock.advance(wait)
      t.match(await server.get('/search', { method, headers: { 'content-type': 'application/json' }, body: '{"q":1}' }), { status: 200, body: '{"found":1}' }, method)
    }
  }
  t.strictSame(asked, [undefined, '"v1"', undefined, undefined])
})

t.test('an error or a redirect is not asked about: it may have the tag of what should have been there, and 304 would be about that', async t => {
  for (const status of [302, 404, 500]) {
    const server = await keeping(t, {
      route: { negativeTtl: { 404: '5s', 500: '5s' }, statuses: [302] },
      handler: async (run, request, reply) => {
        reply.header('etag', '"v1"')
        if (run === 1) return await reply.code(status).send({ status })
        return request.headers['if-none-match'] === '"v1"' ? await reply.code(304).send() : { run }
      }
    })
    t.equal((await server.get('/thing/1')).status, status)
    server.clock.advance(61_000)
    t.match(await server.get('/thing/1'), { status: 200, body: '{"run":2}' }, String(status))
  }
})

t.test('what 304 says of bytes that it does not have is not said of those that are kept', async t => {
  const other = await keeping(t, {
    handler: (run, _request, reply) => run === 1
      ? reply.header('etag', '"v1"').type('text/plain').send('the whole')
      : reply.headers({ etag: '"v1"', 'content-encoding': 'gzip', 'content-length': '0', 'content-range': 'bytes 0-1/2' }).code(304).send()
  })
  await other.get('/thing/1')
  other.clock.advance(61_000)
  for (const who of ['its client', 'who comes later']) {
    const { body, headers } = await other.get('/thing/1')
    t.equal(body, 'the whole', who)
    t.match(headers, { 'content-length': '9', 'content-encoding': undefined, 'content-range': undefined, 'content-type': 'text/plain' })
  }
  t.equal(other.runs(), 2)
})

t.test('the stream of a 304 is let go of, which may hold the connection to an upstream', async t => {
  const streams: Readable[] = []
  const server = await keeping(t, {
    handler: (run, _request, reply) => {
      reply.header('etag', '"v1"')
      if (run === 1) return { run }
      streams.push(new Readable({ read () {}, destroy (error, done) { done(error ?? new Error('aborted')) } }))
      return reply.code(304).send(streams[0])
    }
  })
  await server.get('/thing/1')
  server.clock.advance(61_000)
  t.match(await server.get('/thing/1'), { status: 200, body: '{"run":1}' })
  t.strictSame(streams.map(({ destroyed }) => destroyed), [true])
})

t.test('that it was asked counts as no dependence on the conditions of its client', async t => {
  const server = await keeping(t, { handler: validating([]) })
  await server.get('/thing/1')
  server.clock.advance(61_000)
  await server.get('/thing/1')
  await server.get('/thing/1')
  t.equal(server.runs(), 2)
  t.equal(server.app.coalesce.entries().length, 1)
})

t.test('@fastify/etag, registered before or after, is not asked in the place of the handler', async t => {
  for (const place of ['before', 'after'] as const) {
    const clock = new TestClock()
    const app = Fastify() as unknown as FastifyInstance
    if (place === 'before') await app.register(etag)
    await app.register(coalesce, { clock })
    if (place === 'after') await app.register(etag)
    let runs = 0
    app.get('/', { config: { coalesce: { ttl: '60s' } } }, async () => {
      runs++
      return { same: true }
    })
    const server = await listen(t, app)
    const first = await server.get('/')
    t.match(first.headers.etag, /^"/)
    clock.advance(61_000)
    t.match(await server.get('/'), { status: 200, body: first.body, headers: { etag: first.headers.etag } }, place)
    t.match(await server.get('/'), { status: 200, body: first.body, headers: { etag: first.headers.etag } }, place)
    t.match(await server.get('/', { headers: { 'if-none-match': String(first.headers.etag) } }), { status: 304 }, place)
    t.equal(runs, 2, place)
  }
})

t.test('an answer that is another one is all that hooks after the handler see', async t => {
  const seen: unknown[] = []
  const server = await keeping(t, {
    before: app => {
      app.addHook('preSerialization', async (request, _reply, payload) => {
        seen.push(request.headers['if-none-match'] ?? null)
        return payload
      })
    },
    handler: (run, _request, reply) => reply.header('etag', `"v${run}"`).send({ run })
  })
  await server.get('/thing/1')
  server.clock.advance(61_000)
  t.match(await server.get('/thing/1'), { body: '{"run":2}', headers: { etag: '"v2"' } })
  t.match(await server.get('/thing/1'), { body: '{"run":2}', headers: { etag: '"v2"' } })
  t.strictSame(seen, [null, null])
})

t.test('a handler that was asked and fails tells nobody what it was asked', async t => {
  let seen: unknown = 'nothing'
  const server = await keeping(t, {
    before: app => { app.addHook('onError', async request => { seen = request.headers['if-none-match'] }) },
    handler: (run, _request, reply) => {
      if (run > 1) throw new Error('down')
      return reply.header('etag', '"v1"').send({ run })
    }
  })
  await server.get('/thing/1')
  server.clock.advance(61_000)
  t.equal((await server.get('/thing/1')).status, 500)
  t.equal(seen, undefined)
})

t.test('a field of several lines that a 304 brings takes the place of the kept ones', async t => {
  const server = await keeping(t, {
    handler: (run, _request, reply) => run === 1
      ? reply.headers({ etag: '"v1"', 'x-list': ['a', 'b'] }).send({ run })
      : reply.headers({ etag: '"v1"', 'x-list': ['c', 'd'] }).code(304).send()
  })
  await server.get('/thing/1')
  server.clock.advance(61_000)
  for (const who of ['its client', 'who comes later']) {
    t.match(await server.get('/thing/1'), { status: 200, body: '{"run":1}', headers: { 'x-list': 'c, d' } }, who)
  }
  t.equal(server.runs(), 2)
})

t.test('a handler that was asked and takes the response into its own hands is not asked any more, and nothing of it is kept', async t => {
  const asked: unknown[] = []
  const server = await keeping(t, {
    handler: (run, request, reply) => {
      if (run !== 2) return reply.header('etag', '"v1"').send({ run })
      asked.push(request.headers['if-none-match'])
      reply.hijack()
      asked.push(request.headers['if-none-match'])
      return reply.raw.end('its own')
    }
  })
  await server.get('/thing/1')
  server.clock.advance(61_000)
  t.equal((await server.get('/thing/1')).body, 'its own')
  t.strictSame(asked, ['"v1"', undefined])
  t.equal((await server.get('/thing/1')).body, '{"run":3}')
})
