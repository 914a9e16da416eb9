/**
 * What the runs of one route or function pass: its circuit breaker, then its queue, and then the breaker once more.
 *
 * Invariant: a run that takes off has a slot and the breaker's leave, and gives both back. One that is refused at the head of the queue
 * gives its slot to the next.
 */
import type { Clock } from '../../types/index.js'
import { Deadlines } from '../deadlines.js'
import type { BreakerRun } from './breaker.js'
import { RunPermit } from './permit.js'
import type { Asking, Permission, Place, Protection, Refusal, Slot } from './permits.js'
import type { Waiter } from './queue.js'

/** What a guard needs of a breaker. */
export interface Circuits {
  refusalFor (subject: readonly unknown[]): Refusal | undefined
  wouldProbe (subject: readonly unknown[]): boolean
  begin (subject: readonly unknown[], lasts: number): BreakerRun | Refusal
  /** Counts one that was refused. */
  shed (refusal: Refusal): void
}

/** What a guard needs of a turn in a queue. */
export interface Waiting {
  joined (level: number): void
  left (level: number): void
  leave (): unknown
}

/** What a guard needs of a queue. */
export interface Slots {
  readonly patience: number
  foresee (level: number): 'runs' | 'waits' | Refusal
  enter (waiter: Waiter): Slot | Waiting | Refusal
}

const nothing = (): undefined => {}

const NO_SLOT: Slot = Object.freeze({ free: nothing })
const NO_RUN: BreakerRun = Object.freeze({ type: 'begun', isProbe: false, answered () {}, end () {} })

/** Everybody runs at once. */
export const NO_SLOTS: Slots = Object.freeze<Slots>({ patience: 0, foresee: () => 'runs', enter: () => NO_SLOT })
/** Never open. */
export const NO_CIRCUITS: Circuits = Object.freeze<Circuits>({
  refusalFor: nothing, wouldProbe: () => false, begin: () => NO_RUN, shed: nothing
})

export class Guard implements Protection {
  readonly patience: number
  readonly #circuits: Circuits
  readonly #slots: Slots
  readonly #clock: Clock
  readonly #deadlines: Deadlines

  constructor (circuits: Circuits, slots: Slots, clock: Clock) {
    this.#circuits = circuits
    this.#slots = slots
    this.#clock = clock
    this.#deadlines = new Deadlines(clock)
    this.patience = slots.patience
  }

  refusalFor (subject: readonly unknown[]): Refusal | undefined {
    return this.#circuits.refusalFor(subject)
  }

  wouldProbe (subject: readonly unknown[]): boolean {
    return this.#circuits.wouldProbe(subject)
  }

  foresee (subject: readonly unknown[], level: number): 'runs' | 'waits' | Refusal {
    return this.#circuits.refusalFor(subject) ?? this.#slots.foresee(level)
  }

  ask (asking: Asking, kept?: Slot): Permission | Place {
    // Who may not run anyway must not wait for a slot.
    const refusal = this.#circuits.refusalFor(asking.subject)
    if (refusal !== undefined) {
      kept?.free()
      return this.#refuse(refusal)
    }
    const applicant = new Applicant(asking, slot => this.#begin(asking, slot))
    const got = kept ?? this.#slots.enter(applicant)
    if ('reason' in got) return got
    if (!('free' in got)) {
      applicant.turn = got
      return applicant
    }
    const permission = this.#begin(asking, got)
    if (permission.type === 'refused') got.free()
    return permission
  }

  /** A slot is there. */
  #begin ({ runTimeout, subject }: Asking, slot: Slot): Permission {
    const run = this.#circuits.begin(subject, runTimeout)
    return 'reason' in run ? this.#refuse(run) : new RunPermit(run, slot, runTimeout, this.#clock.now(), this.#deadlines)
  }

  #refuse (refusal: Refusal): Refusal {
    this.#circuits.shed(refusal)
    return refusal
  }

  /** Clears the timer, if nobody runs. */
  sweep (): void {
    this.#deadlines.sweep()
  }
}

/** One that asks, and waits for a slot if there is none. */
class Applicant implements Waiter, Place {
  readonly type = 'waits'
  readonly level: number
  readonly isRefresh: boolean
  turn: Waiting | undefined
  readonly #begin: (slot: Slot) => Permission
  #answered: (permission: Permission) => void

  constructor ({ answered, isRefresh, level }: Asking, begin: (slot: Slot) => Permission) {
    this.level = level
    this.isRefresh = isRefresh
    this.#answered = answered
    this.#begin = begin
  }

  take (slot: Slot): boolean {
    const permission = this.#begin(slot)
    this.#answer(permission)
    return permission.type === 'granted'
  }

  refused (refusal: Refusal): void {
    this.#answer(refusal)
  }

  joined (level: number): void {
    this.turn?.joined(level)
  }

  left (level: number): void {
    this.turn?.left(level)
  }

  leave (): void {
    this.turn?.leave()
  }

  handOver (answered: (permission: Permission) => void): void {
    this.#answered = answered
  }

  /** Later: who makes room is in the middle of something else. Who has its place by then is told. */
  #answer (permission: Permission): void {
    queueMicrotask(() => { this.#answered(permission) })
  }
}
