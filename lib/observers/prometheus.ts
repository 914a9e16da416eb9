/**
 * Prometheus metrics, read from tallies when they are scraped.
 *
 * Invariant: labels are route patterns, methods and closed sets of names. One set of metrics a registry and prefix, however
 * many registrations feed it; counters do not go back when one of them ends.
 */
import Negotiator from 'negotiator'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry, type Metric, type OpenMetricsContentType } from 'prom-client'
import type { FastifyInstance } from 'fastify'
import { MetricTakenError } from '../errors.js'
import type { MetricsSettings } from '../options.js'
import { FOLLOWER_BUCKETS, Tally, WAIT_BUCKETS, type Distribution } from './tally.js'

/** One registration's figures. */
export interface Source {
  readonly tallies: readonly Tally[]
  flights (): number
  waiters (): number
  recordedBytes (): number
}

type RouteLabel = 'method' | 'route'

/** A histogram whose counts are kept elsewhere. */
class ReadHistogram extends Histogram<RouteLabel> {
  /** Not `#read`: the registry for the other format calls `get` on a stand-in. */
  private readonly read: () => Iterable<readonly [Tally, Distribution]>

  constructor (name: string, help: string, buckets: readonly number[], read: () => Iterable<readonly [Tally, Distribution]>) {
    super({ name, help, labelNames: ['method', 'route'], buckets: [...buckets], registers: [] })
    this.read = read
  }

  override get (): ReturnType<Histogram<RouteLabel>['get']> {
    const { name, help, aggregator } = this as unknown as { name: string, help: string, aggregator: 'sum' }
    const values = [...this.read()].flatMap(([{ method, route }, distribution]) => {
      const labels = { method, route }
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
    return Promise.resolve({ name, help, aggregator, type: 'histogram', values } as unknown as Awaited<ReturnType<Histogram<RouteLabel>['get']>>)
  }

  /** prom-client's registry prefers this one when it makes text. */
  getForPromString (): ReturnType<Histogram<RouteLabel>['get']> {
    return this.get()
  }
}

const instrumentsOf = new WeakMap<Registry, Map<string, Instruments>>()

export class Instruments {
  readonly registry: Registry
  readonly #sources = new Set<Source>()
  /** What registrations that have ended had counted, one tally a route. */
  readonly #ended = new Map<string, Tally>()

  /** The metrics of a registry and prefix, made when they are first asked for. */
  static in (settings: MetricsSettings, around: Registry | undefined): Instruments {
    const registry = settings.registry ?? around ?? new Registry()
    let byPrefix = instrumentsOf.get(registry)
    if (byPrefix === undefined) instrumentsOf.set(registry, byPrefix = new Map())
    let instruments = byPrefix.get(settings.prefix)
    if (instruments === undefined) byPrefix.set(settings.prefix, instruments = new Instruments(registry, settings.prefix))
    if (settings.defaultMetrics && registry.getSingleMetric(`${settings.prefix}process_cpu_user_seconds_total`) === undefined) {
      collectDefaultMetrics({ register: registry, prefix: settings.prefix })
    }
    return instruments
  }

  private constructor (registry: Registry, prefix: string) {
    this.registry = registry
    const tallies = (): Tally[] => this.#tallies()
    const sum = (read: (source: Source) => number): number => [...this.#sources].reduce((total, source) => total + read(source), 0)
    const named = (name: string): string => `${prefix}coalesce_${name}`

    const metrics = [
      new Counter({
        name: named('requests_total'),
        help: 'Requests on coalesced routes, and calls of deduplicated functions, by how they were served',
        labelNames: ['method', 'route', 'outcome', 'reason'],
        registers: [],
        collect () {
          this.reset()
          for (const { method, route, outcomes } of tallies()) {
            for (const [outcome, reasons] of outcomes) {
              for (const [reason, count] of reasons) this.inc({ method, route, outcome, reason }, count)
            }
          }
        }
      }),
      new Counter({
        name: named('handler_runs_total'),
        help: 'Runs of handlers of coalesced routes, and of deduplicated functions',
        labelNames: ['method', 'route'],
        registers: [],
        collect () {
          this.reset()
          for (const { method, route, runs } of tallies()) this.inc({ method, route }, runs)
        }
      }),
      new Counter({
        name: named('cut_off_total'),
        help: 'Responses that are a shared stream and ended before its end, by reason',
        labelNames: ['method', 'route', 'reason'],
        registers: [],
        collect () {
          this.reset()
          for (const { method, route, cuts } of tallies()) {
            for (const [reason, count] of cuts) this.inc({ method, route, reason }, count)
          }
        }
      }),
      new Gauge({
        name: named('flights'),
        help: 'Runs in the air that others can share',
        registers: [],
        collect () { this.set(sum(source => source.flights())) }
      }),
      new Gauge({
        name: named('waiters'),
        help: 'Followers that are parked',
        registers: [],
        collect () { this.set(sum(source => source.waiters())) }
      }),
      new Gauge({
        name: named('recorded_bytes'),
        help: 'Bytes of bodies that are being recorded',
        registers: [],
        collect () { this.set(sum(source => source.recordedBytes())) }
      }),
      new Gauge({
        name: named('deduplication_ratio'),
        help: 'Requests answered with another one\'s run, as a fraction of all',
        registers: [],
        collect () {
          const total = new Tally('', '')
          for (const tally of tallies()) total.add(tally)
          this.set(total.figures().deduplicationRate)
        }
      }),
      new Gauge({
        name: named('route_deduplication_ratio'),
        help: 'Requests of a route answered with another one\'s run, as a fraction of all',
        labelNames: ['method', 'route'],
        registers: [],
        collect () {
          this.reset()
          for (const tally of tallies()) this.set({ method: tally.method, route: tally.route }, tally.figures().deduplicationRate)
        }
      }),
      new ReadHistogram(named('wait_seconds'), 'How long followers waited', WAIT_BUCKETS,
        () => tallies().map(tally => [tally, tally.waits] as const)),
      new ReadHistogram(named('followers_per_flight'), 'Followers of a flight when it landed', FOLLOWER_BUCKETS,
        () => tallies().map(tally => [tally, tally.followers] as const))
    ]
    for (const metric of metrics) {
      const { name } = metric as unknown as { name: string }
      if (registry.getSingleMetric(name) !== undefined) throw new MetricTakenError(name)
    }
    for (const metric of metrics) registry.registerMetric(metric as unknown as Metric)
  }

  add (source: Source): void {
    this.#sources.add(source)
  }

  remove (source: Source): void {
    if (this.#sources.delete(source)) merge(this.#ended, source.tallies)
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
