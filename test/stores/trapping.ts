/**
 * A store that answers at once with what can be looked at only so many times, in whatever way; each further look throws.
 */
import type { Entry, Store } from '../../types/index.js'

export interface Trapping extends Store {
  /** How often what it answers with next can be looked at. */
  looks: number
  /** How often it was. */
  readonly looked: number
  entries: () => Iterable<Entry>
}

export function trapping (): Trapping {
  const entries = new Map<string, Entry>()
  let looked = 0
  const trapped = (target: object): object => {
    const look = (trap: 'get' | 'has' | 'ownKeys' | 'getPrototypeOf' | 'getOwnPropertyDescriptor') => (...args: unknown[]): never => {
      if (++looked > store.looks) throw new Error('a look too many')
      const found: unknown = (Reflect[trap] as (...args: unknown[]) => unknown)(...args)
      const guard = (value: unknown): unknown => typeof value === 'object' && value !== null && !Buffer.isBuffer(value) ? trapped(value) : value
      if (trap !== 'getOwnPropertyDescriptor') return guard(found) as never
      const property = found as PropertyDescriptor | undefined
      return (property !== undefined && 'value' in property ? { ...property, value: guard(property.value) } : property) as never
    }
    // What is frozen may not be said to be something else.
    const loose = Array.isArray(target) ? [...target as unknown[]] : { ...target }
    return new Proxy(loose, {
      get: look('get'), has: look('has'), ownKeys: look('ownKeys'), getPrototypeOf: look('getPrototypeOf'), getOwnPropertyDescriptor: look('getOwnPropertyDescriptor')
    })
  }
  const answer = (entry: Entry): Entry => trapped(entry) as Entry
  const store: Trapping = {
    looks: Infinity,
    get looked () { return looked },
    get: key => {
      looked = 0
      const entry = entries.get(key)
      return entry && answer(entry)
    },
    set: entry => { entries.set(entry.key, entry) },
    delete: key => { entries.delete(key) },
    entries: () => {
      looked = 0
      return [...entries.values()].map(answer)
    }
  }
  return store
}
