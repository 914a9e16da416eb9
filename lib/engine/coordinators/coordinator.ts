/**
 * Which process leads a key. Without a coordinator, this one.
 *
 * Invariant: a coordinator that fails costs a run, and no more: this process then leads.
 */
import type { Landing } from '../flights/landing.js'

/** The result of another process that led the key. */
export interface Peer<R> {
  readonly type: 'peer'
  readonly recording: R
  readonly leaderId: string
}

/** Whether this process leads a key. */
export type Claim<R> = { readonly type: 'leads' } | Peer<R>

export interface Coordinator<R> {
  /** Asked once for each flight, before its run takes off. One that rejects counts as leading. */
  claim (key: string): Claim<R> | Promise<Claim<R>>
  /** A flight that this process led has landed. */
  landed (key: string, landing: Landing<R>): void
  /** Something was purged. */
  purged (labels: readonly string[], soft: boolean): void
}

export const LEADS: { readonly type: 'leads' } = Object.freeze({ type: 'leads' })

/** Each process leads its own flights. */
export const LOCAL: Coordinator<never> = Object.freeze({ claim: () => LEADS, landed () {}, purged () {} })
