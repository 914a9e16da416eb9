/**
 * "A wrong option of a store in Redis is told by name, and nothing is connected to before somebody uses the store."
 */
import { Redis } from 'ioredis'
import t from 'tap'
import { redisStore } from '../../lib/redis/store/store.js'
import { deduplicate } from '../../lib/index.js'
import { SECRET } from '../fixtures/redis/instances.js'
import { redisServer, withServer } from '../fixtures/redis/server.js'
import { until } from '../fixtures/gate.js'

t.test('wrong options are told by name', async t => {
  const client = new Redis({ lazyConnect: true })
  const wrong: ReadonlyArray<readonly [options: unknown, message: RegExp]> = [
    [undefined, /^redisStore options must be an object with a client or a url, got undefined$/],
    [{}, /^redisStore options must be an object with either a client or a url/],
    [{ client, memory: true }, /^redisStore options\.memory must be false, or an object with maxBytes and ttl, got true$/],
    [{ client, memory: { maxBytes: 0 } }, /^redisStore options\.memory\.maxBytes must be a whole number from 1/],
    [{ client, memory: { ttl: 'soon' } }, /^redisStore options\.memory\.ttl must be a duration/],
    [{ client, maxEntryBytes: -1 }, /^redisStore options\.maxEntryBytes must be a whole number from 1/],
    [{ client, maxEntryByte: 1 }, /did you mean maxEntryBytes\?$/]
  ]
  for (const [options, message] of wrong) t.throws(() => redisStore(options as never), { message, code: 'FST_COALESCE_INVALID_OPTION' })
  t.match(redisStore({ client }).figures(), { hits: 0, link: undefined })
  t.equal(client.status, 'wait')
})

t.test('a function has its results in common with those of the same name in other processes, and one purges for all', withServer, async t => {
  const { host, port } = await redisServer(t)
  const processes = Array.from({ length: 2 }, (_, index) => {
    const store = redisStore({
      client: new Redis({ host, port, lazyConnect: true }), namespace: 'functions', secret: SECRET, opTimeout: '2s', memory: false
    })
    t.teardown(async () => { await store.close() })
    let runs = 0
    const find = deduplicate(async (id: string) => `${id} by ${index} ${++runs}`, { key: id => id, ttl: '1m', name: 'find', store, storeTimeout: '2s' })
    return { find, store }
  })
  const [a, b] = processes as [typeof processes[0], typeof processes[0]]
  // Until it is connected, each has its own.
  await until(() => {
    Promise.all([a, b].map(async ({ find }) => await find('warm'))).catch(() => {})
    return a.store.figures().misses + a.store.figures().hits > 0 && b.store.figures().misses + b.store.figures().hits > 0
  })
  const first = await a.find('x')
  await until(() => a.store.figures().stored > 0)
  await a.store.get('x')
  t.equal(await b.find('x'), first)
  b.find.invalidate('x')
  await b.store.get('x')
  t.not(await a.find('x'), first)
})
