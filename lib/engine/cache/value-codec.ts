/**
 * Plain values as entries of a store: the results of functions.
 *
 * Invariant: reading what a store answers with runs no code of it, and never throws.
 */
import type { Entry } from '../../../types/index.js'
import type { Codec } from './cache.js'
import type { Content } from './lookup.js'

export interface Value {
  readonly value: unknown
}

export class ValueCodec implements Codec<Value> {
  /** What entries hold, by their values. */
  readonly #known = new WeakMap<object, Content<Value>>()
  readonly #clone: ((value: never) => unknown) | undefined

  /** @param clone makes a copy of a value that a store answers with */
  constructor (clone: ((value: never) => unknown) | undefined) {
    this.#clone = clone
  }

  read ({ value }: Entry): Content<Value> | undefined {
    if (typeof value !== 'object' || value === null) return undefined
    const known = this.#known.get(value)
    if (known !== undefined) return known
    try {
      if (Object.keys(value).join() !== 'result') return undefined
      const found: unknown = Object.getOwnPropertyDescriptor(value, 'result')?.value
      const result = this.#clone === undefined ? found : this.#clone(found as never)
      // A function never comes to a thenable, and whoever is given one would wait for it.
      if (typeof (result as { then?: unknown } | null | undefined)?.then === 'function') return undefined
      return this.#know(value, result)
    } catch {
      return undefined
    }
  }

  stored ({ value }: Entry): void {
    this.#know(value as object, (value as { readonly result: unknown }).result)
  }

  #know (entry: object, value: unknown): Content<Value> {
    const content: Content<Value> = { type: 'result', recording: { value } }
    this.#known.set(entry, content)
    return content
  }
}
