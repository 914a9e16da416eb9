import type { Duplex } from 'node:stream'
import compress from '@fastify/compress'
import Fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import { Registry } from 'prom-client'
import { expectAssignable, expectError, expectNotAssignable, expectType } from 'tsd'
import coalesce, {
  fastifyCoalesce, sharedZlib, type SharedZlib, type Clock, type Coalesce, type CoalesceFigures, type CoalesceOptions, type CoalesceStats, type Deduplicate,
  type MetricsOptions, type Outcome, type ParkingFigures, type ReasonFigures, type RouteFigures, type RouteSelector, type VariesOn
} from '../../dist/lib/index.js'

const app: FastifyInstance = Fastify()

// Registration.
expectType<FastifyPluginAsync<CoalesceOptions>>(coalesce)
expectType<FastifyPluginAsync<CoalesceOptions>>(fastifyCoalesce)
app.register(coalesce)
app.register(coalesce, {})
app.register(coalesce, { prefix: '/api', global: true, waitTimeout: '5s' })
app.register(coalesce, { metrics: true })
app.register(coalesce, { cacheControl: { privacy: 'public', expiresIn: '1m', serverExpiresIn: 60_000 } })
app.register(coalesce, { cacheControl: false })
app.register(coalesce, {
  metrics: {
    path: false,
    registry: new Registry(),
    prefix: 'my_',
    defaultMetrics: true,
    buckets: { wait: [0.1, 1], followers: [0, 1, 2] as const },
    routeOptions: { onRequest: (_request, _reply, done) => { done() }, logLevel: 'silent' }
  },
  maxFlights: 1,
  maxWaiters: 1,
  maxRecordedBytes: 1,
  clock: { now: () => 0, setTimeout: () => 1, clearTimeout: () => {} }
})

// Wrong values and wrong names.
expectError(app.register(coalesce, { globl: true }))
expectError(app.register(coalesce, { global: 'yes' }))
expectError(app.register(coalesce, { metrics: '/metrics' }))
expectError(app.register(coalesce, { metrics: { url: '/metrics' } }))
expectError(app.register(coalesce, { metrics: { path: true } }))
expectError(app.register(coalesce, { metrics: { registry: {} } }))
expectError(app.register(coalesce, { maxFlights: '1' }))
expectError(app.register(coalesce, { cacheControl: true }))
expectError(app.register(coalesce, { cacheControl: { expiresIn: '1m' } }))
expectError(app.register(coalesce, { cacheControl: { privacy: 'shared' } }))
expectError(app.register(coalesce, { clock: { now: () => 0 } }))
expectNotAssignable<MetricsOptions>({ prefix: 1 })
expectNotAssignable<CoalesceOptions>({ hook: 'preParsing' })
expectNotAssignable<Clock>({ now: () => '0', setTimeout: () => 1, clearTimeout: () => {} })

// For @fastify/compress.
expectType<SharedZlib>(sharedZlib)
app.register(compress, { zlib: sharedZlib })
expectType<Duplex>(sharedZlib.createGzip({ level: 9 }))
expectType<Duplex>(sharedZlib.createBrotliCompress())
expectType<Buffer>(sharedZlib.deflateSync(Buffer.from('a'), { level: 1 }))
expectError(sharedZlib.gzipSync('a'))
expectError(sharedZlib.createGzip({ level: '9' }))

// What the instance has.
expectType<Coalesce>(app.coalesce)
expectType<CoalesceStats>(app.coalesce.stats())
expectAssignable<CoalesceFigures>(app.coalesce.stats())
expectType<readonly RouteFigures[]>(app.coalesce.stats().routes)
const { totalRequests, deduplicatedRequests, cacheHits, actualExecutions, deduplicationRate } = app.coalesce.stats()
expectType<number[]>([totalRequests, deduplicatedRequests, cacheHits, actualExecutions, deduplicationRate])
expectType<number>(totalRequests)
expectType<number>(deduplicationRate)
for (const route of app.coalesce.stats().routes) {
  expectType<string>(route.method)
  expectType<string>(route.route)
  expectType<number>(route.cacheHits)
  expectType<readonly ReasonFigures[]>(route.reasons)
  expectType<Outcome | undefined>(route.reasons[0]?.outcome)
  expectType<string | undefined>(route.reasons[0]?.cause)
  expectType<readonly VariesOn[]>(route.variesOn)
  expectType<'hook' | 'handler' | 'varyOn' | 'vary' | 'earlier' | undefined>(route.variesOn[0]?.learnedFrom)
  expectType<ParkingFigures | undefined>(route.parking)
  expectType<'onRequest' | 'preHandler' | undefined>(route.parking?.at)
  expectType<number | undefined>(route.waits?.p90)
  expectType<number | undefined>(route.handlerTime?.mean)
  expectType<number>(route.handlerTimeSaved)
}
expectType<number>(app.coalesce.stats().handlerTimeSaved)
expectType<Registry | undefined>(app.coalesce.registry)
expectType<Deduplicate>(app.coalesce.deduplicate)
expectType<void>(app.coalesce.disable())
expectType<void>(app.coalesce.enable({ url: '/word/:word' }))
expectType<void>(app.coalesce.disable({ url: '/word/:word', method: 'GET' }))
expectError(app.coalesce.disable('/word/:word'))
expectError(app.coalesce.disable({ method: 'GET' }))
expectError(app.coalesce.registry = undefined)
expectError(app.coalesce.stats().totalRequests = 0)
expectError(app.register(coalesce, { metrics: { buckets: { waits: [1] } } }))
expectNotAssignable<RouteSelector>({ url: /word/ })
expectError(app.coalesce.clear())
