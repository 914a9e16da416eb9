/**
 * "Nothing that a coordinator does, throws or sends fails a participant."
 */
import { PassThrough } from 'node:stream'
import t from 'tap'
import type { Coordination, CoordinationLease, Joined, RemoteRun, RemoteRunListener } from '../../../types/index.js'
import type { PeerResult } from '../../../lib/engine/coordinators/codec.js'
import { LEADS, LOCAL } from '../../../lib/engine/coordinators/coordinator.js'
import { NO_LEASE } from '../../../lib/engine/coordinators/lease.js'
import { Peers, sort } from '../../../lib/engine/coordinators/peers.js'
import { codec } from '../cluster.js'

const CLAIMING = { key: '["k"]', labels: ['l'], leadsFor: 1000 }
const SHARED: PeerResult<string> = { type: 'shared', recording: 'r', leaderId: 'p', names: [] }

function broken (): never {
  throw new Error('broken')
}

/** A coordination that answers a join like this, and whose other methods do, or throw. */
function coordination (join: () => Promise<Joined> | undefined, act: () => void = () => {}): Coordination {
  return { ready: async () => {}, close: async () => {}, join, purge: act }
}

function peers (join: () => Promise<Joined> | undefined, act?: () => void): Peers<string> {
  return new Peers(coordination(join, act), codec)
}

const BROKEN_LEASE: CoordinationLease = { get isWaitedFor () { return broken() }, land: broken, release: broken }

t.test('a coordinator that throws, rejects or answers nothing lets this process lead, and refresh', async t => {
  for (const join of [broken, () => undefined, () => Promise.reject(new Error('broken')), async () => undefined as unknown as Joined]) {
    const asked = peers(join)
    t.equal(await asked.claim(CLAIMING), LEADS)
    t.equal(await asked.find(CLAIMING), undefined)
    t.equal(await asked.claimRefresh(CLAIMING), NO_LEASE)
  }
})

t.test('what cannot be told of purges is told of nothing else', t => {
  const asked = peers(() => undefined, broken)
  asked.purged(['l'], true)
  asked.fenced(['l'])
  asked.forget('["k"]')
  new Peers({ ...coordination(() => undefined), forget: broken }, codec).forget('["k"]')
  t.equal(asked.isDown, false)
  t.equal(new Peers({ ...coordination(() => undefined), figures: broken }, codec).isDown, false)
  t.end()
})

t.test('a lease that throws is a lease nobody waits for', async t => {
  const claim = await peers(async () => ({ type: 'leads', lease: BROKEN_LEASE })).claim(CLAIMING)
  if (claim.type !== 'leads') throw new Error(claim.type)
  t.equal(claim.lease.isWaitedFor, false)
  claim.lease.land(SHARED)
  claim.lease.release()
  const refresh = await peers(async () => ({ type: 'leads', lease: BROKEN_LEASE })).claimRefresh(CLAIMING)
  refresh?.land(SHARED)
  refresh?.relay(SHARED, () => { throw new Error('read') })
  refresh?.cut()
  t.equal(await peers(async () => ({ type: 'leads', lease: BROKEN_LEASE })).find(CLAIMING), undefined)
})

t.test('a run that cannot be followed, or whose message nobody can read, is lost', async t => {
  let listener: RemoteRunListener | undefined
  const told: string[] = []
  const follow = async (run: RemoteRun): Promise<void> => {
    const peer = await peers(async () => ({ type: 'follows', run })).find(CLAIMING)
    peer?.follow({ landed: result => told.push(result.type), opened: result => told.push(`${result.type} live`), lost: reason => told.push(reason) })
    peer?.leave()
  }
  await follow({ follow: broken, leave: broken })
  await Promise.resolve()
  await follow({ follow: given => { listener = given }, leave () {} })
  listener?.landed(Buffer.from('garbage'))
  listener?.landed(codec.encode(SHARED) as Uint8Array)
  const bodies = [new PassThrough(), new PassThrough()] as const
  listener?.opened?.(Buffer.from('garbage'), bodies[0])
  listener?.opened?.(codec.encode(SHARED) as Uint8Array, bodies[1])
  listener?.lost('gone')
  t.strictSame(told, ['rejected', 'rejected', 'shared', 'rejected', 'shared live', 'gone'])
  t.strictSame(bodies.map(({ destroyed }) => destroyed), [true, false])
})

t.test('a note that nobody can read, or that is no note, is none', async t => {
  const noted = async (note: Uint8Array) => await peers(async () => ({ type: 'noted', note })).claim(CLAIMING)
  t.equal(await noted(Buffer.from('garbage')), LEADS)
  t.equal(await noted(codec.encode(SHARED) as Uint8Array), LEADS)
  t.strictSame(await noted(codec.encode({ type: 'varies', names: ['v'] }) as Uint8Array), { type: 'told', note: { type: 'varies', names: ['v'] } })
  t.equal(await peers(async () => ({ type: 'nothing' })).claim(CLAIMING), LEADS)
})

t.test('where another process refreshes, or did a moment ago, this one does not', async t => {
  let left = 0
  t.equal(await peers(async () => ({ type: 'nothing' })).claimRefresh(CLAIMING), undefined)
  t.equal(await peers(async () => ({ type: 'follows', run: { follow () {}, leave () { left++ } } })).claimRefresh(CLAIMING), undefined)
  t.equal(left, 1)
})

t.test('what does not travel is an empty message, and a note that does not is none', async t => {
  const landed: unknown[] = []
  const lease: CoordinationLease = { isWaitedFor: true, land: (message, note) => { landed.push(message().length, note) }, release () {} }
  const refusing = new Peers<string>(coordination(async () => ({ type: 'leads', lease })), { encode: () => undefined, decode: () => undefined })
  const claim = await refusing.claim(CLAIMING)
  if (claim.type !== 'leads') throw new Error(claim.type)
  t.ok(claim.lease.isWaitedFor)
  claim.lease.land(SHARED, { result: { type: 'varies', names: [] }, ttl: 1 })
  t.strictSame(landed, [0, undefined])
})

t.test('purges of what is stored are told from those of flights', t => {
  const told: string[] = []
  sort(['a', 'flight b'], true, { purged: (labels, soft) => told.push(`${labels.join()} ${soft}`), fenced: label => told.push(label) })
  sort(['flight b'], false, { purged: () => told.push('purged'), fenced: label => told.push(label) })
  t.strictSame(told, ['a true', 'b', 'b'])
  t.strictSame([LOCAL.find(CLAIMING), LOCAL.claimRefresh(CLAIMING)], [undefined, NO_LEASE])
  LOCAL.purged([], false)
  LOCAL.fenced([])
  t.end()
})

t.test('who has refreshed leaves a word without a message', async t => {
  const left: unknown[] = []
  const lease: CoordinationLease = { isWaitedFor: false, land (message, note) { left.push(message().length, note?.message.length, note?.ttl) }, release: broken }
  const refresh = await peers(async () => ({ type: 'leads', lease })).claimRefresh(CLAIMING)
  refresh?.release()
  t.strictSame(left, [0, 0, 1_000])
})
