/**
 * "A run for HEAD tells of what is kept for GET", and gives nothing of its own client to others.
 */
import t, { type Test } from 'tap'
import { keeping, type Handler, type Keeping } from '../fixtures/kept.js'

const as = (name: string, method = 'GET'): { method: string, headers: Record<string, string> } => ({ method, headers: { 'x-name': name, 'x-request-id': name } })

/** What is kept for alice's GET has grown stale, and bob's HEAD has run. */
async function checked (t: Test, handler: Handler, hook?: 'onRequest' | 'onSend', header = 'x-client'): Promise<Keeping> {
  const server = await keeping(t, {
    route: { ttl: '10s', staleIfError: '10m' },
    handler: (run, request, reply) => {
      reply.header('etag', '"a"')
      return handler(run, request, reply)
    },
    before: app => {
      if (hook === 'onRequest') app.addHook(hook, async (request, reply) => { reply.header(header, String(request.headers['x-request-id'])) })
      if (hook === 'onSend') app.addHook(hook, async (request, reply) => { if (request.method === 'HEAD') reply.header(header, 'private') })
    }
  })
  await server.get('/thing/1', as('alice'))
  server.clock.advance(11_000)
  t.match(await server.get('/thing/1', as('bob', 'HEAD')), { status: 200 })
  return server
}

t.test('what hooks set for the client of a HEAD is given to nobody else', async t => {
  const server = await checked(t, () => ({ same: true }), 'onRequest')
  t.match(await server.get('/thing/1', as('carol')), { body: '{"same":true}', headers: { 'x-client': 'carol' } })
  t.equal(server.runs(), 2, 'the HEAD has made it fresh')
})

for (const [what, look] of Object.entries<(request: Parameters<Handler>[1]) => unknown>({
  'a header': request => request.headers['x-name'],
  'the address': request => request.ip,
  'the address, on the socket,': request => request.raw.socket.remoteAddress,
  'all headers': request => JSON.stringify(request.headers)
})) {
  t.test(`a HEAD whose handler looks at ${what} of its client changes nothing that is kept`, async t => {
    const server = await checked(t, (run, request, reply) => {
      if (request.method === 'HEAD') reply.header('x-seen', String(look(request)))
      return { run }
    })
    t.match(await server.get('/thing/1', as('carol')), { body: '{"run":3}', headers: { 'x-seen': undefined } })
  })
}

t.test('a HEAD that varies on more than what is kept, or declares that it does, changes nothing', async t => {
  for (const vary of [true, false]) {
    const server = await checked(t, (run, request, reply) => {
      if (request.method === 'HEAD' && vary) reply.header('vary', 'x-name')
      if (request.method === 'HEAD' && !vary) request.coalesce?.varyOn('x-name')
      return { run }
    })
    t.match(await server.get('/thing/1', as('carol')), { body: '{"run":3}' })
  }
})

t.test('a HEAD whose handler says that it may not be shared changes nothing, whatever a hook makes of that', async t => {
  for (const [name, value] of [['cache-control', 'private'], ['vary', '*'], ['content-type', 'text/event-stream']] as const) {
    const server = await keeping(t, {
      before: app => { app.addHook('onSend', async (_request, reply) => { if (name === 'cache-control') reply.header(name, 'public') }) },
      handler: (run, request, reply) => {
        reply.header('etag', '"v1"')
        if (request.method === 'HEAD') reply.headers({ [name]: value, 'x-client': 'its own' })
        return reply.send(`run ${run}`)
      }
    })
    await server.get('/thing/1')
    server.clock.advance(61_000)
    await server.get('/thing/1', { method: 'HEAD' })
    t.match(await server.get('/thing/1'), { body: 'run 3', headers: { 'x-client': undefined } }, name)
  }
})

t.test('a HEAD that a hook makes private changes nothing', async t => {
  const server = await checked(t, run => ({ run }), 'onSend', 'cache-control')
  t.match(await server.get('/thing/1', as('carol')), { body: '{"run":3}' })
})

t.test('a HEAD that finds another version makes what is kept stale, and no more than that', async t => {
  for (const [down, wanted, runs] of [[false, { status: 200, body: '{"version":2}' }, 3], [true, { status: 200, body: '{"version":1}' }, 3]] as const) {
    const now = { version: 1, down: false }
    const server = await keeping(t, {
      route: { staleIfError: '10m', respectRequestCacheControl: true },
      handler: (_run, _request, reply) => {
        if (now.down) throw new Error('down')
        return reply.header('etag', `"v${now.version}"`).send({ version: now.version })
      }
    })
    await server.get('/thing/1')
    now.version = 2
    t.match(await server.get('/thing/1', { method: 'HEAD', headers: { 'cache-control': 'no-cache' } }), { headers: { etag: '"v2"' } })
    now.down = down
    t.match(await server.get('/thing/1'), wanted)
    t.equal(server.runs(), runs)
  }
})

t.test('a HEAD that finds the same version makes it fresh again, with the headers that it has', async t => {
  const server = await keeping(t, {
    route: { tags: ['words'] },
    handler: (run, request, reply) => {
      reply.headers({ etag: '"v1"', 'x-run': String(run) })
      if (request.method === 'GET') reply.header('x-get', 'yes')
      reply.coalesce.tag('one')
      return reply.send({ same: true })
    }
  })
  await server.get('/thing/1')
  server.clock.advance(61_000)
  t.match(await server.get('/thing/1', { method: 'HEAD' }), { headers: { 'x-run': '2' } })
  server.clock.advance(59_000)
  t.match(await server.get('/thing/1'), { body: '{"same":true}', headers: { age: '59', etag: '"v1"', 'x-run': '2', 'x-get': 'yes' } })
  t.equal(server.runs(), 2)
  t.strictSame(server.app.coalesce.entries().map(({ tags }) => tags), [['words', 'one']])
  server.app.coalesce.invalidate({ tags: ['one'] })
  t.match(await server.get('/thing/1'), { headers: { 'x-run': '3' } })
})

t.test('a HEAD that finds again what was not there makes nothing of that fresh', async t => {
  const now = { gone: true }
  const server = await keeping(t, {
    route: { negativeTtl: { 404: '5s' } },
    handler: (_run, _request, reply) => reply.header('etag', '"v1"').code(now.gone ? 404 : 200).send(now.gone ? 'gone' : 'back')
  })
  t.match(await server.get('/thing/1'), { status: 404 })
  now.gone = false
  server.clock.advance(6_000)
  t.match(await server.get('/thing/1', { method: 'HEAD' }), { status: 200 })
  t.match(await server.get('/thing/1'), { status: 200, body: 'back' })
})
