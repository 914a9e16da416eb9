/**
 * "What stands at the seams of the engine, protection and the coordinator, may delay, refuse and fail, and nobody is lost."
 */
import { PassThrough, type Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { NO_CACHE, type ResultCache } from '../../lib/engine/cache/cache.js'
import { miss, type Lookup } from '../../lib/engine/cache/lookup.js'
import type { PeerResult } from '../../lib/engine/coordinators/codec.js'
import { LEADS, LOCAL, type Claim, type Claiming, type Coordinator, type Peer, type PeerListener } from '../../lib/engine/coordinators/coordinator.js'
import { NO_LEASE, type Lease } from '../../lib/engine/coordinators/lease.js'
import type { Relayed, Revived, RevivedListener } from '../../lib/engine/relayed.js'
import { NO_PROTECTION, type Permission, type Permit, type Protection } from '../../lib/protection/permits.js'
import { toldOf } from '../../lib/engine/coordinators/members.js'
import { Participant } from '../../lib/engine/participant.js'
import { PeerLeader } from '../../lib/engine/peer-leader.js'
import { Engine, TestParticipant } from './participants.js'

/** Protection that answers when it is told to, and notes what is done with its permits. */
function protection () {
  const asked: Array<{ id: string, answer: (permission: Permission) => void }> = []
  const told: string[] = []
  /** A permit that notes what is done with it. */
  const permit = (name: string): Permit => ({
    type: 'granted',
    tell (end) { told.push(`${name} ${end === undefined ? 'tells nothing' : 'tells'}`) },
    release () { told.push(`${name} released`) },
    streams () {},
    excuse () {},
    passOn: () => undefined
  })
  const seam: Protection = {
    ...NO_PROTECTION,
    ask ({ answered, subject: [id] }) {
      const one = { id: String(id), answer: answered }
      asked.push(one)
      return {
        type: 'waits', joined () {}, left () {}, leave () { told.push(`${one.id} left`) }, handOver (other) { one.answer = other }
      }
    }
  }
  return { seam, asked, told, permit, first: () => asked[0] as typeof asked[number] }
}

/** A coordinator that answers when it is told to, and notes what it is told. */
function coordinator () {
  const asked: Array<Claiming & { answer: (claim: Claim<string>) => void, fail: (error: Error) => void }> = []
  const sought: Array<Claiming & { answer: (peer: Peer<string> | undefined) => void }> = []
  const told: string[] = []
  const seam: Coordinator<string> = {
    isDown: false,
    claim: claiming => new Promise((resolve, reject) => { asked.push({ ...claiming, answer: resolve, fail: reject }) }),
    find: claiming => new Promise(resolve => { sought.push({ ...claiming, answer: resolve }) }),
    claimRefresh: async () => undefined,
    forget: key => { told.push(`forget ${key}`) },
    purged: (labels, soft) => { told.push(`purged ${labels.join()} ${String(soft)}`) },
    fenced: labels => { told.push(`fenced ${labels.join()}`) }
  }
  /** A lease that notes what the run came to. */
  const lease = (name: string, isWaitedFor = false): Lease<string> => {
    let ended = false
    const end = (what: string): void => {
      if (!ended) told.push(`${name} ${what}`)
      ended = true
    }
    return {
      isShared: true,
      isWaitedFor,
      isRelayed: false,
      land (result, note) { end(`${describe(result)}${note === undefined ? '' : ` (${describe(note.result)} for ${note.ttl})`}`) },
      release () { end('released') },
      relay (result) { told.push(`${name} relays ${describe(result)}`) },
      cut () { told.push(`${name} cut`) }
    }
  }
  return { seam, asked, sought, told, lease, first: () => asked[0] as typeof asked[number] }
}

function describe (result: PeerResult<string>): string {
  switch (result.type) {
    case 'shared':
    case 'failed': return `${result.type} ${result.recording} of ${result.leaderId}${result.names.length > 0 ? ` by ${result.names.join()}` : ''}`
    case 'unshareable': return `unshareable ${result.reason}`
    case 'varies': return `varies by ${result.names.join()}`
    case 'stays': return result.type
  }
}

/** A run of another process, whose end the test tells. */
function peer () {
  let listener: PeerListener<string> | undefined
  const told: string[] = []
  let whenLeft = (): void => {}
  const seam: Peer<string> = {
    follow (given) { listener = given },
    leave () {
      told.push('left')
      whenLeft()
    }
  }
  return {
    seam,
    told,
    leaves: (then: () => void) => { whenLeft = then },
    land: (result: PeerResult<string>) => listener?.landed(result),
    open: (result: PeerResult<string>, body: Readable) => listener?.opened(result, body),
    lose: () => listener?.lost('gone')
  }
}

const theirs: PeerResult<string> = { type: 'shared', recording: 'theirs', leaderId: 'p-1', names: [] }

const refusal: Permission = { type: 'refused', reason: 'queue-full', error: new Error('too much'), retryAfter: 500 }

t.test('a run takes off once protection lets it, and those who wait get what it brings', async t => {
  const { seam, first, permit, told } = protection()
  const engine = new Engine({ protection: seam })
  const leader = engine.arrive(engine.participant('a'))
  engine.arrive(engine.participant('b'))
  t.strictSame(await engine.happened(), [])
  first().answer(permit('p'))
  t.strictSame(await engine.happened(), ['a runs'])
  engine.conductor.land(leader, [], false)
  t.strictSame(await engine.happened(), ['b has what a brought'])
  t.strictSame(told, [], 'its front end tells how it ended')
  t.equal(leader.tally.runs, 1)
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
  const { seam, first, permit, told } = protection()
  const engine = new Engine({ protection: seam })
  const leader = engine.arrive(engine.participant('a'))
  leader.gone = true
  engine.conductor.leave(leader, 'client-left')
  t.match(await engine.happened(), [/^a cancelled/])
  t.strictSame(told, ['a left'])
  first().answer(permit('p'))
  t.strictSame(await engine.happened(), [])
  t.equal(leader.tally.runs, 0)
  t.strictSame(told, ['a left', 'p released'])
})

t.test('the time of a flight counts from its take-off', async t => {
  const { seam, first, permit } = protection()
  const engine = new Engine({ protection: seam })
  const leader = engine.arrive(engine.participant('a'))
  const { flight } = leader
  engine.clock.advance(5000)
  t.equal(leader.flight, flight)
  first().answer(permit('p'))
  t.strictSame(await engine.happened(), ['a runs'])
  engine.clock.advance(999)
  t.equal(leader.flight, flight)
  engine.clock.advance(1)
  t.equal(leader.flight, undefined)
  t.match(await engine.happened(), [/^a cancelled/])
})

t.test('who is answered by something else while its run waits never runs', async t => {
  const { seam, first, permit } = protection()
  const engine = new Engine({ protection: seam })
  const leader = engine.arrive(engine.participant('a'))
  engine.conductor.leave(leader, 'answered-elsewhere')
  first().answer(permit('p'))
  t.strictSame(await engine.happened(), [])
  t.equal(leader.role.type, 'answered')
})

t.test('who lost its flight while its run waits, and is answered by something else, never runs', async t => {
  const { seam, first, permit } = protection()
  const engine = new Engine({ protection: seam })
  const leader = engine.arrive(engine.participant('a'))
  engine.conductor.release([leader])
  t.equal(leader.role.type, 'stranded')
  engine.conductor.leave(leader, 'answered-elsewhere')
  first().answer(permit('p'))
  t.strictSame(await engine.happened(), [])
})

t.test('a process that leads by the coordinator\'s word runs, and tells what that came to', async t => {
  const { seam, first, told, lease } = coordinator()
  const engine = new Engine({ coordinator: seam })
  const leader = engine.arrive(engine.participant('a'))
  t.strictSame(await engine.happened(), [])
  t.strictSame([first().key, first().labels, first().leadsFor], ['["k"]', ['flights'], 1000])
  first().answer({ type: 'leads', lease: lease('l') })
  t.strictSame(await engine.happened(), ['a runs'])
  engine.conductor.land(leader, [], false)
  t.strictSame(told, ['l shared what a brought of a'])
})

t.test('a coordinator that fails costs a run', async t => {
  const { seam, first } = coordinator()
  const engine = new Engine({ coordinator: seam })
  engine.arrive(engine.participant('a'))
  first().fail(new Error('gone'))
  t.strictSame(await engine.happened(), ['a runs'])
})

/** Two who wait for a run of another process. */
async function waiting (t: Test, change: (participant: TestParticipant) => void = () => {}) {
  const both = coordinator()
  const other = peer()
  const engine = new Engine({ coordinator: both.seam })
  const all = ['a', 'b'].map(id => {
    const participant = engine.participant(id)
    change(participant)
    return engine.arrive(participant)
  }) as [TestParticipant, TestParticipant]
  both.first().answer({ type: 'follows', peer: other.seam })
  t.strictSame(await engine.happened(), [])
  t.strictSame(all.map(({ role, leaderId }) => [role.type, leaderId]), [['follower', undefined], ['follower', 'a']])
  return { ...both, engine, all, other }
}

t.test('what another process brought is for everybody on the flight', async t => {
  const { engine, all, other } = await waiting(t)
  other.land(theirs)
  t.strictSame((await engine.happened()).sort(), ['a has theirs', 'b has theirs'])
  t.strictSame(all.map(({ leaderId, outcome, outcomeReason }) => [leaderId, outcome, outcomeReason]), [['p-1', 'peer', 'shared'], ['p-1', 'peer', 'shared']])
  t.equal(all.reduce((sum, { tally }) => sum + tally.runs, 0), 0)
  t.equal(engine.conductor.flights.size, 0)
})

t.test('a failure of another process is shared, or one more run is tried', async t => {
  const { engine, all, other } = await waiting(t)
  other.land({ ...theirs, type: 'failed' })
  t.strictSame((await engine.happened()).sort(), ['a has theirs', 'b has theirs'])
  t.strictSame(all.map(({ outcome, outcomeReason }) => [outcome, outcomeReason]), [['peer', 'failed'], ['peer', 'failed']])
  const again = await waiting(t, participant => { participant.limits = { ...participant.limits, onError: 'promote' } })
  again.other.land({ ...theirs, type: 'failed' })
  t.equal(again.asked.length, 2)
  again.asked[1]?.answer(LEADS)
  t.strictSame(await again.engine.happened(), ['b runs'])
})

t.test('who may not have what another process brought runs', async t => {
  const { engine, asked, other } = await waiting(t, participant => { participant.takes = false })
  other.land(theirs)
  t.equal(asked.length, 2)
  asked[1]?.answer(LEADS)
  t.strictSame(await engine.happened(), ['b runs'])
})

t.test('if nothing comes of the run of another process, one of those who wait runs for the others', async t => {
  const { engine, all, asked, other } = await waiting(t)
  other.lose()
  t.strictSame(all.map(({ tally }) => [...tally.lostPeers]), [[], [['gone', 1]]], 'told of the one that runs')
  t.equal(asked.length, 2)
  asked[1]?.answer(LEADS)
  t.strictSame(await engine.happened(), ['b runs'])
  engine.conductor.land(all[1], [], false)
  t.strictSame(await engine.happened(), ['a has what b brought'])
  t.strictSame(other.told, [])
})

t.test('if nothing comes of a second one either, one of them runs without asking for a third', async t => {
  const { engine, all, asked, other } = await waiting(t)
  other.lose()
  const second = peer()
  asked[1]?.answer({ type: 'follows', peer: second.seam })
  await engine.happened()
  second.lose()
  t.strictSame(await engine.happened(), ['a runs'])
  t.equal(asked.length, 2)
  engine.conductor.land(all[0], [], false)
  t.strictSame(await engine.happened(), ['b has what a brought'])
  t.strictSame(all.map(({ tally }) => [...tally.lostPeers]), [[['gone', 1]], [['gone', 1]]])
})

t.test('if its own run comes to nothing as well, all run', async t => {
  const { engine, all, asked, other } = await waiting(t)
  other.lose()
  const second = peer()
  asked[1]?.answer({ type: 'follows', peer: second.seam })
  await engine.happened()
  second.lose()
  engine.conductor.abandon(all[0], 'no-reply')
  t.strictSame(await engine.happened(), ['a runs', 'b runs'])
})

t.test('if what another process brought cannot travel, one of those who wait runs at once, and asks nobody', async t => {
  const { engine, all, asked, other } = await waiting(t)
  other.land({ type: 'stays' })
  t.strictSame(await engine.happened(), ['b runs'])
  t.equal(asked.length, 1)
  engine.conductor.land(all[1], [], false)
  t.strictSame(await engine.happened(), ['a has what b brought'])
})

t.test('who waits for another process waits no longer than for one of its own', async t => {
  const { engine, asked, other } = await waiting(t)
  engine.clock.advance(301)
  t.strictSame(asked.map(({ key }) => key), ['["k"]', '["k"] retry'])
  t.strictSame(other.told, ['left'])
  asked[1]?.answer(LEADS)
  t.match(await engine.happened(), [/^[ab] runs$/])
})

t.test('a run of another process that takes too long is given up, and one of those who wait runs', async t => {
  const { engine, asked, other } = await waiting(t, participant => { participant.limits = { ...participant.limits, waitTimeout: 10_000 } })
  engine.clock.advance(1001)
  t.strictSame(other.told, ['left'])
  t.equal(asked.length, 2)
  asked[1]?.answer(LEADS)
  t.strictSame(await engine.happened(), ['b runs'])
})

t.test('nobody who waits is left: the other process is told', async t => {
  const { engine, all, other } = await waiting(t)
  engine.conductor.leave(all[0], 'client-left')
  t.strictSame(other.told, [])
  engine.conductor.leave(all[1], 'client-left')
  t.strictSame(other.told, ['left'])
  t.equal(engine.conductor.flights.size, 0)
  other.land(theirs)
  other.lose()
  t.strictSame(await engine.happened(), [])
})

t.test('a leader whose client has left does not wait for another process', async t => {
  const both = coordinator()
  const other = peer()
  const engine = new Engine({ coordinator: both.seam })
  const [a] = ['a', 'b'].map(id => engine.arrive(engine.participant(id))) as [TestParticipant, TestParticipant]
  a.gone = true
  engine.conductor.leave(a, 'client-left')
  both.first().answer({ type: 'follows', peer: other.seam })
  await engine.happened()
  t.strictSame([a.outcome, a.outcomeReason], ['follower', 'client-left'])
  other.land(theirs)
  t.strictSame(await engine.happened(), ['b has theirs'])
})

t.test('a claim that comes too late is given up', async t => {
  for (const late of ['leads', 'follows', 'told'] as const) {
    const both = coordinator()
    const other = peer()
    const engine = new Engine({ coordinator: both.seam })
    const a = engine.arrive(engine.participant('a'))
    engine.conductor.leave(a, 'answered-elsewhere')
    both.first().answer(late === 'leads'
      ? { type: late, lease: both.lease('l') }
      : late === 'follows' ? { type: late, peer: other.seam } : { type: late, note: { type: 'varies', names: ['x'] } })
    t.strictSame(await engine.happened(), [])
    t.strictSame([...both.told, ...other.told], { leads: ['l released'], follows: ['left'], told: [] }[late])
  }
})

t.test('what another process could not share is not shared here, and remembered', async t => {
  const { engine, all, other } = await waiting(t)
  other.land({ type: 'unshareable', reason: 'private', variant: { names: [], values: [] }, leaderId: 'p-1', remember: true })
  t.strictSame((await engine.happened()).sort(), ['a runs', 'b runs'])
  t.strictSame(all.map(({ outcome, outcomeReason }) => [outcome, outcomeReason]), Array(2).fill(['alone', 'private']))
  const next = engine.arrive(engine.participant('c'))
  t.strictSame(await engine.happened(), ['c runs'])
  t.strictSame([next.outcome, next.outcomeReason], ['bypass', 'unshareable'])
})

t.test('newcomers are told what an earlier run of another process could not share', async t => {
  const both = coordinator()
  const engine = new Engine({ coordinator: both.seam })
  const all = ['a', 'b'].map(id => engine.arrive(engine.participant(id)))
  both.first().answer({ type: 'told', note: { type: 'unshareable', reason: 'private', variant: { names: [], values: [] }, leaderId: 'p', remember: true } })
  t.strictSame((await engine.happened()).sort(), ['a runs', 'b runs'])
  t.strictSame(all.map(({ outcome, outcomeReason }) => [outcome, outcomeReason]), Array(2).fill(['alone', 'unshareable']))
})

t.test('newcomers are told by what the results of their key vary, and board again', async t => {
  const both = coordinator()
  const engine = new Engine({ coordinator: both.seam })
  const all = ['a', 'b'].map(id => engine.arrive(Object.assign(new Varied(id, engine.events), { variant: id })))
  both.first().answer({ type: 'told', note: { type: 'varies', names: ['x'] } })
  t.strictSame(await engine.happened(), [])
  t.strictSame(both.asked.map(({ key }) => key).sort(), ['["k"]', '["k"][["x"],["a"]]', '["k"][["x"],["b"]]'])
  t.equal(all.length, 2)
})

t.test('what another process brought is learned to vary, and who differs boards again', async t => {
  const both = coordinator()
  const other = peer()
  const engine = new Engine({ coordinator: both.seam })
  const b = new Varied('b', engine.events)
  b.variant = 'b'
  b.takes = false
  engine.arrive(Object.assign(new Varied('a', engine.events), { variant: 'a' }))
  engine.arrive(b)
  both.first().answer({ type: 'follows', peer: other.seam })
  await engine.happened()
  other.land({ ...theirs, names: ['x'] })
  t.strictSame(await engine.happened(), ['a has theirs'])
  t.equal(both.asked[1]?.key, '["k"][["x"],["b"]]')
  const many = await waiting(t)
  many.other.land({ ...theirs, names: Array.from({ length: 65 }, (_, index) => `y${index}`) })
  t.strictSame((await many.engine.happened()).sort(), ['a runs', 'b runs'])
})

t.test('other processes are told how each flight ends', async t => {
  const end = async (ending: (engine: Engine, leader: TestParticipant) => void, isWaitedFor = false, change: (leader: TestParticipant) => void = () => {}) => {
    const { seam, first, told, lease } = coordinator()
    const engine = new Engine({ coordinator: seam })
    const participant = new Varied('a', engine.events)
    change(participant)
    engine.arrive(participant)
    first().answer({ type: 'leads', lease: lease('l', isWaitedFor) })
    await engine.happened()
    ending(engine, participant)
    return [...told, ...await engine.happened()].join()
  }
  t.equal(await end(({ conductor }, leader) => { conductor.land(leader, [], true) }), 'l failed what a brought of a')
  t.equal(await end(({ conductor }, leader) => {
    conductor.variants.learn(leader, ['x'])
    conductor.land(leader, ['x'], false)
  }), 'l shared what a brought of a by x (varies by x for 1000)')
  t.equal(await end(({ conductor }, leader) => { conductor.unshareable(leader, 'private', true, []) }), 'l unshareable private (unshareable private for 1000)')
  t.equal(await end(({ conductor }, leader) => { conductor.unshareable(leader, 'hijacked', false, []) }), 'l unshareable hijacked')
  t.equal(await end(({ conductor }, leader) => { conductor.release([leader]) }), 'l released')
  t.equal(await end(({ conductor }, leader) => { conductor.abandon(leader, 'no-reply') }), 'l released')
  t.equal(await end(({ conductor }, leader) => { conductor.retire(leader) }), 'l released')
  t.match(await end(({ clock }) => { clock.advance(1001) }), /^l released,a cancelled/)
  t.match(await end(({ conductor }, leader) => { conductor.leave(leader, 'client-left') }), /^l released,a cancelled/)
  t.equal(await end(({ conductor }, leader) => { conductor.leave(leader, 'client-left') }, true), '', 'others wait: the run goes on')
  t.equal(await end(({ conductor }, leader) => { conductor.fallBack(leader) }, false, leader => {
    leader.cache = { ...NO_CACHE, standIn: () => ({ recording: 'old', reason: 'stale-if-error' }) }
  }), 'l shared old of a')
  t.equal(await end(({ conductor }, leader) => {
    conductor.land(leader, [], false, () => {})
    conductor.live.completed(leader, ['x'], false)
    conductor.live.close(leader)
  }), 'l shared what a brought of a by x (varies by x for 1000)')
  t.equal(await end(({ conductor }, leader) => {
    conductor.land(leader, [], true, () => {})
    conductor.live.completed(leader, [], true)
  }), 'l failed what a brought of a')
  t.equal(await end(({ conductor }, leader) => {
    conductor.land(leader, [], false, () => {})
    conductor.live.cutShort(leader, 'cut-off')
  }), 'l released')
  t.equal(await end(({ conductor }, leader) => {
    conductor.land(leader, [], false, () => {})
    conductor.live.outgrown(leader, [])
  }), 'l unshareable too-large')
})

t.test('a run that protection refuses is given up for all processes', async t => {
  const guard = protection()
  const both = coordinator()
  const engine = new Engine({ protection: guard.seam, coordinator: both.seam })
  engine.arrive(engine.participant('a'))
  both.first().answer({ type: 'leads', lease: both.lease('l') })
  await engine.happened()
  guard.first().answer(refusal)
  t.strictSame(await engine.happened(), ['a refused too much 500'])
  t.strictSame(both.told, ['l released'])
})

t.test('both are asked, the coordinator first: who waits for another process takes no place of a run', async t => {
  const guard = protection()
  const both = coordinator()
  const engine = new Engine({ protection: guard.seam, coordinator: both.seam })
  engine.arrive(engine.participant('a'))
  await engine.happened()
  t.equal(guard.asked.length, 0)
  both.first().answer(LEADS)
  await engine.happened()
  guard.first().answer(guard.permit('p'))
  t.strictSame(await engine.happened(), ['a runs'])
})

t.test('a slow store and the coordinator are asked at once; of a hit nobody runs', async t => {
  const both = coordinator()
  const engine = new Engine({ coordinator: both.seam })
  let answer: (lookup: Lookup<string>) => void = () => {}
  const cache: ResultCache<string> = { ...NO_CACHE, lookUp: () => new Promise(resolve => { answer = resolve }) }
  const hit = engine.arrive(Object.assign(engine.participant('a'), { cache }))
  t.equal(both.asked.length, 1)
  answer({ type: 'hit', recording: 'old', reason: 'fresh', refresh: false })
  t.strictSame(await engine.happened(), ['a has old'])
  both.first().answer({ type: 'leads', lease: both.lease('l') })
  await engine.happened()
  t.strictSame([both.told.join(), hit.outcome], ['l released', 'hit'])
  engine.arrive(Object.assign(engine.participant('b'), { cache }))
  answer(miss('none'))
  both.asked[1]?.answer({ type: 'leads', lease: both.lease('m') })
  t.strictSame(await engine.happened(), ['b runs'])
})

t.test('who may not lead follows a run of another process, or runs by itself', async t => {
  const both = coordinator()
  const other = peer()
  const engine = new Engine({ coordinator: both.seam })
  const head = (id: string): TestParticipant => engine.arrive(Object.assign(engine.participant(id), { followsOnly: 'head' }) as unknown as TestParticipant)
  const [a, b] = [head('a'), head('b')]
  t.equal(both.asked.length, 0)
  for (const { answer } of both.sought) answer(other.seam)
  t.strictSame(await engine.happened(), [])
  t.strictSame(other.told, ['left'], 'both wait on one flight')
  other.land(theirs)
  t.strictSame(await engine.happened(), ['a has theirs', 'b has theirs'])
  t.strictSame([a.outcome, b.outcome], ['peer', 'peer'])
  const alone = head('c')
  both.sought[2]?.answer(undefined)
  t.strictSame(await engine.happened(), ['c runs'])
  t.equal(alone.outcome, 'bypass')
  const gone = head('d')
  engine.conductor.leave(gone, 'client-left')
  both.sought[3]?.answer(other.seam)
  t.strictSame(await engine.happened(), [])
  t.strictSame(other.told, ['left', 'left'])
})

t.test('of processes that have one cache one refreshes it', async t => {
  const { seam } = coordinator()
  const refreshes: string[] = []
  for (const [name, claimRefresh] of Object.entries<Coordinator<string>['claimRefresh']>({
    first: async () => NO_LEASE, other: async () => undefined, broken: () => Promise.reject(new Error('gone'))
  })) {
    const engine = new Engine({ coordinator: { ...seam, claimRefresh } })
    const participant = engine.participant('a')
    participant.refresh = async () => { refreshes.push(name) }
    participant.cache = {
      ...NO_CACHE,
      shared: true,
      beginRefresh: () => true,
      endRefresh: () => { refreshes.push(`${name} ended`) },
      lookUp: () => ({ type: 'hit', recording: 'old', reason: 'stale-while-revalidate', refresh: true })
    }
    engine.arrive(participant)
    await engine.happened()
  }
  t.strictSame(refreshes, ['first', 'first ended', 'other ended', 'broken', 'broken ended'])
})

t.test('whoever runs next asks who leads only when the run before has been given up, so that it does not wait for that', async t => {
  const both = coordinator()
  const engine = new Engine({ coordinator: both.seam })
  const order = (): string[] => both.told.splice(0)
  const asking: Coordinator<string> = { ...both.seam, claim: claiming => { both.told.push('asked'); return both.seam.claim(claiming) } }
  const asked = new Engine({ coordinator: asking })
  const [a] = ['a', 'b'].map(id => asked.arrive(asked.participant(id))) as [TestParticipant, TestParticipant]
  both.first().answer({ type: 'leads', lease: both.lease('l') })
  await asked.happened()
  asked.conductor.abandon(a, 'hook-failed')
  t.strictSame(order(), ['asked', 'l released', 'asked'])
  const late = ['c', 'd'].map(id => {
    const participant = engine.participant(id)
    participant.limits = { ...participant.limits, waitTimeout: 10_000 }
    return engine.arrive(participant)
  })
  both.asked[2]?.answer({ type: 'leads', lease: both.lease('m') })
  await engine.happened()
  engine.clock.advance(1001)
  t.strictSame([order(), both.asked.length, late[1]?.role.type], [['m released'], 4, 'preparing'])
})

t.test('a peer that takes too long is left before the next one asks who leads', async t => {
  const { engine, asked, other, told } = await waiting(t, participant => { participant.limits = { ...participant.limits, waitTimeout: 10_000 } })
  other.leaves(() => told.push(`left with ${asked.length} asked`))
  engine.clock.advance(1001)
  t.strictSame([told, other.told, asked.length], [['left with 1 asked'], ['left'], 2])
})

t.test('who may not lead, and has waited for a slow run, does not seek that in another process', async t => {
  const { engine, sought, other } = await waiting(t)
  const head = engine.arrive(Object.assign(engine.participant('h'), { followsOnly: 'head' }) as unknown as TestParticipant)
  for (const each of ['a', 'b', 'h']) t.equal(engine.conductor.flights.waiters, 3, each)
  engine.conductor.leave(head, 'client-left')
  const alone = engine.arrive(Object.assign(engine.participant('i'), { followsOnly: 'head', limits: { ...head.limits, waitTimeout: 100 } }) as unknown as TestParticipant)
  engine.clock.advance(101)
  t.strictSame(await engine.happened(), ['i runs'])
  t.strictSame([sought.length, alone.outcome, alone.outcomeReason, other.told], [0, 'alone', 'wait-timeout', []])
})

t.test('who differs from what could not be shared asks who leads only when other processes know the end of that run', async t => {
  const { seam, first, told, lease } = coordinator()
  const engine = new Engine({ coordinator: { ...seam, claim: claiming => { told.push('asked'); return seam.claim(claiming) } } })
  const [a] = ['a', 'b'].map(id => engine.arrive(Object.assign(new Varied(id, engine.events), { variant: id }))) as [Varied, Varied]
  first().answer({ type: 'leads', lease: lease('l') })
  await engine.happened()
  engine.conductor.unshareable(a, 'status', false, ['x'])
  t.strictSame(told, ['asked', 'l unshareable status', 'asked'])
})

t.test('newcomers of all processes do not wait for a live result that takes too long to end', async t => {
  const both = coordinator()
  const engine = new Engine({ coordinator: both.seam })
  const leader = engine.arrive(engine.participant('a'))
  both.first().answer({ type: 'leads', lease: both.lease('l') })
  await engine.happened()
  engine.conductor.land(leader, [], false, () => {})
  t.strictSame(both.told, [])
  engine.clock.advance(1001)
  t.strictSame(both.told, ['l released'])
  engine.conductor.live.completed(leader, [], false)
  t.strictSame(both.told, ['l released'])
})

t.test('the kill switch lets go of those who wait for another process', async t => {
  const { engine, other } = await waiting(t)
  engine.conductor.release(engine.conductor.flights.leaders())
  t.strictSame((await engine.happened()).sort(), ['a runs', 'b runs'])
  t.strictSame(other.told, ['left'])
})

t.test('where nothing is cached, nothing is stored, found, served or refreshed', async t => {
  t.strictSame([NO_CACHE.lookUp('k', new Engine().participant('a'), 0), NO_CACHE.stamp(), NO_CACHE.stores], [undefined, 0, false])
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
  const { seam, asked, first, permit } = protection()
  const engine = new Engine({ protection: seam })
  const cache: ResultCache<string> = { ...NO_CACHE, lookUp: async () => miss('none') }
  engine.arrive(Object.assign(engine.participant('a'), { cache }))
  t.equal(asked.length, 0)
  await engine.happened()
  first().answer(permit('p'))
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

t.test('a leader that another process waits for has not split', async t => {
  const engine = new Engine()
  const all = ['a', 'b'].map(id => Object.assign(new Varied(id, engine.events), { variant: id })) as [Varied, Varied]
  engine.conductor.variants.learn(engine.arrive(all[0]), ['x'])
  engine.conductor.leave(all[0], 'client-left')
  const [first, second] = ['c', 'd'].map(id => engine.arrive(Object.assign(new Varied(id, engine.events), { variant: id }))) as [Varied, Varied]
  first.lease = { ...NO_LEASE, isWaitedFor: true }
  for (const each of [first, second]) engine.conductor.land(each, ['x'], false)
  t.strictSame([first, second].map(({ outcomeReason }) => outcomeReason), ['shared', 'split'])
})

/** One that has live results, and reads those of other processes. */
class Streaming extends TestParticipant {
  readonly revivals: RevivedListener[] = []
  joins = 0
  override relayed (recording: string): Relayed<string> {
    return { head: `${recording} in part`, body: () => new PassThrough() }
  }

  override revived (recording: string, _body: Readable, listener: RevivedListener): Revived<string> {
    this.revivals.push(listener)
    return { recording: `live ${recording}`, joined: () => { this.joins++ } }
  }
}

t.test('a live result can be read by other processes, until it is not for them any more', async t => {
  const { seam, asked, told, lease } = coordinator()
  const engine = new Engine({ coordinator: seam })
  const lead = async (id: string): Promise<Streaming> => {
    const leader = engine.arrive(new Streaming(id, engine.events), `["${id}"]`) as Streaming
    asked.at(-1)?.answer({ type: 'leads', lease: lease(`lease of ${id}`) })
    await engine.happened()
    engine.conductor.land(leader, [], false, () => {})
    return leader
  }
  const a = await lead('a')
  engine.conductor.live.completed(a, [], false)
  engine.conductor.live.close(a)
  const b = await lead('b')
  engine.conductor.variants.learn(b, ['v'])
  engine.conductor.live.readLate(b, true)
  const c = await lead('c')
  engine.conductor.live.cutShort(c, 'cut-off')
  t.strictSame(told, [
    'lease of a relays shared what a brought in part of a', 'lease of a shared what a brought of a',
    'lease of b relays shared what b brought in part of b', 'lease of b cut',
    'lease of c relays shared what c brought in part of c', 'lease of c released'
  ])
})

t.test('newcomers of a process whose live result is not for them do not wait for that by way of the coordinator', async t => {
  const { seam, asked, told, lease } = coordinator()
  const engine = new Engine({ coordinator: seam })
  const { conductor: { live, variants } } = engine
  const read = async (id: string, prepare: (leader: TestParticipant) => void = () => {}): Promise<Streaming> => {
    const leader = new Streaming(id, engine.events)
    leader.key = `["${id}"]`
    prepare(leader)
    engine.arrive(leader, leader.key)
    asked.at(-1)?.answer({ type: 'leads', lease: lease(`lease of ${id}`) })
    await engine.happened()
    engine.conductor.land(leader, [], false, () => {})
    told.length = 0
    return leader
  }
  // Their key tells it already.
  const known = await read('known', leader => { variants.learn(leader, ['v']) })
  variants.learn(known, ['v'])
  live.readLate(known, true)
  t.strictSame(told, ['lease of known released'])
  // Nobody will ever know who may have it.
  const unknown = await read('unknown')
  variants.learn(unknown, ['v'])
  live.readLate(unknown, false)
  t.strictSame(told, ['lease of unknown released'])
  // Others who waited too long for the flight before have yet to come.
  const retry = await read('retry')
  retry.retried = true
  variants.learn(retry, ['v'])
  live.readLate(retry, true)
  t.strictSame(told, ['lease of retry released'])
  // It has not landed, and may be for everybody yet.
  const leader = engine.arrive(engine.participant('early'), '["early"]')
  asked.at(-1)?.answer({ type: 'leads', lease: lease('lease of early') })
  await engine.happened()
  live.readLate(leader, true)
  t.equal(told.at(-1), 'lease of early cut')
})

t.test('a live result that is read elsewhere outlasts its flight, and one that is not gives its lease back', async t => {
  const { seam, asked, told, lease } = coordinator()
  const engine = new Engine({ coordinator: seam })
  for (const [id, isRelayed] of [['a', true], ['b', false]] as const) {
    const leader = engine.arrive(new Streaming(id, engine.events), `["${id}"]`)
    asked.at(-1)?.answer({ type: 'leads', lease: { ...lease(id), isRelayed } })
    await engine.happened()
    engine.conductor.land(leader, [], false, () => {})
  }
  engine.clock.advance(1001)
  t.strictSame(told.filter(line => !line.includes('relays')), ['b released'])
})

/** Some who wait for another process, whose run comes to a live result. */
async function opened (result: PeerResult<string>, followers: readonly TestParticipant[], engine: Engine, seams: ReturnType<typeof coordinator>) {
  const { seam: theirs, open, told } = peer()
  for (const follower of followers) engine.arrive(follower)
  seams.first().answer({ type: 'follows', peer: theirs })
  await engine.happened()
  const body = new PassThrough()
  open(result, body)
  return { body, told, open }
}

const streaming = (count: number, engine: Engine): Streaming[] => Array.from({ length: count }, (_, index) => new Streaming('abcd'[index] as string, engine.events))

t.test('a live result of another process is for all who wait, and for newcomers until its end', async t => {
  const seams = coordinator()
  const engine = new Engine({ coordinator: seams.seam })
  const [a, b, c, d] = streaming(4, engine) as [Streaming, Streaming, Streaming, Streaming]
  const { told } = await opened(theirs, [a, b], engine, seams)
  t.strictSame(await engine.happened(), ['b has live theirs', 'a has live theirs'])
  t.equal(a.joins, 1)
  engine.arrive(c)
  t.strictSame(await engine.happened(), ['c has live theirs'])
  t.equal(c.outcome, 'peer')
  a.revivals[0]?.over('complete')
  t.equal(engine.conductor.flights.size, 0)
  engine.arrive(d)
  t.equal(seams.asked.length, 2)
  t.strictSame(told, [])
})

t.test('a live result of another process that is full takes no newcomers, and one that is over neither', async t => {
  for (const end of [({ full }: RevivedListener) => { full() }, ({ over }: RevivedListener) => { over('cut-off') }, ({ over }: RevivedListener) => { over('unheard') }]) {
    const seams = coordinator()
    const engine = new Engine({ coordinator: seams.seam })
    const [a] = streaming(1, engine) as [Streaming]
    const { told } = await opened(theirs, [a], engine, seams)
    await engine.happened()
    t.equal(engine.conductor.flights.size, 1)
    end(a.revivals[0] as RevivedListener)
    t.equal(engine.conductor.flights.size, 0)
    t.strictSame(told, [])
  }
})

t.test('a live result of another process that turns out to vary is for those on board', async t => {
  const seams = coordinator()
  const engine = new Engine({ coordinator: seams.seam })
  const [a, b] = streaming(2, engine) as [Streaming, Streaming]
  await opened({ ...theirs, names: ['v'] }, [a, b], engine, seams)
  t.strictSame(await engine.happened(), ['b has live theirs', 'a has live theirs'])
  t.equal(engine.conductor.flights.size, 0)
})

t.test('a live result that nobody here can have is left, and one of those who wait runs', async t => {
  const promoting = { onError: 'promote' as const }
  for (const [result, change] of [
    [theirs, () => {}],
    [{ ...theirs, type: 'failed' }, (follower: TestParticipant) => { follower.limits = { ...follower.limits, ...promoting } }]
  ] as ReadonlyArray<[PeerResult<string>, (follower: TestParticipant) => void]>) {
    const seams = coordinator()
    const engine = new Engine({ coordinator: seams.seam })
    const a = engine.participant('a')
    change(a)
    const { body, open } = await opened(result, [a], engine, seams)
    t.equal(body.destroyed, true)
    await engine.happened()
    t.equal(seams.asked.length, 2)
    const late = new PassThrough()
    open(result, late)
    t.equal(late.destroyed, true)
  }
})

t.test('without a coordinator each process leads, seeks and tells nobody, and its lease concerns nobody', async t => {
  const claiming = { key: 'k', labels: [], leadsFor: 1 }
  t.equal(LOCAL.claim(claiming), LEADS)
  t.equal(LOCAL.find(claiming), undefined)
  t.equal(LOCAL.claimRefresh(claiming), NO_LEASE)
  LOCAL.forget('k')
  LOCAL.purged([], false)
  LOCAL.fenced([])
  NO_LEASE.land({ type: 'stays' })
  NO_LEASE.release()
  NO_LEASE.relay({ type: 'stays' }, () => { throw new Error('read') })
  NO_LEASE.cut()
  const participant = new Engine().participant('a')
  t.equal(Object.getOwnPropertyDescriptor(Participant.prototype, 'coordinator')?.get?.call(participant), LOCAL)
})

t.test('what another process has purged is stored no more, and newcomers join no flight of it', async t => {
  const told: string[] = []
  const { purged, fenced, missedPurges } = toldOf(
    { flights: { fence (label) { told.push(`fence ${label}`) }, fenceAll () { told.push('fence all') } } },
    [{ purged (labels, soft) { told.push(`purged ${labels.join()} ${String(soft)}`) }, missedPurges () { told.push('missed') } }])
  purged(['tag:a'], true)
  fenced('path:/a')
  fenced('flights')
  missedPurges()
  t.strictSame(told, ['purged tag:a true', 'fence path:/a', 'fence all', 'missed', 'fence all'])
})

t.test('what is told of a stand-in is told of the one that asked first', async t => {
  const asker = new Engine().participant('a')
  const standIn = PeerLeader.of(asker, peer().seam)
  t.equal(standIn.log, asker.log)
  t.equal(standIn.tally, asker.tally)
})

t.test('what could not be shared and now can be is no news for other processes any more either', async t => {
  const { seam, told } = coordinator()
  const engine = new Engine({ coordinator: seam })
  const first = new Varied('a', engine.events)
  engine.conductor.remembered.remember(Object.assign(first, { key: '["k"]', boardedKey: '["k"]' }), { names: [], values: [] }, 'private', 1_000)
  const probe = engine.arrive(new Varied('b', engine.events))
  t.strictSame([await engine.happened(), probe.outcomeReason], [['b runs'], 'unshareable'])
  engine.conductor.land(probe, [], false)
  t.strictSame(told, ['forget ["k"]'])
  engine.conductor.land(probe, [], false)
  t.strictSame(told, ['forget ["k"]'], 'once')
})
