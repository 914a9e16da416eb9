/**
 * Whose turn it is: those who wait for a slot, in the order in which they run, and in the order in which they have to go.
 *
 * Invariant: who waits stands in both orders, at the places that are written on it, and who does not, in neither. To come, to leave and to
 * become more or less urgent takes as many steps as the logarithm of those who wait.
 */

/** Who waits. What can be written is written by `Turns` alone. */
export interface InTurn {
  readonly since: number
  /** How urgent it is; 0 is the most urgent. */
  rank: number
  /** How many came before it. */
  order: number
  /** The earliest runs first. */
  due: number
  /** Its places in the heaps; -1 where it waits no longer. */
  placeToRun: number
  placeToGo: number
}

type Place = 'placeToRun' | 'placeToGo'

/** A heap from which one can leave wherever it stands. */
class Heap<T extends InTurn> {
  readonly members: T[] = []
  readonly #place: Place
  readonly #isBefore: (one: T, other: T) => boolean

  constructor (place: Place, isBefore: (one: T, other: T) => boolean) {
    this.#place = place
    this.#isBefore = isBefore
  }

  get first (): T | undefined {
    return this.members[0]
  }

  add (one: T): void {
    this.#put(one, this.members.length)
    this.#rise(one)
  }

  remove (one: T): void {
    const last = this.members.pop() as T
    if (last !== one) {
      this.#put(last, one[this.#place])
      this.settle(last)
    }
    this.#write(one, -1)
  }

  /** Its order has changed. */
  settle (one: T): void {
    this.#rise(one)
    this.#sink(one)
  }

  /** Those that it is before go down a place each. */
  #rise (one: T): void {
    let place: number = one[this.#place]
    while (place > 0) {
      const above = (place - 1) >> 1
      const other = this.members[above] as T
      if (!this.#isBefore(one, other)) break
      this.#put(other, place)
      place = above
    }
    this.#put(one, place)
  }

  /** Those that are before it go up a place each. */
  #sink (one: T): void {
    let place: number = one[this.#place]
    for (;;) {
      let below = 2 * place + 1
      let other = this.members[below]
      if (other === undefined) break
      const right = this.members[below + 1]
      if (right !== undefined && this.#isBefore(right, other)) {
        other = right
        below++
      }
      if (!this.#isBefore(other, one)) break
      this.#put(other, place)
      place = below
    }
    this.#put(one, place)
  }

  #put (one: T, place: number): void {
    this.members[place] = one
    this.#write(one, place)
  }

  #write (one: InTurn, place: number): void {
    one[this.#place] = place
  }
}

export class Turns<T extends InTurn> {
  readonly #aging: number
  readonly #toRun = new Heap<T>('placeToRun', (one, other) => one.due < other.due || (one.due === other.due && one.order < other.order))
  readonly #toGo = new Heap<T>('placeToGo', (one, other) => one.rank > other.rank || (one.rank === other.rank && one.order > other.order))
  #come = 0

  /** @param aging how much longer one waits than a more urgent one, a rank; Infinity: until no more urgent one waits */
  constructor (aging: number) {
    this.#aging = aging
  }

  /** How many wait. */
  get size (): number {
    return this.#toRun.members.length
  }

  /** All who wait, in no order. */
  get all (): readonly T[] {
    return this.#toRun.members
  }

  /** Whose turn it is. */
  get first (): T | undefined {
    return this.#toRun.first
  }

  /** Who has to go first: the youngest of the least urgent. */
  get last (): T | undefined {
    return this.#toGo.first
  }

  has (one: T): boolean {
    return one.placeToRun >= 0
  }

  /** One more waits. */
  add (one: T): void {
    one.order = this.#come++
    one.due = this.#dueOf(one)
    this.#toRun.add(one)
    this.#toGo.add(one)
  }

  /** It is more or less urgent from now on. */
  move (one: T, rank: number): void {
    one.rank = rank
    one.due = this.#dueOf(one)
    this.#toRun.settle(one)
    this.#toGo.settle(one)
  }

  /** It waits no longer. False: it did not. */
  remove (one: T): boolean {
    if (!this.has(one)) return false
    this.#toRun.remove(one)
    this.#toGo.remove(one)
    return true
  }

  #dueOf ({ since, rank }: T): number {
    return this.#aging === Infinity ? rank : since + rank * this.#aging
  }
}
