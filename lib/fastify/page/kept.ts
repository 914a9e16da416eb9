/**
 * What is cached: how much, and what was used last.
 *
 * Invariant: bounded, and so is the work, however much is cached. A store that fails has nothing to tell. Keys and tags only if they are to be
 * shown.
 */
import type { GuardedStore, Listed } from '../../engine/cache/guarded-store.js'
import type { Revealed } from '../../page/source.js'
import type { PageKept } from '../../page/state.js'
import { inventory } from '../cache/inventory.js'
import { LONGEST_KEY } from './flights.js'

const MOST = 20
/** Of each store so many are looked at: results of functions are passed over. */
const MOST_LOOKED_AT = 60
const MOST_TAGS = 12

type Entries = PageKept['list']
type Sizes = { -readonly [Name in 'entries' | 'bytes' | 'maxBytes']?: number }

export function keptOf (stores: readonly GuardedStore[], { keys }: Revealed): PageKept {
  const distinct = [...new Map(stores.map(guarded => [guarded.store, guarded])).values()]
  const list: Array<Entries[number]> = []
  const sizes: Sizes = {}
  for (const guarded of distinct) {
    add(sizes, guarded)
    if (list.length < MOST) list.push(...entriesOf(guarded, keys))
  }
  return { ...sizes, list: list.slice(0, MOST) }
}

function add (sizes: Sizes, { store }: GuardedStore): void {
  let size: Sizes = {}
  try {
    size = { ...store.size }
  } catch {
    // It cannot tell.
  }
  for (const name of ['entries', 'bytes', 'maxBytes'] as const) {
    const amount = size[name]
    if (typeof amount === 'number') sizes[name] = (sizes[name] ?? 0) + amount
  }
}

function entriesOf (guarded: GuardedStore, keys: boolean): Entries {
  const now = guarded.now()
  const looked = (most: number): readonly Listed[] => guarded.entries(most) ?? []
  const first = looked(MOST)
  const some = inventory(first, false, now)
  // Fewer than there may be: some were results of functions.
  const found = some.length < first.length ? inventory(looked(MOST_LOOKED_AT), false, now).slice(0, MOST) : some
  return found.map(({ age, bytes, fresh, key, route, status, tags }) => ({
    route,
    status,
    bytes,
    age,
    fresh,
    tags: keys ? tags.slice(0, MOST_TAGS).map(short) : [],
    ...keys && { key: short(key) }
  }))
}

function short (text: string): string {
  return text.slice(0, LONGEST_KEY)
}
