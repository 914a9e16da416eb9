/**
 * What tells the responses of a key apart, as far as it is known: the request headers that they depend on besides the key.
 *
 * Invariant: bounded in characters, for each key, for each route and for all, and only a memory. What is forgotten is learned
 * again, at the price of a run. Where there is more than can be remembered, nothing is shared for a while.
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../../types/index.js'
import { MEMORY } from './cache/memory.js'
import type { Varying } from '../variant.js'

/** Who has a key, and values that tell its variant. */
export interface Keyed extends Varying {
  readonly key: string
}

/** Whose results depend on more than its key. */
export interface Varied extends Keyed {
  /** What it is a request or a call of. */
  readonly origin: object
  readonly limits: { readonly unshareableTtl: number }
  /** It was learned just now that results of its key depend on these as well. */
  learned (names: readonly string[]): void
  /** They depend on more than is remembered, so that for a while nothing is shared. */
  tooVaried (): void
}

/** How many names for each key, and how many characters in all: with more than a response can well depend on, what is known is not worth knowing. */
const MOST_NAMES = 64
const MOST_CHARACTERS = 4_096
/** All keys of a route can have so many times that. */
const TIMES_A_ROUTE = 4
/** A name on which none of so many responses in a row depended is forgotten. */
const IDLE = 10

const NO_NAMES: readonly string[] = Object.freeze([])

/** What is known of a key. */
interface Dimensions {
  /** Sorted. */
  readonly names: readonly string[]
  /** How many responses in a row did not depend on each. */
  readonly idle: number[]
  /** Until when nothing of it is shared, by the clock. */
  readonly spiltUntil: number
}

/** What is known of a route. */
class RouteNames {
  /** All that its keys were given, each held once: names that clients choose are pieces of longer texts, which they would keep. */
  readonly names = new Map<string, string>()
  /** What its streams depend on after their first bytes only, and how many in a row did not. */
  readonly late = new Map<string, number>()
  spiltUntil = 0

  clear (): void {
    this.names.clear()
    this.late.clear()
  }
}

/** Whether a key's names can be remembered. */
export function areFew (names: readonly string[], times = 1): boolean {
  return names.length <= MOST_NAMES * times && charactersOf(names) <= MOST_CHARACTERS * times
}

function charactersOf (names: readonly string[]): number {
  return names.reduce((sum, { length }) => sum + length, 0)
}

export class Variants {
  readonly #clock: Clock
  /** Room for the places of all is taken at once, so not before something is learned. */
  #known: LRUCache<string, Dimensions> | undefined
  readonly #routes = new WeakMap<object, RouteNames>()
  /** Something was more than is remembered, once. */
  #hasSpilt = false

  constructor (clock: Clock) {
    this.#clock = clock
  }

  /** The names that are known for a key, sorted. */
  namesOf (key: string): readonly string[] {
    return this.#known?.get(key)?.names ?? NO_NAMES
  }

  /**
   * Remembers, for who comes next, what responses of a participant's key depend on.
   *
   * @param landed that is all that one depends on which did well just now: what none has depended on for long is forgotten
   * @returns false if that is more than is remembered, so that nothing of the key, or of its route, is shared
   */
  learn (participant: Varied, varies: readonly string[], landed = false): boolean {
    if (this.isSpilt(participant)) return false
    const known = this.#known?.get(participant.key)
    const names = known?.names ?? NO_NAMES
    if (names.length === 0 && varies.length === 0) return true
    const forgets = known !== undefined && landed && grewIdle(known, varies)
    const stay = forgets ? names.filter((_, index) => known.idle[index] as number < IDLE) : names
    const added = varies.filter(name => !stay.includes(name))
    if (added.length === 0 && stay === names) return true
    if (added.length > 0) participant.learned(added)
    const own = this.#ofRoute(participant, added)
    if (own === undefined) return false
    const all = [...stay, ...own].sort()
    if (!areFew(all)) {
      this.#dimensions().set(participant.key, { names: NO_NAMES, idle: [], spiltUntil: this.#spill(participant) })
      return false
    }
    const idle = all.map(name => known?.idle[names.indexOf(name)] ?? 0)
    if (all.length === 0) this.#known?.delete(participant.key)
    else this.#dimensions().set(participant.key, { names: all, idle, spiltUntil: 0 })
    return true
  }

  /** Whether there is more to remember of a participant's key, or of its route, than is remembered. */
  isSpilt ({ key, origin }: Varied): boolean {
    if (!this.#hasSpilt) return false
    const now = this.#clock.now()
    return (this.#known?.get(key)?.spiltUntil ?? 0) > now || (this.#routes.get(origin)?.spiltUntil ?? 0) > now
  }

  /** A participant's key, and the values of what its responses are known to vary on. */
  keyOf (participant: Keyed): string {
    const names = this.#known === undefined ? NO_NAMES : this.namesOf(participant.key)
    return names.length === 0 ? participant.key : participant.key + JSON.stringify([names, names.map(name => participant.value(name))])
  }

  /** The headers that a route's streams are known to depend on only after their first bytes. */
  lateReads (origin: object): readonly string[] {
    return [...this.#routes.get(origin)?.late.keys() ?? NO_NAMES]
  }

  /** A stream of a participant's route was seen to depend on these. */
  readLate (participant: Varied, names: readonly string[]): void {
    const own = this.isSpilt(participant) ? undefined : this.#ofRoute(participant, names)
    const route = this.#routes.get(participant.origin)
    for (const name of own ?? NO_NAMES) route?.late.set(name, 0)
    if (route !== undefined && !areFew([...route.late.keys()])) this.#spillRoute(participant, route)
  }

  /** A stream of a route has come to its end, and depended on these. */
  streamed (origin: object, names: readonly string[]): void {
    const late = this.#routes.get(origin)?.late
    for (const [name, idle] of late ?? []) {
      if (names.includes(name)) late?.set(name, 0)
      else if (idle + 1 < IDLE) late?.set(name, idle + 1)
      else late?.delete(name)
    }
  }

  /** The names as the route has them; undefined if they are more than it can have. */
  #ofRoute (participant: Varied, names: readonly string[]): readonly string[] | undefined {
    let known = this.#routes.get(participant.origin)
    if (known === undefined) this.#routes.set(participant.origin, known = new RouteNames())
    const added = names.filter(name => !known.names.has(name))
    if (added.length > 0 && !areFew([...known.names.keys(), ...added], TIMES_A_ROUTE)) {
      this.#spillRoute(participant, known)
      return undefined
    }
    for (const name of added) {
      const copy = JSON.parse(JSON.stringify(name)) as string
      known.names.set(copy, copy)
    }
    return names.map(name => known.names.get(name) as string)
  }

  #dimensions (): LRUCache<string, Dimensions> {
    return (this.#known ??= new LRUCache<string, Dimensions>({
      ...MEMORY,
      sizeCalculation: ({ names }, key) => key.length + charactersOf(names) + 1
    }))
  }

  #spillRoute (participant: Varied, known: RouteNames): void {
    known.clear()
    known.spiltUntil = this.#spill(participant)
  }

  /** Returns until when nothing is shared. */
  #spill (participant: Varied): number {
    this.#hasSpilt = true
    participant.tooVaried()
    return this.#clock.now() + participant.limits.unshareableTtl
  }
}

/** Counts a response that depends on `varies`. Whether there is a name now on which none has depended for long. */
function grewIdle ({ names, idle }: Dimensions, varies: readonly string[]): boolean {
  let grew = false
  for (let index = 0; index < names.length; index++) {
    idle[index] = varies.includes(names[index] as string) ? 0 : idle[index] as number + 1
    grew ||= idle[index] as number >= IDLE
  }
  return grew
}
