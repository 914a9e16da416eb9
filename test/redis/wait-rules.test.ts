/**
 * "What is led and waited for ends once, by what came first, whatever else arrives, or does not."
 */
import t from 'tap'
import type { LogReader } from '../../lib/redis/log-reader.js'
import { Wait, type Watch } from '../../lib/redis/watch.js'
import type { Command, Reply } from '../../lib/redis/clients/connection.js'
import { HandOffs } from '../../lib/redis/hand-offs.js'
import { Leases } from '../../lib/redis/leases.js'
import { Waits } from '../../lib/redis/waits.js'
import { gate } from '../fixtures/gate.js'
import { following } from '../fixtures/redis/peers.js'
import { scripted, ScriptedClient, turn } from '../fixtures/redis/scripted.js'

const LEADER = 'x'.repeat(22)
const SETTINGS = { livenessInterval: 100_000, keepWaiters: 1_000, maxInline: 10, maxMessageBytes: 1_000 }

function waiting (settings: Partial<typeof SETTINGS> = {}, isCluster = false) {
  const all = scripted({ opTimeout: 100 }, new ScriptedClient(isCluster))
  const waits = new Waits(all.link, { ...SETTINGS, ...settings })
  let tokens = 0
  const follow = (key = 'key', left = 50_000) => {
    const token = `${LEADER}:${++tokens}`
    const run = waits.add(key, all.link.names.of(key), token, left, () => {})
    return { token, ...following(run) }
  }
  const sentOf = (name: string): number => all.client.sent.flat().filter(command => command[0] === name || command[1] === name).length
  return { ...all, waits, follow, sentOf }
}

t.test('a result that is told twice is fetched once, and while it is nothing is asked', async t => {
  const { client, link, waits, follow, sentOf } = waiting()
  const { token, fate } = follow()
  const fetched = gate<readonly Reply[]>()
  client.answer = fetched.promise
  waits.ended({ type: 'claim', token, bytes: 100 })
  waits.ended({ type: 'claim', token, bytes: 100 })
  waits.checkAll()
  t.strictSame([client.sent.length, sentOf('GET')], [1, 1])
  fetched.open([link.seal.seal(`run ${token}`, 'key', [Buffer.from('here')]), 1])
  t.strictSame(await fate, { message: 'here' })
  await link.close()
})

t.test('a result that comes when nobody waits any more is nothing', async t => {
  for (const ask of ['claim', 'check'] as const) {
    const { client, link, waits, follow } = waiting()
    const { token, run } = follow()
    const answer = gate<readonly Reply[]>()
    client.answer = answer.promise
    if (ask === 'claim') waits.ended({ type: 'claim', token, bytes: 100 })
    else waits.checkAll()
    run.leave()
    answer.open([Buffer.from('nobody opens it'), 1])
    await turn()
    t.strictSame([link.figures.rejected, link.figures.received.messages], [0, 0], ask)
    await link.close()
  }
})

t.test('while it is not known what became of a run it is asked again, after the time limit', async t => {
  for (const none of ['an error', 'no connection'] as const) {
    const { client, clock, link, waits, follow, sentOf } = waiting()
    const { fate } = follow()
    const { check } = link.scripts
    client.answer = new Error('ERR refused')
    if (none === 'no connection') client.down()
    waits.checkAll()
    await turn()
    const before = sentOf(check.sha)
    client.answer = [Buffer.from('G'), null]
    if (none === 'no connection') client.up()
    clock.advance(99)
    t.equal(sentOf(check.sha), before)
    clock.advance(1)
    t.strictSame(await fate, { lost: 'gone' }, none)
    waits.close()
    await link.close()
    t.equal(clock.timers, 0)
  }
})

t.test('who leaves between the end and its telling is not told', async t => {
  const { link, waits, follow } = waiting()
  const token = `${LEADER}:1`
  waits.early.asked()
  waits.ended({ type: 'released', token })
  const { run, fate } = follow()
  run.leave()
  const told = fate.then(() => 'told')
  await turn()
  t.equal(await Promise.race([told, Promise.resolve('nothing')]), 'nothing')
  await link.close()
})

t.test('of a leader that is gone all runs are lost at once, and who has left meanwhile is not looked after', async t => {
  const { client, clock, link, waits, follow, sentOf } = waiting({ livenessInterval: 100 })
  const [one, two, left] = [follow('a'), follow('b'), follow('c')]
  const nobody = ([name, ...args]: Command): Reply => name === 'PUBSUB' ? args.slice(1).flatMap(inbox => [Buffer.from(String(inbox)), 0]) : 1
  client.answer = nobody
  clock.advance(50)
  await turn()
  const answer = gate<readonly Reply[]>()
  client.answer = answer.promise
  clock.advance(50)
  left.run.leave()
  client.answer = nobody
  answer.open([[Buffer.from('inbox'), 0]])
  t.strictSame([await one.fate, await two.fate], [{ lost: 'gone' }, { lost: 'gone' }])
  t.strictSame([link.figures.takeovers, sentOf('PUBSUB')], [2, 2], 'it is asked once for all of them')
  waits.close()
  await link.close()
  t.equal(clock.timers, 0)
})

t.test('nothing is asked any more once it is closed, also if it was being asked', async t => {
  const { client, clock, link, waits, follow, sentOf } = waiting({ livenessInterval: 100 })
  follow()
  const answer = gate<readonly Reply[]>()
  client.answer = answer.promise
  clock.advance(50)
  waits.close()
  answer.open([[Buffer.from('inbox'), 1]])
  await turn()
  t.strictSame([sentOf('PUBSUB'), clock.timers], [1, 0])
  await link.close()
})

function leading () {
  const all = scripted({ opTimeout: 100 })
  const handOffs = new HandOffs(all.link, { maxInline: 10, maxMessageBytes: 1_000, handoffTtl: 1_000 })
  const leases = new Leases(all.link, { lease: 3_000, maxMessageBytes: 1_000, relay: false }, handOffs)
  const lead = (key: string) => leases.add(key, all.link.names.of(key), `${all.link.instance}:${key}`, 60_000, false, () => {})
  const sentOf = (sha: string): Command[] => all.client.sent.flat().filter(command => command[1] === sha)
  return { ...all, handOffs, leases, lead, sentOf }
}

t.test('leases that are due at the same time are renewed together', async t => {
  const { client, clock, link, leases, lead, sentOf } = leading()
  for (const key of ['a', 'b', 'c']) lead(key)
  client.answer = [1, 1, 0]
  clock.advance(1_000)
  await turn()
  const [renewal, ...others] = sentOf(link.scripts.renew.sha)
  t.strictSame([renewal?.[2], others], [3, []])
  t.match(link.figures, { renewals: 2, lostLeases: 1 })
  leases.close()
  await link.close()
})

t.test('an end that Redis refuses is sent again, until its lease would have run out', async t => {
  const { client, clock, link, handOffs, leases, lead, sentOf } = leading()
  const { release, done } = link.scripts
  client.answer = new Error('ERR refused')
  lead('a').land(() => Buffer.from('x'))
  await turn()
  const sent = (): number => sentOf(release.sha).length + sentOf(done.sha).length
  const first = sent()
  clock.advance(100)
  await turn()
  t.equal(sent(), 2 * first, 'after the time limit')
  client.answer = 0
  clock.advance(100)
  await turn()
  t.equal(link.figures.failedHandOffs, 0)
  const last = sent()
  clock.advance(1_000)
  t.equal(sent(), last, 'and no more once it has arrived')

  client.answer = new Error('ERR refused')
  lead('b').release()
  await turn()
  client.down()
  clock.advance(99)
  client.up()
  for (let passed = 0; passed < 4_000; passed += 100) {
    clock.advance(100)
    await turn()
  }
  t.equal(link.figures.failedHandOffs, 1)
  leases.close()
  handOffs.close()
  await link.close()
  t.equal(clock.timers, 0)
})

t.test('an end whose time passes while Redis cannot be asked is not sent any more', async t => {
  const { client, clock, link, handOffs, leases, lead } = leading()
  client.down()
  lead('a').land(() => Buffer.from('x'))
  await turn()
  clock.advance(3_000)
  client.up()
  handOffs.sendAgain()
  await turn()
  t.equal(link.figures.failedHandOffs, 1)
  leases.close()
  handOffs.close()
  await link.close()
})

t.test('a log that cannot be read is asked for again when it grows, or is lost if it is whole', async t => {
  const { link } = scripted({ opTimeout: 100 })
  const names = link.names.of('k')
  for (const isWhole of [false, true]) {
    const told: string[] = []
    const watch: Watch = {
      key: 'k', names, token: 'a:1', leader: 'a', waits: new Set(), timer: undefined, absences: 0, isEnding: false, entries: 1, isWhole
    } as unknown as Watch
    let reads = 0
    const wait = new Wait(watch, () => {}, () => { told.push('ended') }, listener => {
      reads++
      queueMicrotask(() => { listener.failed() })
      return { more () {}, destroy () {} } as unknown as LogReader
    })
    wait.follow({ landed () {}, opened () {}, lost: reason => { told.push(reason) } })
    await turn()
    await turn()
    wait.more()
    t.strictSame([reads, told.includes('rejected')], isWhole ? [1, true] : [2, false])
    wait.leave()
  }
  await link.close()
})

t.test('who leaves is unregistered when the last question for its key is answered', async t => {
  const { client, link, waits } = waiting()
  const names = link.names.of('k')
  const unregistered = (): number => client.sent.flat().filter(([name]) => name === 'SREM').length
  const run = waits.add('k', names, `${LEADER}:1`, 1_000, () => {})
  waits.asked(names)
  waits.asked(names)
  run.leave()
  await turn()
  t.equal(unregistered(), 0)
  waits.answered(names)
  await turn()
  t.equal(unregistered(), 0)
  waits.answered(names)
  await turn()
  t.equal(unregistered(), 1)
  waits.close()
  await link.close()
})

for (const isCluster of [false, true]) {
  t.test(`nobody is taken for gone because ${isCluster ? 'a cluster' : 'a server'} does not say who is there`, async t => {
    const { client, clock, link, waits, follow, sentOf } = waiting({ livenessInterval: 100 }, isCluster)
    const { run, fate } = follow()
    client.answer = new Error('ERR not now')
    for (let times = 0; times < 4; times++) {
      clock.advance(50)
      await turn()
    }
    t.strictSame([link.figures.takeovers, sentOf(isCluster ? 'SHARDNUMSUB' : 'NUMSUB') > 1], [0, true])
    run.leave()
    waits.close()
    await link.close()
    t.equal(await Promise.race([fate, 'it was told nothing']), 'it was told nothing')
  })
}
