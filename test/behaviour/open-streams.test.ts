/**
 * What happens while a shared stream is still flowing: writes, the kill switch, contexts, and streams of other makes.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { PassThrough, Transform, type Readable } from 'node:stream'
import { ReadableStream, type ReadableStreamDefaultController } from 'node:stream/web'
import type { FastifyInstance, FastifyReply } from 'fastify'
import t from 'tap'
import { queue, times } from '../fixtures/crowd.js'
import { grounded, leave, outcomes } from '../fixtures/endings.js'
import { until } from '../fixtures/gate.js'
import { serve, type Pending, type TestServer } from '../fixtures/server.js'

/** What a test feeds a run's body with. */
interface Source {
  write (text: string): void
  end (text?: string): void
  fail (error: Error): void
  readonly cancelled: boolean
}

type Make = (reply: FastifyReply) => { readonly source: Source, readonly payload: unknown }

function nodeStream (): { source: Source, payload: PassThrough } {
  const stream = new PassThrough()
  return {
    payload: stream,
    source: {
      write (text) { stream.write(text) },
      end (text) { stream.end(text) },
      fail (error) { stream.destroy(error) },
      get cancelled () { return stream.destroyed }
    }
  }
}

function webStream (): { source: Source, payload: ReadableStream } {
  let controller!: ReadableStreamDefaultController<Uint8Array>
  let cancelled = false
  const payload = new ReadableStream<Uint8Array>({ start (given) { controller = given }, cancel () { cancelled = true } })
  return {
    payload,
    source: {
      write (text) { controller.enqueue(Buffer.from(text)) },
      end (text) { if (text !== undefined) controller.enqueue(Buffer.from(text)); controller.close() },
      fail (error) { controller.error(error) },
      get cancelled () { return cancelled }
    }
  }
}

/** A server whose runs of `/` answer with sources that the test feeds. */
async function feeding (test: Parameters<typeof serve>[0], make: Make, routes: (app: FastifyInstance) => unknown = () => {}) {
  const sources: Source[] = []
  const server = await serve(test, async app => {
    await routes(app)
    app.get('/', { config: { coalesce: true } }, async (_request, reply) => {
      const { source, payload } = make(reply)
      sources.push(source)
      return await reply.send(payload)
    })
  })
  return { server, sources }
}

const typed: Make = reply => {
  reply.type('text/plain')
  return nodeStream()
}

/** So many clients, the first of which leads, who have been given the first bytes. */
async function begun (server: TestServer, sources: Source[], count: number): Promise<Pending[]> {
  const before = server.app.coalesce.stats().deduplicatedRequests
  const answers = await queue(server, times(count, server, '/'))
  const firsts = answers.map(async ({ request }) => await new Promise<void>(resolve => {
    request.once('response', response => { response.once('data', () => { resolve() }) })
  }))
  sources.at(-1)?.write('first ')
  await Promise.all(firsts)
  t.equal(server.app.coalesce.stats().deduplicatedRequests - before, count - 1)
  return answers
}

const bodies = async (answers: readonly Pending[]): Promise<string[]> => (await Promise.all(answers)).map(({ body }) => body)
const endings = async (answers: readonly Pending[]): Promise<string[]> =>
  await Promise.all(answers.map(async answer => await answer.then(({ body }) => body, () => 'cut off')))

t.test('who asks after a write does not join a stream from before it, and who reads it gets all of it', async t => {
  const { server, sources } = await feeding(t, typed, app => app.put('/', async () => 'written'))
  const before = await begun(server, sources, 3)
  await server.get('/', { method: 'PUT' })
  const after = await begun(server, sources, 3)
  t.equal(sources.length, 2)
  sources[1]?.end('of the new')
  sources[0]?.end('of the old')
  t.same(await bodies(before), Array(3).fill('first of the old'))
  t.same(await bodies(after), Array(3).fill('first of the new'))
  await grounded(server.app)
})

t.test('a write before the first byte: those who wait are given what they waited for', async t => {
  const { server, sources } = await feeding(t, typed, app => app.put('/', async () => 'written'))
  const before = await queue(server, times(3, server, '/'))
  await server.get('/', { method: 'PUT' })
  const after = await queue(server, times(2, server, '/'))
  t.equal(sources.length, 2)
  sources[0]?.end('old')
  sources[1]?.end('new')
  t.same(await bodies([...before, ...after]), ['old', 'old', 'old', 'new', 'new'])
  await grounded(server.app)
})

for (const selector of [undefined, { url: '/' }]) {
  t.test(`switching off ${selector === undefined ? 'all' : 'a route'} lets nobody join a stream that flows, and who reads it gets all of it`, async t => {
    const { server, sources } = await feeding(t, typed)
    const before = await begun(server, sources, 3)
    server.app.coalesce.disable(selector)
    const after = await queue(server, times(2, server, '/'))
    t.equal(sources.length, 3, 'each runs by itself')
    server.app.coalesce.enable(selector)
    const again = await begun(server, sources, 2)
    t.equal(sources.length, 4, 'nor does anybody join it once it is on again')
    for (const [index, source] of sources.entries()) source.end(String(index))
    t.same(await bodies([...before, ...after, ...again]), ['first 0', 'first 0', 'first 0', '1', '2', 'first 3', 'first 3'])
    t.same(await outcomes(server.app), { 'leader shared': 2, 'follower shared': 3, 'bypass disabled': 2 })
    await grounded(server.app)
  })
}

t.test('switching off before the first byte lets go those who wait, and the leader is answered', async t => {
  const { server, sources } = await feeding(t, typed)
  const answers = await queue(server, times(3, server, '/'))
  server.app.coalesce.disable()
  await until(() => sources.length === 3, 'a run for each')
  for (const [index, source] of sources.entries()) source.end(String(index))
  t.same((await bodies(answers)).sort(), ['0', '1', '2'])
  t.same(await outcomes(server.app), { 'leader disabled': 1, 'alone disabled': 2 })
  await grounded(server.app)
})

t.test('what flows to a client flows in the asynchronous context of its own request', async t => {
  const storage = new AsyncLocalStorage<string>()
  const seen = new Map<string, Set<string | undefined>>()
  const { server, sources } = await feeding(t, typed, app => {
    app.addHook('onRequest', (request, _reply, done) => { storage.run(request.headers['x-request-id'] as string, done) })
    app.addHook('onSend', async (request, _reply, payload) => {
      const contexts = new Set<string | undefined>()
      seen.set(request.headers['x-request-id'] as string, contexts)
      const watched = new Transform({
        transform (chunk, _encoding, callback) {
          contexts.add(storage.getStore())
          callback(null, chunk)
        },
        flush (callback) {
          contexts.add(storage.getStore())
          callback()
        }
      })
      const source = payload as Readable
      return source.on('data', () => { contexts.add(storage.getStore()) }).pipe(watched)
    })
  })
  const clients = ['a', 'b', 'c']
  const answers = await queue(server, clients.map(client => () => server.get('/', { headers: { 'x-request-id': client } })))
  storage.run('the feeder', () => { sources[0]?.write('first ') })
  await until(() => server.app.coalesce.stats().deduplicatedRequests === 2)
  const late = server.get('/', { headers: { 'x-request-id': 'late' } })
  await server.arrived(4)
  storage.run('the feeder', () => { sources[0]?.end('last') })
  t.same(await bodies([...answers, late]), Array(4).fill('first last'))
  t.equal(sources.length, 1)
  for (const client of [...clients, 'late']) t.same([...seen.get(client) ?? []], [client])
})

const makes: Record<string, Make> = {
  'a web stream': reply => {
    reply.header('content-type', 'text/x-own')
    return webStream()
  },
  'a Response': () => {
    const { source, payload } = webStream()
    return { source, payload: new Response(payload as never, { status: 203, headers: { 'content-type': 'text/x-own', etag: '"a"' } }) }
  }
}

for (const [kind, make] of Object.entries(makes)) {
  t.test(`${kind} is shared while it flows`, async t => {
    const { server, sources } = await feeding(t, make)
    const answers = await begun(server, sources, 3)
    const late = server.get('/')
    await server.arrived(4)
    sources[0]?.write('second ')
    sources[0]?.end('last')
    const all = await Promise.all([...answers, late])
    t.same(all.map(({ status, headers, body }) => [status, headers['content-type'], headers.etag, body]),
      Array(4).fill([kind === 'a Response' ? 203 : 200, 'text/x-own', kind === 'a Response' ? '"a"' : undefined, 'first second last']))
    t.equal(sources.length, 1)
    t.same(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 3 })
    await grounded(server.app)
  })

  t.test(`${kind} that fails after its first byte is cut off for everybody`, async t => {
    const { server, sources } = await feeding(t, make)
    const answers = await begun(server, sources, 3)
    const ends = endings(answers)
    sources[0]?.fail(new Error('broken'))
    t.same(await ends, Array(3).fill('cut off'))
    await grounded(server.app)
  })

  t.test(`${kind} flows on without its leader's client, and is cancelled when the last one leaves`, async t => {
    const { server, sources } = await feeding(t, make)
    const answers = await begun(server, sources, 3)
    const [leader, one, two] = answers as [Pending, Pending, Pending]
    await leave(leader)
    await leave(one)
    sources[0]?.write('second ')
    t.equal(sources[0]?.cancelled, false)
    await leave(two)
    await until(() => sources[0]?.cancelled === true, 'the end of the source')
    await grounded(server.app)
  })
}
