/**
 * "What stands at the seams of the engine, protection and the coordinator, may delay, refuse and fail, and nobody is lost."
 */
import t from 'tap'
import { NO_CACHE, type ResultCache } from '../../lib/engine/cache/cache.js'
import { miss, type Lookup } from '../../lib/engine/cache/lookup.js'
import { LEADS, type Claim, type Coordinator } from '../../lib/engine/coordinators/coordinator.js'
import { GRANTED, type Permission, type Protection } from '../../lib/engine/protection/protection.js'
import { Engine, TestParticipant } from './participants.js'

/** Protection that answers when it is told to, and notes how runs end. */
function protection () {
  const asked: Array<{ id: string, answer: (permission: Permission) => void, fail: (error: Error) => void }> = []
  const ended: string[] = []
  const seam: Protection = {
    ask: ({ id }) => new Promise((resolve, reject) => { asked.push({ id, answer: resolve, fail: reject }) }),
    ended: ({ id }, end) => { ended.push(`${id} ${end}`) }
  }
  return { seam, asked, ended, first: () => asked[0] as typeof asked[number] }
}

function coordinator () {
  const asked: Array<{ key: string, answer: (claim: Claim<string>) => void, fail: (error: Error) => void }> = []
  const told: string[] = []
  const seam: Coordinator<string> = {
    claim: key => new Promise((resolve, reject) => { asked.push({ key, answer: resolve, fail: reject }) }),
    landed: (key, { type }) => { told.push(`${key} ${type}`) },
    purged: (labels, soft) => { told.push(`purged ${labels.join()} ${String(soft)}`) }
  }
  return { seam, asked, told, first: () => asked[0] as typeof asked[number] }
}

const refusal: Permission = { type: 'refused', reason: 'queue-full', error: new Error('too much'), retryAfter: 500 }

t.test('a run takes off once protection lets it, and those who wait get what it brings', async t => {
  const { seam, first, ended } = protection()
  const engine = new Engine({ protection: seam })
  const leader = engine.arrive(engine.participant('a'))
  engine.arrive(engine.participant('b'))
  t.strictSame(await engine.happened(), [])
  first().answer(GRANTED)
  t.strictSame(await engine.happened(), ['a runs'])
  engine.conductor.land(leader, [], false)
  t.strictSame(await engine.happened(), ['b has what a brought'])
  t.strictSame(ended, ['a completed'])
  t.equal(leader.tally.runs, 1)
})

t.test('protection that fails lets a run take off', async t => {
  const { seam, first } = protection()
  const engine = new Engine({ protection: seam })
  engine.arrive(engine.participant('a'))
  await engine.happened()
  first().fail(new Error('broken'))
  t.strictSame(await engine.happened(), ['a runs'])
})

t.test('a refused run is an error for everybody on its flight, who are told when to come again', async t => {
  const { seam, first } = protection()
  const engine = new Engine({ protection: seam })
  const all = ['a', 'b'].map(id => engine.arrive(engine.participant(id)))
  await engine.happened()
  first().answer(refusal)
  t.strictSame(await engine.happened(), ['b refused too much 500', 'a refused too much 500'])
  t.strictSame(all.map(({ outcome, outcomeReason }) => [outcome, outcomeReason]), [['shed', 'queue-full'], ['shed', 'queue-full']])
  t.equal(engine.conductor.flights.size, 0)
})

t.test('instead of being refused they are served what is cached, if that may stand in', async t => {
  const { seam, first } = protection()
  const engine = new Engine({ protection: seam })
  const cache: ResultCache<string> = {
    ...NO_CACHE, lookUp: async () => miss('expired', 'old'), standIn: () => ({ recording: 'old', reason: 'stale-if-error' })
  }
  const all = ['a', 'b'].map(id => Object.assign(engine.participant(id), { cache }))
  for (const each of all) engine.arrive(each)
  await engine.happened()
  first().answer(refusal)
  t.strictSame(await engine.happened(), ['b has old', 'a has old'])
  t.strictSame(all.map(({ outcome }) => outcome), ['stale', 'stale'])
})

t.test('who leaves while its run waits, last of all, is told so, and its run never begins', async t => {
  const { seam, first, ended } = protection()
  const engine = new Engine({ protection: seam })
  const leader = engine.arrive(engine.participant('a'))
  leader.gone = true
  engine.conductor.leave(leader, 'client-left')
  t.match(await engine.happened(), [/^a cancelled/])
  first().answer(GRANTED)
  t.match(await engine.happened(), [/^a cancelled/])
  t.equal(leader.tally.runs, 0)
  t.strictSame(ended, ['a abandoned'])
})

t.test('a run whose time is up before it took off is its own client\'s, and the next one leads', async t => {
  const { seam, asked, ended } = protection()
  const engine = new Engine({ protection: seam })
  engine.arrive(engine.participant('a'))
  engine.clock.advance(900)
  engine.arrive(engine.participant('b'))
  engine.clock.advance(101)
  await engine.happened()
  t.strictSame(asked.map(({ id }) => id), ['a', 'b'])
  t.strictSame(ended, ['a timed-out'])
  for (const { answer } of asked) answer(GRANTED)
  t.strictSame((await engine.happened()).sort(), ['a runs', 'b runs'])
})

t.test('who is answered by something else while its run waits never runs', async t => {
  const { seam, first } = protection()
  const engine = new Engine({ protection: seam })
  const leader = engine.arrive(engine.participant('a'))
  engine.conductor.leave(leader, 'answered-elsewhere')
  first().answer(GRANTED)
  t.strictSame(await engine.happened(), [])
  t.equal(leader.role.type, 'answered')
})

t.test('who lost its flight while its run waits, and is answered by something else, never runs', async t => {
  const { seam, first } = protection()
  const engine = new Engine({ protection: seam })
  const leader = engine.arrive(engine.participant('a'))
  engine.conductor.release([leader])
  t.equal(leader.role.type, 'stranded')
  engine.conductor.leave(leader, 'answered-elsewhere')
  first().answer(GRANTED)
  t.strictSame(await engine.happened(), [])
})

t.test('a process that leads by the coordinator\'s word runs, and tells it how that ended and what was purged', async t => {
  const { seam, first, told } = coordinator()
  const engine = new Engine({ coordinator: seam })
  const leader = engine.arrive(engine.participant('a'))
  t.strictSame(await engine.happened(), [])
  first().answer(LEADS)
  t.strictSame(await engine.happened(), ['a runs'])
  engine.conductor.land(leader, [], false)
  engine.conductor.purged(['tag:x'], true)
  t.strictSame(told, ['["k"] abandoned', 'purged tag:x true'])
})

t.test('a coordinator that fails costs a run', async t => {
  const { seam, first } = coordinator()
  const engine = new Engine({ coordinator: seam })
  engine.arrive(engine.participant('a'))
  first().fail(new Error('gone'))
  t.strictSame(await engine.happened(), ['a runs'])
})

t.test('what another process brought is for everybody on the flight', async t => {
  const { seam, first } = coordinator()
  const engine = new Engine({ coordinator: seam })
  const all = ['a', 'b'].map(id => engine.arrive(engine.participant(id)))
  first().answer({ type: 'peer', recording: 'theirs', leaderId: 'p-1' })
  t.strictSame(await engine.happened(), ['b has theirs', 'a has theirs'])
  t.strictSame(all.map(({ leaderId, outcome, outcomeReason }) => [leaderId, outcome, outcomeReason]), [['p-1', 'peer', 'shared'], ['p-1', 'peer', 'shared']])
  t.equal(all.reduce((sum, { tally }) => sum + tally.runs, 0), 0)
})

t.test('who may not have what another process brought runs', async t => {
  const { seam, first } = coordinator()
  const engine = new Engine({ coordinator: seam })
  const leader: TestParticipant = engine.participant('a')
  leader.takes = false
  engine.arrive(leader)
  first().answer({ type: 'peer', recording: 'theirs', leaderId: 'p-1' })
  t.strictSame(await engine.happened(), ['a runs'])
})

t.test('both are asked, protection first', async t => {
  const guard = protection()
  const both = coordinator()
  const engine = new Engine({ protection: guard.seam, coordinator: both.seam })
  engine.arrive(engine.participant('a'))
  await engine.happened()
  t.equal(both.asked.length, 0)
  guard.first().answer(GRANTED)
  await engine.happened()
  both.first().answer(LEADS)
  t.strictSame(await engine.happened(), ['a runs'])
})

t.test('where nothing is cached, nothing is stored, found, served or refreshed', async t => {
  t.strictSame([NO_CACHE.lookUp('k', new Engine().participant('a')), NO_CACHE.stamp(), NO_CACHE.stores], [undefined, 0, false])
  const storing = { key: 'k', plainKey: 'k', names: [], startedAt: 0, replaces: true }
  t.equal(NO_CACHE.store(storing, () => { throw new Error('asked') }), undefined)
  t.equal(NO_CACHE.standIn(undefined), undefined)
  t.equal(NO_CACHE.beginRefresh('k'), false)
  NO_CACHE.endRefresh('k', true)
  NO_CACHE.failed('k')
  NO_CACHE.supersede('k')
})

t.test('results of participants that have no variants may be said to depend on something, and have none all the same', async t => {
  const engine = new Engine()
  const leader = engine.arrive(engine.participant('a'))
  engine.arrive(engine.participant('b'))
  engine.conductor.unshareable(leader, 'private', true, ['x'])
  t.strictSame(await engine.happened(), ['a runs', 'b runs'])
  t.ok(engine.conductor.variants.learn(leader, ['x']))
  t.notOk(engine.conductor.variants.learn(leader, Array.from({ length: 65 }, (_, index) => `y${index}`)))
  engine.arrive(engine.participant('c'))
  t.strictSame(await engine.happened(), ['c runs'])
})

t.test('a store that is slow serves everybody on the flight, and refreshes what is stale', async t => {
  const engine = new Engine()
  let answer: (lookup: Lookup<string>) => void = () => {}
  let refreshes = 0
  const cache: ResultCache<string> = {
    ...NO_CACHE, lookUp: () => new Promise(resolve => { answer = resolve }), beginRefresh: () => { refreshes++; return false }
  }
  for (const id of ['a', 'b']) engine.arrive(Object.assign(engine.participant(id), { cache }))
  answer({ type: 'hit', recording: 'old', reason: 'stale-while-revalidate', refresh: true })
  t.strictSame(await engine.happened(), ['b has old', 'a has old'])
  t.equal(refreshes, 1)
})

t.test('a run that a slow store delays is delayed by protection as well', async t => {
  const { seam, asked, first } = protection()
  const engine = new Engine({ protection: seam })
  const cache: ResultCache<string> = { ...NO_CACHE, lookUp: async () => miss('none') }
  engine.arrive(Object.assign(engine.participant('a'), { cache }))
  t.equal(asked.length, 0)
  await engine.happened()
  first().answer(GRANTED)
  t.strictSame(await engine.happened(), ['a runs'])
})

t.test('of those who may not lead one is served by a slow store as well, or runs by itself', async t => {
  const engine = new Engine()
  const served = Object.assign(engine.participant('a'), {
    cache: { ...NO_CACHE, lookUp: async () => ({ type: 'hit', recording: 'old', reason: 'fresh', refresh: false }) }, followsOnly: 'head'
  }) as unknown as TestParticipant
  const runs = Object.assign(engine.participant('b'), { cache: { ...NO_CACHE, lookUp: async () => miss('none') }, followsOnly: 'head' }) as unknown as TestParticipant
  for (const each of [served, runs]) engine.arrive(each)
  t.strictSame(await engine.happened(), ['a has old', 'b runs'])
  t.strictSame([served.outcome, runs.outcome], ['hit', 'bypass'])
})

t.test('who may not have what a slow store found for its leader boards again', async t => {
  const engine = new Engine()
  let answer: (lookup: Lookup<string>) => void = () => {}
  const [a, b] = ['a', 'b'].map(id => engine.participant(id)) as [TestParticipant, TestParticipant]
  a.cache = { ...NO_CACHE, lookUp: () => new Promise(resolve => { answer = resolve }) }
  b.takes = false
  for (const each of [a, b]) engine.arrive(each)
  answer({ type: 'hit', recording: 'another variant', reason: 'fresh', refresh: false })
  t.strictSame(await engine.happened(), ['b runs', 'a has another variant'])
})

class Varied extends TestParticipant {
  variant = ''

  override value (): string {
    return this.variant
  }
}

t.test('leaders of a key whose results vary, and that run at the same time, have split, by names that the engine knows nothing of', async () => {
  const engine = new Engine()
  const all = ['a', 'b'].map(id => Object.assign(new Varied(id, engine.events), { variant: id }))
  t.ok(engine.conductor.variants.learn(engine.arrive(all[0] as Varied), ['x']))
  for (const each of all) engine.conductor.leave(each, 'client-left')
  const [first, second] = ['c', 'd'].map(id => engine.arrive(Object.assign(new Varied(id, engine.events), { variant: id }))) as [Varied, Varied]
  for (const each of [first, second]) engine.conductor.land(each, ['x'], false)
  t.strictSame([first, second].map(({ outcomeReason, outcomeDetail }) => [outcomeReason, outcomeDetail]),
    Array(2).fill(['split', { cause: 'other', names: ['x'] }]))
})
