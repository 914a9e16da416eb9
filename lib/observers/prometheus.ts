/**
 * Prometheus metrics, read from tallies when they are scraped.
 *
 * Invariant: labels are route patterns, methods and closed sets of names. One set of metrics a registry and prefix, however
 * many registrations feed it; counters do not go back when one of them ends.
 */
import { Readable } from 'node:stream'
import Negotiator from 'negotiator'
import { collectDefaultMetrics, Registry, type Metric, type RegistryContentType } from 'prom-client'
import type { FastifyInstance } from 'fastify'
import type { CoordinationFigures, Store } from '../../types/index.js'
import { InvalidOptionError, MetricTakenError } from '../errors.js'
import type { MetricsSettings } from '../options/options.js'
import { BUCKETS, type Buckets } from './distribution.js'
import { metricsOf } from './metrics.js'
import { ObserveMetrics, type ObservedTogether } from './observe-metrics.js'
import { ProcessMetrics } from './process-metrics.js'
import { ProtectionMetrics, type Protected } from './protection-metrics.js'
import { ReadMetric, type Definition, type Read } from './read-metric.js'
import { AllSeries, type TallySource } from './series.js'
import { StoreTally } from './store-tally.js'
import { StoresSeen } from './stores-seen.js'
import { MOST, turns } from './turns.js'

/** One registration's figures. */
export interface Source extends TallySource, Protected {
  flights (): number
  waiters (): number
  recordedBytes (): number
  readonly store: StoreTally
  /** The stores that it keeps in. */
  stores (): Iterable<Store>
  /** What the coordinators that it takes part in have counted. */
  coordinations (): Iterable<CoordinationFigures>
  /** What its observed routes have counted. */
  readonly observing: ObservedTogether
}

const instrumentsOf = new WeakMap<Registry, Map<string, Instruments>>()

export class Instruments {
  readonly registry: Registry
  readonly buckets: Buckets
  readonly #sources = new Set<Source>()
  readonly #series = new AllSeries()
  /** What registrations that have ended had counted of their stores. */
  #endedStores = new StoreTally()
  readonly #stores = new StoresSeen()
  readonly #processes: ProcessMetrics
  readonly #protection: ProtectionMetrics
  readonly #observe: ObserveMetrics
  readonly #prefix: string
  #metrics: readonly Metric[]
  /** Something is observed. */
  #observes = false

  /** The metrics of a registry and prefix, made when they are first asked for. */
  static in (settings: MetricsSettings, around: Registry | undefined): Instruments {
    const registry = settings.registry ?? around ?? new TurningRegistry()
    let byPrefix = instrumentsOf.get(registry)
    if (byPrefix === undefined) instrumentsOf.set(registry, byPrefix = new Map())
    let instruments = byPrefix.get(settings.prefix)
    if (instruments === undefined) byPrefix.set(settings.prefix, instruments = new Instruments(registry, settings))
    else instruments.#comeBack(settings)
    if (settings.defaultMetrics && registry.getSingleMetric(`${settings.prefix}process_cpu_user_seconds_total`) === undefined) {
      collectDefaultMetrics({ register: registry, prefix: settings.prefix })
    }
    return instruments
  }

  private constructor (registry: Registry, { prefix, buckets }: MetricsSettings) {
    this.registry = registry
    this.buckets = bucketsOf(buckets, BUCKETS)
    const sum = (read: (source: Source) => number): number => [...this.#sources].reduce((total, source) => total + read(source), 0)
    const all = <T>(read: (source: Source) => Iterable<T>): T[] => [...this.#sources].flatMap(source => [...read(source)])
    const stores = (): Store[] => all(source => source.stores())
    this.#processes = new ProcessMetrics({ stores, coordinations: () => all(source => source.coordinations()) })
    this.#protection = new ProtectionMetrics({
      queues: () => all(source => source.queues()),
      breakers: () => all(source => source.breakers()),
      batches: () => all(source => source.batches())
    })
    const metrics = metricsOf(`${prefix}coalesce_`, {
      series: this.#series,
      seen: this.#stores,
      flights: () => sum(source => source.flights()),
      waiters: () => sum(source => source.waiters()),
      recordedBytes: () => sum(source => source.recordedBytes()),
      stores,
      storeTally: () => this.#storeTally()
    })
    const others = [this.#processes, this.#protection].flatMap(each => each.definitions(`${prefix}coalesce_`))
    this.#observe = new ObserveMetrics(() => all(source => [source.observing]))
    this.#prefix = prefix
    this.#metrics = made([...metrics, ...others])
    this.#register(this.#metrics)
  }

  /** Something of a source is observed. */
  observe (): void {
    if (this.#observes) return
    this.#observes = true
    const metrics = made(this.#observe.definitions(`${this.#prefix}coalesce_`))
    this.#register(metrics)
    this.#metrics = [...this.#metrics, ...metrics]
  }

  #register (metrics: readonly Metric[]): void {
    for (const { name } of metrics as ReadonlyArray<Metric & { readonly name: string }>) {
      if (this.registry.getSingleMetric(name) !== undefined) throw new MetricTakenError(name)
    }
    for (const metric of metrics) this.registry.registerMetric(metric)
  }

  /** Somebody may have cleared the registry since: then what has ended by then is not counted any more. */
  #comeBack ({ buckets }: MetricsSettings): void {
    if (JSON.stringify(bucketsOf(buckets, this.buckets)) !== JSON.stringify(this.buckets)) {
      throw new InvalidOptionError('coalesce options.metrics.buckets', 'those of the other registrations that count into the same metrics', JSON.stringify(buckets))
    }
    const there = new Set(this.registry.getMetricsAsArray() as unknown[])
    if (this.#metrics.some(metric => there.has(metric))) return
    this.#register(this.#metrics)
    this.#series.forgetEnded()
    this.#endedStores = new StoreTally()
    this.#processes.forget()
    this.#protection.forget()
    this.#observe.forget()
  }

  add (source: Source): void {
    this.#sources.add(source)
    this.#series.add(source)
  }

  remove (source: Source): void {
    this.#stores.evictions(source.stores())
    this.#processes.note()
    this.#protection.note()
    this.#observe.note()
    this.#sources.delete(source)
    this.#series.remove(source)
    this.#endedStores.add(source.store)
  }

  #storeTally (): StoreTally {
    const total = new StoreTally()
    total.add(this.#endedStores)
    for (const { store } of this.#sources) total.add(store)
    return total
  }
}

function made (definitions: readonly Definition[]): readonly Metric[] {
  return definitions.map(metric => new ReadMetric(metric)) as unknown as readonly Metric[]
}

function bucketsOf (given: MetricsSettings['buckets'], others: Buckets): Buckets {
  return { wait: given?.wait ?? others.wait, handler: given?.handler ?? others.handler, followers: given?.followers ?? others.followers }
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
      const registry = turning(instruments.registry, wanted === OPEN_METRICS)
      const pieces = await piecesOf(registry)
      reply.header('content-type', registry.contentType).header('vary', 'accept')
      if (pieces.length === 1) return pieces[0]
      reply.header('content-length', pieces.reduce((sum, { length }) => sum + length, 0))
      return Readable.from(pieces)
    }
  })
}

/** What prom-client's registry has besides, and its types do not. */
interface Writer {
  _defaultLabels: object
  getMetricsAsString (metric: ReadableMetric): Promise<string>
}

interface ReadableMetric {
  get (): Read | Promise<Read>
  /** prom-client's own metrics have one that takes less time. */
  getForPromString?: () => Read | Promise<Read>
}

/** Writes its metrics one after the other, and each in turns of the event loop. prom-client's own writes all lines of a metric at one go. */
class TurningRegistry<T extends RegistryContentType> extends Registry<T> {
  override async metrics (): Promise<string> {
    return await joined(this.texts())
  }

  /** Of one metric. */
  async getMetricsAsString (metric: ReadableMetric): Promise<string> {
    return await joined(this.#textsOf(metric))
  }

  /** All that `metrics` writes, piece by piece. */
  async * texts (): AsyncGenerator<string> {
    const isOpen = this.#isOpen
    let isFirst = true
    for (const metric of this.getMetricsAsArray()) {
      if (!isFirst) yield isOpen ? '\n' : '\n\n'
      isFirst = false
      yield * this.#textsOf(metric as unknown as ReadableMetric)
    }
    yield isOpen ? '\n# EOF\n' : '\n'
  }

  async * #textsOf (metric: ReadableMetric): AsyncGenerator<string> {
    const { values, ...read } = await (metric.getForPromString?.() ?? metric.get())
    // prom-client adds `_total` to the names of counters when it writes this format.
    const name = this.#isOpen && read.type === 'counter' ? read.name.replace(/_total$/, '') : read.name
    const write = (Registry.prototype as unknown as Writer).getMetricsAsString
    for (let from = 0; from === 0 || from < values.length; from += MOST) {
      const slice = { ...read, name, values: values.slice(from, from + MOST) }
      const text = await write.call(this, { get: () => slice })
      // Each begins with two lines that say what the metric is.
      yield from === 0 ? text : `\n${text.split('\n').slice(2).join('\n')}`
      await turns.spend(slice.values.length)
    }
  }

  get #isOpen (): boolean {
    return this.contentType === Registry.OPENMETRICS_CONTENT_TYPE
  }
}

async function joined (texts: AsyncIterable<string>): Promise<string> {
  let all = ''
  for await (const text of texts) all += text
  return all
}

/** About how many bytes are sent at one go. */
const PIECE = 65_536

/** What a registry has to tell, encoded: to encode megabytes at one go takes long. */
async function piecesOf (registry: TurningRegistry<RegistryContentType>): Promise<Buffer[]> {
  const pieces: Buffer[] = []
  let piece = ''
  for await (const text of registry.texts()) {
    piece += text
    if (piece.length < PIECE) continue
    pieces.push(Buffer.from(piece))
    piece = ''
  }
  pieces.push(Buffer.from(piece))
  return pieces
}

/** The metrics of a registry, written in turns; in the other format if the scraper asks for that. */
function turning (registry: Registry<RegistryContentType>, isOpen: boolean): TurningRegistry<RegistryContentType> {
  const view = new TurningRegistry<RegistryContentType>()
  view.setContentType(isOpen ? Registry.OPENMETRICS_CONTENT_TYPE : registry.contentType)
  // Public in name only: prom-client has no getter for them.
  view.setDefaultLabels((registry as unknown as Writer)._defaultLabels)
  for (const metric of registry.getMetricsAsArray()) view.registerMetric(metric as unknown as Metric)
  return view
}
