/**
 * The names of keys and channels.
 *
 * Invariant: all names of one key, and the channels that its scripts publish on, have the hash tag of one lane, so that they are in one
 * slot of a cluster. A name says nothing of the key: it is made of a digest.
 */
import { LRUCache } from 'lru-cache'
import type { Seal } from './seal.js'

/** Of the keys and messages. Processes with another version do not meet. */
const SCHEMA = 1
const PLACES = 65_536
const PLACES_KEPT = 10_000
/** The place of a longer label is not kept, since clients make labels as long as URLs may be. */
const LONGEST_KEPT = 256

/** The names that belong to one key. */
export interface KeyNames {
  readonly lane: number
  /** Who leads. */
  readonly pointer: string
  /** Who waits for whom. */
  readonly waiters: string
  /** What was left for all who come. */
  readonly note: string
}

export class Names {
  readonly lanes: number
  /** What all of them begin with. */
  readonly prefix: string
  readonly #seal: Seal
  readonly #prefixes: readonly string[]
  readonly #places = new LRUCache<string, number>({ max: PLACES_KEPT })

  /** @param prefix what all names begin with */
  constructor (prefix: string, namespace: string, lanes: number, seal: Seal) {
    this.lanes = lanes
    this.prefix = `${prefix}${namespace}:`
    this.#seal = seal
    this.#prefixes = Array.from({ length: lanes }, (_, lane) => `${this.prefix}${SCHEMA}:{${lane}}:`)
  }

  /** The lane of what has this digest. */
  laneOf (digest: string): number {
    let hash = 0
    for (let index = 0; index < 6; index++) hash = (hash * 31 + digest.charCodeAt(index)) % 1_000_003
    return hash % this.lanes
  }

  name (lane: number, kind: string, id: string): string {
    return `${this.#prefixes[lane] as string}${kind}:${id}`
  }

  of (key: string): KeyNames {
    const digest = this.#seal.digest('key', key)
    const lane = this.laneOf(digest)
    return { lane, pointer: this.name(lane, 'p', digest), waiters: this.name(lane, 'w', digest), note: this.name(lane, 'n', digest) }
  }

  /** Where a result is that is too large for a message, or that a waiter has missed. */
  result (lane: number, token: string): string {
    return this.name(lane, 'r', token)
  }

  /** What a run has made so far that is read while it is made. */
  log (lane: number, token: string): string {
    return this.name(lane, 'l', token)
  }

  /** When what was purged. */
  purges (lane: number): string {
    return `${this.#prefixes[lane] as string}purges`
  }

  /** What the inboxes of a lane begin with. */
  inboxes (lane: number): string {
    return this.name(lane, 'in', '')
  }

  inbox (lane: number, instance: string): string {
    return this.name(lane, 'in', instance)
  }

  /** Where purges are told to all. */
  get broadcast (): string {
    return `${this.#prefixes[0] as string}all`
  }

  /** Exists for a moment while it is tried whether something can be written. */
  probe (lane: number, instance: string): string {
    return this.name(lane, 'probe', instance)
  }

  /** Where a label is on the clock of purges. Labels can share a place. */
  placeOf (label: string): number {
    const known = this.#places.get(label)
    if (known !== undefined) return known
    const place = this.#seal.digestBytes('label', label).readUInt32LE() % PLACES
    if (label.length <= LONGEST_KEPT) this.#places.set(label, place)
    return place
  }
}
