/**
 * A run queue: so many runs at a time, and of those that wait the most urgent first, so that nobody waits for ever.
 *
 * Invariant: who waits is told once that it has a slot or is refused, unless it leaves. While anybody waits no slot is free, except that
 * slots are being handed out. Each slot is given back once.
 */
import type { Clock, QueueFigures, RunQueue } from '../../types/index.js'
import { Deadlines } from '../deadlines.js'
import { InvalidOptionError, QueueFullError, QueueTimeoutError } from '../errors.js'
import type { Refusal, Slot } from './permits.js'
import { QueueCounts, type QueueReason } from './queue-counts.js'
import { Turn, type TurnOwner, type Waiter } from './turn.js'
import { Turns } from './turns.js'

export { Turn, type Waiter } from './turn.js'

export interface QueueSettings {
  readonly maxRuns: number
  readonly maxQueued: number
  /** In milliseconds. */
  readonly queueTimeout: number
  /** The most urgent first. */
  readonly levels: readonly string[]
  /** In milliseconds a level; Infinity: the more urgent level always comes first. */
  readonly aging: number
  readonly name: string | undefined
}

/** Retry-After says whole seconds, and none would be at once. */
const LEAST_RETRY_AFTER = 1000
/** How much of the mean the last run is. */
const WEIGHT = 0.1

/** A slot of a queue. */
export class QueueSlot implements Slot {
  readonly type = 'slot'
  readonly since: number
  #queue: Queue | undefined

  constructor (queue: Queue, since: number) {
    this.#queue = queue
    this.since = since
  }

  free (): void {
    const queue = this.#queue
    this.#queue = undefined
    queue?.freed(this.since)
  }

  /** Nothing ran in it. */
  drop (): void {
    const queue = this.#queue
    this.#queue = undefined
    queue?.dropped()
  }
}

/** Its error is made for who asks for it: a server that is overloaded refuses thousands a second, and a stack costs more than that. */
class QueueRefusal implements Refusal {
  readonly type = 'refused'
  readonly reason: QueueReason
  readonly retryAfter: number
  readonly #settings: QueueSettings
  readonly #name: string
  #error: Error | undefined

  constructor (reason: QueueReason, retryAfter: number, settings: QueueSettings, name: string) {
    this.reason = reason
    this.retryAfter = retryAfter
    this.#settings = settings
    this.#name = name
  }

  get error (): Error {
    this.#error ??= this.reason === 'queue-timeout'
      ? new QueueTimeoutError(this.#name, this.#settings.queueTimeout)
      : new QueueFullError(this.#name)
    return this.#error
  }
}

export class Queue implements RunQueue, TurnOwner {
  readonly name: string
  readonly #settings: QueueSettings
  readonly #clock: Clock
  readonly #turns: Turns<Turn>
  readonly #deadlines: Deadlines
  readonly #counts: readonly QueueCounts[]
  #limit: number
  #running = 0
  #raised = 0
  #meanRun: number | undefined
  /** Places that are kept for newcomers, while those whose places they were are told. */
  #keptPlaces = 0
  #handsOut = false

  constructor (settings: QueueSettings, clock: Clock, name: string = settings.name ?? 'queue') {
    this.name = name
    this.#settings = settings
    this.#clock = clock
    this.#turns = new Turns(settings.aging)
    this.#deadlines = new Deadlines(clock)
    this.#counts = settings.levels.map(() => new QueueCounts())
    this.#limit = settings.maxRuns
  }

  get levels (): readonly string[] {
    return this.#settings.levels
  }

  get running (): number {
    return this.#running
  }

  get waiting (): number {
    return this.#turns.size
  }

  get limit (): number {
    return this.#limit
  }

  set limit (limit: number) {
    if (!Number.isSafeInteger(limit) || limit < 0) {
      throw new InvalidOptionError(`limit of the queue ${this.name}`, 'a whole number from 0', typeof limit === 'number' ? `${limit}` : typeof limit)
    }
    this.#limit = limit
    this.#handOut()
  }

  /** The longest that anybody waits, in milliseconds. */
  get patience (): number {
    return this.#settings.queueTimeout
  }

  /** What would become of a newcomer. Changes nothing. */
  foresee (level: number): 'runs' | 'waits' | Refusal {
    if (this.#isOpen) return 'runs'
    const { last, size } = this.#turns
    const isFull = size + this.#keptPlaces >= this.#settings.maxQueued && (last === undefined || last.rank <= level)
    return isFull ? this.#refusalNow('queue-full') : 'waits'
  }

  /** A slot at once; a turn, if it has to wait; or a refusal. */
  enter (waiter: Waiter): QueueSlot | Turn | Refusal {
    const now = this.#clock.now()
    const rank = waiter.isRefresh ? this.levels.length : waiter.level
    if (this.#isOpen) return this.#begin(rank, now)
    const { maxQueued, queueTimeout } = this.#settings
    if (this.#turns.size + this.#keptPlaces >= maxQueued) {
      const last = this.#turns.last
      // Nobody is less urgent than a refresh, so it evicts nobody.
      if (last === undefined || last.rank <= rank) return this.#refusal('queue-full', rank)
      this.#keptPlaces++
      this.refuse(last, 'evicted')
      this.#keptPlaces--
      // It may have freed a slot.
      if (this.#isOpen) return this.#begin(rank, now)
    }
    const turn = new Turn(this, waiter, this.levels.length + 1, rank, now, queueTimeout)
    this.#turns.add(turn)
    this.#deadlines.start(turn)
    return turn
  }

  /** Clears the timer, if nobody waits. */
  sweep (): void {
    this.#deadlines.sweep()
  }

  figures (): QueueFigures {
    const waiting = this.levels.map(() => 0)
    for (const { rank } of this.#turns.all) {
      const level = this.#levelOf(rank)
      waiting[level] = waiting[level] as number + 1
    }
    return {
      name: this.name,
      running: this.#running,
      waiting: this.#turns.size,
      limit: this.#limit,
      levels: this.levels.map((level, index) => this.#countsOf(index).figures(level, waiting[index] as number)),
      raised: this.#raised,
      meanRun: this.#meanRun ?? 0
    }
  }

  /** For slots alone: one is free again. */
  freed (since: number): void {
    const held = this.#clock.now() - since
    this.#meanRun = this.#meanRun === undefined ? held : this.#meanRun + WEIGHT * (held - this.#meanRun)
    this.#running--
    this.#handOut()
  }

  /** For slots alone: one was not used. */
  dropped (): void {
    this.#running--
  }

  /** For turns alone. */
  moved (turn: Turn, rank: number): void {
    if (!this.#turns.has(turn)) return
    if (rank < turn.rank) this.#raised++
    this.#turns.move(turn, rank)
  }

  /** For turns alone. */
  left (turn: Turn): boolean {
    this.#deadlines.end(turn)
    return this.#turns.remove(turn)
  }

  /** For turns alone. */
  refuse (turn: Turn, reason: QueueReason): void {
    if (this.left(turn)) turn.waiter.refused(this.#refusal(reason, turn.rank))
  }

  /** A newcomer need not wait. */
  get #isOpen (): boolean {
    return this.#running < this.#limit && this.#turns.size === 0
  }

  #begin (rank: number, now: number): QueueSlot {
    this.#countsOf(rank).ran(0)
    this.#running++
    return new QueueSlot(this, now)
  }

  /** Gives slots to those who wait, until none is free. In a loop: who is told may free a slot, and so come here again. */
  #handOut (): void {
    if (this.#handsOut) return
    this.#handsOut = true
    while (this.#running < this.#limit) {
      const turn = this.#turns.first
      if (turn === undefined) break
      this.left(turn)
      this.#running++
      const now = this.#clock.now()
      const slot = new QueueSlot(this, now)
      if (turn.waiter.take(slot)) this.#countsOf(turn.rank).ran(now - turn.since)
      else slot.drop()
    }
    this.#handsOut = false
  }

  #refusal (reason: QueueReason, rank: number): Refusal {
    this.#countsOf(rank).shed[reason]++
    return this.#refusalNow(reason)
  }

  #refusalNow (reason: QueueReason): Refusal {
    const wait = this.#turns.size * (this.#meanRun ?? 0) / Math.max(this.#limit, 1)
    return new QueueRefusal(reason, Math.max(wait, LEAST_RETRY_AFTER), this.#settings, this.name)
  }

  /** Refreshes count as of the least urgent level. */
  #levelOf (rank: number): number {
    return Math.min(rank, this.levels.length - 1)
  }

  #countsOf (rank: number): QueueCounts {
    return this.#counts[this.#levelOf(rank)] as QueueCounts
  }
}
