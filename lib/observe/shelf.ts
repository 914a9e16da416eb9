/**
 * What responses are compared with: of each key the last one, and the last one of each client. One for all routes of a registration.
 *
 * Invariant: nothing stands here longer than its route's window, whether others come or not. There are at most 256, of at most as many bytes as
 * there is room for; a new one takes the place of an old one, of the route that holds the most among the oldest.
 */
import type { Clock } from '../../types/index.js'
import type { Exemplar } from './exemplar.js'
import type { Room } from './room.js'

const MOST = 256
/** The oldest ones, of which one has to go. */
const CANDIDATES = 8

interface Kept {
  readonly exemplar: Exemplar
  readonly bytes: number
  readonly until: number
  readonly section: Section
}

export class Shelf {
  readonly #clock: Clock
  readonly #room: Room
  readonly #kept = new Set<Kept>()
  #timer: unknown

  constructor (clock: Clock, room: Room) {
    this.#clock = clock
    this.#room = room
  }

  get size (): number {
    return this.#kept.size
  }

  /** @param exemplar of no more bytes than there is room for */
  put (section: Section, exemplar: Exemplar, window: number): Kept {
    const { bytes } = exemplar
    while (this.#kept.size >= MOST || !this.#room.take(bytes)) this.#makeRoom()
    const kept = { section, exemplar, bytes, until: this.#clock.now() + window }
    this.#kept.add(kept)
    this.#timer ??= this.#clock.setTimeout(this.#sweep, window)
    return kept
  }

  remove (kept: Kept): void {
    if (this.#kept.delete(kept)) this.#room.give(kept.bytes)
  }

  clear (): void {
    for (const kept of this.#kept) this.#forget(kept)
    this.#clock.clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #makeRoom (): void {
    let worst: Kept | undefined
    let seen = 0
    for (const kept of this.#kept) {
      if (worst === undefined || kept.section.size > worst.section.size) worst = kept
      if (++seen === CANDIDATES) break
    }
    const { section, exemplar } = worst as Kept
    this.#forget(worst as Kept)
    section.evicted(exemplar)
  }

  #forget (kept: Kept): void {
    this.remove(kept)
    kept.section.forget(kept)
  }

  readonly #sweep = (): void => {
    const now = this.#clock.now()
    let next = Infinity
    for (const kept of this.#kept) {
      if (kept.until <= now) this.#forget(kept)
      else next = Math.min(next, kept.until)
    }
    this.#timer = next === Infinity ? undefined : this.#clock.setTimeout(this.#sweep, next - now)
  }
}

/** The part of one route. */
export class Section {
  readonly #shelf: Shelf
  readonly #window: number
  /** Told of each one that had to make room. */
  readonly evicted: (exemplar: Exemplar) => void
  readonly #last = new Map<number, Kept>()
  readonly #byClient = new Map<string, Kept>()

  constructor (shelf: Shelf, window: number, evicted: (exemplar: Exemplar) => void) {
    this.#shelf = shelf
    this.#window = window
    this.evicted = evicted
  }

  get size (): number {
    return this.#byClient.size
  }

  /** The last one of a key, of whichever client. */
  last (key: number, at: number): Exemplar | undefined {
    return this.#unlessOld(this.#last.get(key), at)
  }

  /** The last one of a key and a client. */
  ofClient (key: number, client: string, at: number): Exemplar | undefined {
    return this.#unlessOld(this.#byClient.get(nameOf(key, client)), at)
  }

  /** @param exemplar of no more bytes than there is room for */
  put (exemplar: Exemplar): void {
    const name = nameOf(exemplar.key, exemplar.client)
    const old = this.#byClient.get(name)
    if (old !== undefined) {
      this.#shelf.remove(old)
      this.forget(old)
    }
    const kept = this.#shelf.put(this, exemplar, this.#window)
    this.#byClient.set(name, kept)
    this.#last.set(exemplar.key, kept)
  }

  /** It stands on the shelf no more. */
  forget (kept: Kept): void {
    const { key, client } = kept.exemplar
    this.#byClient.delete(nameOf(key, client))
    if (this.#last.get(key) === kept) this.#last.delete(key)
  }

  #unlessOld (kept: Kept | undefined, at: number): Exemplar | undefined {
    return kept === undefined || at - kept.exemplar.at > this.#window ? undefined : kept.exemplar
  }
}

function nameOf (key: number, client: string | undefined): string {
  return `${key} ${client}`
}
