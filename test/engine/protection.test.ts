/**
 * "Whoever waits for protection gets what it says, or gives that back, whatever has become of it meanwhile."
 */
import t from 'tap'
import type { Entry } from '../../types/index.js'
import { NO_CACHE, type ResultCache } from '../../lib/engine/cache/cache.js'
import { miss } from '../../lib/engine/cache/lookup.js'
import { LEADS, LOCAL, type Claim, type Coordinator } from '../../lib/engine/coordinators/coordinator.js'
import { Guard, NO_CIRCUITS } from '../../lib/protection/guard.js'
import { NO_PROTECTION, type Permission, type Permit, type Protection, type Refusal } from '../../lib/protection/permits.js'
import { TestClock } from '../fixtures/gate.js'
import { Engine } from './participants.js'

/** Protection that answers when it is told to, and notes what is done with what it gave. */
function slow () {
  const told: string[] = []
  const answers: Array<(permission: Permission) => void> = []
  const permit: Permit = {
    type: 'granted', tell () {}, streams () {}, excuse () {}, release () { told.push('released') }, passOn: () => undefined
  }
  const seam: Protection = {
    ...NO_PROTECTION,
    ask ({ answered }) {
      answers.push(answered)
      return {
        type: 'waits',
        joined (level) { told.push(`joined ${level}`) },
        left (level) { told.push(`left ${level}`) },
        leave () { told.push('gone') },
        handOver (other) { answers.push(other) }
      }
    }
  }
  return { seam, told, answers, permit }
}

const refusal: Refusal = { type: 'refused', reason: 'queue-full', error: new Error('too much'), retryAfter: 1000 }

t.test('a permit that comes for one beside all flights who has left in the same turn is given back', async t => {
  const { seam, told, answers, permit } = slow()
  const engine = new Engine({ protection: seam })
  const bypass = Object.assign(engine.participant('a'), { protectedBy: seam })
  t.equal(engine.conductor.passBy(bypass, 'method'), false)
  engine.conductor.leave(bypass, 'client-left')
  answers[0]?.(permit)
  t.strictSame(told, ['gone', 'released'])
  t.strictSame(await engine.happened(), [])
})

t.test('a permit that comes for a refresh that was given up in the same turn is given back', async t => {
  const { seam, told, answers, permit } = slow()
  const engine = new Engine({ protection: seam })
  const ended: string[] = []
  const cache: ResultCache<string> = { ...NO_CACHE, beginRefresh: () => true, endRefresh: key => { ended.push(key) } }
  const reader = Object.assign(engine.participant('a'), { protectedBy: seam, cache, boardedKey: 'k' })
  t.equal(engine.conductor.caching.refresh(reader, 'old'), true)
  engine.conductor.caching.close()
  answers[0]?.(permit)
  t.strictSame(told, ['gone', 'released'])
  t.strictSame(ended, ['k'])
})

for (const mayStandIn of [true, false]) {
  t.test(`who runs alone and is refused is served what its leader had ${mayStandIn ? '' : 'no more '}while that may stand in`, async t => {
    const { seam, answers } = slow()
    const engine = new Engine()
    const cache: ResultCache<string> = {
      ...NO_CACHE,
      lookUp: () => miss('expired', 'old', { recording: 'old', until: 1, entry: {} as Entry }),
      standIn: fallback => fallback === undefined || !mayStandIn ? undefined : { recording: 'old', reason: 'stale-if-error' }
    }
    const [leader, follower] = ['a', 'b'].map(id => Object.assign(engine.participant(id), { cache })) as [ReturnType<Engine['participant']>, ReturnType<Engine['participant']>]
    engine.arrive(leader)
    engine.arrive(follower)
    follower.protectedBy = seam
    engine.conductor.unshareable(leader, 'private', false, [])
    await engine.happened()
    answers[0]?.(refusal)
    t.strictSame(await engine.happened(), [mayStandIn ? 'b has old' : 'b refused too much 1000'])
    t.strictSame([follower.outcome, follower.outcomeReason], [mayStandIn ? 'stale' : 'shed', 'queue-full'])
  })
}

t.test('a leader that left while the coordinator was asked is none of those whose level counts', async t => {
  const { seam, told } = slow()
  let answer: (claim: Claim<string>) => void = () => {}
  const coordinator: Coordinator<string> = { ...LOCAL, claim: () => new Promise(resolve => { answer = resolve }) }
  const engine = new Engine({ protection: seam, coordinator })
  const [leader, follower] = [engine.participant('a'), engine.participant('b')]
  leader.level = 0
  follower.level = 2
  engine.arrive(leader)
  engine.arrive(follower)
  leader.gone = true
  engine.conductor.leave(leader, 'client-left')
  answer(LEADS)
  await engine.happened()
  t.strictSame(told, ['joined 2', 'left 0'])
})

t.test('a run that the breaker refuses at the last moment gives its slot back at once', async t => {
  let freed = 0
  let shed = 0
  const guard = new Guard({ ...NO_CIRCUITS, begin: () => refusal, shed () { shed++ } }, {
    patience: 0, foresee: () => 'runs', enter: () => ({ free () { freed++ } })
  }, new TestClock())
  const asking = { level: 0, subject: [], isRefresh: false, runTimeout: 1000, answered () {} }
  t.equal(guard.ask(asking), refusal)
  t.equal(freed, 1)
  t.equal(guard.ask(asking, { free () { freed++ } }), refusal)
  t.strictSame([freed, shed], [2, 2])
})
