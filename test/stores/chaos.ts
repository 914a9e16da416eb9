/**
 * A store that fails in any way that a store can: around a good one, as the test says, until the test says otherwise.
 */
import type { KeptResponse } from '../../lib/http/kept-response.js'
import type { Entry, Store } from '../../types/index.js'
import { gate, type Gate } from '../fixtures/gate.js'

/** How a call goes wrong. Nothing is done, but after `delays`. */
export type Failure =
  | 'throws' | 'rejects'
  /** It never answers. */
  | 'hangs'
  /** It answers once the gate is open. */
  | 'delays'
  /** It answers with what looks like a promise, and is none. */
  | 'bad-promise'
  /** It answers with something else each time, which is no answer. */
  | 'garbage'

/** What is wrong with what it answers. */
export type Poison = keyof typeof POISONS

export interface Chaos extends Store {
  /** How calls of each method go from now on. Well, if it does not say. */
  readonly on: { get?: Failure | Poison, set?: Failure, delete?: Failure, entries?: 'throws', size?: 'throws' }
  /** What `delays` waits for. A test that delays once more puts another one there. */
  gate: Gate
  /** How often each method was called. */
  readonly calls: { get: number, set: number, delete: number }
  /** The methods are always there, whatever it is around. */
  entries: () => Iterable<Entry>
}

/** What is no entry, for `garbage`: one after the other. */
export const GARBAGE: readonly unknown[] = [
  null, 0, 5, '', 'entry', true, 5n, Symbol('garbage'), () => {}, [], {}, new Date(0), new Map(), Buffer.from('garbage'), Object.create(null),
  new Proxy({}, { get: (_target, name) => { if (name !== 'then') throw new Error('trap'); return undefined } })
]

const respond = (entry: Entry, members: (response: KeptResponse) => object): object => {
  const response = entry.value as KeptResponse
  return { ...entry, value: { ...response, ...members(response) } }
}

/** What becomes of an entry on its way out. */
const POISONS = {
  'another-key': (entry: Entry): unknown => ({ ...entry, key: `${entry.key} of somebody else` }),
  'another-version': (entry: Entry): unknown => ({ ...entry, version: 0 }),
  /** It would be fresh for ever. */
  'no-end': (entry: Entry): unknown => ({ ...entry, freshFor: Infinity }),
  'no-value': ({ value, ...entry }: Entry): unknown => entry,
  /** Half the body, with the length of the whole. */
  'cut-off': (entry: Entry): unknown => respond(entry, ({ headers, body }) => {
    const bytes = Buffer.from(body ?? 'body')
    return {
      headers: [...headers.filter(([name]) => name !== 'content-length'), ['content-length', String(bytes.length)]],
      body: bytes.subarray(0, bytes.length >> 1)
    }
  }),
  'set-cookie': (entry: Entry): unknown => respond(entry, ({ headers }) => ({ headers: [...headers, ['set-cookie', 'sid=stolen']] })),
  'split-header': (entry: Entry): unknown => respond(entry, ({ headers }) => ({ headers: [...headers, ['x-split', 'a\r\nset-cookie: sid=stolen']] })),
  'bad-status': (entry: Entry): unknown => respond(entry, () => ({ status: 304 })),
  'bad-variant': (entry: Entry): unknown => respond(entry, () => ({ variant: { names: ['accept'], values: [] } })),
  'bad-body': (entry: Entry): unknown => respond(entry, () => ({ body: { type: 'Buffer', data: [1, 2, 3] } }))
} as const

export const POISON_NAMES = Object.keys(POISONS) as Poison[]

/** Puts a store in the way of a good one. */
export function chaos (inner: Store): Chaos {
  let garbage = 0
  const fails = <T>(method: 'get' | 'set' | 'delete', how: Failure | Poison | undefined, answer: () => T | PromiseLike<T>): T | PromiseLike<T> => {
    switch (how) {
      case 'throws':
        throw new Error(`${method} throws`)
      case 'rejects':
        return Promise.reject(new Error(`${method} rejects`))
      case 'hangs':
        return new Promise(() => {})
      case 'delays':
        return store.gate.promise.then(answer)
      case 'bad-promise':
        return { then: () => { throw new Error(`${method} has a bad promise`) } }
      case 'garbage':
        return GARBAGE[garbage++ % GARBAGE.length] as T
      default:
        return answer()
    }
  }
  const store: Chaos = {
    on: {},
    gate: gate(),
    calls: { get: 0, set: 0, delete: 0 },
    get: key => {
      store.calls.get++
      const how = store.on.get
      if (how === undefined || !(how in POISONS)) return fails('get', how, () => inner.get(key))
      const poisoned = (entry: Entry | undefined): Entry | undefined => entry && POISONS[how as Poison](entry) as Entry
      const found = inner.get(key)
      return found !== undefined && 'then' in found ? found.then(poisoned) : poisoned(found)
    },
    set: (entry, keepFor) => {
      store.calls.set++
      return fails('set', store.on.set, () => inner.set(entry, keepFor))
    },
    delete: key => {
      store.calls.delete++
      return fails('delete', store.on.delete, () => inner.delete(key))
    },
    entries: () => {
      if (store.on.entries === 'throws') throw new Error('entries throws')
      return inner.entries?.() ?? []
    },
    get size () {
      if (store.on.size === 'throws') throw new Error('size throws')
      return inner.size
    }
  }
  return store
}
