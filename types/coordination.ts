/**
 * For writers of coordinators: what decides which of many processes runs for a key, and hands what that came to over to the others.
 *
 * A coordinator knows keys, labels and bytes, and nothing of requests. None of its methods may throw or reject but `ready` and `close`.
 * Whatever fails in it ends as if there were none: each process then leads for itself.
 */
import type { Readable } from 'node:stream'
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
  /**
   * What was counted so far, for metrics. Members that share what is counted give the same object, each time: it counts once. Must not
   * throw.
   */
  figures? (): CoordinationFigures
  /** A note that was left for a key does not hold any more. */
  forget? (key: string): void
  /** Leaves. What it leads is released. */
  close (): Promise<void>
}

/** How long something took, in milliseconds. */
export interface Durations {
  /** The upper bounds of the buckets. */
  readonly bounds: readonly number[]
  /** How many took at most as long as the bound of the same place, and longer than the one before; the last ones took longer than all. */
  readonly counts: readonly number[]
  readonly sum: number
}

/** What was counted of a coordinator, or of the connection of a store: numbers that never decrease, but for `isOpen`. */
export interface CoordinationFigures {
  /** Its circuit is open: nothing is asked. */
  readonly isOpen: boolean
  /** How often the circuit opened, by cause: `timeout`, `closed`, or the name of an error of the server. */
  readonly openings: Readonly<Record<string, number>>
  /** What had no answer in time. */
  readonly timeouts: number
  /** Who was found to lead; `skipped`: nobody was asked. */
  readonly joins: Readonly<Record<Joined['type'] | 'skipped', number>>
  /** Until it was known who leads. */
  readonly joinTimes: Durations
  /** How long this process led. */
  readonly leaseTimes: Durations
  readonly renewals: number
  /** Leases that ended, or went to another process, while the run went on. */
  readonly lostLeases: number
  /** From the end of a run until what it came to was handed over, if anybody waited for it. */
  readonly handOffTimes: Durations
  /** What runs came to, and was not handed over in time. */
  readonly failedHandOffs: number
  /** What runs came to, sent to other processes and received from them. */
  readonly sent: { readonly messages: number, readonly bytes: number }
  readonly received: { readonly messages: number, readonly bytes: number }
  /** What of that did not go inside a message, but beside it. */
  readonly uploads: { readonly count: number, readonly bytes: number }
  /** What was larger than a message may be, and was not sent. */
  readonly tooLarge: number
  /** Processes that were found to be gone while they led. */
  readonly takeovers: number
  /** Messages and notes that were of another secret or version, or cut, or altered. */
  readonly rejected: number
  /** `missed`: how often some may have been missed. `resets`: how often everything was purged, since it was not known what. */
  readonly purges: { readonly sent: number, readonly received: number, readonly missed: number, readonly resets: number }
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
  /** This process leads the key; or it may, and nobody can tell now: what it leads has to end all the same. */
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
   * @param instead sent if the message is too large to be handed over
   */
  land (message: () => Uint8Array, note?: { readonly message: Uint8Array, readonly ttl: number }, instead?: () => Uint8Array): void
  /** The run came to nothing. Those who wait for it ask again. */
  release (): void
  /**
   * The run has a result whose body is still being made. Other processes that wait, now or later, read it as it is made; in those that
   * have begun to, its end is what `land` would have given them. Undefined, or no such method: they get it when it is complete.
   */
  relay? (live: LiveMessage): Relay | undefined
}

/** A result whose body is still being made. */
export interface LiveMessage {
  /** What comes before the body. Asked only if another process waits. Undefined: it does not travel. */
  head (): Uint8Array | undefined
  /** A reader of all of the body. Asked only if another process waits, and destroyed if none does any more. */
  body (): Readable
}

export interface Relay {
  /** Nobody elsewhere reads on: what they have begun to read is broken off. What `land` says is for those who have not begun. */
  cut (): void
}

/** A run of another process. */
export interface RemoteRun {
  /** Waits for what it comes to. Called once; the listener is called at most once, and never before `follow` has returned. */
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
  /**
   * It has come to this, with a body that is still being made. After that, neither `landed` nor `lost` is called. The body fails if nothing
   * more comes of it; who destroys it has left.
   */
  opened? (head: Uint8Array, body: Readable): void
  /** Nothing comes of it: ask again, or run. */
  lost (reason: LostReason): void
}
