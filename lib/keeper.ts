/**
 * What of kept responses may be served to whom, what is kept, and what is run anew: the rules between the shelf and the
 * coalescer.
 *
 * Invariant: a kept response is served only to a visit of its own key and variant, while it is fresh, or as stale as its
 * route and its own headers allow. Only what a run brought that began after the last purge is kept. A refresh is run by nobody
 * and for nobody: it carries no credentials, and what becomes of it reaches no client but as a kept response.
 */
import { LRUCache } from 'lru-cache'
import type { Entry } from '../types/index.js'
import type { Found, Shelf } from './core/shelf.js'
import { planKeeping, type PlanReason } from './http/keep.js'
import { readKeptResponse, readVaryMarker, type KeptResponse } from './http/kept-response.js'
import { labelsOf } from './http/labels.js'
import { MAX_TAGS } from './http/tags.js'
import { byteLength, isOfVariant, type Body, type Recording } from './http/recording.js'
import type { Kept, Visit } from './visit.js'

/** What a look comes to: what may be served, or why nothing may; or the names of the headers that tell the key's variants apart. */
export type Look = Kept | { readonly names: readonly string[] } | undefined

/** What is served in the place of an error. */
export interface Standby {
  readonly recording: Recording
  /** Until when, by the shelf. */
  readonly until: number
}

/** A run that nobody asked for. */
export interface Refresh {
  /** The key of who saw that it is needed. */
  readonly key: string
  readonly boardedKey: string
  readonly stored: Recording
  /** What came of it. */
  result: 'refreshed' | 'revalidated' | 'not-kept' | 'failed'
}

export type KeepReason = 'stored' | 'purged' | 'too-many-tags' | PlanReason
export type MissReason = 'none' | 'expired' | 'purged' | 'vary' | 'rejected' | 'request'

/** Two refreshes that fail are so many milliseconds apart, then twice as many, … */
const FIRST_PAUSE = 1_000
const LONGEST_PAUSE = 60_000
/** How many keys are remembered whose runs fail. */
const MEMORY = 10_000
/** The most refreshes at a time. One that does not get its turn is tried again with the next request. */
const MAX_REFRESHES = 64

interface Failing {
  readonly times: number
  readonly until: number
}

export class Keeper {
  readonly shelf: Shelf
  readonly #recordings = new WeakMap<object, Recording>()
  readonly #refreshing = new Set<string>()
  readonly #failing = new LRUCache<string, Failing>({ max: MEMORY })
  #closed = false
  /** Some route keeps responses. */
  #isOpen = false

  constructor (shelf: Shelf) {
    this.shelf = shelf
  }

  /** What may be served to a visit under the key that it boards with. */
  look (visit: Visit): Look | Promise<Look> {
    const found = this.shelf.look(visit.boardedKey)
    return found instanceof Promise ? found.then(later => this.#judge(visit, later)) : this.#judge(visit, found)
  }

  /** What a visit may be given now that its leader's run, perhaps its own, gives it nothing. */
  standIn (leader: Visit | undefined, visit: Visit): Kept | undefined {
    const standby = leader?.standby
    if (standby === undefined || standby.until <= this.shelf.now() || !isOfVariant(visit, standby.recording.variant)) return undefined
    return { recording: standby.recording, reason: 'stale-if-error' }
  }

  /** A visit's run did well, and what it brought is for its own client only: what is there was made of something that is no more. */
  outlived ({ boardedKey, found, refresh }: Visit): void {
    if (found === undefined && refresh === undefined) return
    if (refresh !== undefined) refresh.result = 'not-kept'
    this.recovered(boardedKey)
    this.shelf.drop(boardedKey)
  }

  /**
   * Keeps what a visit's run brought. Gives `'stored'`, or why it is not.
   *
   * @param key the visit's key, with the variant of what it brought
   * @param names what is known to tell the variants of its key apart
   */
  keep (visit: Visit, recording: Recording, key: string, names: readonly string[]): KeepReason {
    const response = visit.response()
    const now = this.shelf.now()
    if (visit.refresh !== undefined) visit.refresh.result = 'not-kept'
    if (response.tags.length > MAX_TAGS) return 'too-many-tags'
    const came = { ...response, bytes: recording.bytes ?? Infinity, requestedAt: visit.since, respondedAt: now }
    const plan = planKeeping(came, visit.route.settings, () => visit.ttlOf(recording))
    if (response.status >= 500) this.failed(key)
    else this.recovered(key)
    if (plan.reason !== undefined) {
      if (response.status < 500) this.outlived(visit)
      return plan.reason
    }
    const { age, date, durations, keepFor } = plan
    const { status, headers, body, variant } = recording
    const value: KeptResponse = {
      status, headers: headers.set.filter(([name]) => name !== 'age'), removed: headers.removed, body: body as Body, age, date, variant
    }
    const labels = labelsOf(visit.route.label, visit.path, response.tags)
    const common = { version: 1, since: visit.since, storedAt: now, labels, ...durations } as const
    const entry: Entry = { ...common, key, bytes: sizeOf(value), value }
    if (!this.shelf.keep(entry, keepFor)) return 'purged'
    this.#recordings.set(value, recordingOf(entry, value))
    if (key !== visit.key) this.shelf.keep({ ...common, key: visit.key, bytes: 0, value: { vary: names } }, keepFor)
    if (visit.refresh !== undefined) visit.refresh.result = 'refreshed'
    return 'stored'
  }

  #judge (visit: Visit, found: Found | undefined): Look {
    if (found === undefined) return this.#miss(visit, 'none')
    const { entry, resident, outdated } = found
    const marker = readVaryMarker(entry.value)
    if (marker !== undefined) return { names: marker.vary }
    const recording = this.#recordingOf(entry)
    if (recording === undefined || byteLength(recording.body as Body) > visit.route.settings.maxEntryBytes) return this.#miss(visit, 'rejected')
    if (!isOfVariant(visit, recording.variant)) return this.#miss(visit, 'vary')
    const { settings } = visit.route
    if (!outdated && resident < entry.freshFor) {
      if (resident > settings.eagerRefresh * entry.freshFor) this.#refresh(visit, recording)
      return { recording, reason: 'fresh' }
    }
    visit.found = recording
    const staleness = Math.max(resident - entry.freshFor, 0)
    if (staleness < entry.staleWhileRevalidate && visit.refreshable) {
      this.#refresh(visit, recording)
      return { recording, reason: 'stale-while-revalidate' }
    }
    if (staleness < entry.staleIfError) {
      if (this.#isPausing(visit.boardedKey)) return { recording, reason: 'stale-if-error' }
      visit.standby = { recording, until: entry.storedAt + entry.freshFor + entry.staleIfError }
    }
    return this.#miss(visit, outdated ? 'purged' : 'expired')
  }

  /** What is purged by these labels is not served any more; softly: is stale. */
  purge (labels: readonly string[], softly: boolean): void {
    if (!this.#isOpen) return
    this.shelf.purge(labels, softly)
  }

  /** The key's runs fail: for a while what is stale is served at once, and nothing is refreshed. */
  failed (key: string): void {
    const now = this.shelf.now()
    const failing = this.#failing.get(key)
    if (failing !== undefined && failing.until > now) return
    const times = (failing?.times ?? 0) + 1
    this.#failing.set(key, { times, until: now + Math.min(FIRST_PAUSE * 2 ** (times - 1), LONGEST_PAUSE) })
  }

  /** The key's run did well. */
  recovered (key: string): void {
    if (this.#failing.size > 0) this.#failing.delete(key)
  }

  /** Responses will be kept. */
  open (): void {
    this.#isOpen = true
  }

  /** Starts no refresh any more. */
  close (): void {
    this.#closed = true
  }

  #miss ({ tally }: Visit, reason: MissReason): undefined {
    tally.miss(reason)
    return undefined
  }

  #isPausing (key: string): boolean {
    return this.#failing.size > 0 && (this.#failing.get(key)?.until ?? 0) > this.shelf.now()
  }

  #refresh (visit: Visit, stored: Recording): void {
    const { boardedKey, tally, log } = visit
    if (this.#closed || !visit.refreshable || this.#refreshing.has(boardedKey) || this.#refreshing.size >= MAX_REFRESHES ||
      this.#isPausing(boardedKey)) return
    this.#refreshing.add(boardedKey)
    const refresh: Refresh = { key: visit.key, boardedKey, stored, result: 'failed' }
    const over = (err?: unknown): void => {
      this.#refreshing.delete(boardedKey)
      tally.refresh(refresh.result)
      if (refresh.result !== 'failed') return
      this.failed(boardedKey)
      log.warn({ err, coalesce: { event: 'refresh-failed', method: tally.method, route: tally.route } },
        'coalesce: a kept response could not be refreshed')
    }
    visit.rerun(refresh).then(() => { over() }, over)
  }

  #recordingOf (entry: Entry): Recording | undefined {
    const known = this.#recordings.get(entry.value as object)
    if (known !== undefined) return known
    const response = readKeptResponse(entry.value)
    // Of another size than it was when it was kept: it was cut off, or altered.
    if (response === undefined || sizeOf(response) !== entry.bytes) {
      this.shelf.reject()
      return undefined
    }
    const recording = recordingOf(entry, response)
    this.#recordings.set(entry.value as object, recording)
    return recording
  }
}

function recordingOf ({ storedAt }: Entry, { status, headers, removed, body, variant, age, date }: KeptResponse): Recording {
  const kept = { storedAt, age, date }
  return { status, headers: { set: headers, removed }, body, bytes: byteLength(body), leaderId: undefined, variant, kept }
}

function sizeOf ({ headers, body }: KeptResponse): number {
  let size = byteLength(body)
  for (const [name, value] of headers) size += name.length + value.length
  return size
}
