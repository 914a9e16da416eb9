/**
 * What a participant is doing just now, with what belongs to that.
 *
 * Invariant: only a leader lands a flight; only a leader's or a refresher's result is cached; only a leader or a probe tells whether
 * its key can be shared. The conductor alone gives a participant another role.
 */
import type { Cached } from './cache/lookup.js'
import type { Refresh } from './refresh.js'

/** It leads, and its run has not taken off yet: the store, protection or the coordinator has not answered. */
export interface Preparing {
  readonly type: 'preparing'
}

/** It led. Its run, if it goes on, is its own client's, and that of those who are given its live result. */
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

/** It is about to be answered with a cached result; with none, because it wants no run. */
export interface Served<R> {
  readonly type: 'served'
  readonly cached: Cached<R> | undefined
}

/** Its run is a background refresh, for the cache alone. */
export interface Refresher<R> {
  readonly type: 'refresher'
  readonly refresh: Refresh<R>
}

/** It runs for itself, or waits for its turn to. */
export interface Alone {
  readonly type: 'alone'
  /** Gives its place to the next one; does nothing before it has one. */
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
  | Refresher<R>
  | Alone
  | Solo
  | Landed
  /** It led, and lost its flight before its run took off: it runs for itself once what it waits for has answered. */
  | { readonly type: 'stranded' }
  /** Somebody else's result, an error, or something past the engine was or is being given to it. */
  | { readonly type: 'answered' }

export const NEW: { readonly type: 'new' } = Object.freeze({ type: 'new' })
export const AWAITING_STORE: { readonly type: 'awaiting-store' } = Object.freeze({ type: 'awaiting-store' })
export const FOLLOWER: { readonly type: 'follower' } = Object.freeze({ type: 'follower' })
export const LANDED: Landed = Object.freeze({ type: 'landed', startedAt: 0 })
export const STRANDED: { readonly type: 'stranded' } = Object.freeze({ type: 'stranded' })
export const ANSWERED: { readonly type: 'answered' } = Object.freeze({ type: 'answered' })
