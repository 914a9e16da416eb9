/**
 * Who is told what becomes of requests, and what they are told about.
 *
 * Invariant: the outcome of each request or call is told once, under the name that code, logs, metrics and docs share.
 */
import type { Outcome } from '../../types/index.js'
import type { Tally } from './tally.js'

/** The part of a logger that is written to. */
export interface Log {
  debug (fields: object, message: string): void
  warn (fields: object, message: string): void
  error (fields: object, message: string): void
  isLevelEnabled? (level: string): boolean
}

/** A request or a call, as observers see it. */
export interface Subject {
  readonly id: string
  readonly log: Log
  readonly tally: Tally
  /** The id of who runs for it. */
  readonly leaderId: string | undefined
}

/** What came of a run that nobody asked for. */
export type RefreshResult = 'refreshed' | 'revalidated' | 'not-kept' | 'failed'

export interface Observer {
  /** It leads a new flight. */
  started (leader: Subject): void
  /** It follows; `waiters` counts it. */
  joined (follower: Subject, waiters: number): void
  /** Its flight ended like this for so many followers. */
  landed (leader: Subject, landing: 'completed' | 'failed' | 'unshareable' | 'abandoned', reason: string, followers: number): void
  /** It ran out of time, and its key is free again. */
  cleanedUp (leader: Subject): void
  /** A response that is a shared stream ended before its end. */
  cutOff (subject: Subject, reason: string): void
  /** How it was served in the end; `waited` in milliseconds, 0 for who never waited. */
  settled (subject: Subject, outcome: Outcome, reason: string, waited: number): void
  /** What is kept was run anew in the background, because this one asked for it; `error` if that came of it. */
  refreshed (subject: Subject, result: RefreshResult, error: unknown): void
}

/** What a store was asked to do. */
export type Operation = 'get' | 'set' | 'delete' | 'entries'

/** Told what goes wrong, and how long the store takes. */
export interface StoreListener {
  /** The store threw, rejected, or took too long. */
  failed (operation: Operation, reason: 'error' | 'timeout' | 'full', error: unknown): void
  /** What the store gave is not what was asked for. */
  rejected (reason: 'garbage' | 'version' | 'key'): void
  /** A look took so many milliseconds, of a store that answers with a promise. */
  answered (took: number): void
}

/** Tells both. */
export function both (first: Observer, second: Observer): Observer {
  return {
    started (leader) {
      first.started(leader)
      second.started(leader)
    },
    joined (follower, waiters) {
      first.joined(follower, waiters)
      second.joined(follower, waiters)
    },
    landed (leader, landing, reason, followers) {
      first.landed(leader, landing, reason, followers)
      second.landed(leader, landing, reason, followers)
    },
    cleanedUp (leader) {
      first.cleanedUp(leader)
      second.cleanedUp(leader)
    },
    cutOff (subject, reason) {
      first.cutOff(subject, reason)
      second.cutOff(subject, reason)
    },
    settled (subject, outcome, reason, waited) {
      first.settled(subject, outcome, reason, waited)
      second.settled(subject, outcome, reason, waited)
    },
    refreshed (subject, result, error) {
      first.refreshed(subject, result, error)
      second.refreshed(subject, result, error)
    }
  }
}
