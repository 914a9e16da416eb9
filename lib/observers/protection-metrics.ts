/**
 * The metrics of what protects what is behind runs: of run queues, of circuit breakers, and of batched functions.
 *
 * Invariant: labels are the names of queues, breakers, functions and levels, and closed sets; never what `by` answers. Those of one name have
 * one series together, and one that several registrations use counts once. Without any there is no series.
 */
import type { BatchFigures, BreakerFigures, BreakerState, QueueFigures } from '../../types/index.js'
import { Counted, samplesOf } from './counted.js'
import { histogramOf, type Definition, type Labels, type Sample } from './read-metric.js'

/** Who counts. */
export interface Counts<F> {
  figures (): F
}

/** What there is now. */
export interface Protected {
  queues (): Iterable<Counts<QueueFigures>>
  breakers (): Iterable<Counts<BreakerFigures>>
  batches (): Iterable<Counts<BatchFigures>>
}

type Level = QueueFigures['levels'][number]
type Histogram = BatchFigures['durations']

const STATES: readonly BreakerState[] = Object.freeze(['closed', 'open', 'half-open'])
const RESULTS = Object.freeze(['good', 'failed', 'neutral'] as const)
const FAILURES = Object.freeze(['batch', 'key', 'result'] as const)

/** How many of each are there now. */
class Gauge {
  readonly #series = new Map<string, { readonly labels: Labels, value: number }>()

  add (labels: Labels, value: number): void {
    const key = JSON.stringify(labels)
    const series = this.#series.get(key)
    if (series === undefined) this.#series.set(key, { labels, value })
    else series.value += value
  }

  get samples (): Iterable<readonly Sample[]> {
    return [[...this.#series.values()]]
  }
}

/** The counts of a histogram's buckets, each without those below it, and the sum. */
function numbersOf ({ buckets, sum }: Histogram): number[] {
  return [...buckets.map(([, count], index) => count - (buckets[index - 1]?.[1] ?? 0)), sum]
}

/** The upper bounds of buckets; what lies above the last is told by one more. */
function boundsOf ({ buckets }: Histogram): number[] {
  return buckets.map(([bound]) => bound).filter(bound => bound !== Infinity)
}

export class ProtectionMetrics {
  readonly #protected: Protected
  /** By level: refused because the queue was full, it took too long, or somebody more urgent came. */
  readonly #levels = new Counted<Level>(({ shed: { evicted, full, timeout } }) => [full, timeout, evicted])
  readonly #waits = new Counted<Histogram>(numbersOf)
  readonly #raised = new Counted<QueueFigures>(({ raised }) => [raised])
  readonly #breakers = new Counted<BreakerFigures>(({ runs, shed, transitions }) => [
    shed.open, shed.probing, ...STATES.map(state => transitions[state]), ...RESULTS.map(result => runs[result])
  ])

  readonly #keys = new Counted<Histogram>(numbersOf)
  readonly #durations = new Counted<Histogram>(numbersOf)
  readonly #failures = new Counted<BatchFigures>(({ failures }) => FAILURES.map(kind => failures[kind]))
  /** All histograms of one metric have the same. */
  readonly #bounds = new Map<Counted<Histogram>, readonly number[]>()

  constructor (protectedBy: Protected) {
    this.#protected = protectedBy
  }

  /** @param before what comes before each name */
  definitions (before: string): readonly Definition[] {
    const { breakers, queues } = this.#protected
    const counter = (name: string, help: string, read: Definition['read']): Definition =>
      ({ name: before + name, help, type: 'counter', aggregator: 'sum', read })
    const gauge = <F>(name: string, help: string, all: () => Iterable<Counts<F>>, add: (gauge: Gauge, figures: F) => void): Definition => ({
      name: before + name,
      help,
      type: 'gauge',
      aggregator: 'sum',
      read: () => {
        const gauge = new Gauge()
        for (const who of new Set(all())) add(gauge, who.figures())
        return gauge.samples
      }
    })
    const histogram = (name: string, help: string, counted: Counted<Histogram>, per: number, note: () => void): Definition => ({
      name: before + name, help, type: 'histogram', aggregator: 'sum', read: () => this.#histogram(before + name, counted, per, note)
    })
    return [
      gauge('queue_running', 'Runs under way that have a slot of a queue', queues, (gauge, { name, running }) => { gauge.add({ queue: name }, running) }),
      gauge('queue_limit', 'The most runs under way that a queue lets', queues, (gauge, { limit, name }) => { gauge.add({ queue: name }, limit) }),
      gauge('queue_waiting', 'Runs that wait for a slot of a queue, by level', queues, (gauge, { levels, name: queue }) => {
        for (const { level, waiting } of levels) gauge.add({ queue, level }, waiting)
      }),
      histogram('queue_wait_seconds', 'How long runs had waited for a slot when they got one, by level', this.#waits, 1000, () => { this.#noteQueues() }),
      counter('queue_raised_total', 'Runs that became more urgent while they waited, because somebody more urgent came to wait for them', () => {
        this.#noteQueues()
        return samplesOf(this.#raised, [{}])
      }),
      counter('shed_total', 'Runs that were refused, by reason', () => {
        this.note()
        return [
          ...samplesOf(this.#levels, ['queue-full', 'queue-timeout', 'evicted'].map(reason => ({ reason }))),
          ...samplesOf(this.#breakers, ['breaker-open', 'breaker-probing'].map(reason => ({ reason })))
        ]
      }),
      gauge('breaker_state', 'Circuits of a breaker, by state', breakers, (gauge, { name: breaker, states }) => {
        for (const state of STATES) gauge.add({ breaker, state }, states[state])
      }),
      counter('breaker_transitions_total', 'How often circuits of a breaker came into a state', () => {
        this.#noteBreakers()
        return samplesOf(this.#breakers, STATES.map(to => ({ to })), 2)
      }),
      counter('breaker_runs_total', 'Runs that a breaker let, by how they ended', () => {
        this.#noteBreakers()
        return samplesOf(this.#breakers, RESULTS.map(result => ({ result })), 2 + STATES.length)
      }),
      histogram('batch_keys', 'Keys of a batch', this.#keys, 1, () => { this.#noteBatches() }),
      histogram('batch_seconds', 'How long the calls of batched functions took', this.#durations, 1000, () => { this.#noteBatches() }),
      counter('batch_failures_total', 'What failed of the calls of batched functions, by what failed', () => {
        this.#noteBatches()
        return samplesOf(this.#failures, FAILURES.map(kind => ({ kind })))
      })
    ]
  }

  /** Somebody is about to end. */
  note (): void {
    this.#noteQueues()
    this.#noteBreakers()
    this.#noteBatches()
  }

  /** What has ended is not told of any more. */
  forget (): void {
    const all = [this.#levels, this.#waits, this.#raised, this.#breakers, this.#keys, this.#durations, this.#failures]
    for (const counted of all) counted.forget()
  }

  #noteQueues (): void {
    for (const who of this.#protected.queues()) {
      const figures = who.figures()
      const { levels, name: queue } = figures
      this.#raised.note(who, { queue }, figures)
      for (const level of levels) {
        this.#levels.note(who, { queue, level: level.level }, level)
        this.#noteHistogram(this.#waits, who, { queue, level: level.level }, level.waited)
      }
    }
  }

  #noteBreakers (): void {
    for (const who of this.#protected.breakers()) {
      const figures = who.figures()
      this.#breakers.note(who, { breaker: figures.name }, figures)
    }
  }

  #noteBatches (): void {
    for (const who of this.#protected.batches()) {
      const figures = who.figures()
      const labels = { function: figures.name }
      this.#failures.note(who, labels, figures)
      this.#noteHistogram(this.#keys, who, labels, figures.keys)
      this.#noteHistogram(this.#durations, who, labels, figures.durations)
    }
  }

  #noteHistogram (counted: Counted<Histogram>, who: object, labels: Labels, histogram: Histogram): void {
    this.#bounds.set(counted, boundsOf(histogram))
    counted.note(who, labels, histogram)
  }

  /**
   * A histogram has no series before its first value.
   *
   * @param per how many units of what is counted are one of the metric's
   */
  * #histogram (name: string, counted: Counted<Histogram>, per: number, note: () => void): Iterable<readonly Sample[]> {
    note()
    const bounds = (this.#bounds.get(counted) ?? []).map(bound => bound / per)
    for (const [labels, numbers] of counted) {
      const counts = numbers.slice(0, -1)
      const count = counts.reduce((sum, number) => sum + number, 0)
      if (count > 0) yield histogramOf(name, labels, { bounds, counts, count, sum: numbers.at(-1) as number / per })
    }
  }
}
