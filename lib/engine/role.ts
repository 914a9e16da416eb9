/**
 * The role of a participant: what it is doing just now, with the data of that role.
 *
 * Invariant: only a leader lands a flight; only a leader's or a refresher's result is cached; only a leader or a probe tells whether
 * its key can be shared. The conductor alone gives a participant another role.
 */
import type { Detail, Reason } from '../reasons.js'
import type { Cached } from './cache/lookup.js'
import type { Refusal } from '../protection/permits.js'
import type { Refresh } from './refresh.js'

/** It leads, and its run has not taken off yet: the store, protection or the coordinator has not answered. */
export interface Preparing {
  readonly type: 'preparing'
}

/** It led, and its flight has landed. If its run goes on, that is for its own client, and for those who read its live result. */
export interface Landed {
  readonly type: 'landed'
  /** When its run began, by the store's time. */
  readonly startedAt: number
}

/** Its run is the one that its flight waits for. */
export interface Leader {
  readonly type: 'leader'
  /** When its run began, by the store's time. */
  readonly startedAt: number
}

/** It runs for itself, once protection lets it. */
export interface Queued {
  readonly type: 'queued'
  /** Its role from then on. */
  readonly until: Alone | Solo | Landed
  /** What it is served as; undefined if that was told. */
  readonly as: ServedAs | undefined
}

/** What one that runs for itself is served as. */
export interface ServedAs {
  readonly outcome: 'alone' | 'bypass'
  readonly reason: Reason
  readonly detail?: Detail | undefined
}

/** It is about to be refused. */
export interface Refused {
  readonly type: 'refused'
  readonly refusal: Refusal
}

/** It is about to be answered with a cached result. Undefined: it wants no run, so it gets an error. */
export interface Served<R> {
  readonly type: 'served'
  readonly cached: Cached<R> | undefined
}

/** Its run is a background refresh, for the cache alone. */
export interface Refresher<R> {
  readonly type: 'refresher'
  readonly refresh: Refresh<R>
}

/** It boarded, got nothing that it may have, and runs for itself, or waits for its turn to run. */
export interface Alone {
  readonly type: 'alone'
  /** Lets the next one run. Does nothing before its own turn. */
  readonly finished: () => void
}

/** It runs for itself, beside all flights. A probe's result tells whether its key is still unshareable. */
export interface Solo {
  readonly type: 'solo' | 'probe'
  /** When its run began, by the store's time. */
  readonly startedAt: number
}

export type Role<R> =
  /** It has not boarded. */
  | { readonly type: 'new' }
  | Preparing
  /** It may not lead, and waits for what a slow store says. */
  | { readonly type: 'awaiting-store' }
  | Leader
  /** It waits for a leader. */
  | { readonly type: 'follower' }
  | Served<R>
  | Refused
  | Queued
  | Refresher<R>
  | Alone
  | Solo
  | Landed
  /** It stands in for another process that runs for the key. */
  | { readonly type: 'peer' }
  /** It led, and lost its flight before its run took off. It runs for itself when what it waits for has answered. */
  | { readonly type: 'stranded' }
  /** It has been answered with another one's result, with an error, or by something past the engine. */
  | { readonly type: 'answered' }

export const NEW: { readonly type: 'new' } = Object.freeze({ type: 'new' })
export const AWAITING_STORE: { readonly type: 'awaiting-store' } = Object.freeze({ type: 'awaiting-store' })
export const PEER: { readonly type: 'peer' } = Object.freeze({ type: 'peer' })
export const FOLLOWER: { readonly type: 'follower' } = Object.freeze({ type: 'follower' })
export const LANDED: Landed = Object.freeze({ type: 'landed', startedAt: 0 })
const LEADER: Leader = Object.freeze({ type: 'leader', startedAt: 0 })
export const STRANDED: { readonly type: 'stranded' } = Object.freeze({ type: 'stranded' })
export const ANSWERED: { readonly type: 'answered' } = Object.freeze({ type: 'answered' })

/** The role of one whose run begins. Without a store its time is nothing to anybody, and all have the same. */
export function leadsSince (startedAt: number): Leader {
  return startedAt === 0 ? LEADER : { type: 'leader', startedAt }
}
