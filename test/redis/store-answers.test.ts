/**
 * "A store that Redis refuses something says what Redis has said, and gives nothing."
 */
import t from 'tap'
import { Seal } from '../../lib/redis/seal.js'
import { encodeEntry, writeOf } from '../../lib/redis/store/bytes.js'
import { redisStore, type RedisStore } from '../../lib/redis/store/store.js'
import { until } from '../fixtures/gate.js'
import { fakeIoredis, replyError, type Answer } from '../fixtures/redis/fake-ioredis.js'
import { entryOf } from '../stores/conformance.js'

const SECRET = 'a secret of the tests'
const GENERATION = 'generation'
/** What the script says where nothing is found. */
const NOTHING = [Buffer.from(GENERATION), 0]

/** A store that is connected, and all that it asked. */
async function storeOf (t: { teardown (close: () => Promise<void>): unknown }, answer: Answer): Promise<RedisStore> {
  const store = redisStore({ client: fakeIoredis(answer), namespace: 'answers', secret: SECRET, memory: false, opTimeout: '10s' })
  t.teardown(async () => { await store.close() })
  await until(() => {
    const found = store.get('warm')
    if (found instanceof Promise) found.catch(() => {})
    return found !== undefined
  })
  return store
}

t.test('a lookup that is refused rejects with what was said, of the bytes or of the script', async t => {
  for (const [refused, message] of [['GETRANGE', 'WRONGTYPE of the bytes'], ['EVALSHA', 'ERR of the script']] as const) {
    const store = await storeOf(t, name => name === refused ? replyError(message) : name === 'EVALSHA' ? NOTHING : Buffer.alloc(0))
    await t.rejects(store.get('key') as Promise<unknown>, { message })
    t.ok(store.figures().errors > 0)
  }
})

t.test('the rest of a large entry that is refused is no entry, and one that is given makes it whole', async t => {
  const { version, since, storedAt, ...members } = entryOf('key', 'x'.repeat(1_000))
  const bytes = encodeEntry({ members, ran: 1, keepFor: 60_000 }, { generation: GENERATION, e: 0 }, [], new Seal('answers', SECRET)) as Buffer
  const found = [...NOTHING, Buffer.from(writeOf(bytes) as string, 'latin1'), 50_000, 0, bytes.length]
  let rest: unknown = replyError('ERR of the rest')
  const store = await storeOf(t, (name, [, from]) => name === 'EVALSHA' ? found : Number(from) === 0 ? bytes.subarray(0, 500) : rest)
  await t.rejects(store.get('key') as Promise<unknown>, { message: 'ERR of the rest' })
  rest = bytes.subarray(500)
  t.equal((await store.get('key'))?.value, 'x'.repeat(1_000))
})

t.test('an entry that cannot be deleted is told of, so that nobody takes it for gone', async t => {
  const store = await storeOf(t, name => name === 'UNLINK' ? replyError('ERR refused') : name === 'EVALSHA' ? NOTHING : Buffer.alloc(0))
  const { errors } = store.figures()
  await t.rejects(store.delete('key') as Promise<unknown>, { message: 'ERR refused' })
  t.equal(store.figures().errors, errors + 1)
})
