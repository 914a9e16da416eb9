/**
 * For writers of coordinators: what decides which of many processes runs for a key, and hands what that came to over to the others.
 *
 * A coordinator knows keys, labels and bytes, and nothing of requests. None of its methods may throw or reject but `ready` and `close`.
 * Whatever fails in it ends as if there were none: each process then leads for itself.
 */
import type { Clock } from './values.js'

/** The part of a logger that a coordinator uses. */
export interface CoordinationLog {
  debug (fields: object, message: string): void
  warn (fields: object, message: string): void
  error (fields: object, message: string): void
}

/** Who takes part: a registration with all of its routes, or functions. Members of the same `group` in other processes are its peers. */
export interface CoordinationMember {
  /** Tells members apart whose keys mean different things, such as requests and calls. */
  readonly group: string
  readonly clock: Clock
  readonly log: CoordinationLog
  /** Another process has purged what has one of these labels. */
  purged (labels: readonly string[], soft: boolean): void
  /** Purges by other processes may have been missed. */
  missedPurges (): void
}

/** Where processes meet. */
export interface Coordinator {
  /** A member begins to take part. */
  open (member: CoordinationMember): Coordination
}

/** The part of one member. */
export interface Coordination {
  /**
   * Resolves once it is known whether the coordinator can work. A server that cannot be reached is no reason to wait long, and no error.
   *
   * @throws an error that names what is wrong, if the configuration can never work
   */
  ready (): Promise<void>
  /**
   * Asks which process leads a key. `undefined`: that cannot be told now, and this process leads for itself. The promise settles within
   * the coordinator's own time limit, and never rejects.
   */
  join (joining: Joining): Promise<Joined> | undefined
  /** Something was purged here. The other members are told, and newcomers join none of the older runs that have one of these labels. */
  purge (labels: readonly string[], soft: boolean): void
  /** Leaves. What it leads is released. */
  close (): Promise<void>
}

/** A key that a member wants a result for. */
export interface Joining {
  readonly key: string
  /** If one of these is purged, newcomers do not join the run that began before. */
  readonly labels: readonly string[]
  /** `either`: it leads, or else follows. `leader`: it leads, or gets nothing. `follower`: it follows, or gets nothing. */
  readonly as: 'either' | 'leader' | 'follower'
  /** How long it may lead, in milliseconds. After that its lease is not renewed. */
  readonly leadsFor: number
}

export type Joined =
  /** This process leads the key. */
  | { readonly type: 'leads', readonly lease: CoordinationLease }
  /** Another process leads it. */
  | { readonly type: 'follows', readonly run: RemoteRun }
  /** An earlier run left this for all who come. */
  | { readonly type: 'noted', readonly note: Uint8Array }
  /** Asked as `leader`: another process leads. Asked as `follower`: none does. */
  | { readonly type: 'nothing' }
  /** That cannot be told now: lead alone. */
  | { readonly type: 'unknown' }

/** What this process has while it leads a key. It ends with the first call of `land` or `release`. */
export interface CoordinationLease {
  /** Another process is known to wait for the run. */
  readonly isWaitedFor: boolean
  /**
   * The run has come to something. The message is made, and sent, only if another process waits for it.
   *
   * @param note given to all who ask for the key within `ttl` milliseconds, instead of a place
   */
  land (message: () => Uint8Array, note?: { readonly message: Uint8Array, readonly ttl: number }): void
  /** The run came to nothing. Those who wait for it ask again. */
  release (): void
}

/** A run of another process. */
export interface RemoteRun {
  /** Waits for its end. Called once; the listener is called at most once, and never before `follow` has returned. */
  follow (listener: RemoteRunListener): void
  /** Nobody here waits for it any more. The listener is not called. */
  leave (): void
}

/** Why nothing comes of a run of another process. */
export type LostReason =
  /** It came to nothing. */
  | 'released'
  /** Its process is gone, or has not renewed its lease. */
  | 'gone'
  /** The coordinator cannot be reached. */
  | 'unreachable'
  /** What it came to was lost, cut, altered, or is of another version. */
  | 'rejected'

export interface RemoteRunListener {
  /** It has come to this. */
  landed (message: Uint8Array): void
  /** Nothing comes of it: ask again, or run. */
  lost (reason: LostReason): void
}
