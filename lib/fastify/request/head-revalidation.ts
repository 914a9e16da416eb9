/**
 * A run for HEAD that nobody shares, and what it tells of what is kept for GET.
 *
 * Invariant: it tells no more than a leader's run would: what the handler set, and nothing that hooks set for its client; and
 * nothing at all if the handler looked at more than what tells the kept response from its variants, or if a hook restricts it.
 */
import { freshen, headAgrees } from '../../http/freshen.js'
import { headerDelta, type HeaderDelta, type Headers } from '../../http/headers.js'
import type { KeptRecording } from '../../http/recording.js'
import { shareReason } from '../../http/policy.js'
import type { Reads } from '../../http/reads.js'
import { parseVary } from '../../http/vary.js'
import { hasTrailers, headersOf, snapshotHeaders } from '../internals.js'
import { restrictionOf } from '../replies/payload.js'
import { Reading } from '../dependencies/dependencies.js'
import type { RequestFacts } from './facts.js'

export class HeadCheck {
  readonly #visit: RequestFacts
  readonly #found: KeptRecording
  readonly #before: Headers
  readonly #reading: Reading
  /** When its run began, by the store's time. */
  readonly #startedAt: number
  #set: HeaderDelta['set'] | undefined

  /** @param found what is kept, and too old to be served */
  constructor (visit: RequestFacts, found: KeptRecording, startedAt: number) {
    this.#startedAt = startedAt
    this.#visit = visit
    this.#found = found
    this.#before = snapshotHeaders(visit.reply)
    this.#reading = new Reading(visit.request, visit.route.settings, visit)
  }

  /** What it was seen to read; undefined where the route trusts what the response itself says. */
  get reads (): Reads | undefined {
    return this.#reading.reads
  }

  /** Notes that the handler looked at the client's address. */
  readAddress (): void {
    this.reads?.address()
  }

  /** Declares what the response depends on. */
  varyOn (names: readonly string[]): void {
    this.#reading.declare(names)
  }

  /** The first moment after the handler. */
  capture (): void {
    const { reply } = this.#visit
    this.#reading.stop()
    const headers = headersOf(reply)
    this.#set = undefined
    if (reply.statusCode !== 200 || this.#reading.untold !== undefined ||
      shareReason({ status: 200, headers, trailers: hasTrailers(reply), failed: false }, []) !== undefined) return
    const known = this.#found.variant.names
    const names = this.#reading.names(parseVary(headers.vary) as readonly string[])
    if (names.every(name => known.includes(name))) this.#set = headerDelta(this.#before, headers).set
  }

  /** The last moment before the response's headers leave. */
  decide (): void {
    const { reply } = this.#visit
    const set = this.#set
    this.#set = undefined
    if (set === undefined || reply.statusCode !== 200 || restrictionOf(reply) !== undefined) return
    this.#tell(set, headersOf(reply))
  }

  /** A run for HEAD says whether what is cached for GET is still what it would be (RFC 9111 section 4.3.5). */
  #tell (set: HeaderDelta['set'], headers: Headers): void {
    const { boardedKey, cache, conductor, key, requests } = this.#visit
    const found = this.#found
    if (found.status !== 200 || !headAgrees(found.headers.set, set, found.bytes)) {
      requests.guarded.purge([boardedKey], true)
      return
    }
    const recording = { ...found, headers: { ...found.headers, set: freshen(found.headers.set, set) } }
    const response = { status: 200, headers, failed: false, tags: [], inherited: found.kept.labels }
    const storing = { key: boardedKey, plainKey: key, names: conductor.variants.namesOf(key), startedAt: this.#startedAt, replaces: true }
    this.#visit.storedFor = cache.store(storing, now => this.#visit.planFor(recording, response, this.#startedAt, now))
  }
}
