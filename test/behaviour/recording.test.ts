import { Readable, Stream } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import t, { type Test } from 'tap'
import coalesce from '../../lib/index.js'
import type { CoalesceOptions } from '../../types/index.js'
import { distinct, held, meet, queue, times } from '../fixtures/crowd.js'
import { gate } from '../fixtures/gate.js'
import { listen, metric, serve, type Answer } from '../fixtures/server.js'

const CONNECTION = new Set(['date', 'connection', 'keep-alive', 'content-length', 'transfer-encoding'])

/** What an answer says, without what belongs to its connection. */
function content ({ status, headers, body }: Answer) {
  return { status, body, headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !CONNECTION.has(name))) }
}

/** Sends five requests to a handler; each must be answered as a request is without the plugin. */
async function shared (t: Test, answer: (reply: FastifyReply) => unknown, method = 'GET', options: CoalesceOptions = {}): Promise<Answer> {
  const handler = held((_request, reply) => answer(reply))
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, handler)
    app.get('/bare', async (_request, reply) => await answer(reply))
  }, options)
  // A GET leads, whatever follows.
  const waiting = await queue(server, [() => server.get('/'), ...times(4, server, '/', { method })])
  handler.gate.open()
  const answers = (await Promise.all(waiting)).slice(method === 'GET' ? 0 : 1)
  const bare = content(await server.get('/bare', { method }))
  const forget = (error: string): string => error.replaceAll('/bare', '/')
  t.strictSame(distinct(answers.map(content)), [{ ...bare, body: forget(bare.body) }])
  t.equal(handler.runs, 1)
  t.match(server.app.coalesce.stats(), { totalRequests: 5, deduplicatedRequests: 4, actualExecutions: 1 })
  t.equal(await metric(server.app, 'coalesce_recorded_bytes'), 0)
  return answers.at(-1) as Answer
}

const text = 'Übergröße 🐘'

const payloads: ReadonlyArray<readonly [string, (reply: FastifyReply) => unknown]> = [
  ['an object', () => ({ text, list: [1, null] })],
  ['an array', () => [1, 2]],
  ['a string', () => text],
  ['an empty string', () => ''],
  ['a number', reply => reply.type('application/json').send(42)],
  ['a string with a type', reply => reply.type('text/html; charset=utf-8').send(`<p>${text}</p>`)],
  ['a Buffer', () => Buffer.from(text)],
  ['a Uint8Array', () => new TextEncoder().encode(text)],
  ['a typed Buffer', reply => reply.type('image/png').send(Buffer.from(text))],
  ['null', () => null],
  ['nothing', reply => reply.send()],
  ['204', reply => reply.code(204).send()],
  ['a redirect', reply => reply.redirect('/elsewhere', 301)],
  ['404', reply => reply.callNotFound()],
  ['a thrown Error', () => { throw new Error('boom') }],
  ['a thrown Error with a status', () => { throw Object.assign(new Error('gone'), { statusCode: 410 }) }],
  ['a sent Error', reply => reply.code(503).send(new Error('later'))],
  ['a 500 by hand', reply => reply.code(500).send({ sorry: true })],
  ['a Node stream', () => Readable.from([Buffer.from('a'), Buffer.from(text), Buffer.from('c')])],
  ['a Node stream of strings', () => Readable.from(['a', text, 'c'])],
  ['an empty Node stream', () => Readable.from([])],
  ['a typed Node stream', reply => reply.type('text/csv').send(Readable.from(['a,b\n', '1,2\n']))],
  ['a web stream', () => new ReadableStream({ start (controller) { controller.enqueue(new TextEncoder().encode(text)); controller.close() } })],
  ['a Response', () => new Response(text, { status: 203, headers: { 'content-type': 'text/x-elephant', 'x-from': 'response' } })],
  ['a header that is a Date', reply => reply.header('last-modified', new Date(0)).send(text)],
  ['a header that is a URL', reply => reply.header('content-location', new URL('http://localhost/here')).send(text)],
  ['a header that is null', reply => reply.header('x-null', null).header('x-nulls', [null, 1]).send(text)],
  ['a Cache-Control that is an object', reply => reply.header('cache-control', { toString: () => 'max-age=5' }).send(text)],
  ['a Vary that is an object', reply => reply.header('vary', { toString: () => 'accept' }).send(text)],
  ['text without a type', reply => reply.serializer(payload => `own:${JSON.stringify(payload)}`).send({ text })],
  ['bytes without a type', reply => reply.serializer((() => Buffer.from(text)) as never).send({ text })],
  ['a Response without a body', () => new Response(null, { status: 204, headers: { 'x-from': 'response' } })]
]

for (const [name, answer] of payloads) {
  t.test(`${name} reaches every client as it would without the plugin`, async t => { await shared(t, answer) })
}

for (const [name, answer] of payloads.filter(([name]) => ['an object', 'a Buffer', 'a Node stream', 'a web stream', 'nothing'].includes(name))) {
  t.test(`${name} answers HEAD as it would without the plugin`, async t => {
    const { body } = await shared(t, answer, 'HEAD')
    t.equal(body, '')
  })
}

t.test('a Buffer that the handler uses again does not change what followers get', async t => {
  const buffer = Buffer.from('first')
  const handler = held(() => buffer)
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, handler)
    // The leader's response is on its way when this is called, and followers have not been sent theirs.
    app.addHook('onSend', async (request, _reply, payload) => {
      if (request.coalesce?.outcome === 'follower') buffer.fill('x')
      return payload
    })
  })
  const waiting = await queue(server, times(4, server, '/'))
  handler.gate.open()
  const answers = await Promise.all(waiting)
  t.strictSame(answers.slice(1).map(({ body }) => body), ['first', 'first', 'first'])
  t.equal(buffer.toString(), 'xxxxx')
})

t.test('chunks that a stream uses again do not change what followers get', async t => {
  const chunk = Buffer.alloc(5)
  const handler = held(() => Readable.from((async function * () {
    for (const word of ['first', 'again', 'third']) {
      chunk.write(word)
      yield chunk
    }
  })(), { highWaterMark: 1 }))
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const answers = await meet(server, handler, times(3, server, '/'))
  t.strictSame(answers.map(({ body }) => body), Array(3).fill('firstagainthird'))
})

for (const order of ['before', 'after'] as const) {
  t.test(`an onSend hook that was added ${order} the plugin makes something of each client's body, once`, async t => {
    const handler = held(() => 'body')
    const app = Fastify() as unknown as FastifyInstance
    if (order === 'after') await app.register(coalesce)
    app.addHook('onSend', async (request, reply, payload) => {
      reply.header('x-own', String(request.headers['x-name']))
      return `<${String(payload)}>`
    })
    if (order === 'before') await app.register(coalesce)
    app.get('/', { config: { coalesce: { ttl: '1m' } } }, handler)
    const server = await listen(t, app)
    const names = ['a', 'b', 'c']
    const waiting = await queue(server, names.map(name => () => server.get('/', { headers: { 'x-name': name } })))
    handler.gate.open()
    const answers = [...await Promise.all(waiting), await server.get('/', { headers: { 'x-name': 'd' } })]
    t.strictSame(answers.map(({ body, headers }) => [body, headers['x-own']]), [...names, 'd'].map(name => ['<body>', name]))
    t.equal(handler.runs, 1)
  })
}

t.test('each follower has headers of its own', async t => {
  const handler = held((_request, reply) => reply.header('x-list', ['a', 'b']).send('body'))
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, handler)
    app.addHook('onSend', async (_request, reply, payload) => {
      (reply.getHeader('x-list') as unknown as string[]).push('own')
      return payload
    })
  })
  const answers = await meet(server, handler, times(4, server, '/'))
  t.strictSame(distinct(answers.map(({ headers }) => headers['x-list'])), ['a, b, own'])
})

for (const [kind, payload] of [
  ['text', () => 'x'.repeat(1001)],
  ['bytes', () => Buffer.alloc(1001, 'x')],
  ['a stream', () => Readable.from(['x'.repeat(500), 'x'.repeat(501)])],
  ['a stream that says its length', (reply: FastifyReply) => reply.header('content-length', 1001).send(Readable.from(['x'.repeat(1001)]))]
] as const) {
  t.test(`followers of a body over maxBodyBytes run for themselves: ${kind}`, async t => {
    const handler = held((_request, reply) => payload(reply))
    const server = await serve(t, app => { app.get('/', { config: { coalesce: { maxBodyBytes: 1000 } } }, handler) })
    const answers = await meet(server, handler, times(3, server, '/'))
    t.strictSame(distinct(answers.map(({ status, body }) => [status, body])), [[200, 'x'.repeat(1001)]])
    t.equal(handler.runs, 3)
    t.equal(await metric(server.app, 'coalesce_requests_total', { outcome: 'alone', reason: 'too-large' }), 2)
    t.equal(await metric(server.app, 'coalesce_recorded_bytes'), 0)
  })
}

t.test('a body of maxBodyBytes is shared', async t => {
  await shared(t, () => 'x'.repeat(1000), 'GET', { maxBodyBytes: 1000 })
  await shared(t, () => Readable.from(['x'.repeat(500), 'x'.repeat(500)]), 'GET', { maxBodyBytes: 1000 })
})

t.test('bytes that are being recorded are counted and capped', async t => {
  const [chunk, end, other] = [gate(), gate(), gate()]
  let runs = 0
  const source = async function * () {
    yield 'x'.repeat(600)
    // A generator is asked for more after what it gave was taken; by then it was recorded.
    setImmediate(chunk.open)
    await end.promise
    yield 'y'
  }
  const server = await serve(t, app => {
    app.get('/:id', { config: { coalesce: true } }, async () => {
      runs++
      if (runs === 1) return Readable.from(source())
      await other.promise
      return Readable.from(['z'.repeat(600)])
    })
  }, { maxRecordedBytes: 1000 })
  const first = await queue(server, times(2, server, '/1'))
  const second = await queue(server, times(2, server, '/2'))
  await chunk.promise
  t.equal(await metric(server.app, 'coalesce_recorded_bytes'), 600)
  other.open()
  await Promise.all(second)
  t.equal(runs, 3, 'there was no room for the second recording, and its follower ran for itself')
  end.open()
  t.strictSame(distinct((await Promise.all(first)).map(({ body }) => body.length)), [601])
  t.equal(runs, 3)
  t.equal(await metric(server.app, 'coalesce_recorded_bytes'), 0)
})

t.test('a stream is recorded at its own pace, however slow the leader\'s client is', async t => {
  const handler = held(() => Readable.from((function * () { for (let i = 0; i < 64; i++) yield Buffer.alloc(65_536, i) })()))
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const { promise: stalled, open } = gate()
  const leader = server.get('/')
  leader.request.removeAllListeners('response')
  leader.request.on('response', response => { response.pause(); open() })
  await server.arrived(1)
  const followers = await queue(server, times(2, server, '/'))
  handler.gate.open()
  const answers = await Promise.all(followers)
  await stalled
  t.strictSame(answers.map(({ body }) => body.length), [64 * 65_536, 64 * 65_536])
  t.equal(handler.runs, 1)
  leader.catch(() => {})
  leader.request.destroy()
})

t.test('a stream that is cut off is nobody\'s recording', async t => {
  let runs = 0
  const opening = gate()
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async () => {
      const run = ++runs
      await opening.promise
      return run === 1
        ? Readable.from((async function * () { yield 'half'; throw new Error('cut') })())
        : Readable.from(['half', 'whole'])
    })
  })
  const [leader, ...followers] = await queue(server, times(4, server, '/'))
  const left = leader?.then(() => 'answered', () => 'cut off')
  opening.open()
  t.strictSame(distinct((await Promise.all(followers)).map(({ status, body }) => [status, body])), [[200, 'halfwhole']])
  t.equal(await left, 'cut off')
  t.equal(runs, 2)
})

t.test('an error is shared with those who wait and never kept', async t => {
  let runs = 0
  const opening = gate()
  const server = await serve(t, (app: FastifyInstance) => {
    app.setErrorHandler(async (error, _request, reply) => await reply.code(502).header('x-handled', 'yes').send({ message: (error as Error).message }))
    app.get('/', { config: { coalesce: true } }, async () => {
      runs++
      await opening.promise
      if (runs === 1) throw new Error('boom')
      return 'fine'
    })
  })
  const answers = await queue(server, times(5, server, '/'))
  opening.open()
  t.strictSame(distinct((await Promise.all(answers)).map(({ status, headers, body }) => [status, headers['x-handled'], body])),
    [[502, 'yes', '{"message":"boom"}']])
  t.equal(runs, 1)
  t.equal((await server.get('/')).body, 'fine')
  t.equal(runs, 2)
})

t.test('a response is serialized once, by its schema or by the serializer that a hook chose', async t => {
  let serialized = 0
  const bySchema = held(() => ({ seen: 1, hidden: 2 }))
  const byHook = held(() => ({ seen: 1 }))
  const server = await serve(t, app => {
    const response = { 200: { type: 'object', properties: { seen: { type: 'integer' } } } }
    app.get('/schema', { config: { coalesce: true }, schema: { response } }, bySchema)
    app.get('/hook', {
      config: { coalesce: true },
      onRequest: async (_request, reply) => {
        reply.serializer((payload: unknown) => {
          serialized++
          return `own:${JSON.stringify(payload)}`
        })
      }
    }, byHook)
  })
  t.strictSame(distinct((await meet(server, bySchema, times(3, server, '/schema'))).map(({ body }) => body)), ['{"seen":1}'])
  t.strictSame(distinct((await meet(server, byHook, times(3, server, '/hook'))).map(({ body }) => body)), ['own:{"seen":1}'])
  t.equal(serialized, 1)
})

t.test('a hook that fails for a follower leaves the error to be serialized as ever', async t => {
  const byHook = (payload: unknown): string => `own:${JSON.stringify(payload)}`
  const handler = held(() => ({ seen: 1 }))
  const server = await serve(t, app => {
    app.setErrorHandler(async (error: Error, _request, reply) => await reply.code(500).send({ message: error.message }))
    app.addHook('onRequest', async ({ headers }, reply) => { if (headers['user-agent'] === 'own') reply.serializer(byHook) })
    const failed = new WeakSet<FastifyReply>()
    app.addHook('onSend', async ({ headers }, reply, payload) => {
      if (headers.referer === undefined || failed.has(reply)) return payload
      failed.add(reply)
      throw new Error('broken')
    })
    app.get('/', { config: { coalesce: true } }, handler)
  })
  const ask = (headers: Record<string, string>) => () => server.get('/', { headers })
  const answers = await meet(server, handler, [ask({}), ask({ referer: 'http://localhost' }), ask({ referer: 'http://localhost', 'user-agent': 'own' })])
  t.strictSame(answers.map(({ status, headers, body }) => [status, headers['content-type'], body]), [
    [200, 'application/json; charset=utf-8', '{"seen":1}'],
    [500, 'application/json; charset=utf-8', '{"message":"broken"}'],
    [500, undefined, 'own:{"message":"broken"}']
  ])
  t.equal(handler.runs, 1)
})

t.test('what preSerialization and onError hooks make of a response is part of it, and they run with the handler', async t => {
  const [handler, failing] = [held(() => ({ seen: 1 })), held(() => { throw new Error('broken') })]
  const ran: string[] = []
  const server = await serve(t, app => {
    app.addHook('preSerialization', async (request, _reply, payload: object) => {
      ran.push('preSerialization')
      return { ...payload, id: request.id }
    })
    app.addHook('onError', async ({ id }, reply) => {
      ran.push('onError')
      reply.header('x-failed', id)
    })
    app.get('/', { config: { coalesce: { learnVary: { ignore: ['request.id'] } } } }, handler)
    app.get('/failing', { config: { coalesce: true } }, failing)
  })
  t.strictSame(distinct((await meet(server, handler, times(3, server, '/'))).map(({ body }) => body)), ['{"seen":1,"id":"req-1"}'])
  t.strictSame(distinct((await meet(server, failing, times(3, server, '/failing'))).map(({ headers }) => headers['x-failed'])), ['req-4'])
  t.strictSame(ran, ['preSerialization', 'onError'])
})

t.test('a stream of the first kind, which nobody can end, is its own client\'s', async t => {
  const handler = held(() => {
    const old = new Stream()
    setImmediate(() => {
      old.emit('data', 'old')
      old.emit('end')
    })
    return old
  })
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  t.strictSame((await meet(server, handler, times(3, server, '/'))).map(({ status, body }) => [status, body]), Array(3).fill([200, 'old']))
  t.equal(handler.runs, 3)
  t.equal(await metric(server.app, 'coalesce_requests_total', { outcome: 'alone', reason: 'unknown-payload' }), 2)
})

for (const first of [true, false]) {
  t.test(`what a hook puts in front of reply.send has its turn once, with ${first ? 'an onSend hook' : 'none'} before the plugin's`, async t => {
    const handler = held(() => ({ seen: 1 }))
    const app = Fastify() as unknown as FastifyInstance
    if (first) app.addHook('onSend', async (_request, _reply, payload) => payload)
    await app.register(coalesce, { metrics: true })
    app.addHook('preHandler', async (_request, reply) => {
      const { send } = reply
      reply.send = function (payload) { return send.call(this, { data: payload }) }
    })
    app.get('/', { config: { coalesce: true } }, handler)
    const server = await listen(t, app)
    t.strictSame(distinct((await meet(server, handler, times(3, server, '/'))).map(content).map(({ status, body }) => [status, body])),
      [[200, '{"data":{"seen":1}}']])
    t.equal(handler.runs, 1)
  })
}

t.test('a body goes with its type, where the hooks of its leader had said it and those of a follower say another one, or none', async t => {
  const handler = held(() => ({ seen: 1 }))
  const server = await serve(t, app => {
    app.addHook('onRequest', async ({ headers }, reply) => { if (headers['user-agent'] !== 'none') reply.type(String(headers['user-agent'])) })
    app.get('/', { config: { coalesce: true } }, handler)
  })
  const answers = await meet(server, handler, ['application/json; charset=utf-8', 'none', 'text/html'].map(type =>
    () => server.get('/', { headers: { 'user-agent': type } })))
  t.strictSame(distinct(answers.map(({ headers, body }) => [headers['content-type'], body])), [['application/json; charset=utf-8', '{"seen":1}']])
  t.equal(handler.runs, 1)
})
