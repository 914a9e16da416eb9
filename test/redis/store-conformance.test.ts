/**
 * "A store in Redis does what any store does."
 */
import { Redis } from 'ioredis'
import t from 'tap'
import { systemClock } from '../../lib/clock.js'
import { redisStore, type RedisStoreOptions } from '../../lib/redis/store/store.js'
import { redisServer, withServer } from '../fixtures/redis/server.js'
import { conforms } from '../stores/conformance.js'

const SECRET = 'a secret of the tests'
/** Lets time pass for all that has a time to live. */
const PASS = `for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  if left >= 0 then redis.call('PEXPIRE', key, left - ARGV[1]) end
end`

t.test('a store in Redis', withServer, async t => {
  const server = await redisServer(t)
  const client = new Redis({ port: server.port, host: server.host, lazyConnect: true })
  let spaces = 0

  const variants: ReadonlyArray<readonly [name: string, options: Partial<RedisStoreOptions>]> = [
    ['Redis alone', { memory: false }], ['Redis behind memory', { memory: { ttl: '1h' } }]
  ]
  for (const [name, options] of variants) {
    conforms(t, {
      name,
      unbounded: true,
      ownTimes: true,
      goesOn: 900,
      open: async t => {
        let ahead = 0
        let stamps = 0
        const clock = { ...systemClock, now: () => systemClock.now() + ahead }
        const store = redisStore({ client, namespace: `space-${++spaces}`, secret: SECRET, clock, opTimeout: '5s', ...options })
        const log = { debug () {}, warn () {}, error () {} }
        const side = store.open({ log, stamp: () => (stamps += 2 ** -10), purged () {}, missedPurges () {} })
        t.teardown(async () => { await side.close() })
        await side.ready()
        t.equal(await side.get('none'), undefined)
        return {
          store: side,
          async advance (milliseconds) {
            ahead += milliseconds
            await server.command('EVAL', PASS, 0, milliseconds)
          }
        }
      }
    })
  }
})
