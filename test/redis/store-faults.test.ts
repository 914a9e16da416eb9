/**
 * "A Redis that fails costs what it would have given, and nothing else: nobody gets an error, nobody is given what was purged."
 */
import { Redis } from 'ioredis'
import t from 'tap'
import { until } from '../fixtures/gate.js'
import { Instances, type Instance } from '../fixtures/redis/instances.js'
import { tcpProxy } from '../fixtures/redis/proxy.js'
import { redisServer, withServer, type RedisServer } from '../fixtures/redis/server.js'

const LONG = { memory: { ttl: '1h' } } as const
const NONE = { memory: false } as const

/** Asks until Redis has been asked, and has answered. */
async function back (instance: Instance): Promise<void> {
  const before = instance.store.figures()
  await until(() => {
    Promise.resolve(instance.store.get('nothing')).catch(() => {})
    const { misses, hits } = instance.store.figures()
    return misses + hits > before.misses + before.hits
  }, 'an answer of Redis')
}

t.test('who was cut off while something was purged is not given it afterwards, neither from Redis nor from its memory', withServer, async t => {
  for (const store of [LONG, NONE]) {
    const server = await redisServer(t)
    const proxy = await tcpProxy(t, server)
    const instances = new Instances(server)
    const [a, b] = await Promise.all([instances.start(t, 'a'), instances.start(t, 'b', { at: proxy, store })])
    t.equal(await a.ask(), 'a1')
    await a.settled()
    t.equal(await b.ask(), 'a1')
    proxy.blackHole()
    a.app.coalesce.invalidate({ tags: ['all'] })
    await a.settled()
    t.equal(await b.ask('/thing/2'), 'b1', 'its clients are answered meanwhile')
    proxy.pass()
    proxy.reset()
    await back(b)
    t.equal(await b.ask(), 'b2')
    t.match(b.store.figures(), { link: { purges: { missed: Number } } })
  }
})

t.test('what is purged by one that is cut off holds there at once, and for all as soon as it is back', withServer, async t => {
  const server = await redisServer(t)
  const proxy = await tcpProxy(t, server)
  const instances = new Instances(server)
  const [a, hears, asks] = await Promise.all([
    instances.start(t, 'a', { at: proxy, store: LONG }), instances.start(t, 'hears', { store: LONG }), instances.start(t, 'asks', { store: NONE })
  ])
  t.equal(await a.ask(), 'a1')
  await a.settled()
  for (const instance of [hears, asks]) t.equal(await instance.ask(), 'a1')
  proxy.refuse()
  a.app.coalesce.invalidate({ tags: ['all'] })
  await a.get('/thing/1', { method: 'POST' })
  t.equal(await a.ask(), 'a2')
  t.equal(await a.ask(), 'a3', 'nothing is cached meanwhile')
  t.equal(await hears.ask(), 'a1', 'nobody can know')
  proxy.pass()
  await until(() => hears.store.figures().link?.purges.received === 2)
  t.equal(await hears.ask(), 'hears1')
  await hears.settled()
  t.equal(await asks.ask(), 'hears1')
  t.equal(await a.ask(), 'hears1')
})

t.test('after a flush, an eviction of the clock of purges, or a restart, all is a miss, and then all is cached for all again', withServer, async t => {
  const flaws: ReadonlyArray<readonly [name: string, flaw: (server: RedisServer) => Promise<unknown>]> = [
    ['flush', async server => await server.command('FLUSHALL')],
    ['eviction', async server => await server.command('DEL', ...await server.command('KEYS', '*purges') as string[])],
    ['restart', async server => { await server.restart() }],
    ['no scripts', async server => await server.command('SCRIPT', 'FLUSH')]
  ]
  for (const [name, flaw] of flaws) {
    const server = await redisServer(t)
    const instances = new Instances(server)
    const [a, b] = await Promise.all([instances.start(t, 'a', { store: NONE }), instances.start(t, 'b', { store: NONE })])
    t.equal(await a.ask(), 'a1')
    await a.settled()
    t.equal(await b.ask(), 'a1')
    await flaw(server)
    await Promise.all([back(a), back(b)])
    if (name === 'no scripts') t.equal(await b.ask(), 'a1')
    else t.equal(await b.ask(), 'b1', name)
    await b.settled()
    t.equal(await a.ask(), name === 'no scripts' ? 'a1' : 'b1', name)
  }
})

t.test('what was cached before a flush never comes back, even if somebody puts it there again', withServer, async t => {
  const server = await redisServer(t)
  const instances = new Instances(server)
  const [a, b] = await Promise.all([instances.start(t, 'a', { store: NONE }), instances.start(t, 'b', { store: NONE })])
  await a.ask()
  await a.settled()
  const client = new Redis({ host: server.host, port: server.port })
  t.teardown(() => { client.disconnect() })
  const [name = ''] = await client.keys('*:c:*')
  const bytes = await client.getBuffer(name) as Buffer
  await client.flushall()
  await back(a)
  await client.set(name, bytes)
  t.equal(await b.ask(), 'b1')
})

t.test('a Redis that hangs is waited for once, and is not asked again until it answers', withServer, async t => {
  const server = await redisServer(t)
  const instances = new Instances(server)
  const a = await instances.start(t, 'a', { store: { memory: false, opTimeout: 300 } })
  await a.ask()
  await a.settled()
  server.pause()
  t.equal(await a.ask(), 'a2')
  const { skipped, errors } = a.store.figures()
  t.ok(errors > 0)
  t.equal(await a.ask('/thing/2'), 'a3')
  t.ok(a.store.figures().skipped > skipped)
  t.equal(a.store.figures().errors, errors, 'nobody waits')
  server.resume()
  await back(a)
  t.equal(await a.ask(), 'a1', 'what it has is found again')
})

t.test('a Redis that is full takes nothing more, and nobody notices', withServer, async t => {
  const server = await redisServer(t)
  const instances = new Instances(server)
  const body = 'x'.repeat(100_000)
  const a = await instances.start(t, 'a', { store: NONE, handler: run => `${run}${body}` })
  await back(a)
  await server.command('CONFIG', 'SET', 'maxmemory', 1)
  t.equal(await a.ask(), `1${body}`)
  t.equal(await a.ask(), `2${body}`)
  t.equal(a.store.figures().stored, 0)
  await server.command('CONFIG', 'SET', 'maxmemory', 0)
  await back(a)
  t.equal(await a.ask(), `3${body}`)
  await a.settled()
  t.equal(await a.ask(), `3${body}`)
})

t.test('an entry that was altered, cut, replaced, moved to another key, or is of another version or kind, is a miss', withServer, async t => {
  const server = await redisServer(t)
  const instances = new Instances(server)
  const [a, b] = await Promise.all([instances.start(t, 'a', { store: NONE }), instances.start(t, 'b', { store: NONE })])
  const client = new Redis({ host: server.host, port: server.port })
  t.teardown(() => { client.disconnect() })
  await a.ask('/thing/other')
  await a.ask()
  await a.settled()
  const kept = new Map(await Promise.all((await client.keys('*:c:*')).map(async name => [name, await client.getBuffer(name) as Buffer] as const)))
  t.equal(kept.size, 2)
  t.equal(await b.ask(), 'a2')
  const names = [...kept.keys()]
  // Which of the two it is shows when it is gone.
  await client.del(names[0] as string)
  const found = await b.ask() === 'a2' ? names[1] as string : names[0] as string
  const other = names.find(name => name !== found) as string
  const bytes = kept.get(found) as Buffer
  const altered = (index: number): Buffer => {
    const copy = Buffer.from(bytes)
    copy[index] = (copy[index] as number) ^ 1
    return copy
  }
  const wrong: Buffer[] = [
    ...Array.from({ length: Math.ceil(bytes.length / 7) }, (_, index) => altered(index * 7)),
    Buffer.of(2, ...bytes.subarray(1)), Buffer.of(0, ...bytes.subarray(1)), kept.get(other) as Buffer, Buffer.alloc(0), Buffer.alloc(31, 1), Buffer.alloc(33, 1),
    Buffer.alloc(5_000, 255), Buffer.from('a text'), Buffer.concat([bytes, Buffer.of(0)]), ...[1, 20, 32, 40, 60, bytes.length - 1].map(end => bytes.subarray(0, end))
  ]
  const runs = new Set(['a2'])
  for (const each of wrong) {
    await client.del(other)
    await client.set(found, each, 'PX', 50_000)
    const answer = await b.ask()
    if (!answer.startsWith('b') || runs.has(answer)) t.fail(`${each.toString('latin1')} was answered with ${answer}`)
    runs.add(answer)
    await b.settled()
  }
  t.equal(runs.size, wrong.length + 1)
  t.ok(b.store.figures().rejected > wrong.length / 2)
  await client.del(found)
  await client.lpush(found, 'a list')
  const answer = await b.ask()
  t.equal(answer, `b${b.runs()}`)
  await client.set(found, bytes, 'PX', 50_000)
  t.equal(await b.ask(), 'a2', 'the bytes as they were are heeded')
})

t.test('clocks that are an hour off change nothing', withServer, async t => {
  const server = await redisServer(t)
  const instances = new Instances(server)
  const route = { staleWhileRevalidate: '1m' } as const
  const HOUR = 3_600_000
  const [a, ahead, behind] = await Promise.all([
    instances.start(t, 'a', { route }), instances.start(t, 'ahead', { route, ahead: HOUR }), instances.start(t, 'behind', { route, ahead: -HOUR })
  ])
  const all = [a, ahead, behind]
  t.equal(await ahead.ask(), 'ahead1')
  await ahead.settled()
  t.equal(await behind.ask('/thing/2'), 'behind1')
  await behind.settled()
  await instances.pass(30_000)
  for (const [path, given] of [['/thing/1', 'ahead1'], ['/thing/2', 'behind1']] as const) {
    for (const instance of all) {
      const { body, headers } = await instance.get(path)
      t.equal(body, given)
      t.equal(Math.floor(Number(headers['age']) / 10), 3)
    }
  }
  behind.app.coalesce.invalidate({ url: '/thing/1' })
  await behind.settled()
  await until(() => all.filter(instance => instance.store.figures().link?.purges.received === 1).length === 2)
  t.equal(await a.ask(), 'a1')
  await a.settled()
  for (const instance of all) t.equal(await instance.ask(), 'a1')
  await instances.pass(31_000)
  t.equal(await ahead.ask('/thing/2'), 'behind1', 'it is stale by now')
  await until(() => ahead.runs() === 2)
  await until(() => ahead.store.figures().stored === 2)
  for (const instance of all) t.equal(await instance.ask('/thing/2'), 'ahead2')
})

t.test('what is stale is served for as long as the instance that cached it has said, by any', withServer, async t => {
  const server = await redisServer(t)
  const instances = new Instances(server)
  const route = { staleIfError: '2m', staleWhileRevalidate: '30s' } as const
  let fails = false
  const handler = (name: string) => (run: number): string => {
    if (fails) throw new Error('the backend is down')
    return `${name}${run}`
  }
  const [a, b] = await Promise.all(['a', 'b'].map(async name => await instances.start(t, name, { store: NONE, route, handler: handler(name) }))) as [Instance, Instance]
  t.equal(await a.ask(), 'a1')
  await a.settled()
  fails = true
  await instances.pass(61_000)
  t.equal(await b.ask(), 'a1', 'it is refreshed, in vain')
  await until(() => b.runs() === 1)
  await instances.pass(60_000)
  t.equal(await b.ask(), 'a1', 'for the handler fails')
  t.equal(b.runs(), 2)
  await instances.pass(60_000)
  t.equal((await b.get('/thing/1')).status, 500, 'its time is over')
  t.equal(b.runs(), 3)
})

t.test('the wrong kind of key is an error that is counted, and the handler runs', withServer, async t => {
  const server = await redisServer(t)
  const instances = new Instances(server)
  const a = await instances.start(t, 'a', { store: NONE })
  await a.ask()
  await a.settled()
  const [name = ''] = await server.command('KEYS', '*:c:*') as string[]
  await server.command('DEL', name)
  await server.command('LPUSH', name, 'a list')
  const { errors } = a.store.figures()
  t.equal(await a.ask(), 'a2')
  t.ok(a.store.figures().errors > errors)
})
