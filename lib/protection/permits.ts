/**
 * Decides whether and when a run takes off. Without protection, at once.
 *
 * Invariant: who asks is answered once: with a permit, or with a refusal, now or later. Each permit is told once what came of its run, and
 * gives its slot back once; what comes later changes nothing. Whether a permit is told by its run or runs out, no slot is lost.
 */
import type { ShedReason } from '../../types/index.js'

/** Why a run is refused. */
export type RefusalReason = ShedReason

/** It must not take off. */
export interface Refusal {
  readonly type: 'refused'
  readonly reason: RefusalReason
  readonly error: Error
  /** When it may help to come again, in milliseconds from now. */
  readonly retryAfter: number
}

/** How a run ended. Undefined: in a way that tells nothing of what is behind it. */
export type RunEnd = { readonly status: number | undefined, readonly error: unknown } | undefined

/** A place among those that run. */
export interface Slot {
  /** The run that had it is over. The second time it does nothing. */
  free (): void
}

/** Lets a run take off. */
export interface Permit {
  readonly type: 'granted'
  /** How its run ended. Only the first time counts. */
  tell (end: RunEnd): void
  /** Its response has begun, and goes on as a stream: how long that takes tells nothing. */
  streams (): void
  /** Whether it tells nothing, if it is not over in time. */
  excuse (isExcused: boolean): void
  /** Its run needs its slot no longer. What it came to, if that was not told, tells nothing. */
  release (): void
  /** Gives its slot, if it still has one, to the run that takes its place. */
  passOn (): Slot | undefined
}

export type Permission = Permit | Refusal

/** Who waits for a permit. How urgent it is, is how urgent the most urgent of those is who wait for its run. */
export interface Place {
  readonly type: 'waits'
  /** One more waits for the run, whose level this is. */
  joined (level: number): void
  /** One fewer. */
  left (level: number): void
  /** Nobody wants the run any more. It is not answered, unless it is about to be. */
  leave (): void
  /** Somebody else runs in the place of who has asked, and is answered instead. */
  handOver (answered: (permission: Permission) => void): void
}

/** A run that wants to take off. */
export interface Asking {
  /** How urgent it is: 0 is the most urgent level. */
  readonly level: number
  /** What it is a run for, as `by` is told: a request, or the arguments of a call. */
  readonly subject: readonly unknown[]
  /** It is a background refresh: less urgent than all others, it evicts nobody. */
  readonly isRefresh: boolean
  /** After so many milliseconds it has failed, and loses its slot. */
  readonly runTimeout: number
  /** Answers it, if it has to wait, in a turn of its own. Must not throw. */
  readonly answered: (permission: Permission) => void
}

/** What the runs of a route or function have to pass. */
export interface Protection {
  /** The longest that one who asks waits, in milliseconds. */
  readonly patience: number
  /** Why no run for this may begin now, whoever waits. Changes nothing. */
  refusalFor (subject: readonly unknown[]): Refusal | undefined
  /** The next run for this would try whether what is behind is up again. Changes nothing. */
  wouldProbe (subject: readonly unknown[]): boolean
  /** What would become of one who asked now. Changes nothing. */
  foresee (subject: readonly unknown[], level: number): 'runs' | 'waits' | Refusal
  /** @param kept the slot of the run whose place it takes */
  ask (asking: Asking, kept?: Slot): Permission | Place
}

const nothing = (): undefined => {}

export const NO_PERMIT: Permit = Object.freeze({ type: 'granted', tell: nothing, streams: nothing, excuse: nothing, release: nothing, passOn: nothing })

export const NO_PROTECTION: Protection = Object.freeze<Protection>({
  patience: 0, refusalFor: () => undefined, wouldProbe: () => false, foresee: () => 'runs', ask: () => NO_PERMIT
})

/** Nobody runs with it. */
export function giveBack (permission: Permission | undefined): void {
  if (permission?.type === 'granted') permission.release()
}
