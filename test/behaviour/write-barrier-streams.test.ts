/**
 * A write that goes on after its headers have left, or that tells Fastify nothing of its answer, is a barrier for all that it does
 * before its end.
 */
import { once } from 'node:events'
import { connect } from 'node:http2'
import { PassThrough } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify'
import t from 'tap'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { held, queue, times, type HeldHandler } from '../fixtures/crowd.js'
import { gate, until } from '../fixtures/gate.js'
import { serve, type Pending, type TestServer } from '../fixtures/server.js'

type Write = (request: FastifyRequest, reply: FastifyReply) => unknown

interface Item {
  readonly server: TestServer
  readonly read: HeldHandler
  /** Asks for the item, and waits until that has boarded; how often the item has been read by then. */
  ask (): Promise<number>
  /** Whoever asked is answered. */
  done (): Promise<void>
}

/** An item that is read by runs that the test holds. */
async function item (
  test: Parameters<typeof serve>[0], write: Write, { routes = () => {}, fastify = {} }: { routes?: (app: FastifyInstance) => unknown, fastify?: FastifyServerOptions } = {}
): Promise<Item> {
  const read = held(() => 'item')
  const server = await serve(test, async app => {
    await routes(app)
    app.get('/item', { config: { coalesce: true } }, read)
    app.put('/item', write as never)
  }, {}, fastify)
  const answers: Pending[] = []
  return {
    server,
    read,
    async ask () {
      answers.push(...await queue(server, times(1, server, '/item')))
      return read.runs
    },
    async done () {
      read.gate.open()
      await Promise.all(answers)
    }
  }
}

/** Resolves with the first bytes of an answer. */
const firstByte = (pending: Pending): Promise<void> => new Promise(resolve => {
  pending.request.once('response', response => { response.once('data', () => { resolve() }) })
})

const STREAMS: Record<string, (reply: FastifyReply, committed: Promise<void>) => unknown> = {
  'sends a stream': (reply, committed) => {
    const body = new PassThrough()
    body.write('begun ')
    committed.then(() => { body.end('done') }, () => {})
    return reply.send(body)
  },
  'sends a Response': (reply, committed) => reply.send(new Response(new ReadableStream({
    async start (controller) {
      controller.enqueue(Buffer.from('begun '))
      await committed
      controller.enqueue(Buffer.from('done'))
      controller.close()
    }
  }))),
  hijacks: (reply, committed) => {
    reply.hijack()
    reply.raw.write('begun ')
    committed.then(() => { reply.raw.end('done') }, () => {})
  }
}

for (const [what, send] of Object.entries(STREAMS)) {
  t.test(`a write that ${what} is a barrier when its headers leave, and when it ends`, async t => {
    const committed = gate()
    const { server, ask, done } = await item(t, (_request, reply) => send(reply, committed.promise))
    t.equal(await ask(), 1)
    const answer = server.get('/item', { method: 'PUT' })
    await firstByte(answer)
    t.equal(await ask(), 2)
    t.equal(await ask(), 2, 'nothing has been written meanwhile')
    committed.open()
    t.equal((await answer).body, 'begun done')
    t.equal(await ask(), 3)
    t.equal(await ask(), 3)
    await done()
  })

  t.test(`a write that ${what} and whose client leaves is a barrier when it has left`, async t => {
    const closed = gate()
    const { server, ask, done } = await item(t, (_request, reply) => {
      reply.raw.once('close', () => { closed.open() })
      return send(reply, new Promise(() => {}))
    })
    const answer = server.get('/item', { method: 'PUT' })
    const left = answer.then(() => {}, () => {})
    await firstByte(answer)
    t.equal(await ask(), 1)
    answer.request.destroy()
    await closed.promise
    t.equal(await ask(), 2)
    await done()
    await left
  })
}

const RAW: Record<string, Write> = {
  'returns nothing': (_request, reply) => { reply.raw.end('written') },
  'is async': async (_request, reply) => { reply.raw.end('written') },
  'writes headers': (_request, reply) => { reply.raw.writeHead(201, { 'content-type': 'text/plain' }).end('written') },
  'writes piece by piece': (_request, reply) => {
    reply.raw.write('writ')
    setImmediate(() => { reply.raw.end('ten') })
  }
}

for (const [what, write] of Object.entries(RAW)) {
  t.test(`a write whose handler answers by reply.raw, without hijack, is a barrier: one that ${what}`, async t => {
    const { server, ask, done } = await item(t, write)
    t.equal(await ask(), 1)
    t.equal((await server.get('/item', { method: 'PUT' })).body, 'written')
    t.equal(await ask(), 2)
    t.equal(await ask(), 2)
    await done()
  })
}

t.test('a write that a hook, or the handler of what is not found, answers by reply.raw is a barrier', async t => {
  for (const by of ['hook', 'not found'] as const) {
    const { server, ask, done } = await item(t, () => { throw new Error('not for this') }, {
      routes (app) {
        if (by === 'hook') {
          app.addHook('onRequest', (request, reply, done) => {
            if (request.method === 'PUT') reply.raw.end('written')
            else done()
          })
        } else {
          app.setNotFoundHandler((_request, reply) => { reply.raw.end('written') })
        }
      }
    })
    t.equal(await ask(), 1)
    t.equal((await server.get('/item', { method: by === 'hook' ? 'PUT' : 'DELETE' })).body, 'written')
    t.equal(await ask(), 2)
    await done()
  }
})

/** The same over HTTP/2, where the write's first bytes come when it says so. */
async function overHttp2 (test: Parameters<typeof serve>[0], write: Write) {
  const read = held(() => 'item')
  const server = await serve(test, app => {
    app.get('/item', { config: { coalesce: true } }, read)
    app.put('/item', write as never)
  }, {}, { http2: true } as FastifyServerOptions)
  const session = connect(`http://127.0.0.1:${server.port}`)
  test.teardown(() => { session.destroy() })
  let asked = 0
  return {
    write: () => session.request({ ':path': '/item', ':method': 'PUT' }),
    async ask () {
      session.request({ ':path': '/item' }).resume()
      await server.arrived(++asked)
      return read.runs
    },
    done () { read.gate.open() }
  }
}

t.test('a write over HTTP/2 that is answered by the stream itself is a barrier', async t => {
  const { ask, write, done } = await overHttp2(t, (_request, reply) => {
    const { stream } = reply.raw as unknown as { stream: { respond (): void, end (body: string): void } }
    stream.respond()
    stream.end('written')
  })
  t.equal(await ask(), 1)
  await once(write().resume(), 'close')
  t.equal(await ask(), 2)
  done()
})

t.test('a write over HTTP/2 that hijacks is a barrier when its headers leave, not at each of its bytes, and when it ends', async t => {
  for (const way of ['reply.raw', 'its stream'] as const) {
    const [more, committed] = [gate(), gate()]
    const { ask, write, done } = await overHttp2(t, async (_request, reply) => {
      reply.hijack()
      const raw = way === 'reply.raw' ? reply.raw : (reply.raw as unknown as { stream: typeof reply.raw }).stream
      raw.write('begun ')
      await more.promise
      raw.write('more ')
      await committed.promise
      raw.end('done')
    })
    t.equal(await ask(), 1)
    const answer = write()
    const bytes = answer[Symbol.asyncIterator]()
    await bytes.next()
    t.equal(await ask(), 2)
    more.open()
    await bytes.next()
    t.equal(await ask(), 2)
    committed.open()
    while ((await bytes.next()).done !== true);
    t.equal(await ask(), 3)
    done()
  }
})

t.test('a write that hijacks is a barrier before its last bytes are sent, not after that', async t => {
  for (const way of ['HTTP/1', 'HTTP/2', 'a stream of HTTP/2'] as const) {
    const committed = gate()
    const left: number[] = []
    const server = await serve(t, app => {
      app.get('/item', { config: { coalesce: { ttl: '60s' } } }, async () => 'item')
      app.put('/item', async (_request, reply) => {
        reply.hijack()
        const raw = way === 'a stream of HTTP/2' ? (reply.raw as unknown as { stream: typeof reply.raw }).stream : reply.raw
        raw.write('begun ')
        await committed.promise
        left.push(app.coalesce.entries().length)
        raw.end('done')
        left.push(app.coalesce.entries().length)
      })
    }, {}, (way === 'HTTP/1' ? {} : { http2: true }) as FastifyServerOptions)
    if (way === 'HTTP/1') {
      const answer = server.get('/item', { method: 'PUT' })
      await firstByte(answer)
      await server.get('/item')
      committed.open()
      await answer
    } else {
      const session = connect(`http://127.0.0.1:${server.port}`)
      t.teardown(() => { session.destroy() })
      const write = session.request({ ':path': '/item', ':method': 'PUT' })
      await once(write, 'data')
      await once(session.request({ ':path': '/item' }).resume(), 'close')
      committed.open()
      await once(write.resume(), 'close')
    }
    t.same(left, [1, 0], way)
  }
})

t.test('a write that fails by reply.raw is no barrier', async t => {
  const { server, ask, done } = await item(t, (_request, reply) => { reply.raw.writeHead(409).end('conflict') })
  t.equal(await ask(), 1)
  t.equal((await server.get('/item', { method: 'PUT' })).status, 409)
  t.equal(await ask(), 1)
  await done()
})

t.test('a write that is answered at once is a barrier once: what is read before its answer has been sent is kept', async t => {
  const sending = gate()
  const route: CoalesceRouteOptions = { ttl: '60s' }
  let runs = 0
  const server = await serve(t, app => {
    app.addHook('onSend', async request => { if (request.method === 'PUT') await sending.promise })
    app.get('/item', { config: { coalesce: route } }, async () => `run ${++runs}`)
    app.put('/item', async () => 'written')
  })
  await server.get('/item')
  const write = server.get('/item', { method: 'PUT' })
  await until(() => server.app.coalesce.entries().length === 0)
  t.equal((await server.get('/item')).body, 'run 2')
  sending.open()
  await write
  t.equal((await server.get('/item')).body, 'run 2')
})

t.test('a POST that is coalesced is no barrier when it runs by itself', async t => {
  const opening = gate()
  let runs = 0
  const server = await serve(t, app => {
    app.post('/search', { config: { coalesce: { body: true } } }, async request => {
      runs++
      if (request.headers.authorization === undefined) await opening.promise
      return 'found'
    })
  })
  const search = (headers: Record<string, string> = {}) => (): Pending =>
    server.get('/search', { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: '{"q":1}' })
  const before = await queue(server, [search()])
  await search({ authorization: 'Bearer own' })()
  const after = await queue(server, [search()])
  t.equal(runs, 2)
  opening.open()
  await Promise.all([...before, ...after])
})
