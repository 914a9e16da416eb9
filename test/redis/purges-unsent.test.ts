/**
 * "A purge that Redis does not have is sent until it has it; one that it never got is told when the app closes."
 */
import t, { type Test } from 'tap'
import { purgedMessage, readMessage, type Message } from '../../lib/redis/inbox.js'
import { Purges } from '../../lib/redis/purges.js'
import { until } from '../fixtures/gate.js'
import { peerOf } from '../fixtures/redis/peers.js'
import { freePort } from '../fixtures/redis/processes.js'
import { scripted, turn, type Scripted } from '../fixtures/redis/scripted.js'

const REFUSED = new Error('ERR refused')

interface Purging extends Scripted {
  readonly purges: Purges
  /** What the test's own listener was told. */
  readonly told: string[]
  /** How often the clock was asked for each script, by its beginning. */
  sentOf (script: 'purge' | 'reset'): number
}

function purging (t: Test, lanes = 1): Purging {
  const all = scripted({ lanes })
  const { link, client } = all
  const purges = new Purges(link)
  link.listen({ usable: () => { purges.sendAgain() } })
  const told: string[] = []
  purges.listen({ group: 'a', purged (labels, soft) { told.push(`${labels.join()} ${soft}`) }, missed () { told.push('missed') } })
  t.teardown(async () => {
    await link.close()
    await purges.close()
  })
  return {
    ...all,
    purges,
    told,
    sentOf: script => client.sent.flat().filter(([, source]) => source === link.scripts[script].source).length
  }
}

t.test('a purge that one lane refuses is sent again to all, after a while, until each has it', async t => {
  const { client, clock, link, purges, sentOf } = purging(t, 2)
  client.answer = ([, , , key]) => String(key).includes('{1}') ? REFUSED : 1
  purges.purge('a', ['x'], false)
  await turn()
  t.strictSame([purges.unsent, link.figures.purges.sent, sentOf('purge')], [1, 0, 2])
  purges.purge('a', ['y'], true)
  await turn()
  t.equal(purges.unsent, 2)
  clock.advance(99)
  t.equal(sentOf('purge'), 4)
  clock.advance(1)
  await turn()
  t.strictSame([purges.unsent, sentOf('purge')], [2, 8])
  client.answer = 1
  clock.advance(100)
  await turn()
  t.strictSame([purges.unsent, link.figures.purges.sent, clock.timers], [0, 2, 0])
})

t.test('if too many were not sent, all is purged instead, also if that has to be tried again', async t => {
  const { client, clock, link, purges, sentOf } = purging(t)
  client.answer = REFUSED
  for (let index = 0; index < 1_002; index++) purges.purge('a', [`label ${index}`], false)
  await turn()
  t.equal(purges.unsent, 1)
  clock.advance(100)
  await turn()
  t.strictSame([purges.unsent, sentOf('reset'), link.figures.purges.resets], [1, 1, 0])
  client.answer = 1
  clock.advance(100)
  await turn()
  t.strictSame([purges.unsent, sentOf('reset'), link.figures.purges], [0, 2, { sent: 0, received: 0, resets: 1, missed: 0 }])
  t.equal(sentOf('purge'), 1_002, 'none of them is sent besides')
})

t.test('what is being sent when the app closes is waited for, and told only if it did not arrive', async t => {
  for (const [answer, said] of [[1, []], [REFUSED, ['coordinator-purges-lost']]] as const) {
    const { client, link, log, purges } = purging(t)
    client.answer = answer
    purges.purge('a', ['x'], false)
    await link.close()
    await purges.close()
    t.strictSame(log, said)
  }
})

t.test('purges that Redis never got are told in a warning when the app closes, once', async t => {
  const peer = peerOf(t, { host: '127.0.0.1', port: await freePort() })
  const events = (): string[] => peer.log.map(({ fields }) => fields.coalesce.event)
  await until(() => events().includes('coordinator-failed'))
  peer.coordination.purge(['a'], false)
  peer.coordination.purge(['b'], false)
  await peer.coordination.close()
  t.strictSame(events().filter(event => event !== 'coordinator-failed' && event !== 'coordinator-down'), ['coordinator-purges-lost'])
  t.match(peer.log.at(-1), { level: 'warn', message: /purges that were made here are not in Redis/ })
})

t.test('what others tell is believed only if it is sealed, and what cannot be read means that purges may have been missed', async t => {
  const { link, purges, told } = purging(t)
  const other = 'x'.repeat(22)
  const receive = (sealed: Buffer, instance = other): void => { purges.received(readMessage(purgedMessage(instance, sealed)) as Extract<Message, { type: 'purged' }>) }
  const sealed = (text: string): Buffer => link.seal.seal('purge', other, [Buffer.from(text)])
  receive(sealed(JSON.stringify({ group: 'a', labels: ['x', 'y'], soft: true })))
  receive(sealed(JSON.stringify({ group: 'b', labels: ['of others'], soft: true })))
  t.strictSame(told.splice(0), ['x,y true'])
  receive(Buffer.from('its own, as it comes back'), link.instance)
  t.strictSame(told, [])
  const wrong = [{ group: 1, labels: [], soft: true }, { group: 'a', labels: 'x', soft: true }, { group: 'a', labels: [1], soft: true }, { group: 'a', labels: [] }]
  for (const text of ['no JSON', ...wrong.map(each => JSON.stringify(each))]) {
    receive(sealed(text))
    t.strictSame(told.splice(0), ['missed'], text)
  }
  t.equal(link.figures.rejected, 5)
  purges.received({ type: 'reset', instance: other })
  t.strictSame(told, ['missed'])
  t.equal(link.figures.rejected, 5, 'that all was purged is no fault')
})

t.test('if the clock of purges refuses to be begun anew as well, that is tried again', async t => {
  const { client, clock, link, purges, sentOf } = purging(t, 2)
  client.answer = REFUSED
  for (let place = 0; place <= 1_000; place++) purges.purge('a', [`x${place}`], false)
  await turn()
  clock.advance(100)
  await turn()
  t.ok(sentOf('reset') > 0)
  t.equal(link.figures.purges.resets, 0)
  client.answer = 1
  clock.advance(100)
  await turn()
  t.equal(link.figures.purges.resets, 1)
})
