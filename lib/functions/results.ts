/**
 * Results of functions as entries of a store.
 *
 * Invariant: only results are stored, never errors. To read what a store answers with runs no code of it and never throws.
 */
import type { Entry } from '../../types/index.js'
import type { Codec, NoPlan, Plan } from '../engine/cache/cache.js'
import type { Content } from '../engine/cache/lookup.js'
import { sizeOf } from '../engine/cache/size.js'
import { tagLabel } from '../http/labels.js'
import { MAX_TAGS } from '../http/tags.js'
import type { CallSettings } from '../options/function-options.js'

/** What a call came to. */
export type CallResult =
  | { readonly value: unknown }
  | { readonly error: unknown }

/** The result is not stored. */
export const NOT_STORED: NoPlan = Object.freeze({ failed: false, entry: undefined })
const FAILED: NoPlan = Object.freeze({ failed: true, entry: undefined })

/** How the results of one function stand in entries. */
export class ResultCodec implements Codec<CallResult> {
  /** What entries hold, by their values. */
  readonly #known = new WeakMap<object, Content<CallResult>>()
  readonly #clone: ((result: never) => unknown) | undefined

  constructor (clone: ((result: never) => unknown) | undefined) {
    this.#clone = clone
  }

  read ({ value }: Entry): Content<CallResult> | undefined {
    if (typeof value !== 'object' || value === null) return undefined
    const known = this.#known.get(value)
    if (known !== undefined) return known
    try {
      if (Object.keys(value).join() !== 'result') return undefined
      const found: unknown = Object.getOwnPropertyDescriptor(value, 'result')?.value
      const result = this.#clone === undefined ? found : this.#clone(found as never)
      // What is to be awaited is no result, and would be at who is given it.
      if (typeof (result as { then?: unknown } | null | undefined)?.then === 'function') return undefined
      return this.#know(value, result)
    } catch {
      return undefined
    }
  }

  stored ({ value }: Entry): void {
    this.#know(value as object, (value as { readonly result: unknown }).result)
  }

  #know (entry: object, value: unknown): Content<CallResult> {
    const content: Content<CallResult> = { type: 'result', recording: { value } }
    this.#known.set(entry, content)
    return content
  }
}

/**
 * Whether, and as what, a result is stored.
 *
 * @param labels what it can be purged by besides its tags
 * @throws what the user's `ttl`, `tags` and `clone` throw
 */
export function planResult<A extends readonly unknown[], R> (
  result: CallResult, args: A, settings: CallSettings<A, R>, labels: readonly string[]
): Plan | NoPlan {
  if ('error' in result) return FAILED
  const value = result.value as R
  const { clone, staleIfError, staleWhileRevalidate, tags, ttl, ttlJitter } = settings
  const lifetime = typeof ttl === 'function' ? ttl(value, args) : ttl
  const tagged = tags(value, args).map(tagLabel)
  if (lifetime === undefined || tagged.length > MAX_TAGS) return NOT_STORED
  const freshFor = lifetime * (1 - ttlJitter * Math.random())
  // What the caller does to its own object is not done to what is stored.
  const stored = clone === undefined ? value : clone(value)
  const entry: Plan['entry'] = { freshFor, staleWhileRevalidate, staleIfError, labels: [...tagged, ...labels], bytes: sizeOf(stored), value: { result: stored } }
  return { failed: false, entry, keepFor: freshFor + Math.max(staleWhileRevalidate, staleIfError) }
}
