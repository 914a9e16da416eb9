/**
 * What was found by comparing the responses of one route: those that one run would have answered, and those whose keys differ in one part.
 *
 * Two responses for one key are compared byte for byte, and only then by their leaves. A pair differs if it does so at a place that is neither ignored nor
 * known to be noise; one such pair of different clients is told at once. Whether a place is noise is learned from pairs of one client, which is known by
 * evidence only: without such pairs the verdict of a route with a pair that differs is `unknown`, with them `differs` or `noise`. No client alone can show
 * what is noise: of one that makes too many pairs the rest does not count.
 *
 * Invariant: it never throws, never waits, and holds no response, request or input longer than `window`; what is past its allowance is skipped and counted.
 */
import type { ComparedResponse, RouteReport } from '../../types/index.js'
import { namedBy } from '../http/name-patterns.js'
import type { Allowance } from './allowance.js'
import { Differences, type Kind, type Totals } from './differences.js'
import { Exemplar, textOf, type Comparable } from './exemplar.js'
import { digestOf } from './hashes.js'
import { Inert } from './inert.js'
import { type FiguresByKind, PairCounts, type PairResult, total } from './pair-counts.js'
import { differing, nameOf, sumOf } from './reading.js'
import { Section } from './shelf.js'
import type { Sighting } from './sighting.js'
import { SKIP_REASONS, type SkipReason } from './skip-reasons.js'
import { Ttls } from './ttls.js'
import { verdictOf } from './verdict.js'
import { Witnesses } from './witnesses.js'

export interface ComparisonSettings {
  /** In milliseconds. */
  readonly window: number
  readonly ignore: readonly string[]
  /** What it answers is checked. */
  readonly clean: ((response: ComparedResponse) => unknown) | undefined
  readonly cleanThrew: (error: unknown) => void
}

/** What a follower or hit would have been given. Its client and what its request said are undefined if not known, as for what comes from a store. */
export type Offered = Comparable

/** How a pair compared; `'skipped'` if it could not be. */
export type PairVerdict = PairResult | 'skipped'

export type Findings = Pick<RouteReport, 'verdict' | 'requests' | 'skipped' | 'pairs' | 'differences' | 'noise' | 'inert' | 'ttls'>

/** Pairs after which it is thought over what is noise. */
const EVERY = 32
/** What was offered may have been kept for as long. */
const OLDEST_OFFER = 24 * 60 * 60 * 1000
/** With a larger part of the requests skipped, hits cannot be simulated. */
const MOST_SKIPPED = 0.1

export class Comparison {
  readonly #settings: ComparisonSettings
  readonly #allowance: Allowance
  readonly #isIgnored: (name: string) => boolean
  readonly #section: Section
  readonly #counts: PairCounts
  readonly #differences: Differences
  readonly #inert: Inert
  readonly #ttls: Ttls
  readonly #witnesses: Witnesses
  readonly #skipped = Object.fromEntries(SKIP_REASONS.map(reason => [reason, 0])) as Record<SkipReason, number>
  #noise: ReadonlySet<string> = new Set()
  /** Responses that differ may be the same but for noise, so that their bytes are not enough. */
  #readsAll = false
  #pairs = 0
  #requests = 0

  constructor (settings: ComparisonSettings, allowance: Allowance) {
    this.#settings = settings
    this.#allowance = allowance
    this.#isIgnored = namedBy(settings.ignore)
    this.#section = new Section(allowance.shelf, settings.window, exemplar => { if (!exemplar.wasCompared) this.skip('bytes') })
    this.#counts = new PairCounts(allowance.room)
    this.#differences = new Differences(allowance.room)
    this.#inert = new Inert(settings.window, allowance.room)
    this.#ttls = new Ttls(allowance.room)
    this.#witnesses = new Witnesses(allowance.room)
  }

  /** Pairs as they were taken when they were seen; live. */
  get pairs (): FiguresByKind {
    return this.#counts.live
  }

  /** Live, for metrics. Has all reasons. */
  get skipped (): Readonly<Record<SkipReason, number>> {
    return this.#skipped
  }

  /** Requests that were compared. */
  get requests (): number {
    return this.#requests
  }

  /**
   * Observe mode: a response, of whatever would have led, followed or hit.
   *
   * @returns how it compared with the last one of another client; undefined if there was none
   */
  see (sighting: Sighting): PairVerdict | undefined {
    return this.#measured(sighting, this.#ttls, now => {
      const last = this.#section.last(now.key, now.at)
      this.#compareOwn(now)
      const isOther = last !== undefined && (last.client === undefined || last.client !== now.client)
      return isOther ? this.#compare('between', last, now) : undefined
    })
  }

  /**
   * Verify mode: a follower or hit ran its own handler.
   *
   * @returns `'differs'` only if they are not known to be of one client: what differs for one client is `'noise'`
   */
  pair (shared: Offered, own: Sighting): PairVerdict {
    return this.#measured(own, undefined, now => {
      const offered = this.#exemplarOf(shared, now.key, now.at, OLDEST_OFFER)
      if (typeof offered === 'string') return this.#skipWith(offered)
      this.#compareOwn(now)
      if (offered.client === undefined || offered.client !== now.client) return this.#compare('between', offered, now)
      return this.#compareWithin(offered.client, offered, now)
    })
  }

  skip (reason: SkipReason): void {
    this.#skipped[reason]++
  }

  findings (): Findings {
    this.#learn()
    const totals = this.#totals()
    const judged = this.#differences.judged(totals)
    const pairs = this.#counts.judged(({ name }) => this.#noise.has(name))
    const differences = this.#differences.findings(totals)
    const paths = new Set(differences.map(({ path }) => path))
    return {
      verdict: verdictOf(pairs.between, judged.map(([, judgement]) => judgement)),
      requests: this.#requests,
      skipped: Object.fromEntries(Object.entries(this.#skipped).filter(([, count]) => count > 0)),
      pairs,
      differences,
      noise: [...new Set(Array.from(this.#noise, nameOf))].filter(path => !paths.has(path)),
      inert: this.#inert.findings(),
      ttls: this.#skippedPart() > MOST_SKIPPED ? [] : this.#ttls.findings()
    }
  }

  #skipWith (reason: SkipReason): 'skipped' {
    this.skip(reason)
    return 'skipped'
  }

  /** @param ttls to simulate, if all requests are seen */
  #measured<Answer> (sighting: Sighting, ttls: Ttls | undefined, compare: (now: Exemplar) => Answer): Answer | 'skipped' {
    const { time } = this.#allowance
    if (!time.begin()) return this.#skipWith('budget')
    try {
      const now = this.#exemplarOf(sighting, digestOf(sighting.key), sighting.at, 0)
      if (typeof now === 'string') return this.#skipWith(now)
      this.#requests++
      const answer = compare(now)
      this.#compareParts(sighting, now, ttls)
      this.#differences.meet(now)
      now.rest()
      this.#section.put(now)
      return answer
    } finally {
      time.end()
    }
  }

  #exemplarOf (from: Comparable, key: number, at: number, age: number): Exemplar | SkipReason {
    const body = from.body ?? ''
    if (body.length > this.#allowance.largest) return 'too-large'
    const compared = this.#clean(from, body)
    if (compared === undefined) return 'clean-threw'
    const exemplar = new Exemplar(key, at, { wall: this.#allowance.wall, age }, from, compared)
    return exemplar.bytes > this.#allowance.largest ? 'too-large' : exemplar
  }

  /** What is compared in the place of the body. */
  #clean ({ status, type }: Comparable, body: string | Uint8Array): string | Uint8Array | undefined {
    const { clean, cleanThrew } = this.#settings
    if (clean === undefined) return body
    try {
      const text = clean({ status, type, body: textOf(body) })
      if (typeof text === 'string') return text
      throw new TypeError(`clean has to return a string, and returned ${typeof text}`)
    } catch (error) {
      cleanThrew(error)
      return undefined
    }
  }

  /** With the last one of the same client. */
  #compareOwn (now: Exemplar): void {
    const mine = now.client === undefined ? undefined : this.#section.ofClient(now.key, now.client, now.at)
    if (mine?.client !== undefined) this.#compareWithin(mine.client, mine, now)
  }

  /** @returns `'noise'` for what differs for one client */
  #compareWithin (client: string, one: Exemplar, other: Exemplar): PairResult {
    one.wasCompared = other.wasCompared = true
    if (!this.#witnesses.admits(client)) return one.digest === other.digest ? 'equal' : 'noise'
    const compared = this.#compare('within', one, other)
    return compared === 'differs' ? 'noise' : compared
  }

  #compare (kind: Kind, one: Exemplar, other: Exemplar): PairResult {
    one.wasCompared = other.wasCompared = true
    const isEqual = one.digest === other.digest
    const [reading, otherReading] = isEqual ? [] : [one.reading(this.#isIgnored), other.reading(this.#isIgnored)]
    const names = reading === undefined || otherReading === undefined ? [] : differing(reading, otherReading)
    const echoes = reading?.echoes === true || otherReading?.echoes === true
    const compared = isEqual ? 'equal' : names.some(name => !this.#noise.has(name)) ? 'differs' : echoes ? 'echo' : 'noise'
    const places = this.#differences.note(kind, names)
    this.#counts.add(kind, compared, places, echoes)
    if (compared === 'noise' || compared === 'echo') this.#look(this.#noise)
    if (kind === 'between') this.#differences.blame(one, other, places)
    one.rest()
    if (++this.#pairs % EVERY === 0) this.#learn()
    return compared
  }

  #compareParts ({ parts }: Sighting, now: Exemplar, ttls: Ttls | undefined): void {
    const leaves = this.#readsAll ? now.reading(this.#isIgnored) : undefined
    const outcome = leaves === undefined ? now.digest : sumOf(leaves, this.#noise)
    ttls?.see(now.key, now.at, outcome ?? 0)
    // Where all of a body is noise nothing is left to compare.
    if (outcome === undefined) return
    const noise = leaves === undefined ? [] : Array.from(this.#noise, name => leaves.leaves.get(name) ?? 0)
    this.#inert.see(now.at, parts(), outcome, noise)
  }

  #learn (): void {
    const noise = this.#differences.noise(this.#totals(), this.#noise)
    if (noise.size !== this.#noise.size || [...noise].some(name => !this.#noise.has(name))) this.#look(noise)
  }

  /** Reads responses from now on, without what is noise. What was compared with other eyes counts no more. */
  #look (noise: ReadonlySet<string>): void {
    if (this.#readsAll && noise === this.#noise) return
    this.#readsAll = true
    this.#noise = noise
    this.#inert.reset()
    this.#ttls.reset()
  }

  #totals (): Totals {
    return { between: total(this.pairs.between), within: total(this.pairs.within) }
  }

  #skippedPart (): number {
    // What was let go for want of room was seen.
    const skipped = Object.values(this.#skipped).reduce((sum, count) => sum + count, -this.#skipped.bytes)
    return skipped / Math.max(1, skipped + this.#requests)
  }
}
