/**
 * Responses as entries of a store: what entries hold, which cached response suits which request, and what of a response is cached.
 *
 * Invariant: a cached response is served only to a request of its own key and variant, while it is fresh, or as stale as its route and
 * the request's own headers allow.
 */
import { isFailure } from '../../http/failure.js'
import type { Entry } from '../../../types/index.js'
import type { Codec, NoPlan, Plan } from '../../engine/cache/cache.js'
import type { Found } from '../../engine/cache/guarded-store.js'
import { SUITS, type Content, type Suitability } from '../../engine/cache/lookup.js'
import type { Headers } from '../../http/headers.js'
import { planKeeping } from '../../http/keep.js'
import { readKeptResponse, readVaryMarker, type KeptResponse } from '../../http/kept-response.js'
import { labelsOf } from '../../http/labels.js'
import { byteLength, type Body, type KeptRecording, type Recording } from '../../http/recording.js'
import { acceptable, acceptableOnError, NO_REQUEST_DIRECTIVES, type Kept, type RequestDirectives } from '../../http/request-directives.js'
import { MAX_TAGS } from '../../http/tags.js'
import type { RouteSettings } from '../../options/route-options.js'

/** What a run came to, as far as caching goes. */
export interface Response {
  readonly status: number
  /** All of its headers, those that hooks added as well. */
  readonly headers: Headers
  /** The handler threw, or answered 5xx. */
  readonly failed: boolean
  /** What it can be purged by. */
  readonly tags: readonly string[]
  /** The labels of what it says is still good. */
  readonly inherited: readonly string[]
}

/** What a response is stored with besides itself. */
export interface Circumstances {
  readonly settings: RouteSettings
  /** The labels of its route, and of the paths that name it. */
  readonly labels: readonly string[]
  /** When its run began, by the store's time. */
  readonly startedAt: number
  readonly ttlOf: () => number | 'headers' | undefined
}

export class ResponseCodec implements Codec<Recording> {
  /** What entries hold, by their values. */
  readonly #known = new WeakMap<object, Content<Recording>>()

  read (entry: Entry): Content<Recording> | undefined {
    const value = entry.value as object
    const known = this.#known.get(value)
    if (known !== undefined) return known
    const marker = readVaryMarker(value)
    if (marker !== undefined) return { type: 'variants', names: marker.vary }
    const response = readKeptResponse(value)
    // Of another size than it was when it was stored: it was cut off, or altered.
    if (response === undefined || sizeOf(response) !== entry.bytes) return undefined
    return this.#know(entry, response)
  }

  stored (entry: Entry): void {
    this.#know(entry, entry.value as KeptResponse)
  }

  #know (entry: Entry, response: KeptResponse): Content<Recording> {
    const content: Content<Recording> = { type: 'result', recording: recordingOf(entry, response) }
    this.#known.set(entry.value as object, content)
    return content
  }
}

/** What a cached response is good for, for a request with these directives. */
export function suitabilityOf (recording: KeptRecording, { entry, outdated, resident }: Found, directives: RequestDirectives): Suitability {
  if (directives === NO_REQUEST_DIRECTIVES) return SUITS
  const { freshFor, staleIfError, staleWhileRevalidate } = entry
  const age = recording.kept.age + resident
  const kept: Kept = {
    age, lifetime: outdated ? 0 : age + freshFor - resident, mayServeStale: staleWhileRevalidate > 0 || staleIfError > 0, staleIfError
  }
  return {
    asItIs: acceptable({ ...kept, mayServeStale: true }, { ...directives, maxStale: directives.maxStale ?? Infinity }),
    stale: acceptable(kept, directives),
    onError: acceptableOnError(kept, directives)
  }
}

/** Whether, and as what, a complete response is cached. */
export function planResponse (
  recording: Recording, response: Response, { labels, settings, startedAt, ttlOf }: Circumstances, now: number
): Plan | NoPlan {
  const failed = isFailure(response.status)
  if (response.tags.length > MAX_TAGS) return { failed, entry: undefined }
  const came = { ...response, bytes: recording.bytes as number, requestedAt: startedAt, respondedAt: now }
  const plan = planKeeping(came, settings, ttlOf)
  if (plan.reason !== undefined) return { failed, entry: undefined }
  const { age, date, durations, keepFor } = plan
  const { status, headers, body, variant } = recording
  const value: KeptResponse = { status, headers: headers.set, removed: headers.removed, body: body as Body, age, date, variant }
  const all = [...new Set([...labelsOf(labels, response.tags), ...response.inherited])]
  return { failed, entry: { ...durations, labels: all, bytes: sizeOf(value), value }, keepFor }
}

function recordingOf ({ freshFor, labels, storedAt }: Entry, response: KeptResponse): KeptRecording {
  const { status, headers, removed, body, variant, age, date } = response
  const kept = { storedAt, freshFor, age, date: new Date(date).toUTCString(), labels }
  return { status, headers: { set: headers, removed }, body, bytes: byteLength(body), leaderId: undefined, variant, kept }
}

function sizeOf ({ headers, body }: KeptResponse): number {
  let size = byteLength(body)
  for (const [name, value] of headers) size += name.length + value.length
  return size
}
