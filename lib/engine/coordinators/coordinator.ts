/**
 * Which process leads a key. Without a coordinator, this one.
 *
 * Invariant: a coordinator that fails costs a run, and no more: this process then leads. A claim that nobody needs any more is given up.
 */
import type { Readable } from 'node:stream'
import type { LostReason } from '../../../types/index.js'
import type { PeerResult } from './codec.js'
import { NO_LEASE, type Lease, type PeerNote } from './lease.js'

export interface PeerListener<R> {
  /** The run of the other process came to this. */
  landed (result: PeerResult<R>): void
  /** The run of the other process came to this, whose body is still being made. Destroying the body is leaving. */
  opened (result: PeerResult<R>, body: Readable): void
  /** Nothing comes of it. */
  lost (reason: LostReason): void
}

/** A run of another process. */
export interface Peer<R> {
  /** Waits for its end; called once. The listener is called once at most, and later. */
  follow (listener: PeerListener<R>): void
  /** Nobody waits for it here any more. */
  leave (): void
}

/** Which process leads a key. */
export type Claim<R> =
  | { readonly type: 'leads', readonly lease: Lease<R> }
  | { readonly type: 'follows', readonly peer: Peer<R> }
  /** An earlier run has left word of what becomes of the key. */
  | { readonly type: 'told', readonly note: PeerNote['result'] }

/** A key that somebody is to run for. */
export interface Claiming {
  readonly key: string
  /** If one of these is purged, newcomers of other processes do not join the run. */
  readonly labels: readonly string[]
  /** How long the run may take, in milliseconds. */
  readonly leadsFor: number
}

/** The label of all flights: a purge by it lets no newcomer join a flight that is in the air. It equals no key and no tag. */
export const EVERY_FLIGHT = 'flights'

export interface Coordinator<R> {
  /** It is known that it cannot be asked now. */
  readonly isDown: boolean
  /** Asked once for each flight, before its run takes off. One that rejects counts as leading. */
  claim (claiming: Claiming): Claim<R> | Promise<Claim<R>>
  /** A run of another process for a key, for those who may not lead. Undefined: there is none. */
  find (claiming: Claiming): Promise<Peer<R> | undefined> | undefined
  /** Whether this process may refresh a result that all processes have. Undefined: another one does. */
  claimRefresh (claiming: Claiming): Lease<R> | Promise<Lease<R> | undefined>
  /** What an earlier run has left word of for a key does not hold any more. */
  forget (key: string): void
  /** What has one of these labels was purged. */
  purged (labels: readonly string[], soft: boolean): void
  /** Newcomers join no flight with one of these labels that is in the air. */
  fenced (labels: readonly string[]): void
}

export const LEADS: Claim<never> & { readonly type: 'leads' } = Object.freeze({ type: 'leads', lease: NO_LEASE })

/** Each process leads its own flights. */
export const LOCAL: Coordinator<never> = Object.freeze({
  isDown: false, claim: () => LEADS, find: () => undefined, claimRefresh: () => NO_LEASE, forget () {}, purged () {}, fenced () {}
})
