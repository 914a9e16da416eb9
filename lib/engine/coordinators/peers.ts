/**
 * Has runs of other processes answer those who wait here, and the other way round: translates between the engine, and a coordinator that
 * knows only keys, labels and bytes.
 *
 * Invariant: nothing that a coordinator does, throws or sends fails a participant: what cannot be understood counts as lost, and this
 * process then leads.
 */
import type { Readable } from 'node:stream'
import type { Coordination, CoordinationLease, Joined, Joining, Relay, RemoteRun } from '../../../types/index.js'
import { attempt } from '../../codec/strict.js'
import type { LandingCodec, PeerResult } from './codec.js'
import { LEADS, type Claim, type Claiming, type Coordinator, type Peer, type PeerListener } from './coordinator.js'
import { NO_LEASE, type Lease, type PeerNote } from './lease.js'

/** Ends the key of a refresh. Other keys end in a bracket or a quote, or in what makes them a retry's. */
const REFRESH = ' refresh'
/** Begins a label by which newcomers are kept from flights. What is stored is not purged by it. */
const FENCE = 'flight '
/** How long other processes do not refresh what was refreshed just now, in milliseconds: their own memories may not have it yet. */
const REST = 1_000

const NOTHING = new Uint8Array()
/** Processes that wait run at once, each for itself, and not one after the other. */
const STAYS: PeerResult<never> = Object.freeze({ type: 'stays' })
const UNKNOWN: Joined = Object.freeze({ type: 'unknown' })

/** What another process has purged. */
export interface Purges {
  /** What is stored with one of these labels. */
  purged (labels: readonly string[], soft: boolean): void
  /** Newcomers join no flight with this label that is in the air. */
  fenced (label: string): void
}

/** Tells `purges` what another process has purged. */
export function sort (labels: readonly string[], soft: boolean, purges: Purges): void {
  const stored = labels.filter(label => !label.startsWith(FENCE))
  if (stored.length > 0) purges.purged(stored, soft)
  for (const label of labels) if (label.startsWith(FENCE)) purges.fenced(label.slice(FENCE.length))
}

/** Lets newcomers of all processes join no flight with one of these labels that is in the air. */
export function fence (coordination: Coordination, labels: readonly string[]): void {
  attempt(() => { coordination.purge(labels.map(label => FENCE + label), false) })
}

export class Peers<R> implements Coordinator<R> {
  readonly #coordination: Coordination
  readonly #codec: LandingCodec<R>

  constructor (coordination: Coordination, codec: LandingCodec<R>) {
    this.#coordination = coordination
    this.#codec = codec
  }

  get isDown (): boolean {
    return attempt(() => this.#coordination.figures?.().isOpen) === true
  }

  claim (claiming: Claiming): Claim<R> | Promise<Claim<R>> {
    return this.#join(claiming.key, claiming, 'either')?.then(joined => this.#claimOf(joined)) ?? LEADS
  }

  find (claiming: Claiming): Promise<Peer<R> | undefined> | undefined {
    return this.#join(claiming.key, claiming, 'follower')?.then(joined => {
      if (joined.type === 'leads') new RemoteLease(joined.lease, this.#codec).release()
      return joined.type === 'follows' ? new RemotePeer(joined.run, this.#codec) : undefined
    })
  }

  claimRefresh (claiming: Claiming): Lease<R> | Promise<Lease<R> | undefined> {
    return this.#join(claiming.key + REFRESH, claiming, 'leader')?.then(joined => {
      if (joined.type === 'follows') new RemotePeer(joined.run, this.#codec).leave()
      if (joined.type === 'leads') return new RefreshLease(joined.lease)
      return joined.type === 'unknown' ? NO_LEASE : undefined
    }) ?? NO_LEASE
  }

  forget (key: string): void {
    attempt(() => { this.#coordination.forget?.(key) })
  }

  purged (labels: readonly string[], soft: boolean): void {
    attempt(() => { this.#coordination.purge(labels, soft) })
  }

  fenced (labels: readonly string[]): void {
    fence(this.#coordination, labels)
  }

  #join (key: string, { labels, leadsFor }: Claiming, as: Joining['as']): Promise<Joined> | undefined {
    const joining = { key, labels: labels.map(label => FENCE + label), as, leadsFor }
    return attempt(() => this.#coordination.join(joining)?.then((joined?: Joined) => joined ?? UNKNOWN, () => UNKNOWN))
  }

  #claimOf (joined: Joined): Claim<R> {
    switch (joined.type) {
      case 'leads':
        return { type: 'leads', lease: new RemoteLease(joined.lease, this.#codec) }
      case 'follows':
        return { type: 'follows', peer: new RemotePeer(joined.run, this.#codec) }
      case 'noted': {
        const note = this.#codec.decode(joined.note)
        if (note?.type === 'unshareable' || note?.type === 'varies') return { type: 'told', note }
      }
    }
    return LEADS
  }
}

class RemotePeer<R> implements Peer<R> {
  readonly #run: RemoteRun
  readonly #codec: LandingCodec<R>

  constructor (run: RemoteRun, codec: LandingCodec<R>) {
    this.#run = run
    this.#codec = codec
  }

  follow (listener: PeerListener<R>): void {
    const followed = attempt(() => {
      this.#run.follow({
        landed: message => {
          const result = this.#codec.decode(message)
          if (result === undefined) listener.lost('rejected')
          else listener.landed(result)
        },
        opened: (head, body) => {
          const result = this.#codec.decode(head)
          if (result !== undefined) {
            listener.opened(result, body)
            return
          }
          body.destroy()
          listener.lost('rejected')
        },
        lost: reason => { listener.lost(reason) }
      })
      return true
    })
    if (followed === undefined) queueMicrotask(() => { listener.lost('rejected') })
  }

  leave (): void {
    attempt(() => { this.#run.leave() })
  }
}

class RemoteLease<R> implements Lease<R> {
  readonly isShared = true
  readonly #lease: CoordinationLease
  readonly #codec: LandingCodec<R>
  #relay: Relay | undefined

  constructor (lease: CoordinationLease, codec: LandingCodec<R>) {
    this.#lease = lease
    this.#codec = codec
  }

  get isWaitedFor (): boolean {
    return attempt(() => this.#lease.isWaitedFor) === true
  }

  get isRelayed (): boolean {
    return this.#relay !== undefined
  }

  land (result: PeerResult<R>, note?: PeerNote): void {
    // Only the whole of it is what those who read its beginning have been promised.
    if (result.type !== 'shared' && result.type !== 'failed') this.cut()
    const stays = (): Uint8Array => this.#codec.encode(STAYS) ?? NOTHING
    attempt(() => { this.#lease.land(() => this.#codec.encode(result) ?? stays(), this.#noted(note), stays) })
  }

  release (): void {
    attempt(() => { this.#lease.release() })
  }

  relay (result: PeerResult<R>, body: () => Readable): void {
    this.#relay = attempt(() => this.#lease.relay?.({ head: () => this.#codec.encode(result), body }))
  }

  cut (): void {
    const relay = this.#relay
    this.#relay = undefined
    attempt(() => { relay?.cut() })
  }

  #noted (note: PeerNote | undefined): { message: Uint8Array, ttl: number } | undefined {
    const message = note === undefined ? undefined : this.#codec.encode(note.result)
    return note === undefined || message === undefined ? undefined : { message, ttl: note.ttl }
  }
}

/** Whoever refreshes last is followed by nobody, and after it nobody refreshes for a moment. */
class RefreshLease implements Lease<never> {
  readonly isShared = true
  readonly isWaitedFor = false
  readonly isRelayed = false
  readonly #lease: CoordinationLease

  constructor (lease: CoordinationLease) {
    this.#lease = lease
  }

  land (): void {
    this.release()
  }

  release (): void {
    attempt(() => { this.#lease.land(() => NOTHING, { message: NOTHING, ttl: REST }) })
  }

  relay (): void {}

  cut (): void {}
}
