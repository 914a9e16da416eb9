/**
 * What `onSend` hooks of others are given of a response that is a stream: what Fastify would have given them without the plugin.
 */
import { createReadStream, ReadStream } from 'node:fs'
import { IncomingMessage, request as httpRequest } from 'node:http'
import { PassThrough, Readable, Transform } from 'node:stream'
import { text } from 'node:stream/consumers'
import { ReadableStream } from 'node:stream/web'
import { fileURLToPath } from 'node:url'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type RouteOptions } from 'fastify'
import t, { type Test } from 'tap'
import coalesce from '../../lib/index.js'
import { held, queue, times } from '../fixtures/crowd.js'
import { grounded, leave, outcomes } from '../fixtures/endings.js'
import { gate, TestClock, until } from '../fixtures/gate.js'
import { listen, serve, type Answer, type TestServer } from '../fixtures/server.js'

const FILE = fileURLToPath(new URL('../fixtures/gate.ts', import.meta.url))
const ON = { config: { coalesce: true as boolean } }

type Payload = any
type Make = (reply: FastifyReply, server: () => TestServer) => unknown
type Hook = (request: FastifyRequest, reply: FastifyReply, payload: Payload) => Promise<unknown>

class Words extends PassThrough {
  #count = 2
  readonly topic = 'words'
  get count (): number { return this.#count }
  countOf (text: string): number { return text.length * this.#count }
}

async function fetched (server: TestServer): Promise<Response> {
  return await fetch(`http://127.0.0.1:${server.port}/upstream`)
}

async function upstream (server: TestServer): Promise<IncomingMessage> {
  return await new Promise((resolve, reject) => {
    httpRequest({ port: server.port, path: '/upstream', agent: false }, resolve).on('error', reject).end()
  })
}

function web (chunks: readonly string[] = ['a web ', 'stream']): ReadableStream {
  return new ReadableStream({
    start (controller) {
      for (const chunk of chunks) controller.enqueue(Buffer.from(chunk))
      controller.close()
    }
  })
}

const makes: Record<string, Make> = {
  'the stream of a file': () => createReadStream(FILE),
  'a stream with a type of its own': () => new Words().end('some words'),
  'a stream of an iterable': () => Readable.from(['a ', 'generator']),
  'an upstream\'s message': async (_reply, server) => await upstream(server()),
  'a web stream': () => web(),
  'a Response': () => new Response(web() as never, { status: 203, statusText: 'Well', headers: { 'content-type': 'text/x-own', etag: '"a"' } }),
  'a fetched Response': async (_reply, server) => await fetched(server()),
  'a Response without a body': () => new Response(null, { status: 410, headers: { 'x-own': 'yes' } }),
  'a Response that is for one only': () => new Response('own', { headers: { 'set-cookie': 'a=b' } }),
  'a Response of a failure': () => new Response('broken', { status: 502, headers: { 'x-own': 'yes' } })
}

/** What a hook can see of a payload and its reply without reading it. */
function seen (payload: Payload, reply: FastifyReply) {
  const { path, flags, topic, count, statusCode, status, statusText, url, redirected, type, bodyUsed, writable, readable, destroyed, locked } = payload
  return {
    path,
    flags,
    topic,
    count,
    statusCode,
    status,
    statusText,
    redirected,
    type,
    bodyUsed,
    writable,
    readable,
    destroyed,
    locked,
    url: url?.replace(/^.*\d/, ''),
    headers: payload instanceof Response ? [...payload.headers.keys()] : payload.headers?.['x-upstream'],
    called: payload.countOf?.('four'),
    name: payload.constructor.name,
    tag: Object.prototype.toString.call(payload),
    own: ['path', 'topic', 'count', 'body', 'pipe'].filter(name => Object.hasOwn(payload, name)),
    has: ['path', 'topic', 'count', 'body', 'pipe'].filter(name => name in payload),
    is: Object.entries({ ReadStream, IncomingMessage, Words, Readable, ReadableStream, Response })
      .filter(([, constructor]) => payload instanceof constructor).map(([name]) => name),
    body: [payload.body?.constructor.name, payload.body?.locked],
    reply: [reply.statusCode, reply.getHeaders()]
  }
}

function content ({ status, headers, body }: Answer) {
  const { etag, 'content-type': type, 'x-own': own, 'set-cookie': cookie, 'x-upstream': up } = headers
  return { status, body, etag, type, own, cookie, up }
}

/** An app with and without the plugin, with a hook of its own and a handler that is held. */
async function served (t: Test, make: Make, hook: Hook, on: boolean, where: 'instance' | 'last' = 'instance') {
  const app = Fastify() as unknown as FastifyInstance
  const handler = held((_request, reply) => make(reply, () => server))
  await app.register(coalesce, { metrics: true })
  // Hooks that are added to a route by others come after what the plugin adds to it.
  if (where === 'last') app.addHook('onRoute', (route: RouteOptions) => { if (route.url === '/') route.onSend = [route.onSend ?? [], hook].flat() as never })
  app.get('/upstream', { config: { coalesce: false } }, async (_request, reply) => reply.type('text/x-up').header('x-upstream', 'yes').send('from upstream'))
  if (where === 'instance') app.addHook('onSend', async (request, reply, payload) => request.url === '/' ? await hook(request, reply, payload) : payload)
  app.get('/', { config: { coalesce: on } }, handler)
  const server: TestServer = await listen(t, app)
  return { server, handler }
}

for (const where of ['instance', 'last'] as const) {
  for (const [kind, make] of Object.entries(makes)) {
    t.test(`a hook of the ${where === 'last' ? 'route that comes last' : 'instance'} is given ${kind} as without the plugin, and so is its client`, async t => {
      const [bare, shared] = await Promise.all([false, true].map(async on => {
        const given: unknown[] = []
        const { server, handler } = await served(t, make, async (request, reply, payload) => {
          if (request.coalesce?.outcome !== 'follower') given.push(seen(payload, reply))
          return payload
        }, on, where)
        const answers = on ? await queue(server, times(3, server, '/')) : [server.get('/')]
        handler.gate.open()
        const contents = (await Promise.all(answers)).map(content)
        return { given: given[0], contents }
      }))
      t.strictSame(shared?.given, bare?.given)
      t.strictSame(shared?.contents, Array(3).fill(bare?.contents[0]))
    })
  }
}

const consuming: Record<string, Hook> = {
  'answers `new Response(payload.body)`': async (_request, _reply, payload) => payload instanceof Response ? new Response(payload.body) : payload,
  'reads all of it and answers with something else': async (_request, _reply, payload) =>
    `<${payload instanceof Response ? await payload.text() : await text(payload)}>`,
  'reads all of it, chunk by chunk': async (_request, _reply, payload) => {
    let got = ''
    for await (const chunk of payload.body ?? payload) got += Buffer.from(chunk).toString()
    return `<${got}>`
  },
  'pipes it through something': async (_request, _reply, payload) => payload instanceof Readable
    ? payload.pipe(new Transform({ transform (chunk, _encoding, done) { done(null, String(chunk).toUpperCase()) } }))
    : payload instanceof ReadableStream ? payload.pipeThrough(new TransformStream() as never) : payload,
  'copies it': async (_request, _reply, payload) => payload instanceof Response ? payload.clone() : payload,
  'answers with something else, and ends it': async (_request, _reply, payload) => {
    if (payload instanceof Readable) payload.destroy()
    else await (payload.body ?? payload).cancel()
    return 'else'
  },
  'answers with something else, and leaves it': async () => 'else',
  'answers with something that reads it later': async (_request, _reply, payload) => Readable.from((async function * () {
    yield * (payload.body ?? payload)
  })())
}

for (const [what, hook] of Object.entries(consuming)) {
  for (const kind of ['the stream of a file', 'a stream with a type of its own', 'a web stream', 'a Response'] as const) {
    t.test(`a hook that ${what}: ${kind}`, async t => {
      const make = makes[kind] as Make
      // What the hook makes of it is its own client's, and the others get the handler's, of which theirs make the same.
      const own: Hook = async (request, reply, payload) => request.coalesce?.outcome === 'follower' ? payload : await hook(request, reply, payload)
      const bare = await served(t, make, own, false)
      bare.handler.gate.open()
      const without = content(await bare.server.get('/'))
      const none = await served(t, make, async (_request, _reply, payload) => payload, false)
      none.handler.gate.open()
      const unhooked = content(await none.server.get('/'))
      const { server, handler } = await served(t, make, own, true)
      const answers = await queue(server, times(3, server, '/'))
      handler.gate.open()
      t.strictSame((await Promise.all(answers)).map(content), [without, unhooked, unhooked])
      t.equal(handler.runs, 1)
      t.same(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 2 })
      await grounded(server.app)
    })
  }
}

t.test('what a stream looks at while a hook waits for its bytes counts', async t => {
  const handler = held(request => Readable.from((async function * () { yield `in ${String(request.headers['x-lang'])}` })()))
  const server = await serve(t, app => {
    app.addHook('onSend', async (_request, _reply, payload) => payload instanceof Readable ? await text(payload) : payload)
    app.get('/', ON, handler)
  })
  const answers = await queue(server, ['de', 'fr', 'de'].map(lang => () => server.get('/', { headers: { 'x-lang': lang } })))
  handler.gate.open()
  t.same((await Promise.all(answers)).map(({ body }) => body), ['in de', 'in fr', 'in de'])
  t.equal(handler.runs, 2)
})

for (const how of ['pipes', 'reads'] as const) {
  t.test(`the first client leaves while its hook ${how} a stream, and the others get all of it`, async t => {
    const source = new PassThrough()
    const reading = gate()
    const raws: Array<FastifyReply['raw']> = []
    const handler = held((_request, reply) => {
      raws.push(reply.raw)
      return source
    })
    const server = await serve(t, app => {
      app.addHook('onSend', async (request, _reply, payload) => {
        if (request.coalesce?.outcome === 'follower') return payload
        reading.open()
        return how === 'reads' ? await text(payload as Readable) : (payload as Readable).pipe(new PassThrough())
      })
      app.get('/', ON, handler)
    })
    const [first, ...others] = await queue(server, times(3, server, '/'))
    handler.gate.open()
    await reading.promise
    source.write('first ')
    await until(() => source.readableFlowing === true)
    await leave(first as NonNullable<typeof first>)
    await until(() => raws[0]?.closed === true)
    source.end('last')
    t.same((await Promise.all(others)).map(({ body }) => body), ['first last', 'first last'])
    t.equal(handler.runs, 1)
    await grounded(server.app)
  })
}

t.test('a stream that fails while a hook waits for its bytes fails for its client only, and one of the others runs', async t => {
  let runs = 0
  const started = gate()
  const server = await serve(t, app => {
    app.addHook('onSend', async (_request, _reply, payload) => payload instanceof Readable ? await text(payload) : payload)
    app.get('/', ON, async () => {
      if (++runs > 1) return 'well'
      await started.promise
      return Readable.from((async function * () {
        yield 'some '
        throw new Error('the source failed')
      })())
    })
  })
  const answers = await queue(server, times(3, server, '/'))
  started.open()
  const [first, ...others] = await Promise.all(answers)
  t.match(first, { status: 500, body: /the source failed/ })
  t.same(others.map(({ status, body }) => [status, body]), [[200, 'well'], [200, 'well']])
  t.equal(runs, 2)
  await grounded(server.app)
})

t.test('a body that is too large to be shared is its own client\'s, though a hook waits for it', async t => {
  const handler = held(() => Readable.from(['x'.repeat(600), 'y'.repeat(600)]))
  const server = await serve(t, app => {
    app.addHook('onSend', async (_request, _reply, payload) => payload instanceof Readable ? String((await text(payload)).length) : payload)
    app.get('/', { config: { coalesce: { maxBodyBytes: 1000 } } }, handler)
  })
  const answers = await queue(server, times(3, server, '/'))
  handler.gate.open()
  t.same((await Promise.all(answers)).map(({ body }) => body), ['1200', '1200', '1200'])
  t.same(await outcomes(server.app), { 'leader too-large': 1, 'alone too-large': 2 })
  await grounded(server.app)
})

for (const [name, value] of [['set-cookie', 'a=b'], ['cache-control', 'private']] as const) {
  t.test(`a Response that a hook answers with, and that has a ${name}, is its own client's`, async t => {
    const { server, handler } = await served(t, () => 'body', async (request, _reply, payload) =>
      new Response(payload, { headers: { [name]: value, 'x-own': String(request.id) } }), true)
    const answers = await queue(server, times(3, server, '/'))
    handler.gate.open()
    const all = await Promise.all(answers)
    t.same(all.map(({ body, headers }) => [body, headers[name]].flat()), Array(3).fill(['body', value]))
    t.equal(handler.runs, 3)
  })
}

t.test('a hook that fails at a Response leaves nothing of that in the error', async t => {
  const { server, handler } = await served(t, makes['a Response'] as Make, async (_request, _reply, payload) => {
    if (payload instanceof Response) throw new Error('a hook failed')
    return payload
  }, true)
  handler.gate.open()
  t.match(await server.get('/'), { status: 500, body: /a hook failed/, headers: { etag: undefined, 'content-type': /json/ } })
})

t.test('a Response of another make, and a stream that is none, are sent as ever', async t => {
  class Foreign {
    readonly status = 203
    readonly headers = new Map([['x-own', 'foreign']])
    readonly bodyUsed = false
    readonly [Symbol.toStringTag] = 'Response'
    readonly body = Readable.from(['foreign'])
  }
  const given: unknown[] = []
  const server = await serve(t, app => {
    app.addHook('onSend', async (_request, _reply, payload) => { given.push(payload); return payload })
    app.get('/foreign', ON, async (_request, reply) => await reply.send(new Foreign()))
    app.get('/locked', ON, async (_request, reply) => {
      const stream = web()
      stream.getReader()
      return await reply.send(stream)
    })
  })
  t.match(await server.get('/foreign'), { status: 203, body: 'foreign', headers: { 'x-own': 'foreign' } })
  t.match(await server.get('/locked'), { status: 500, body: /locked/ })
  t.same(await outcomes(server.app), { 'leader shared': 1, 'leader unknown-payload': 1 })
})

t.test('a Response that says that an empty one is still good is that one for hooks and client', async t => {
  const clock = new TestClock()
  const given: unknown[] = []
  const server = await serve(t, app => {
    app.addHook('onSend', async (_request, reply, payload) => {
      given.push([reply.statusCode, payload])
      return payload
    })
    app.get('/', { config: { coalesce: { ttl: '1s' } } }, async request =>
      new Response(null, { status: request.headers['if-none-match'] === '"a"' ? 304 : 200, headers: { etag: '"a"' } }))
  }, { clock })
  t.equal((await server.get('/')).status, 200)
  clock.advance(1500)
  t.match(await server.get('/'), { status: 200, body: '', headers: { etag: '"a"' } })
  t.match(given, [[200, Response], [200, null]])
})

t.test('a Response leaves the headers that were there before it as they were, cookies as well, until it is sent', async t => {
  const given: unknown[] = []
  const server = await serve(t, app => {
    app.addHook('onRequest', async (_request, reply) => { reply.header('x-own', 'before').header('x-kept', 'yes').header('set-cookie', ['a=1', 'b=2']) })
    app.addHook('onSend', async (_request, reply, payload) => {
      given.push([reply.statusCode, structuredClone(reply.getHeaders())])
      return payload
    })
    app.get('/', ON, async () => new Response('body', { status: 203, headers: [['x-own', 'after'], ['set-cookie', 'c=3']] }))
  })
  t.match(await server.get('/'), { status: 203, headers: { 'x-own': 'after', 'x-kept': 'yes', 'set-cookie': ['a=1', 'b=2', 'c=3'] } })
  t.same(given, [[200, { 'x-own': 'before', 'x-kept': 'yes', 'set-cookie': ['a=1', 'b=2'] }]])
})
