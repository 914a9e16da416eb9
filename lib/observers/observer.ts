/**
 * Observers are told what happens to requests and calls, and change nothing.
 *
 * Invariant: the outcome of each request or call is reported once, under the name that code, logs, metrics and docs share.
 */
import type { LostReason, Outcome } from '../../types/index.js'
import type { Detail, Reason } from '../reasons.js'
import type { Tally } from './tally.js'

/** The part of a logger that this package uses. */
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
  /** The id of the participant that runs for this one: for a leader, its own id. Undefined before boarding. */
  readonly leaderId: string | undefined
  /** The app's own object that this is: Fastify's request. A call has none. */
  readonly request?: object | undefined
  /** The same of the participant that runs for this one. Undefined as well if another process runs. */
  readonly leaderRequest?: object | undefined
  /** Its client is known to have left. */
  readonly gone?: boolean
}

/** The result of a background refresh. */
export type RefreshResult = 'refreshed' | 'revalidated' | 'not-kept' | 'failed'

/** How a flight ended. */
export type Landing = 'completed' | 'failed' | 'unshareable' | 'abandoned'

export interface Observer {
  /** `subject` waits before its run, and for nobody else's: for a slow store, a slot, or who leads. May come more than once. */
  held (subject: Subject): void
  /** `leader` leads a new flight. */
  started (leader: Subject): void
  /** `follower` waits on a flight. `waiters` is the number of its followers now. `elsewhere`: another process runs. */
  joined (follower: Subject, waiters: number, elsewhere: boolean): void
  /** Nothing comes of the run of another process that others waited for. `heir` leads now, or had asked for that run. */
  peerLost (heir: Subject, reason: LostReason): void
  /**
   * The flight of `leader` ended like this for so many followers.
   *
   * @param took how long its run took until its result was there, in milliseconds; undefined if it was not
   */
  landed (leader: Subject, landing: Landing, reason: Reason, followers: number, took: number | undefined): void
  /** The flight of `leader` took longer than `flightTimeout`, and its key is free again. */
  cleanedUp (leader: Subject): void
  /** The response to `subject`, a shared stream, was cut off before its end. */
  cutOff (subject: Subject, reason: string): void
  /** `subject` got its final outcome. `waited` is in milliseconds; 0 if it did not wait. */
  settled (subject: Subject, outcome: Outcome, reason: Reason, waited: number, detail: Detail | undefined): void
  /** A background refresh that `subject` started has ended. If the refresh failed, `error` says why. */
  refreshed (subject: Subject, result: RefreshResult, error: unknown): void
}

/** A method of a store that can fail. */
export type Operation = 'get' | 'set' | 'delete' | 'purge' | 'entries'

/** Is told when a store fails, and how long it takes. */
export interface StoreListener {
  /** For what a store has to say itself. */
  readonly log?: Log
  /** The store threw, rejected, or took too long. */
  failed (operation: Operation, reason: 'error' | 'timeout' | 'full', error: unknown): void
  /** The store returned something other than an entry of the key. */
  rejected (reason: 'garbage' | 'version' | 'key'): void
  /** A lookup in a store that answers with a promise has ended. It took `took` milliseconds. */
  answered (took: number): void
}

/** Combines observers: each event goes to the first, then to the second, and so on. There are four, because a loop over any number costs more than they do. */
export function inTurn (first: Observer, second: Observer, third: Observer, fourth: Observer): Observer {
  return {
    held (subject) {
      first.held(subject)
      second.held(subject)
      third.held(subject)
      fourth.held(subject)
    },
    started (leader) {
      first.started(leader)
      second.started(leader)
      third.started(leader)
      fourth.started(leader)
    },
    joined (follower, waiters, elsewhere) {
      first.joined(follower, waiters, elsewhere)
      second.joined(follower, waiters, elsewhere)
      third.joined(follower, waiters, elsewhere)
      fourth.joined(follower, waiters, elsewhere)
    },
    peerLost (heir, reason) {
      first.peerLost(heir, reason)
      second.peerLost(heir, reason)
      third.peerLost(heir, reason)
      fourth.peerLost(heir, reason)
    },
    landed (leader, landing, reason, followers, took) {
      first.landed(leader, landing, reason, followers, took)
      second.landed(leader, landing, reason, followers, took)
      third.landed(leader, landing, reason, followers, took)
      fourth.landed(leader, landing, reason, followers, took)
    },
    cleanedUp (leader) {
      first.cleanedUp(leader)
      second.cleanedUp(leader)
      third.cleanedUp(leader)
      fourth.cleanedUp(leader)
    },
    cutOff (subject, reason) {
      first.cutOff(subject, reason)
      second.cutOff(subject, reason)
      third.cutOff(subject, reason)
      fourth.cutOff(subject, reason)
    },
    settled (subject, outcome, reason, waited, detail) {
      first.settled(subject, outcome, reason, waited, detail)
      second.settled(subject, outcome, reason, waited, detail)
      third.settled(subject, outcome, reason, waited, detail)
      fourth.settled(subject, outcome, reason, waited, detail)
    },
    refreshed (subject, result, error) {
      first.refreshed(subject, result, error)
      second.refreshed(subject, result, error)
      third.refreshed(subject, result, error)
      fourth.refreshed(subject, result, error)
    }
  }
}
