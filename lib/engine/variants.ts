/**
 * The names that tell the variants of a key apart, as far as they are known: what its results depend on besides the key.
 *
 * Invariant: bounded in characters, for each key, for each route and for all. A name that is forgotten is learned again, which costs a
 * run. Where there are more names than can be remembered, nothing is shared for a while.
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../../types/index.js'
import { MEMORY } from './cache/memory-limits.js'
import { Companies, Company } from './company.js'
import type { Varying } from '../variant.js'

/** A key, and the values that tell its variant. */
export interface Keyed extends Varying {
  readonly key: string
}

/** A participant whose results may depend on more than its key. */
export interface Varied extends Keyed {
  /** What it is a request or a call of. */
  readonly origin: object
  readonly limits: { readonly unshareableTtl: number }
  /** It was learned just now that results of its key depend on these as well. */
  learned (names: readonly string[]): void
  /** They depend on more names than can be remembered, so that for a while nothing is shared. */
  tooVaried (): void
}

/** The most names of a key, and the most characters in them. No result depends on more in good faith. */
const MOST_NAMES = 64
const MOST_CHARACTERS = 4_096
/** All keys of a route together can have so many times that. */
const TIMES_A_ROUTE = 4
/** A name is forgotten after so many results in a row that did not depend on it. */
const IDLE = 10

const NO_NAMES: readonly string[] = Object.freeze([])

/** What is known of a key. */
interface Dimensions {
  /** Sorted. */
  readonly names: readonly string[]
  /** For each name, how many results in a row did not depend on it. */
  readonly idle: number[]
  /** Until when nothing of the key is shared, by the clock; 0: it is. */
  readonly overflowsUntil: number
  /** Its runs under way; made for the first. */
  runs: Companies | undefined
}

/** What is known of a route. */
class RouteNames {
  /** The names of all its keys, as copies: a name that a client sent is a slice of a longer string, and would keep that in memory. */
  readonly names = new Map<string, string>()
  /** The names that its streams read only after their first bytes, and how many streams in a row did not. */
  readonly late = new Map<string, number>()
  overflowsUntil = 0

  /** Whether these names can be remembered as well. */
  hasRoomFor (names: readonly string[]): boolean {
    const added = names.filter(name => !this.names.has(name))
    return added.length === 0 || areFew([...this.names.keys(), ...added], TIMES_A_ROUTE)
  }

  clear (): void {
    this.names.clear()
    this.late.clear()
  }
}

/** Whether so many names can be remembered. */
export function areFew (names: readonly string[], times = 1): boolean {
  return names.length <= MOST_NAMES * times && charactersOf(names) <= MOST_CHARACTERS * times
}

function charactersOf (names: readonly string[]): number {
  return names.reduce((sum, { length }) => sum + length, 0)
}

/** A participant's key with the variant that these names tell. */
export function keyWith (participant: Keyed, names: readonly string[]): string {
  return names.length === 0 ? participant.key : participant.key + JSON.stringify([names, names.map(name => participant.value(name))])
}

export class Variants {
  readonly #clock: Clock
  /** Made when it is needed: an LRU cache allocates room for all of its entries at once. */
  #known: LRUCache<string, Dimensions> | undefined
  readonly #routes = new WeakMap<object, RouteNames>()
  /** Some key or route has overflowed once. */
  #anyOverflowed = false

  constructor (clock: Clock) {
    this.#clock = clock
  }

  /** The names that are known for a key, sorted. */
  namesOf (key: string): readonly string[] {
    return this.#known?.get(key)?.names ?? NO_NAMES
  }

  /** Whether variants of a key are told apart, or of no key can be for now. */
  hasNames (key: string): boolean {
    return this.#anyOverflowed || this.#isKnown(key)
  }

  /** The place of a run among those of its key; undefined if that has no variants. */
  companyOf (key: string): Company | undefined {
    const known = this.#known?.get(key)
    return known === undefined || known.names.length === 0 ? undefined : new Company(known.runs ??= new Companies())
  }

  /**
   * Remembers what results of a participant's key depend on.
   *
   * @param landed `varies` is all that a result depends on: names that no result has depended on for long are forgotten
   * @returns false if there are more names than can be remembered, so that nothing of the key, or of its route, is shared
   */
  learn (participant: Varied, varies: readonly string[], landed = false): boolean {
    if (this.hasOverflowed(participant)) return false
    return (varies.length === 0 && !this.#isKnown(participant.key)) || this.#learn(participant, varies, landed)
  }

  /** Whether names of a key are known. */
  #isKnown (key: string): boolean {
    return this.#known !== undefined && this.namesOf(key).length > 0
  }

  #learn (participant: Varied, varies: readonly string[], landed: boolean): boolean {
    const known = this.#known?.get(participant.key)
    const names = known?.names ?? NO_NAMES
    const forgets = known !== undefined && landed && grewIdle(known, varies)
    const stay = forgets ? names.filter((_, index) => known.idle[index] as number < IDLE) : names
    const added = varies.filter(name => !stay.includes(name))
    if (added.length === 0 && stay === names) return true
    if (added.length > 0) participant.learned(added)
    const own = this.#ofRoute(participant, added)
    if (own === undefined) return false
    const all = [...stay, ...own].sort()
    if (!areFew(all)) {
      this.#dimensions().set(participant.key, { names: NO_NAMES, idle: [], overflowsUntil: this.#overflow(participant), runs: undefined })
      return false
    }
    const idle = all.map(name => known?.idle[names.indexOf(name)] ?? 0)
    if (all.length === 0) this.#known?.delete(participant.key)
    else this.#dimensions().set(participant.key, { names: all, idle, overflowsUntil: 0, runs: known?.runs })
    return true
  }

  /** Whether a participant's key, or its route, has more names than can be remembered. */
  hasOverflowed ({ key, origin }: Varied): boolean {
    if (!this.#anyOverflowed) return false
    const now = this.#clock.now()
    return (this.#known?.get(key)?.overflowsUntil ?? 0) > now || (this.#routes.get(origin)?.overflowsUntil ?? 0) > now
  }

  /** How much longer nothing of a participant's key is shared because of that, in milliseconds. */
  overflowsFor ({ key, origin }: Pick<Varied, 'key' | 'origin'>): number {
    return Math.max(this.#known?.get(key)?.overflowsUntil ?? 0, this.#routes.get(origin)?.overflowsUntil ?? 0) - this.#clock.now()
  }

  /** Whether a route can have these names besides those that it has. */
  hasRoomFor (origin: object, names: readonly string[]): boolean {
    return (this.#routes.get(origin) ?? new RouteNames()).hasRoomFor(names)
  }

  /** A participant's key with its variant, as far as that is known. */
  keyOf (participant: Keyed): string {
    return keyWith(participant, this.#known === undefined ? NO_NAMES : this.namesOf(participant.key))
  }

  /** The names that a route's streams are known to read only after their first bytes. */
  lateReads (origin: object): readonly string[] {
    return [...this.#routes.get(origin)?.late.keys() ?? NO_NAMES]
  }

  /** A stream of a participant's route has read these after its first bytes. */
  readLate (participant: Varied, names: readonly string[]): void {
    const own = this.hasOverflowed(participant) ? undefined : this.#ofRoute(participant, names)
    const route = this.#routes.get(participant.origin)
    for (const name of own ?? NO_NAMES) route?.late.set(name, 0)
    if (route !== undefined && !areFew([...route.late.keys()])) this.#overflowRoute(participant, route)
  }

  /** A stream of a route has ended, and depended on these. */
  streamed (origin: object, names: readonly string[]): void {
    const late = this.#routes.get(origin)?.late
    for (const [name, idle] of late ?? []) {
      if (names.includes(name)) late?.set(name, 0)
      else if (idle + 1 < IDLE) late?.set(name, idle + 1)
      else late?.delete(name)
    }
  }

  /** The route's own copies of the names; undefined if the route then has too many. */
  #ofRoute (participant: Varied, names: readonly string[]): readonly string[] | undefined {
    let known = this.#routes.get(participant.origin)
    if (known === undefined) this.#routes.set(participant.origin, known = new RouteNames())
    if (!known.hasRoomFor(names)) {
      this.#overflowRoute(participant, known)
      return undefined
    }
    for (const name of names) {
      if (known.names.has(name)) continue
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

  #overflowRoute (participant: Varied, known: RouteNames): void {
    known.clear()
    known.overflowsUntil = this.#overflow(participant)
  }

  /** Begins a time in which nothing is shared; returns its end. */
  #overflow (participant: Varied): number {
    this.#anyOverflowed = true
    participant.tooVaried()
    return this.#clock.now() + participant.limits.unshareableTtl
  }
}

/** Counts a result that depends on `varies`. Returns whether there is a name that no result has depended on for long. */
function grewIdle ({ names, idle }: Dimensions, varies: readonly string[]): boolean {
  let grew = false
  for (let index = 0; index < names.length; index++) {
    idle[index] = varies.includes(names[index] as string) ? 0 : idle[index] as number + 1
    grew ||= idle[index] as number >= IDLE
  }
  return grew
}
