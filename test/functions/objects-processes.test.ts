/**
 * "Objects are of one process, and so are the calls on them."
 */
import t from 'tap'
import Fastify from 'fastify'
import coalesce from '../../lib/index.js'
import { TestClock } from '../fixtures/gate.js'
import { MemoryHub } from '../fixtures/memory-coordinator.js'

t.test('a call on an object is not identical with one on an object of another process, whatever a coordinator says of calls on none', async t => {
  const clock = new TestClock()
  const hub = new MemoryHub(clock, { lease: 60_000, limit: 10_000, latency: 1_000 })
  const start = async (owner: string) => {
    const app = Fastify()
    t.teardown(async () => { await app.close() })
    const coordinator = hub.coordinator()
    const asked: string[] = []
    const { join } = coordinator
    coordinator.join = joining => {
      asked.push(joining.key)
      return join.call(coordinator, joining)
    }
    await app.register(coalesce, { clock, coordinator })
    const secrets = app.coalesce.deduplicate(async function (this: { owner: string } | undefined, name: string) {
      return `${name} of ${String(this?.owner)}`
    }, { name: 'secrets', key: name => name })
    await app.ready()
    return { secrets, asked, account: { owner, secrets } }
  }
  const [one, other] = [await start('one'), await start('other')]

  const both = await Promise.all([one.account.secrets('pin'), other.account.secrets('pin')])

  t.strictSame(both, ['pin of one', 'pin of other'])
  t.strictSame([one.asked, other.asked], [[], []])
})
