/**
 * "A wrong option of a coordinator throws with its name, what it wants and what it got."
 */
import { Redis } from 'ioredis'
import t from 'tap'
import { redisCoordinator } from '../../lib/redis/coordinator.js'
import { readCoordinatorOptions } from '../../lib/redis/options.js'

const client = new Redis({ lazyConnect: true })
const of = (options: object): unknown => redisCoordinator({ client, ...options })

t.test('options have defaults', async t => {
  const settings = readCoordinatorOptions({ client })
  t.match(settings, {
    namespace: 'coalesce',
    secret: undefined,
    lanes: undefined,
    lease: 3000,
    opTimeout: 150,
    livenessInterval: 250,
    maxInline: 65_536,
    handoffTtl: 10_000,
    maxMessageBytes: 16_777_216
  })
  t.ok(Object.isFrozen(settings))
  t.equal(readCoordinatorOptions({ client, lease: '5s' }).lease, 5000)
})

t.test('wrong options throw', async t => {
  const wrong: ReadonlyArray<readonly [options: object, says: RegExp]> = [
    [{ namespace: 'a{b}' }, /^redisCoordinator options\.namespace must be a name of 1 to 64 .* got "a\{b\}"$/],
    [{ namespace: '' }, /namespace must be/],
    [{ namespace: 1 }, /namespace must be .* got 1$/],
    [{ secret: 'short' }, /secret must be a string of at least 16 characters, got "5 characters"$/],
    [{ secret: 1 }, /secret must be a string .* got "number"$/],
    [{ lanes: 0 }, /lanes must be a whole number from 1 to 1024, got 0$/],
    [{ lease: 0 }, /lease must be a duration/],
    [{ opTimeout: 'soon' }, /opTimeout must be a duration/],
    [{ livenessInterval: -1 }, /livenessInterval must be a duration/],
    [{ maxInline: -1 }, /maxInline must be a whole number/],
    [{ handoffTtl: 'x' }, /handoffTtl must be a duration/],
    [{ maxMessageBytes: 0 }, /maxMessageBytes must be a whole number/],
    [{ clock: {} }, /clock must be an object/],
    [{ leese: 1 }, /leese is unknown; did you mean lease\?/],
    [{ client: {} }, /client must be a client/],
    [{ url: 'redis://localhost' }, /must be an object with either a client or a url/],
    [{ client: undefined }, /must be an object with either a client or a url/],
    [{ client: undefined, url: 'http://secret' }, /url must be a url such as 'redis:\/\/localhost:6379', got "another text"$/],
    [{ client: undefined, url: 1 }, /url must be a url .* got "number"$/]
  ]
  for (const [options, says] of wrong) t.throws(() => of(options), { code: 'FST_COALESCE_INVALID_OPTION', message: says })
  for (const nonsense of [undefined, null, 'redis://localhost']) {
    t.throws(() => redisCoordinator(nonsense as never), { message: /^redisCoordinator options must be an object with a client or a url/ })
  }
})
