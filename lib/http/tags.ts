/**
 * Tags, by which a cached response can be purged.
 *
 * Invariant: pure, never throws. Empty tags are ignored. A response with more than `MAX_TAGS` tags is not cached.
 */
import { combined } from './fields.js'
import type { Headers } from './headers.js'

export interface TagSettings {
  /** Of all responses of a route. */
  readonly tags: readonly string[]
  /** The response headers that name more. */
  readonly tagHeaders: readonly string[]
}

/** The most tags of a cached response. Tags are never cut off, because a purge by a lost tag would miss the response. */
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
