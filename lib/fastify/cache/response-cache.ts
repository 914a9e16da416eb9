/**
 * What of kept responses may be served to whom, what is kept, and what is run anew: the rules between the shelf and the
 * coalescer.
 *
 * Invariant: a kept response is served only to a visit of its own key and variant, while it is fresh, or as stale as its
 * route and its own headers allow. Only what a run brought that began after the last purge is kept. A refresh is run by nobody
 * and for nobody: it carries no credentials, and what becomes of it reaches no client but as a kept response.
 */
import type { Entry } from '../../../types/index.js'
import { Refreshes } from '../../engine/cache/refreshes.js'
import type { Found, Shelf } from '../../engine/cache/guarded-store.js'
import { isDue, isFresh, servesWhileRefreshed, standsByUntil } from '../../engine/cache/staleness.js'
import { freshen, headAgrees, type HeaderPairs } from '../../http/freshen.js'
import type { Headers } from '../../http/headers.js'
import { planKeeping, type PlanReason } from '../../http/keep.js'
import { readKeptResponse, readVaryMarker, type KeptResponse } from '../../http/kept-response.js'
import { labelsOf } from '../../http/labels.js'
import {
  acceptable, acceptableOnError, NO_REQUEST_DIRECTIVES, type Kept as KeptFacts, type RequestDirectives
} from '../../http/request-directives.js'
import { MAX_TAGS } from '../../http/tags.js'
import { byteLength, isOfVariant, type Body, type KeptRecording, type Recording } from '../../http/recording.js'
import type { Observer, RefreshResult } from '../../observers/observer.js'
import type { Kept, Visit } from '../../engine/participant.js'

/** What a look comes to: what may be served, or why nothing may; or the names of the headers that tell the key's variants apart. */
export type Look = Kept | { readonly names: readonly string[] } | undefined

/** What is served in the place of an error. */
export interface Standby {
  readonly recording: KeptRecording
  /** Until when, by the shelf. */
  readonly until: number
  readonly entry: Entry
}

/** A run that nobody asked for. */
export interface Refresh {
  /** The key of who saw that it is needed. */
  readonly key: string
  readonly boardedKey: string
  readonly stored: KeptRecording
  /** When that was seen: what is purged from then on is not made fresh again. */
  readonly since: number
  /** What came of it. */
  result: RefreshResult
  /** What went wrong, if something threw. */
  error: unknown
}

export type KeepReason = 'stored' | 'purged' | 'too-many-tags' | PlanReason
export type MissReason = 'none' | 'expired' | 'purged' | 'vary' | 'rejected' | 'request'

const TOO_MANY_TAGS = Object.freeze({ reason: 'too-many-tags' })

export class Keeper {
  readonly shelf: Shelf
  readonly #recordings = new WeakMap<object, KeptRecording>()
  readonly #refreshes: Refreshes
  readonly #observer: Observer
  /** Some route keeps responses. */
  #isOpen = false

  constructor (shelf: Shelf, observer: Observer) {
    this.shelf = shelf
    this.#observer = observer
    this.#refreshes = new Refreshes(() => shelf.now())
  }

  /** What may be served to a visit under the key that it boards with. */
  look (visit: Visit): Look | Promise<Look> {
    const found = this.shelf.look(visit.boardedKey)
    return found instanceof Promise ? found.then(later => this.#judge(visit, later)) : this.#judge(visit, found)
  }

  /** What a visit may be given now that its leader's run, perhaps its own, gives it nothing. */
  standIn (leader: Visit | undefined, visit: Visit): Kept | undefined {
    // What its own request demands has been asked of what its own look found only.
    if (leader !== visit && visit.demands !== NO_REQUEST_DIRECTIVES) return undefined
    const standby = leader?.standby
    if (standby === undefined || standby.until <= this.shelf.now() || this.shelf.isPurged(standby.entry) ||
      !isOfVariant(visit, standby.recording.variant)) return undefined
    return { recording: standby.recording, reason: 'stale-if-error' }
  }

  /** A visit's run did well, and what it brought is for its own client only: what is there was made of something that is no more. */
  outlived ({ boardedKey, found, refresh }: Visit): void {
    if (found === undefined && refresh === undefined) return
    if (refresh !== undefined) refresh.result = 'not-kept'
    this.#refreshes.recovered(boardedKey)
    this.shelf.drop(boardedKey)
  }

  /**
   * Keeps what a visit's run brought. Gives `'stored'`, or why it is not.
   *
   * @param recording complete
   * @param key the visit's key, with the variant of what it brought
   * @param names what is known to tell the variants of its key apart
   */
  keep (visit: Visit, recording: Recording, key: string, names: readonly string[], response = visit.response()): KeepReason {
    const now = this.shelf.now()
    if (visit.refresh !== undefined) visit.refresh.result = 'not-kept'
    const came = { ...response, bytes: recording.bytes as number, requestedAt: visit.since, respondedAt: now }
    const plan = response.tags.length > MAX_TAGS
      ? TOO_MANY_TAGS
      : planKeeping(came, visit.route.settings, () => visit.ttlOf(recording))
    if (response.status >= 500) this.failed(key)
    else this.#refreshes.recovered(key)
    if (plan.reason !== undefined) {
      if (response.status < 500) this.outlived(visit)
      return plan.reason
    }
    const { age, date, durations, keepFor } = plan
    const { status, headers, body, variant } = recording
    const value: KeptResponse = { status, headers: headers.set, removed: headers.removed, body: body as Body, age, date, variant }
    const labels = [...new Set([...labelsOf([...visit.route.labels, ...visit.labels], response.tags), ...response.inherited])]
    const common = { version: 1, since: visit.since, storedAt: now, labels, ...durations } as const
    const entry: Entry = { ...common, key, bytes: sizeOf(value), value }
    if (!this.shelf.keep(entry, keepFor)) return 'purged'
    this.#recordings.set(value, recordingOf(entry, value))
    if (key !== visit.key) this.shelf.keep({ ...common, key: visit.key, bytes: 0, value: { vary: names } }, keepFor)
    if (visit.refresh !== undefined) visit.refresh.result = visit.revalidated ? 'revalidated' : 'refreshed'
    visit.stored = durations.freshFor
    return 'stored'
  }

  #judge (visit: Visit, found: Found | undefined): Look {
    if (found === undefined) return this.#miss(visit, 'none')
    const { entry, resident, outdated } = found
    const marker = this.#recordings.has(entry.value as object) ? undefined : readVaryMarker(entry.value)
    if (marker !== undefined) return { names: marker.vary }
    const recording = this.#recordingOf(entry)
    if (recording === undefined || recording.bytes > visit.route.settings.maxEntryBytes) return this.#miss(visit, 'rejected')
    if (!isOfVariant(visit, recording.variant)) return this.#miss(visit, 'vary')
    const { demands, route: { settings } } = visit
    const { freshFor, staleIfError, staleWhileRevalidate } = entry
    const age = recording.kept.age + resident
    const kept = {
      age, lifetime: outdated ? 0 : age + freshFor - resident, mayServeStale: staleWhileRevalidate > 0 || staleIfError > 0, staleIfError
    }
    const suits = !isForbidden(kept, demands)
    if (suits && isFresh(found)) {
      if (isDue(found, settings.eagerRefresh)) this.#refresh(visit, recording)
      return { recording, reason: 'fresh' }
    }
    visit.found = recording
    if (suits && servesWhileRefreshed(found) && visit.refreshable) {
      this.#refresh(visit, recording)
      return { recording, reason: 'stale-while-revalidate' }
    }
    if (suits && !outdated && acceptable(kept, demands)) return { recording, reason: 'max-stale' }
    const until = standsByUntil(found)
    if (until !== undefined && acceptableOnError(kept, demands)) {
      if (this.#refreshes.isPausing(visit.boardedKey)) return { recording, reason: 'stale-if-error' }
      visit.standby = { recording, until, entry }
    }
    return this.#miss(visit, suits ? outdated ? 'purged' : 'expired' : 'request')
  }

  /**
   * A run for HEAD says whether what is kept for GET is still what it would be (RFC 9111 section 4.3.5).
   *
   * @param found what is kept, and too old to be served
   * @param set the headers that its handler set with 200
   * @param headers all of them
   */
  headCame (visit: Visit, found: KeptRecording, set: HeaderPairs, headers: Headers, names: readonly string[]): void {
    const { boardedKey } = visit
    if (found.status !== 200 || !headAgrees(found.headers.set, set, found.bytes)) {
      this.shelf.purge([boardedKey], true)
    } else {
      const recording = { ...found, headers: { ...found.headers, set: freshen(found.headers.set, set) } }
      this.keep(visit, recording, boardedKey, names, { status: 200, headers, failed: false, tags: [], inherited: found.kept.labels })
    }
  }

  /** What is purged by these labels is not served any more; softly: is stale. */
  purge (labels: readonly string[], softly: boolean): void {
    if (!this.#isOpen) return
    this.shelf.purge(labels, softly)
  }

  /** The key's runs fail: for a while what is stale is served at once, and nothing is refreshed. */
  failed (key: string): void {
    this.#refreshes.failed(key)
  }

  /** Responses will be kept. */
  open (): void {
    this.#isOpen = true
  }

  /** Starts no refresh any more. */
  close (): void {
    this.#refreshes.close()
  }

  #miss (visit: Visit, reason: MissReason): undefined {
    visit.missed = reason
    visit.tally.miss(reason)
    return undefined
  }

  #refresh (visit: Visit, stored: KeptRecording): void {
    const { boardedKey } = visit
    if (!visit.refreshable || !this.#refreshes.begin(boardedKey)) return
    const refresh: Refresh = { key: visit.key, boardedKey, stored, since: this.shelf.stamp(), result: 'failed', error: undefined }
    const over = (error?: unknown): void => {
      this.#refreshes.end(boardedKey, refresh.result === 'failed')
      this.#observer.refreshed(visit, refresh.result, error)
    }
    visit.rerun(refresh).then(() => { over() }, over)
  }

  #recordingOf (entry: Entry): KeptRecording | undefined {
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

/** Whether a request's own directives forbid what its route allows. */
function isForbidden (kept: KeptFacts, demands: RequestDirectives): boolean {
  if (demands === NO_REQUEST_DIRECTIVES) return false
  return !acceptable({ ...kept, mayServeStale: true }, { ...demands, maxStale: demands.maxStale ?? Infinity })
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
