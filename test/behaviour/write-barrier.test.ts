import t from 'tap'
import type { FastifyInstance, RouteHandlerMethod } from 'fastify'
import coalesce from '../../lib/index.js'
import { held, queue, times, type HeldHandler } from '../fixtures/crowd.js'
import { gate, until } from '../fixtures/gate.js'
import { serve, type GetOptions, type Pending, type TestServer } from '../fixtures/server.js'

const METHODS = ['POST', 'PUT', 'PATCH', 'DELETE'] as const

async function items (
  test: Parameters<typeof serve>[0], write: RouteHandlerMethod = async () => 'written'
): Promise<{ server: TestServer, read: HeldHandler }> {
  const read = held(() => 'item')
  const server = await serve(test, app => {
    app.get('/items/:id', { config: { coalesce: true } }, read)
    app.route({ method: [...METHODS], url: '/items/:id', handler: write })
    app.options('/items/:id', async () => '')
  })
  return { server, read }
}

/** How many runs two readers cost between whom this was asked for and answered. */
async function runsAround (
  test: Parameters<typeof serve>[0], path: string, options: GetOptions, write?: RouteHandlerMethod
): Promise<number> {
  const { server, read } = await items(test, write)
  const before = await queue(server, times(2, server, '/items/1?q=1'))
  await server.get(path, options)
  const after = await queue(server, times(2, server, '/items/1?q=1'))
  read.gate.open()
  await Promise.all([...before, ...after])
  return read.runs
}

for (const method of METHODS) {
  t.test(`who asks after a ${method} that did well does not join a run from before it`, async t => {
    t.equal(await runsAround(t, '/items/1', { method }), 2)
  })
}

t.test('the query of a write does not matter', async t => {
  t.equal(await runsAround(t, '/items/1?notify=1', { method: 'POST' }), 2)
})

t.test('a write that redirects has done well', async t => {
  t.equal(await runsAround(t, '/items/1', { method: 'POST' }, async (_request, reply) => reply.redirect('/items/1', 303)), 2)
})

t.test('a write that fails, a write to another path and a safe method are no barrier', async t => {
  t.equal(await runsAround(t, '/items/1', { method: 'POST' }, async (_request, reply) => reply.code(409).send('conflict')), 1)
  t.equal(await runsAround(t, '/items/1', { method: 'POST' }, async () => { throw new Error('failed') }), 1)
  t.equal(await runsAround(t, '/items/2', { method: 'POST' }), 1)
  t.equal(await runsAround(t, '/items/1', { method: 'OPTIONS' }), 1)
})

t.test('those who boarded before the write get what they waited for, and those after it share their own run', async t => {
  const openings = [gate(), gate()]
  let runs = 0
  let value = 'old'
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async () => {
      const seen = value
      await openings[runs++]?.promise
      return seen
    })
    app.put('/', async () => { value = 'new' })
  })
  const before = await queue(server, times(3, server, '/'))
  await server.get('/', { method: 'PUT' })
  const after = await queue(server, times(3, server, '/'))
  // The older run ends last, and has no say in the newer one.
  openings[1]?.open()
  t.same((await Promise.all(after)).map(({ body }) => body), ['new', 'new', 'new'])
  openings[0]?.open()
  t.same((await Promise.all(before)).map(({ body }) => body), ['old', 'old', 'old'])
  t.equal(runs, 2)
})

t.test('a write is a barrier for the routes of every registration', async t => {
  const read = held()
  const registrations: FastifyInstance[] = []
  const server = await serve(t, async app => {
    app.put('/inner', async () => '')
    app.get('/outer', { config: { coalesce: true } }, read)
    await app.register(async inner => {
      await inner.register(coalesce, { waitTimeout: '1s' })
      inner.get('/inner', { config: { coalesce: true } }, read)
      inner.put('/outer', async () => '')
      registrations.push(inner)
    })
  })
  const total = (): number => [server.app, ...registrations].reduce((sum, app) => sum + app.coalesce.stats().totalRequests, 0)
  const answers: Pending[] = []
  for (const path of ['/inner', '/outer']) {
    const arrived = total()
    const before = server.get(path)
    await until(() => total() === arrived + 1)
    await server.get(path, { method: 'PUT' })
    const { runs } = read
    const after = server.get(path)
    await until(() => total() === arrived + 2)
    t.equal(read.runs, runs + 1, path)
    answers.push(before, after)
  }
  read.gate.open()
  await Promise.all(answers)
})

t.test('a write that spells the path another way is a barrier as well', async t => {
  t.equal(await runsAround(t, '/%69tems/1', { method: 'PUT' }), 2)
})

t.test('a write whose handler hijacks is a barrier as well', async t => {
  const read = held()
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, read)
    app.put('/', (_request, reply) => {
      reply.hijack()
      reply.raw.end('written')
    })
  })
  const before = await queue(server, times(1, server, '/'))
  t.equal((await server.get('/', { method: 'PUT' })).body, 'written')
  const after = await queue(server, times(1, server, '/'))
  t.equal(read.runs, 2)
  read.gate.open()
  await Promise.all([...before, ...after])
})

t.test('a write is a barrier whatever its route, or none, has answered to reads before', async t => {
  const read = held()
  const server = await serve(t, app => {
    app.get('/read', { config: { coalesce: true } }, read)
    app.route({ method: ['GET', 'PUT'], url: '/both', handler: (_request, reply) => reply.header('location', '/read').send('') })
    app.setNotFoundHandler((_request, reply) => reply.code(200).header('location', '/read').send(''))
  })
  const answers = [server.get('/read')]
  await server.arrived(1)
  for (const path of ['/both', '/nowhere']) {
    await server.get(path)
    await server.get(path)
    await server.get(path, { method: 'PUT' })
    answers.push(server.get('/read'))
    await server.arrived(answers.length)
    t.equal(read.runs, answers.length, path)
  }
  read.gate.open()
  await Promise.all(answers)
})

t.test('a write looks at none of the requests that are in the air, however many and however long their paths', async t => {
  const opening = gate()
  let looks = 0
  let runs = 0
  const { app, ...server } = await serve(t, app => {
    // Where Fastify reads it each time that somebody asks for the URL of a request.
    app.addHook('onRequest', async ({ raw }) => {
      const { url } = raw
      Object.defineProperty(raw, 'url', { configurable: true, get () { looks++; return url } })
    })
    app.get('/slow/*', { config: { coalesce: { ttl: 60_000 } } }, async () => {
      runs++
      await opening.promise
      return 'read'
    })
    app.post('/write', async () => 'written')
  })
  const looksOfAWrite = async (): Promise<number> => {
    looks = 0
    await server.get('/write', { method: 'POST' })
    return looks
  }
  const alone = await looksOfAWrite()
  const pending = Array.from({ length: 40 }, (_, index) => server.get(`/slow/${'%41'.repeat(1000)}/${index}`))
  await until(() => runs === 40)
  t.equal(await looksOfAWrite(), alone)
  looks = 0
  app.coalesce.invalidate({ url: '/slow/a' })
  app.coalesce.invalidate({ tags: ['none'] })
  app.coalesce.invalidate({ route: '/slow/*' })
  t.equal(looks, 0)
  opening.open()
  await Promise.all(pending)
})
