/**
 * A run for HEAD that nobody shares, and what it tells about the response that is cached for GET (RFC 9111 section 4.3.5).
 *
 * Invariant: it tells no more than a leader's run would: only headers that the handler set, none that hooks set for its client. It tells
 * nothing if the handler read more than what tells the cached response from its variants, or if a hook restricts the response.
 */
import { freshen, headAgrees } from '../../http/freshen.js'
import { headerDelta, type HeaderDelta, type Headers } from '../../http/headers.js'
import { shareReason } from '../../http/policy.js'
import type { KeptRecording } from '../../http/recording.js'
import { parseVary } from '../../http/vary.js'
import { Dependencies } from '../dependencies/dependencies.js'
import { hasTrailers, headersOf, snapshotHeaders } from '../internals.js'
import { restrictionOf } from '../replies/payload.js'
import type { RequestFacts } from './facts.js'

export class HeadRevalidation {
  readonly dependencies: Dependencies
  readonly #participant: RequestFacts
  readonly #cached: KeptRecording
  readonly #before: Headers
  /** When its run began, by the store's time. */
  readonly #startedAt: number
  /** The headers that the handler set; undefined if they tell nothing. */
  #set: HeaderDelta['set'] | undefined

  /** @param cached the response that is cached, too old to be served */
  constructor (participant: RequestFacts, cached: KeptRecording, startedAt: number) {
    this.#startedAt = startedAt
    this.#participant = participant
    this.#cached = cached
    this.#before = snapshotHeaders(participant.reply)
    this.dependencies = new Dependencies(participant.request, participant.route.settings, participant)
  }

  /** Takes the handler's headers, before other hooks add theirs. */
  capture (): void {
    const { reply } = this.#participant
    const { dependencies } = this
    dependencies.stop()
    const headers = headersOf(reply)
    this.#set = undefined
    if (reply.statusCode !== 200 || dependencies.unknownReason !== undefined ||
      shareReason({ status: 200, headers, trailers: hasTrailers(reply), failed: false }, []) !== undefined) return
    const known = this.#cached.variant.names
    const names = dependencies.names(parseVary(headers.vary) as readonly string[])
    if (names.every(name => known.includes(name))) this.#set = headerDelta(this.#before, headers).set
  }

  /** Updates the cache, right before the response's headers leave, unless a hook has restricted the response. */
  decide (): void {
    const { reply } = this.#participant
    const set = this.#set
    this.#set = undefined
    if (set === undefined || reply.statusCode !== 200 || restrictionOf(reply) !== undefined) return
    this.#update(set, headersOf(reply))
  }

  #update (set: HeaderDelta['set'], headers: Headers): void {
    const { boardedKey, cache, conductor, key, requests } = this.#participant
    const cached = this.#cached
    if (cached.status !== 200 || !headAgrees(cached.headers.set, set, cached.bytes)) {
      requests.guarded.purge([boardedKey], true)
      return
    }
    const recording = { ...cached, headers: { ...cached.headers, set: freshen(cached.headers.set, set) } }
    const response = { status: 200, headers, failed: false, tags: [], inherited: cached.kept.labels }
    const storing = { key: boardedKey, plainKey: key, names: conductor.variants.namesOf(key), startedAt: this.#startedAt, replaces: true }
    this.#participant.storedFor = cache.store(storing, now => this.#participant.planFor(recording, response, this.#startedAt, now))
  }
}
