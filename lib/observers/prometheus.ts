/**
 * Prometheus metrics, read from tallies when they are scraped.
 *
 * Invariant: labels are route patterns, methods and closed sets of names. One set of metrics a registry and prefix, however
 * many registrations feed it; counters do not go back when one of them ends.
 */
import Negotiator from 'negotiator'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry, type Aggregator, type Metric, type OpenMetricsContentType } from 'prom-client'
import type { FastifyInstance } from 'fastify'
import type { CoalesceFigures, Store } from '../../types/index.js'
import { MetricTakenError } from '../errors.js'
import type { MetricsSettings } from '../options/options.js'
import { LOOKUP_BUCKETS, StoreTally } from './store-tally.js'
import { StoresSeen } from './stores-seen.js'
import { FOLLOWER_BUCKETS, Tally, WAIT_BUCKETS, type Distribution } from './tally.js'

/** One registration's figures. */
export interface Source {
  readonly tallies: readonly Tally[]
  flights (): number
  waiters (): number
  recordedBytes (): number
  readonly store: StoreTally
  /** The stores that it keeps in. */
  stores (): Iterable<Store>
}

type Labels = Readonly<Record<string, string>>
type Distributions = () => Iterable<readonly [Labels, Distribution]>

/** A histogram whose counts are kept elsewhere. */
class ReadHistogram extends Histogram<string> {
  /** Not `#read`: the registry for the other format calls `get` on a stand-in. */
  private readonly read: Distributions

  constructor (name: string, help: string, buckets: readonly number[], labelNames: string[], read: Distributions) {
    super({ name, help, labelNames, buckets: [...buckets], registers: [] })
    this.read = read
  }

  override get (): ReturnType<Histogram<string>['get']> {
    const { name, help, aggregator } = this as unknown as { name: string, help: string, aggregator: 'sum' }
    const values = [...this.read()].flatMap(([labels, distribution]) => {
      let below = 0
      return [
        ...distribution.counts.map((count, index) => {
          below += count
          return { metricName: `${name}_bucket`, labels: { ...labels, le: distribution.bounds[index] ?? '+Inf' }, value: below }
        }),
        { metricName: `${name}_sum`, labels, value: distribution.sum },
        { metricName: `${name}_count`, labels, value: distribution.count }
      ]
    })
    return Promise.resolve({ name, help, aggregator, type: 'histogram', values } as unknown as Awaited<ReturnType<Histogram<string>['get']>>)
  }

  /** prom-client's registry prefers this one when it makes text. */
  getForPromString (): ReturnType<Histogram<string>['get']> {
    return this.get()
  }
}

const ROUTE = ['method', 'route']

function routeOf ({ method, route }: Tally): Labels {
  return { method, route }
}

/** Whose sum over the workers of a cluster means nothing. */
const OF_WORKERS = 'average'

function deduplicationRatio ({ deduplicationRate }: CoalesceFigures): number {
  return deduplicationRate
}

function hitRatio ({ cacheHits, totalRequests }: CoalesceFigures): number {
  return totalRequests === 0 ? 0 : cacheHits / totalRequests
}

const instrumentsOf = new WeakMap<Registry, Map<string, Instruments>>()

export class Instruments {
  readonly registry: Registry
  readonly #sources = new Set<Source>()
  /** What registrations that have ended had counted, one tally a route. */
  readonly #ended = new Map<string, Tally>()
  /** And of their stores. */
  #endedStores = new StoreTally()
  readonly #stores = new StoresSeen()
  readonly #metrics: readonly Metric[]

  /** The metrics of a registry and prefix, made when they are first asked for. */
  static in (settings: MetricsSettings, around: Registry | undefined): Instruments {
    const registry = settings.registry ?? around ?? new Registry()
    let byPrefix = instrumentsOf.get(registry)
    if (byPrefix === undefined) instrumentsOf.set(registry, byPrefix = new Map())
    let instruments = byPrefix.get(settings.prefix)
    if (instruments === undefined) byPrefix.set(settings.prefix, instruments = new Instruments(registry, settings.prefix))
    else instruments.#comeBack()
    if (settings.defaultMetrics && registry.getSingleMetric(`${settings.prefix}process_cpu_user_seconds_total`) === undefined) {
      collectDefaultMetrics({ register: registry, prefix: settings.prefix })
    }
    return instruments
  }

  private constructor (registry: Registry, prefix: string) {
    this.registry = registry
    const tallies = (): Tally[] => this.#tallies()
    const sum = (read: (source: Source) => number): number => [...this.#sources].reduce((total, source) => total + read(source), 0)
    const stores = (): Store[] => [...this.#sources].flatMap(source => [...source.stores()])
    const named = (name: string): string => `${prefix}coalesce_${name}`

    const figures = (): CoalesceFigures => {
      const total = new Tally('', '')
      for (const tally of tallies()) total.add(tally)
      return total.figures()
    }
    type Counts = () => Iterable<readonly [Labels, number]>
    const counter = (name: string, help: string, labelNames: string[], read: Counts): Counter => new Counter({
      name: named(name),
      help,
      labelNames,
      registers: [],
      collect () {
        this.reset()
        for (const [labels, count] of read()) this.inc(labels, count)
      }
    })
    const gauge = (name: string, help: string, read: () => number, aggregator: Aggregator = 'sum'): Gauge => new Gauge({
      name: named(name), help, registers: [], aggregator, collect () { this.set(read()) }
    })
    const ratio = (name: string, help: string, read: (figures: CoalesceFigures) => number): Gauge =>
      gauge(name, help, () => read(figures()), OF_WORKERS)
    const routeRatio = (name: string, help: string, read: (figures: CoalesceFigures) => number): Gauge => new Gauge({
      name: named(name),
      help,
      labelNames: ROUTE,
      registers: [],
      aggregator: OF_WORKERS,
      collect () {
        this.reset()
        for (const tally of tallies()) this.set(routeOf(tally), read(tally.figures()))
      }
    })
    const histogram = (name: string, help: string, buckets: readonly number[], read: (tally: Tally) => Distribution): ReadHistogram =>
      new ReadHistogram(named(name), help, buckets, ROUTE, () => tallies().map(tally => [routeOf(tally), read(tally)] as const))
    /** One sample for each name that a tally counts. */
    const each = (label: string, read: (tally: Tally) => ReadonlyMap<string, number>): Counts => () =>
      tallies().flatMap(tally => [...read(tally)].map(([name, count]) => [{ ...routeOf(tally), [label]: name }, count] as const))

    const metrics: ReadonlyArray<Counter | Gauge | ReadHistogram> = [
      counter('requests_total', 'Requests on coalesced routes, and calls of deduplicated functions, by how they were served',
        [...ROUTE, 'outcome', 'reason', 'cause'], () => tallies().flatMap(tally => [...tally.counts()].map(({ outcome, reason, cause, count }) =>
          [{ ...routeOf(tally), outcome, reason, ...cause === '' ? {} : { cause } }, count] as const))),
      counter('handler_runs_total', 'Runs of handlers of coalesced routes, and of deduplicated functions',
        ROUTE, () => tallies().map(tally => [routeOf(tally), tally.runs] as const)),
      counter('cut_off_total', 'Responses that are a shared stream and ended before its end, by reason',
        [...ROUTE, 'reason'], each('reason', tally => tally.cuts)),
      counter('cache_misses_total', 'Looks for something kept that found nothing to serve, by reason',
        [...ROUTE, 'reason'], each('reason', tally => tally.misses)),
      counter('cache_refreshes_total', 'Runs in the background that refresh what is kept, by result',
        [...ROUTE, 'result'], each('result', tally => tally.refreshes)),
      counter('cache_evictions_total', 'What had to go from stores before its time',
        [], () => [[{}, this.#stores.evictions(stores())]]),
      counter('store_errors_total', 'Calls of stores that failed, took too long, or were not made, by operation and reason',
        ['operation', 'reason'], () => [...this.#storeTally().errors].flatMap(([operation, reasons]) =>
          [...reasons].map(([reason, count]) => [{ operation, reason }, count] as const))),
      counter('store_rejected_entries_total', 'What stores gave and was not what was asked for, by reason',
        ['reason'], () => [...this.#storeTally().rejections].map(([reason, count]) => [{ reason }, count] as const)),
      gauge('flights', 'Runs in the air that others can share', () => sum(source => source.flights())),
      gauge('waiters', 'Followers that are parked', () => sum(source => source.waiters())),
      gauge('recorded_bytes', 'Bytes of bodies that are being recorded', () => sum(source => source.recordedBytes())),
      gauge('cache_entries', 'What stores hold that can tell', () => this.#stores.held(stores()).entries),
      gauge('cache_bytes', 'How many bytes that takes', () => this.#stores.held(stores()).bytes),
      ratio('deduplication_ratio', 'Requests answered with another one\'s run, as a fraction of all', deduplicationRatio),
      routeRatio('route_deduplication_ratio', 'Requests of a route answered with another one\'s run, as a fraction of all', deduplicationRatio),
      ratio('cache_hit_ratio', 'Requests answered with what was kept, as a fraction of all', hitRatio),
      routeRatio('route_cache_hit_ratio', 'Requests of a route answered with what was kept, as a fraction of all', hitRatio),
      histogram('wait_seconds', 'How long followers waited', WAIT_BUCKETS, tally => tally.waits),
      histogram('followers_per_flight', 'Followers of a flight when it landed', FOLLOWER_BUCKETS, tally => tally.followers),
      new ReadHistogram(named('store_look_seconds'), 'How long stores took to answer a look that they did not answer at once',
        LOOKUP_BUCKETS, [], () => [[{}, this.#storeTally().lookups]])
    ]
    this.#metrics = metrics as unknown as readonly Metric[]
    this.#register()
  }

  #register (): void {
    for (const { name } of this.#metrics as ReadonlyArray<Metric & { readonly name: string }>) {
      if (this.registry.getSingleMetric(name) !== undefined) throw new MetricTakenError(name)
    }
    for (const metric of this.#metrics) this.registry.registerMetric(metric)
  }

  /** Somebody may have cleared the registry since: then what has ended by then is not counted any more. */
  #comeBack (): void {
    const there = new Set(this.registry.getMetricsAsArray() as unknown[])
    if (this.#metrics.some(metric => there.has(metric))) return
    this.#register()
    this.#ended.clear()
    this.#endedStores = new StoreTally()
  }

  add (source: Source): void {
    this.#sources.add(source)
  }

  remove (source: Source): void {
    this.#stores.evictions(source.stores())
    this.#sources.delete(source)
    merge(this.#ended, source.tallies)
    this.#endedStores.add(source.store)
  }

  #storeTally (): StoreTally {
    const total = new StoreTally()
    total.add(this.#endedStores)
    for (const { store } of this.#sources) total.add(store)
    return total
  }

  /** One tally for each method and route, whoever counted. */
  #tallies (): Tally[] {
    const merged = new Map<string, Tally>()
    merge(merged, this.#ended.values())
    for (const source of this.#sources) merge(merged, source.tallies)
    return [...merged.values()]
  }
}

function merge (into: Map<string, Tally>, tallies: Iterable<Tally>): void {
  for (const tally of tallies) {
    const key = JSON.stringify([tally.method, tally.route])
    let sum = into.get(key)
    if (sum === undefined) into.set(key, sum = new Tally(tally.method, tally.route))
    sum.add(tally)
  }
}

const PROMETHEUS = 'text/plain'
const OPEN_METRICS = 'application/openmetrics-text'

/** Adds the metrics route, unless the app has it already. */
export function serveMetrics (fastify: FastifyInstance, settings: MetricsSettings, instruments: Instruments): void {
  const { path, routeOptions } = settings
  if (path === false || fastify.hasRoute({ method: 'GET', url: fastify.prefix + path })) return
  fastify.route({
    ...routeOptions,
    method: 'GET',
    url: path,
    config: { ...routeOptions.config, coalesce: false },
    // For @fastify/swagger: no page of an API.
    schema: { hide: true, ...routeOptions.schema },
    handler: async (request, reply) => {
      // Negotiator takes a parameter, such as a version, for one that an offer must have.
      const accept = request.headers.accept?.replace(/;\s*(?!q\s*=)[^;,]*/gi, '')
      const wanted = new Negotiator({ headers: { accept } }).mediaType([PROMETHEUS, OPEN_METRICS])
      const registry = wanted === OPEN_METRICS ? openMetrics(instruments.registry) : instruments.registry
      reply.header('content-type', registry.contentType).header('vary', 'accept')
      return await registry.metrics()
    }
  })
}

/**
 * The same metrics in the other format. prom-client takes `_total` off the names of counters when it writes that one, and so
 * it is given stand-ins for them.
 */
function openMetrics (registry: Registry): Registry {
  const view = new Registry<OpenMetricsContentType>()
  view.setContentType(Registry.OPENMETRICS_CONTENT_TYPE)
  // Public in name only: prom-client has no getter for them.
  view.setDefaultLabels((registry as unknown as { _defaultLabels: object })._defaultLabels)
  for (const metric of registry.getMetricsAsArray()) {
    view.registerMetric(Object.create(metric, { name: { value: metric.name, writable: true } }) as Metric)
  }
  return view as unknown as Registry
}
