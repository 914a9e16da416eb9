/**
 * A metric of prom-client's whose values are kept elsewhere, and read in turns when it is scraped.
 *
 * Invariant: the samples of one series are read at one go, so that a histogram agrees with itself.
 */
import type { Distribution } from './distribution.js'
import { turns } from './turns.js'

export type Labels = Readonly<Record<string, string | number>>

/** One line of a scrape. */
export interface Sample {
  readonly labels: Labels
  readonly value: number
  /** The name of the line, where that is not the metric's. */
  readonly metricName?: string
}

export interface Definition {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** What prom-client makes of the values of several processes: their sum, or nothing, where a sum means nothing. */
  readonly aggregator: 'sum' | 'omit'
  /** The samples of one series after the other. */
  readonly read: () => Iterable<readonly Sample[]>
}

/** The lines of one series of a histogram. */
export function histogramOf (
  name: string, labels: Labels, { bounds, counts, count, sum }: Pick<Distribution, 'bounds' | 'counts' | 'count' | 'sum'>
): readonly Sample[] {
  let below = 0
  return [
    ...counts.map((count, index) => ({ metricName: `${name}_bucket`, labels: { ...labels, le: bounds[index] ?? '+Inf' }, value: (below += count) })),
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count }
  ]
}

/** What prom-client is given for a metric. */
export interface Read extends Omit<Definition, 'read'> {
  readonly values: readonly Sample[]
}

export class ReadMetric {
  /** prom-client's registry takes `_total` off the names of counters before it writes OpenMetrics. */
  name: string
  readonly help: string
  readonly type: Definition['type']
  readonly aggregator: Definition['aggregator']
  readonly #read: Definition['read']

  constructor ({ name, help, type, aggregator, read }: Definition) {
    this.name = name
    this.help = help
    this.type = type
    this.aggregator = aggregator
    this.#read = read
  }

  async get (): Promise<Read> {
    const values = await turns.alone(async () => {
      const values: Sample[] = []
      for (const samples of this.#read()) {
        values.push(...samples)
        await turns.spend(samples.length)
      }
      return values
    })
    const { name, help, type, aggregator } = this
    return { name, help, type, aggregator, values }
  }

  /** What it reads is not its own. */
  reset (): void {}
}
