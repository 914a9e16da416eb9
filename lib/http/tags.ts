/**
 * Tags: what a kept response can be purged by.
 *
 * Invariant: pure, never throws. What is not a tag is none, and a response with more tags than are looked at has all that
 * were asked for or is not kept: see `MAX_TAGS`.
 */
import { combined } from './fields.js'
import type { Headers } from './headers.js'

export interface TagSettings {
  /** Of all responses of a route. */
  readonly tags: readonly string[]
  /** The response headers that name more. */
  readonly tagHeaders: readonly string[]
}

/** A response with more is not kept: it could not be purged by each. */
export const MAX_TAGS = 256

/** All tags of a response, each once. Cache-Tag is a list with commas, Surrogate-Key one with spaces. */
export function tagsOf (headers: Headers, { tags, tagHeaders }: TagSettings, declared: Iterable<string> = []): readonly string[] {
  const all = new Set([...tags, ...declared])
  for (const name of tagHeaders) {
    for (const tag of combined(headers[name]).split(name === 'surrogate-key' ? /[\s,]+/ : ',')) {
      if (tag.trim() !== '') all.add(tag.trim())
    }
  }
  return [...all]
}
