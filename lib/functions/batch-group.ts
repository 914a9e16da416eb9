/**
 * The runs of one group that wait for a batch. They share the places in the queue: one for each batch that they fill, and whichever place
 * is given a permit takes the most urgent of them. So a batch goes on filling while it waits.
 *
 * Invariant: there are never more places than batches. A run that no place has room for makes a new one when its window ends, or when
 * there is a batch full of such. None of them waits without a place or a window.
 */
import type { Clock } from '../../types/index.js'
import { giveBack, type Asking, type Permission, type Permit, type Place, type Protection, type Refusal } from '../protection/permits.js'
import type { BatchItem } from './batch.js'
import { REFRESH, Waiting } from './batch-waiting.js'

export interface GroupSettings {
  readonly maxBatchSize: number
  /** In milliseconds, or the rest of the turn. */
  readonly window: number | 'turn'
  readonly clock: Clock
  /** What each batch has to pass. */
  readonly protection: Protection
  /** These take off together. */
  readonly takeOff: (permit: Permit, together: readonly Waiting[]) => void
  /** Nobody waits in the group. */
  readonly emptied: (group: Group) => void
}

/** A place in the queue, for a batch. */
interface Ticket {
  readonly place: Place
  level: number
}

export class Group {
  readonly id: unknown
  readonly #settings: GroupSettings
  /** By rank. */
  readonly #waiting: Waiting[] = []
  /** How many of them there are of each level. */
  readonly #levels = new Array<number>(REFRESH + 1).fill(0)
  /** The oldest first. */
  readonly #tickets: Ticket[] = []
  #endWindow: (() => void) | undefined
  #isFull = false

  constructor (id: unknown, settings: GroupSettings) {
    this.id = id
    this.#settings = settings
  }

  enter (asking: Asking, item: BatchItem): Place {
    const waiting = new Waiting(this, asking, item, this.#settings.clock.now())
    this.#insert(waiting)
    this.#settle()
    return waiting
  }

  move (waiting: Waiting, level: number): void {
    this.#delete(waiting)
    waiting.level = level
    this.#insert(waiting)
    this.#settle()
  }

  remove (waiting: Waiting): void {
    this.#delete(waiting)
    this.#settle()
  }

  /** How many have no place. */
  get #excess (): number {
    return this.#waiting.length - this.#tickets.length * this.#settings.maxBatchSize
  }

  #insert (waiting: Waiting): void {
    const { rank } = waiting
    let [low, high] = [0, this.#waiting.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#waiting[middle] as Waiting).rank <= rank) low = middle + 1
      else high = middle
    }
    this.#waiting.splice(low, 0, waiting)
    this.#levels[waiting.level] = this.#levels[waiting.level] as number + 1
  }

  #delete (waiting: Waiting): void {
    const index = this.#waiting.indexOf(waiting)
    // It is about to be told that it waits no longer.
    if (index < 0) return
    this.#waiting.splice(index, 1)
    this.#levels[waiting.level] = this.#levels[waiting.level] as number - 1
  }

  /** Has as many places as are needed, each as urgent as its batch, and a window for those that have none. */
  #settle (): void {
    const { maxBatchSize } = this.#settings
    while (this.#excess <= -maxBatchSize) this.#tickets.pop()?.place.leave()
    // From the first on: where one is given up, those behind it are for other batches.
    for (let index = 0; index < this.#tickets.length;) if (this.#suits(this.#tickets[index] as Ticket, index)) index++
    if (this.#excess <= 0) {
      this.#shut()
    } else if (this.#excess < maxBatchSize) {
      this.#endWindow ??= this.#open()
    } else if (!this.#isFull) {
      // Not at once: who asks must not be answered before its place is known.
      this.#isFull = true
      queueMicrotask(() => {
        this.#isFull = false
        this.#ask(Math.floor(this.#excess / maxBatchSize))
      })
    }
    if (this.#waiting.length === 0) this.#settings.emptied(this)
  }

  /** Makes a place as urgent as the batch that it is for. False: it cannot be, and is given up. */
  #suits (ticket: Ticket, index: number): boolean {
    const level = this.#levelAt(index * this.#settings.maxBatchSize)
    if (level === ticket.level || level === REFRESH) return true
    if (ticket.level === REFRESH) {
      // The place of a refresh evicts nobody. Who waits now gets one of its own.
      this.#tickets.splice(index, 1)
      ticket.place.leave()
      return false
    }
    ticket.place.joined(level)
    ticket.place.left(ticket.level)
    ticket.level = level
    return true
  }

  /** The level of the one at an index, if they are ordered by nothing else. */
  #levelAt (index: number): number {
    let below = 0
    return this.#levels.findIndex(count => index < (below += count))
  }

  #open (): () => void {
    const { clock, window } = this.#settings
    const ended = (): void => {
      this.#endWindow = undefined
      this.#ask(Math.ceil(this.#excess / this.#settings.maxBatchSize))
    }
    if (window === 'turn') {
      const immediate = setImmediate(ended)
      return () => { clearImmediate(immediate) }
    }
    const timer = clock.setTimeout(ended, window)
    return () => { clock.clearTimeout(timer) }
  }

  #shut (): void {
    this.#endWindow?.()
    this.#endWindow = undefined
  }

  /** Asks for places for so many batches. */
  #ask (batches: number): void {
    this.#shut()
    for (let count = batches; count > 0 && this.#excess > 0; count--) this.#askForOne()
    if (this.#waiting.length > 0) this.#settle()
  }

  #askForOne (): void {
    const index = this.#tickets.length * this.#settings.maxBatchSize
    const level = this.#levelAt(index)
    const isRefresh = level === REFRESH
    const example = isRefresh ? this.#waiting.find(each => each.level === REFRESH) : this.#waiting[index]
    const { asking, item } = example as Waiting
    const permission = this.#settings.protection.ask({
      level: isRefresh ? asking.level : level,
      subject: item.args,
      isRefresh,
      runTimeout: this.#waiting.reduce((longest, each) => Math.max(longest, each.asking.runTimeout), 0),
      answered: later => {
        const index = this.#tickets.findIndex(({ place }) => place === permission)
        // It was left just before it was to be answered.
        if (index < 0) return giveBack(later)
        this.#tickets.splice(index, 1)
        this.#answered(later)
      }
    })
    if (permission.type === 'waits') this.#tickets.push({ place: permission, level })
    else this.#answered(permission)
  }

  /** A place that they have no more was given a permit, or refused. */
  #answered (permission: Permission): void {
    if (permission.type === 'refused') {
      for (const each of this.#leaveOut(permission)) each.answer(permission)
      return
    }
    const together = this.#waiting.splice(0, this.#settings.maxBatchSize)
    for (const { level } of together) this.#levels[level] = this.#levels[level] as number - 1
    this.#settle()
    this.#settings.takeOff(permission, together)
  }

  /** Those of a batch that has no place: who has waited for the longest, if that is why; else the least urgent. */
  #leaveOut ({ reason }: Refusal): readonly Waiting[] {
    const count = Math.min(this.#excess, this.#settings.maxBatchSize)
    const refused = reason === 'queue-timeout'
      ? [...this.#waiting].sort((one, other) => one.came - other.came).slice(0, count)
      : this.#waiting.slice(-count)
    for (const each of refused) this.#delete(each)
    this.#settle()
    return refused
  }
}
