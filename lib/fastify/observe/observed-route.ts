/**
 * A route that is observed or verified: what would become of its requests, and what came of comparing their responses.
 *
 * Invariant: bounded. Outcomes, reasons and verdicts are closed sets of names.
 */
import type { Clock, WouldFigures } from '../../../types/index.js'
import type { Allowance } from '../../observe/allowance.js'
import { Comparison, type PairVerdict } from '../../observe/comparison.js'
import type { PairResult } from '../../observe/pair-counts.js'
import { Sampler } from '../../observe/sampler.js'
import { adviceOf, shown } from '../../observers/advice.js'
import { Causes } from '../../observers/causes.js'
import { increase, type Tally } from '../../observers/tally.js'
import type { Log } from '../../observers/observer.js'
import { quiet, warn } from '../../observers/warn.js'
import type { ObserveSettings } from '../../options/observe-options.js'
import type { Detail, Reason } from '../../reasons.js'

/** What would have become of a request. */
export type Would = WouldFigures['outcome']

/** A difference is warned of once in so many milliseconds. */
const HOUR = 3_600_000
/** The most places that a warning names. */
const MOST_TOLD = 3

/** What there is to tell from the start, at 0: a count that is born at 1 is no increase. */
const VERDICTS: readonly PairResult[] = ['equal', 'noise', 'echo', 'differs']
const STARTS: ReadonlyArray<readonly [Would, Reason]> = [['leader', 'shared'], ['follower', 'shared']]

/** What a route has besides. */
export interface Surroundings {
  readonly allowance: Allowance
  readonly clock: Clock
  readonly log: Log
  /** The names of warnings that the app does not want. */
  readonly silenced: ReadonlySet<string>
  /** Its responses are cached. */
  readonly caches: boolean
  /** Switches the route off; false if it was off. */
  readonly switchOff: () => boolean
}

export class ObservedRoute {
  readonly tally: Tally
  /** `observe`: nothing of it is shared. */
  readonly mode: 'observe' | 'verify'
  readonly comparison: Comparison
  /** Picks the requests that are compared. */
  readonly sampler: Sampler
  /** What would have become of requests, as `'follower shared'`. Of a route that is verified it is empty: that is what became of them. */
  readonly outcomes = new Map<string, number>()
  /** Why requests would not have been shared. */
  readonly causes = new Causes()
  /** How pairs of responses compared. */
  readonly verdicts = new Map<PairResult, number>(VERDICTS.map(verdict => [verdict, 0]))
  readonly #settings: ObserveSettings
  readonly #surroundings: Surroundings
  readonly #log: Log
  /** Something of comparing has failed, and that was told. */
  #hasFailed = false
  #differences = 0
  #warnedAt = -Infinity

  constructor (tally: Tally, settings: ObserveSettings, surroundings: Surroundings) {
    this.tally = tally
    this.#settings = settings
    this.#surroundings = surroundings
    const { allowance, caches, log, silenced } = surroundings
    const { clean, ignore, rate, verify, window } = settings
    this.#log = quiet(log, silenced)
    this.mode = verify > 0 ? 'verify' : 'observe'
    this.sampler = new Sampler(verify > 0 ? verify : rate)
    this.comparison = new Comparison({ window, ignore, clean, cleanThrew: error => { this.#failed(error) } }, allowance)
    if (this.mode === 'verify') return
    for (const [would, reason] of STARTS) this.outcomes.set(`${would} ${reason}`, 0)
    if (caches) this.outcomes.set('hit fresh', 0)
  }

  /** Counts what would have become of a request, and why it would not have been shared. */
  count (would: Would, reason: Reason, detail?: Detail, names: () => Iterable<string> = () => []): void {
    increase(this.outcomes, `${would} ${reason}`, 1)
    const advice = would === 'bypass' || would === 'unshareable' ? adviceOf(reason, detail) : undefined
    if (advice !== undefined) this.causes.note(advice, names, 1)
  }

  /** Compares, and counts how that went. */
  compare (compared: () => PairVerdict | undefined): void {
    try {
      const verdict = compared()
      if (verdict === undefined || verdict === 'skipped') return
      increase(this.verdicts, verdict, 1)
      if (verdict === 'differs' && this.mode === 'verify') this.#differs()
    } catch (error) {
      this.comparison.skip('error')
      this.#failed(error)
    }
  }

  /** Clients are given what is not theirs. */
  #differs (): void {
    const { clock, switchOff } = this.#surroundings
    const isOff = this.#settings.onMismatch === 'disable'
    this.#differences++
    // Others that verify may still have been under way when it was switched off.
    const isNew = isOff ? switchOff() : clock.now() - this.#warnedAt >= HOUR
    if (!isNew) return
    this.#warnedAt = clock.now()
    const { method, route } = this.tally
    const worst = this.comparison.findings().differences.slice(0, MOST_TOLD)
    const paths = worst.map(({ path }) => shown(path))
    const causes = [...new Set(worst.flatMap(({ causes }) => causes.map(({ name }) => shown(name))))]
    const fields = { event: 'observed-difference', method, route, differences: this.#differences, paths, causes }
    this.#differences = 0
    const what = 'coalesce: the response to a request differs from the one that it would have been given'
    const where = 'coalesce.report() says where (fastify-coalesce/docs/observe.md)'
    if (isOff) this.#log.error({ coalesce: fields }, `${what}, so this route is switched off, as by coalesce.disable; ${where}`)
    else this.#log.warn({ coalesce: fields }, `${what}; ${where}`)
  }

  #failed (error: unknown): void {
    if (this.#hasFailed) return
    this.#hasFailed = true
    const { method, route } = this.tally
    warn(this.#log, error, { event: 'observe-failed', method, route }, 'coalesce: a response could not be compared')
  }
}
