/**
 * What calls come to, and how their results are stored.
 *
 * Invariant: only results are stored, never errors.
 */
import type { NoPlan, Plan } from '../engine/cache/cache.js'
import { sizeOf } from '../engine/cache/size.js'
import type { Value } from '../engine/cache/value-codec.js'
import { tagLabel } from '../http/labels.js'
import { MAX_TAGS } from '../http/tags.js'
import type { CallSettings } from '../options/function-options.js'

/** What a call came to: its function's result, or what that threw. */
export type CallResult =
  | Value
  | { readonly error: unknown }

/** The result is not stored. */
export const NOT_STORED: NoPlan = Object.freeze({ failed: false, entry: undefined })
const FAILED: NoPlan = Object.freeze({ failed: true, entry: undefined })

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
  // The caller may change its own object later.
  const stored = clone === undefined ? value : clone(value)
  const entry: Plan['entry'] = { freshFor, staleWhileRevalidate, staleIfError, labels: [...tagged, ...labels], bytes: sizeOf(stored), value: { result: stored } }
  return { failed: false, entry, keepFor: freshFor + Math.max(staleWhileRevalidate, staleIfError) }
}
