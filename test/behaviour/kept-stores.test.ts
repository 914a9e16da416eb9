/**
 * "A store that fails, hangs, is slow or is poisoned costs a bounded wait, and then the request runs."
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import t from 'tap'
import type { Entry, Store } from '../../types/index.js'
import { memoryStore } from '../../lib/stores/memory.js'
import { distinct, times } from '../fixtures/crowd.js'
import { grounded, leave, outcomes, waiting } from '../fixtures/endings.js'
import { gate, TestClock, until } from '../fixtures/gate.js'
import { keeping, mapStore, STORES, type Handler, type Keeping } from '../fixtures/kept.js'
import type { Answer } from '../fixtures/server.js'
import { chaos, GARBAGE, POISON_NAMES, type Chaos, type Failure } from '../stores/chaos.js'

const FAILURES: readonly Failure[] = ['throws', 'rejects', 'hangs', 'delays', 'bad-promise', 'garbage']
const STORE_TIMEOUT = 250

const bodies = (answers: ReadonlyArray<{ readonly body: string }>): string[] => distinct(answers.map(({ body }) => body))

/** Lets the store's time pass until a request has been answered. */
async function patiently<T> (server: Keeping, answer: Promise<T>): Promise<T> {
  const passing = setInterval(() => { server.clock.advance(5) }, 0)
  try {
    return await answer
  } finally {
    clearInterval(passing)
  }
}

for (const [name, open] of Object.entries(STORES)) {
  t.test(`${name}: what is kept is served as it was, and costs no run`, async t => {
    const body = Buffer.from(Array.from({ length: 70_000 }, (_, index) => index % 251))
    const server = await keeping(t, {
      options: { store: open(new TestClock()) },
      handler: (run, request, reply) => {
        reply.header('x-run', String(run)).header('etag', '"v1"').header('x-list', ['a', 'b'])
        return (request.params as { id: string }).id === 'bytes' ? reply.type('image/png').send(body) : { run, text: 'äöü😀' }
      }
    })
    for (const path of ['/thing/bytes', '/thing/json', '/thing/json?a=1']) {
      const first = await server.get(path)
      await until(() => server.app.coalesce.stats().cacheHits >= 0)
      const second = await server.get(path)
      t.equal(second.body, first.body)
      t.equal(second.headers['x-run'], first.headers['x-run'])
      t.equal(second.headers['content-type'], first.headers['content-type'])
      t.equal(second.headers['content-length'], first.headers['content-length'])
      t.equal(second.headers['x-list'], 'a, b')
      t.match(await server.get(path, { headers: { 'if-none-match': '"v1"' } }), { status: 304 })
      t.match(await server.get(path, { headers: { range: 'bytes=0-3' } }), { status: 206, headers: { 'content-length': '4' } })
      t.match(await server.get(path, { method: 'HEAD' }), { status: 200, body: '', headers: { 'content-length': first.headers['content-length'] } })
    }
    t.equal(server.runs(), 3)
    t.equal(server.hits(), 12)
  })

  t.test(`${name}: whatever fails, each request is answered, and none waits longer than the store may take`, async t => {
    for (const how of FAILURES) {
      for (const method of ['get', 'set', 'delete'] as const) {
        const store = chaos(open(new TestClock()))
        const server = await keeping(t, { options: { store, storeTimeout: STORE_TIMEOUT } })
        store.on[method] = how
        const began = server.clock.now()
        for (let round = 0; round < 3; round++) {
          const answers = await patiently(server, Promise.all(times(5, server, '/thing/1').map(send => send())))
          t.ok(answers.every(({ status }) => status === 200), `${method} ${how}`)
        }
        t.ok(server.runs() <= 15)
        if (how !== 'hangs' && how !== 'delays') t.ok(server.clock.now() - began < 10_000)
        await server.close()
      }
    }
  })

  t.test(`${name}: what is poisoned on its way out reaches no client`, async t => {
    for (const how of [...POISON_NAMES, 'garbage'] as const) {
      const store = chaos(open(new TestClock()))
      const server = await keeping(t, { options: { store }, handler: (run, _request, reply) => reply.type('text/plain').send(`run ${run}`) })
      await server.get('/thing/1')
      store.on.get = how
      for (let run = 2; run < 2 + (how === 'garbage' ? GARBAGE.length : 1); run++) {
        const { status, body, headers } = await server.get('/thing/1')
        t.match({ status, body }, { status: 200, body: `run ${run}` }, how)
        t.equal(headers['set-cookie'], undefined, how)
        t.equal(headers.age, undefined, how)
      }
      await server.close()
    }
  })
}

/** Alters what a store gives, as one who can write to it would. */
function altering (alter: (value: Record<string, unknown>, entry: Entry) => object): Store {
  const entries = new Map<string, Entry>()
  const inner = mapStore(entries)
  return {
    ...inner,
    get: async key => {
      const entry = entries.get(key)
      return entry === undefined ? undefined : { ...entry, ...alter(entry.value as Record<string, unknown>, entry) } as Entry
    }
  }
}

t.test('a body that was cut off, or grew, reaches no client, though no header says how long it was', async t => {
  for (const body of ['run', 'run 1 and more', '']) {
    const store = altering(value => ({ value: { ...value, body } }))
    const server = await keeping(t, { options: { store }, handler: (run, _request, reply) => reply.type('text/plain').send(`run ${run}`) })
    await server.get('/thing/1')
    t.equal((await server.get('/thing/1')).body, 'run 2', String(body))
    await server.close()
  }
})

t.test('what has a header more or less than it was kept with, or a longer one, reaches no client', async t => {
  for (const headers of [[], [['x-own', 'yes']], [['content-type', 'text/plain; x=1']], [['content-type', 'text/plain'], ['x', '']]]) {
    const store = altering(value => ({ value: { ...value, headers } }))
    const server = await keeping(t, { options: { store }, handler: (run, _request, reply) => reply.header('content-type', 'text/plain').send(`run ${run}`) })
    await server.get('/thing/1')
    t.equal((await server.get('/thing/1')).body, 'run 2', JSON.stringify(headers))
    await server.close()
  }
})

t.test('a body that is larger than what the route keeps reaches no client', async t => {
  const large = 'x'.repeat(1001)
  const store = altering((value, entry) => ({ bytes: entry.bytes + 1001 - 5, value: { ...value, body: large } }))
  const server = await keeping(t, {
    options: { store },
    route: { maxEntryBytes: 1000 },
    handler: (run, _request, reply) => reply.type('text/plain').send(`run ${run}`)
  })
  await server.get('/thing/1')
  t.equal((await server.get('/thing/1')).body, 'run 2')
})

t.test('a store that says something else of what tells variants apart each time it is asked ends in a run', async t => {
  for (const isSlow of [false, true]) {
    let asked = 0
    const entries = new Map<string, Entry>()
    const endless = (key: string): Entry | undefined => {
      const [entry] = entries.values()
      return entry === undefined ? undefined : { ...entry, key, value: { vary: [`x-${asked++}`] } }
    }
    const store: Store = {
      get: key => isSlow ? Promise.resolve(endless(key)) : endless(key),
      set: entry => { entries.set(entry.key, entry) },
      delete: () => {}
    }
    const server = await keeping(t, { options: { store } })
    await server.get('/thing/1')
    t.match(await server.get('/thing/1'), { status: 200, body: '{"run":2}' })
    t.match(await server.get('/thing/1', { method: 'HEAD' }), { status: 200, body: '' })
    t.equal(server.runs(), 3, 'as does one that may not lead')
    t.ok(asked < 20, `it was asked ${asked} times`)
    await server.close()
  }
})

t.test('a store that says what is known already of what tells variants apart is not asked a third time', async t => {
  for (const isSlow of [false, true]) {
    const asked: string[] = []
    let looks = 0
    let kept: Entry | undefined
    const again = (key: string): Entry | undefined => {
      asked.push(key)
      return kept === undefined ? undefined : { ...kept, key, value: { vary: ['x-tenant'] } }
    }
    const store: Store = {
      get: key => isSlow ? Promise.resolve(again(key)) : again(key),
      set: entry => { kept = entry },
      delete: () => {}
    }
    const server = await keeping(t, {
      options: { store },
      handler: run => {
        looks = asked.length
        return { run }
      }
    })
    await server.get('/thing/1')
    asked.length = 0
    t.match(await server.get('/thing/1'), { status: 200, body: '{"run":2}' })
    t.equal(looks, 2, 'for the key, and for its variant')
    await server.close()
  }
})

/** A server whose store is asked slowly: the first request leads and waits for it. */
async function looking (t: Parameters<typeof keeping>[0], kept: boolean, more: Parameters<typeof keeping>[1] = {}): Promise<Keeping & { store: Chaos }> {
  const store = chaos(memoryStore())
  const server = await keeping(t, { ...more, options: { store, ...more.options } })
  if (kept) await server.get('/thing/1')
  store.on.get = 'delays'
  return Object.assign(server, { store })
}

t.test('if the slow store has variants of what they ask for, each is given its own', async t => {
  const kept = memoryStore()
  const handler = (run: number, { headers }: FastifyRequest): unknown => ({ run, tenant: headers['x-tenant'] })
  const tenants = ['a', 'b', 'c', 'a', 'b', 'c']
  const asks = (server: Keeping): Array<() => Promise<Answer>> =>
    tenants.map(tenant => async () => await server.get('/thing/1', { headers: { 'x-tenant': tenant, host: 'example.org' } }))
  const first = await keeping(t, { handler, options: { store: kept } })
  for (const ask of asks(first)) await ask()
  const store = chaos(kept)
  const second = await keeping(t, { handler, options: { store } })
  store.on.get = 'delays'
  const asked = asks(second).map(ask => ask())
  await second.arrived(tenants.length)
  t.match(second.app.coalesce.stats(), { actualExecutions: 0 })
  store.gate.open()
  t.strictSame((await Promise.all(asked)).map(({ body }) => (JSON.parse(body) as { tenant: unknown }).tenant), tenants)
  t.equal(second.runs(), 0)
  await grounded(second.app)
})

t.test('HEAD and ranges are answered from what a slow store has, alone or beside one who leads', async t => {
  for (const before of [0, 1]) {
    const server = await looking(t, true)
    const asked = times(before, server, '/thing/1').map(send => send())
    await server.arrived(1 + before)
    const head = server.get('/thing/1', { method: 'HEAD' })
    const range = server.get('/thing/1', { headers: { range: 'bytes=0-2' } })
    await server.arrived(3 + before)
    server.store.gate.open()
    t.match(await head, { status: 200, body: '', headers: { 'content-length': '9', age: '0' } })
    t.match(await range, { status: 206, body: '{"r', headers: { 'content-range': 'bytes 0-2/9' } })
    t.strictSame(bodies(await Promise.all(asked)), before === 0 ? [] : ['{"run":1}'])
    t.equal(server.runs(), 1)
    await server.close()
  }
})

t.test('HEAD and ranges run for themselves if a slow store has nothing', async t => {
  const server = await looking(t, false)
  const head = server.get('/thing/1', { method: 'HEAD' })
  const range = server.get('/thing/1', { headers: { range: 'bytes=0-2' } })
  await server.arrived(2)
  server.store.gate.open()
  t.match(await head, { status: 200, body: '' })
  t.match(await range, { status: 200 })
  t.equal(server.runs(), 2)
  await grounded(server.app)
})

t.test('the leader\'s client leaves while a slow store is asked: the others get what it has, or one run', async t => {
  for (const kept of [true, false]) {
    const server = await looking(t, kept)
    const leader = server.get('/thing/1')
    await server.arrived(kept ? 2 : 1)
    const others = times(5, server, '/thing/1').map(send => send())
    await waiting(server.app, 5)
    await leave(leader)
    server.store.gate.open()
    t.strictSame(bodies(await Promise.all(others)), ['{"run":1}'])
    t.equal(server.runs(), 1)
    await grounded(server.app)
    await server.close()
  }
})

t.test('HEAD whose client leaves while a slow store is asked costs no run', async t => {
  const server = await looking(t, false)
  const head = server.get('/thing/1', { method: 'HEAD' })
  await server.arrived(1)
  await leave(head)
  await new Promise(resolve => setTimeout(resolve, 20))
  server.store.gate.open()
  await new Promise(resolve => setTimeout(resolve, 20))
  t.equal(server.runs(), 0)
})

t.test('whatever answers a request that waits for a slow store, one of those who wait with it takes over', async t => {
  for (const method of ['GET', 'HEAD']) {
    for (const answer of [(reply: FastifyReply) => { reply.code(503).send('enough') }, (reply: FastifyReply) => { reply.hijack().raw.writeHead(503).end('enough') }]) {
      let parked: FastifyReply | undefined
      const server = await looking(t, false, {
        before: app => { app.addHook('onRequest', async (request, reply) => { if (request.headers['x-request-id'] !== undefined) parked = reply }) }
      })
      const first = server.get('/thing/1', { method, headers: { 'x-request-id': '1' } })
      await server.arrived(1)
      const others = times(3, server, '/thing/1').map(send => send())
      await server.arrived(4)
      answer(parked as FastifyReply)
      t.match(await first, { status: 503, body: method === 'HEAD' ? '' : 'enough' })
      server.store.gate.open()
      t.strictSame(bodies(await Promise.all(others)), ['{"run":1}'])
      t.equal(server.runs(), 1)
      t.equal(server.app.coalesce.stats().actualExecutions, 1)
      t.match(await outcomes(server.app), { [`${method === 'HEAD' ? 'follower' : 'leader'} answered-elsewhere`]: 1 })
      await grounded(server.app)
      await server.close()
    }
  }
})

t.test('a request whose time ends while a slow store is asked is told so, and one of those who wait with it takes over', async t => {
  const server = await looking(t, false, { fastify: { handlerTimeout: 1_000 } })
  const first = server.get('/thing/1')
  await server.arrived(1)
  await new Promise(resolve => setTimeout(resolve, 500))
  const others = times(3, server, '/thing/1').map(send => send())
  t.match(await first, { status: 503, body: /FST_ERR_HANDLER_TIMEOUT/ })
  t.strictSame(bodies(await Promise.all(others)), ['{"run":1}'])
  server.store.gate.open()
  t.match(await outcomes(server.app), { 'leader handler-timeout': 1, 'leader shared': 1, 'follower shared': 2 })
  await grounded(server.app)
})

t.test('the kill switch lets all go who wait for a slow store', async t => {
  const server = await looking(t, true)
  const asked = times(4, server, '/thing/1').map(send => send())
  await waiting(server.app, 3)
  server.app.coalesce.disable()
  await until(() => server.runs() >= 4)
  server.store.gate.open()
  t.ok((await Promise.all(asked)).every(({ status }) => status === 200))
  t.equal(server.runs(), 5)
  await grounded(server.app)
})

t.test('the app closes while a slow store is asked: all are answered', async t => {
  const server = await looking(t, true)
  const asked = times(4, server, '/thing/1').map(send => send())
  await waiting(server.app, 3)
  const closed = server.app.close()
  server.store.gate.open()
  t.strictSame(bodies(await Promise.all(asked)), ['{"run":1}'])
  await closed
})

t.test('the flight\'s time ends while a slow store is asked: all are answered', async t => {
  const held = gate()
  const server = await looking(t, true, {
    route: { flightTimeout: 100, waitTimeout: 1000 },
    options: { storeTimeout: 10_000 },
    handler: async run => {
      if (run > 1) await held.promise
      return { run }
    }
  })
  const asked = times(4, server, '/thing/1').map(send => send())
  await waiting(server.app, 3)
  server.clock.advance(100)
  await until(() => server.runs() === 2)
  server.store.gate.open()
  held.open()
  const answers = await Promise.all(asked)
  t.ok(answers.every(({ status }) => status === 200))
  await grounded(server.app)
  const { totalRequests, actualExecutions, cacheHits, deduplicatedRequests } = server.app.coalesce.stats()
  t.equal(actualExecutions, server.runs(), 'every run is counted')
  t.equal(totalRequests, 5)
  t.equal(cacheHits + deduplicatedRequests + actualExecutions, 5)
})

t.test('apps that share a store, and name other headers or cookies, share nothing of a route', async t => {
  const store = mapStore()
  const named = [{ headers: ['x-one'] }, { headers: ['x-two'] }, { cookies: ['one'] }, { cookies: ['two'] }]
  const headers = { host: 'localhost', 'x-one': 'same', 'x-two': 'same', cookie: 'one=same' }
  for (const [index, route] of named.entries()) {
    const server = await keeping(t, { route: { credentials: [], learnVary: false, ...route }, options: { store }, handler: () => ({ index }) })
    for (const cookie of ['one=same', 'two=same']) await server.get('/thing/1', { headers: { ...headers, cookie } })
    t.equal((await server.get('/thing/1', { headers: { ...headers, cookie: index === 3 ? 'two=same' : 'one=same' } })).body, `{"index":${index}}`)
  }
})

t.test('apps that share a store, and trust responses otherwise in what they depend on, share nothing of a route', async t => {
  const store = mapStore()
  const trusts = [{ learnVary: false }, {}, { learnVary: { ignore: ['x-user'] } }, { learnVary: { ignore: ['x-user', 'x-team'] } }] as const
  for (const [index, route] of trusts.entries()) {
    const handler: Handler = (_run, request) => ({ index, user: request.headers['x-user'] })
    const server = await keeping(t, { route, options: { store }, handler })
    const headers = { host: 'localhost', 'x-user': `user ${index}` }
    t.equal((await server.get('/thing/1', { headers })).body, `{"index":${index},"user":"user ${index}"}`)
  }
  const turned = await keeping(t, { route: { learnVary: { ignore: ['x-team', 'x-user'] } }, options: { store }, handler: () => 'a run' })
  t.match((await turned.get('/thing/1', { headers: { host: 'localhost' } })).body, '"index":3', 'in whichever order they are named')
})

t.test('a response of another variant than that of the key it is found under is not served', async t => {
  const store = altering(value => ({ value: { ...value, variant: { names: ['x-tenant'], values: ['b'] } } }))
  const server = await keeping(t, { options: { store, cacheStatus: true } })
  await server.get('/thing/1')
  const { body, headers } = await server.get('/thing/1', { headers: { 'x-tenant': 'a' } })
  t.equal(body, '{"run":2}')
  t.match(headers['cache-status'], /fwd=vary-miss/)
  t.match(await server.get('/thing/1', { headers: { 'x-tenant': 'b' } }), { body: '{"run":2}' }, 'who is of that variant is given it')
})

t.test('who turns out to be of another variant than its leader is given what another process kept of that meanwhile', async t => {
  const store = memoryStore()
  const held = gate()
  const handler: Handler = async (run, request) => {
    const tenant = String(request.headers['x-tenant'])
    if (tenant === 'a') await held.promise
    return { run, tenant }
  }
  const [one, other] = [await keeping(t, { options: { store }, handler }), await keeping(t, { options: { store }, handler })]
  const ask = (server: Keeping, tenant: string) => server.get('/thing/1', { headers: { host: 'example.org', 'x-tenant': tenant } })
  const leader = ask(one, 'a')
  await one.arrived(1)
  const follower = ask(one, 'b')
  await waiting(one.app, 1)
  t.equal((await ask(other, 'b')).body, '{"run":1,"tenant":"b"}')
  held.open()
  t.equal((await leader).body, '{"run":1,"tenant":"a"}')
  t.match(await follower, { status: 200, body: '{"run":1,"tenant":"b"}', headers: { age: '0' } })
  t.equal(one.runs(), 1)
  t.match(await outcomes(one.app), { 'hit fresh': 1 })
  await grounded(one.app)
})

t.test('who wants what is kept only is refused once a slow store has nothing, and who waits with it runs', async t => {
  const server = await looking(t, false, { route: { respectRequestCacheControl: true } })
  const refused = server.get('/thing/1', { headers: { 'cache-control': 'only-if-cached' } })
  await server.arrived(1)
  const others = times(3, server, '/thing/1').map(send => send())
  await waiting(server.app, 2)
  server.store.gate.open()
  t.equal((await refused).status, 504)
  t.strictSame(bodies(await Promise.all(others)), ['{"run":1}'])
  t.equal(server.runs(), 1)
  t.match(await outcomes(server.app), { 'bypass only-if-cached': 1, 'leader shared': 1 })
  await grounded(server.app)
})
