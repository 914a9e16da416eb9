/**
 * What is kept, at the edges of its rules: what ends it, what stands in for what, and what is kept of a response.
 */
import t from 'tap'
import { waiting } from '../fixtures/endings.js'
import { gate, until } from '../fixtures/gate.js'
import { keeping, mapStore, type Handler, type Keeping } from '../fixtures/kept.js'
import type { Entry } from '../../types/index.js'

const OUTLIVES: Record<string, Handler> = {
  'is for its own client only': (run, _request, reply) => reply.header('cache-control', 'private').send({ run }),
  'sets a cookie': (run, _request, reply) => reply.header('set-cookie', 'sid=1').send({ run }),
  'may be shared and not kept': (run, _request, reply) => reply.header('cache-control', 'no-cache').send({ run })
}

for (const [what, answer] of Object.entries(OUTLIVES)) {
  t.test(`once a run brought what ${what}, what was kept before does not stand in for an error`, async t => {
    const server = await keeping(t, {
      route: { ttl: '10s', staleIfError: '10m', unshareableTtl: '1s' },
      handler: async (run, request, reply) => {
        if (run === 1) return { run }
        if (run === 2) return await answer(run, request, reply)
        throw new Error('down')
      }
    })
    await server.get('/thing/1')
    server.clock.advance(11_000)
    t.equal((await server.get('/thing/1')).body, '{"run":2}')
    server.clock.advance(2_000)
    t.equal((await server.get('/thing/1')).status, 500)
  })
}

t.test('of a response that may not be shared nothing is deleted where nothing was kept', async t => {
  let deletions = 0
  const inner = mapStore()
  const store = { ...inner, delete: async (key: string) => { deletions++; await inner.delete(key) } }
  const server = await keeping(t, { options: { store }, handler: (run, _request, reply) => reply.header('set-cookie', 'sid=1').send({ run }) })
  t.equal((await server.get('/thing/1')).body, '{"run":1}')
  t.equal(deletions, 0)
})

for (const late of [0, 1]) {
  t.test(`what may stand in for an error until a run fails does not ${late === 0 ? 'at' : 'after'} that moment`, async t => {
    const opening = gate()
    const server = await keeping(t, {
      route: { ttl: '10s', staleIfError: '5s' },
      handler: async run => {
        if (run === 1) return { run }
        await opening.promise
        throw new Error('down')
      }
    })
    await server.get('/thing/1')
    server.clock.advance(14_000)
    const answer = server.get('/thing/1')
    await until(() => server.runs() === 2)
    server.clock.advance(1_000 + late)
    opening.open()
    t.equal((await answer).status, 500)
  })
}

/** What it keeps has been stale for ten seconds, and its handler throws. */
async function down (t: Parameters<typeof keeping>[0]): Promise<Keeping> {
  const server = await keeping(t, {
    route: { ttl: '10s', staleIfError: '10m', respectRequestCacheControl: true },
    handler: run => {
      if (run > 1) throw new Error('down')
      return { run }
    }
  })
  await server.get('/thing/1')
  server.clock.advance(20_000)
  return server
}

t.test('who leads and asks for no more than that is given what stands in for its own error', async t => {
  const server = await down(t)
  t.match(await server.get('/thing/1', { headers: { 'cache-control': 'stale-if-error=11' } }), { status: 200, body: '{"run":1}' })
  t.equal(server.runs(), 2)
})

t.test('an error that its own client had to be told is one all the same: for a while the handler is left alone', async t => {
  const server = await down(t)
  t.equal((await server.get('/thing/1', { headers: { 'cache-control': 'stale-if-error=9' } })).status, 500)
  t.match(await server.get('/thing/1'), { status: 200, body: '{"run":1}' })
  t.equal(server.runs(), 2)
})

t.test('what its leader found does not stand in for who is of another variant', async t => {
  const entries = new Map<string, Entry>()
  const inner = mapStore(entries)
  const ofB = { names: ['x-tenant'], values: ['b'] }
  const opening = gate()
  const server = await keeping(t, {
    options: {
      // It puts what is of one variant under a key that says nothing of variants.
      store: {
        ...inner,
        get: async key => {
          const entry = entries.get(key)
          return entry === undefined ? undefined : { ...entry, value: { ...entry.value as object, variant: ofB } }
        }
      }
    },
    route: { ttl: '10s', staleIfError: '10m', waitTimeout: '1s', onWaitTimeout: 'error' },
    handler: async run => {
      if (run > 1) await opening.promise
      return { run }
    }
  })
  const as = (tenant: string) => server.get('/thing/1', { headers: { 'x-tenant': tenant } })
  await as('b')
  server.clock.advance(11_000)
  const leader = as('b')
  await until(() => server.runs() === 2)
  const followers = [as('b'), as('a')]
  await waiting(server.app, 2)
  server.clock.advance(1_500)
  t.match(await Promise.all(followers), [{ status: 200, body: '{"run":1}' }, { status: 503 }])
  opening.open()
  t.match(await leader, { body: '{"run":2}' })
})

t.test('a response is as old as its run was long', async t => {
  const server = await keeping(t, {
    handler: run => {
      server.clock.advance(3_000)
      return { run }
    }
  })
  await server.get('/thing/1')
  server.clock.advance(2_000)
  t.match(await server.get('/thing/1'), { body: '{"run":1}', headers: { age: '5' } })
  t.equal(server.runs(), 1)
})

for (const name of ['memory', 'a store that gives copies'] as const) {
  t.test(`a header that the handler took away is away from what is kept as well (${name})`, async t => {
    const entries = new Map<string, string>()
    const copying = {
      get: async (key: string) => entries.has(key) ? JSON.parse(entries.get(key) as string) as Entry : undefined,
      set: async (entry: Entry) => { entries.set(entry.key, JSON.stringify(entry)) },
      delete: async (key: string) => { entries.delete(key) }
    }
    const server = await keeping(t, {
      options: name === 'memory' ? {} : { store: copying },
      before: app => { app.addHook('onRequest', async (_request, reply) => { reply.headers({ 'x-frame-options': 'DENY', 'x-hook': '1' }) }) },
      handler: (run, _request, reply) => {
        reply.removeHeader('x-frame-options').type('text/plain')
        return `run ${run}`
      }
    })
    for (let count = 0; count < 2; count++) {
      const { body, headers } = await server.get('/thing/1')
      t.strictSame([body, headers['x-frame-options'], headers['x-hook']], ['run 1', undefined, '1'])
    }
  })
}

for (const [what, method] of [['a 304', 'GET'], ['a run for HEAD', 'HEAD']] as const) {
  t.test(`what ${what} made fresh again is purged by the tags that it had`, async t => {
    const server = await keeping(t, {
      handler: (run, request, reply) => {
        reply.header('etag', '"a"')
        if (run === 1) reply.coalesce.tag('one')
        if (run === 2 && request.method === 'GET') return reply.code(304).send()
        return reply.type('text/plain').send(`run ${run === 2 ? 1 : run}`)
      }
    })
    await server.get('/thing/1')
    server.clock.advance(61_000)
    await server.get('/thing/1', { method })
    t.match(await server.get('/thing/1'), { body: 'run 1' })
    t.equal(server.runs(), 2, 'it is fresh')
    server.app.coalesce.invalidate({ tags: ['one'] })
    t.match(await server.get('/thing/1'), { body: 'run 3' })
  })
}
