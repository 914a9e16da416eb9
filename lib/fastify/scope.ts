/**
 * What one registration has: its engine, what it caches, its figures, and what of these an app is given.
 *
 * Invariant: nothing here is shared with another registration but what that one asked for: its metrics.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Coalesce, Coordination, Coordinator } from '../../types/index.js'
import { Budget } from '../engine/budget.js'
import { Cache, NO_CACHE, type ResultCache } from '../engine/cache/cache.js'
import { GuardedStore } from '../engine/cache/guarded-store.js'
import { Refreshes } from '../engine/cache/refreshes.js'
import { Conductor } from '../engine/conductor.js'
import { LOCAL } from '../engine/coordinators/coordinator.js'
import { Members, toldOf } from '../engine/coordinators/members.js'
import { MessageCodec } from '../engine/coordinators/message-codec.js'
import { fence, Peers } from '../engine/coordinators/peers.js'
import type { Participant } from '../engine/participant.js'
import { Protections, type Protected, type Protecting } from '../engine/protections.js'
import { NotListableError } from '../errors.js'
import { STORED } from '../functions/call.js'
import type { BatchCounts } from '../functions/batch-counts.js'
import { batcher } from '../functions/batched.js'
import { CALLS, deduplicator, fenceCalls, namesAt, type FunctionRegistry } from '../functions/deduplicate.js'
import type { CallResult } from '../functions/results.js'
import type { Recording } from '../http/recording.js'
import { logBreaker } from '../observers/breaker-events.js'
import { publishing } from '../observers/channels.js'
import { figuresOf } from '../observers/figures.js'
import { loggingWithout } from '../observers/log.js'
import { inTurn } from '../observers/observer.js'
import { processFiguresOf } from '../observers/process-figures.js'
import { protectionFiguresOf } from '../observers/protection-figures.js'
import type { Instruments, Source } from '../observers/prometheus.js'
import { StoreTally } from '../observers/store-tally.js'
import { BUCKETS, type Buckets } from '../observers/distribution.js'
import { Tally, totalOf } from '../observers/tally.js'
import { advising } from '../observers/silence.js'
import { tallying } from '../observers/tallying.js'
import { quiet } from '../observers/warn.js'
import { OBSERVE } from '../options/observe-options.js'
import type { Settings } from '../options/options.js'
import { readPurge } from '../options/purge-options.js'
import type { RouteSettings } from '../options/route-options.js'
import { AdviceLog } from '../report/advice-log.js'
import { reportOf } from '../report/report.js'
import { isMemoryStore, memoryStore } from '../stores/memory.js'
import { Barrier } from './cache/barrier.js'
import { inventory } from './cache/inventory.js'
import { recordingFormat } from './cache/recording-codec.js'
import { ResponseCodec } from './cache/response-cache.js'
import { explain } from './explain/explain.js'
import { Warnings } from './dependencies/warnings.js'
import { Observing } from './observe/observing.js'
import { setDisabled, setRouteDisabled } from './request/kill-switch.js'
import type { Requests } from './request/requests.js'
import { factsOf, isWritten, routeFiguresOf } from './request/route-figures.js'
import type { CoalescedRoute } from './request/route.js'

/** What a registration's deduplicated functions cache, and their runs in the air. */
interface Functions {
  readonly stores: ReadonlySet<GuardedStore>
  readonly flights: FunctionRegistry['conductor']['flights']
  readonly meet: ReadonlySet<Coordination>
}

export interface Scope {
  readonly settings: Settings
  /** Those of contexts directly inside its own. */
  readonly inside: Scope[]
  /** What is read of it by metrics. */
  readonly source: Source
  /** Who leads a flight now. */
  readonly leaders: () => Array<Participant<unknown>>
  /** Where responses and results are cached. */
  readonly stores: () => GuardedStore[]
  readonly requests: Requests
  /** Those of this registration, of the ones around it and inside it. */
  readonly allRequests: Set<Requests>
  /** Deduplicated functions of this registration, of the ones around it and inside it. */
  readonly allFunctions: Set<Functions>
  /** What is cached of a route's responses. */
  readonly cacheOf: (settings: RouteSettings) => ResultCache<Recording>
  readonly routes: CoalescedRoute[]
  readonly tallies: Tally[]
  /** Of its tallies. */
  readonly buckets: Buckets
  /** How many routes there are that neither method nor pattern nor written constraints tell apart. */
  readonly ids: Map<string, number>
  /** The names by which other processes know functions, in a store or at a coordinator that was given. */
  readonly names: WeakMap<object, Set<string>>
  /** Decides for its requests which process leads, and for those of contexts inside it that do not say otherwise. */
  readonly coordinator: Coordinator | false | undefined
  /** Protects a route, by its name. */
  readonly protect: (settings: Protecting<[FastifyRequest]>, name: string) => Protected<[FastifyRequest]>
  /** Switches a route off, with the HEAD route of the same handler. */
  readonly switchOff: (route: CoalescedRoute) => boolean
  readonly instruments: Instruments | undefined
  /** What is told why requests of a route were served as they were, for advice; undefined if nobody wants to know. */
  readonly alarmOf: (route: CoalescedRoute) => Tally['alarm']
  readonly api: Coalesce
  /** What there is to reach can be reached, or cannot. Rejects if it never can. */
  readonly ready: () => Promise<void>
  /** The app ends. */
  readonly close: () => Promise<void>
}

export function createScope (
  fastify: FastifyInstance, settings: Settings, around: Scope | undefined, instruments: Instruments | undefined
): Scope {
  const { clock, storeTimeout, warnings } = settings
  const observer = inTurn(tallying, advising, loggingWithout(warnings), publishing)
  const log = quiet(fastify.log, warnings)
  const storeTally = new StoreTally(log, clock)
  /** Another process has purged something. */
  const told = (labels: readonly string[] | undefined): void => {
    requests.barrier.purged(labels)
    if (functionStores.size > 0) fenceCalls(calls, labels)
  }
  const guarded = new GuardedStore(settings.store ?? memoryStore({ clock }), storeTimeout, clock, storeTally, told)
  const seams = { clock, observer }
  const protections = new Protections(clock, log, breaker => logBreaker(breaker, log))
  const conductor = new Conductor<Recording>(settings, seams)
  const codec = new ResponseCodec()
  const refreshes = new Refreshes(() => guarded.now())
  const given = settings.coordinator ?? around?.coordinator
  const members = new Members(clock, log)
  const meet = (coordinator: Coordinator): Peers<Recording> => {
    const coordination = members.join(coordinator, 'requests', toldOf(conductor, [guarded]))
    return new Peers(coordination, new MessageCodec(recordingFormat(() => guarded.now())))
  }
  const coordinator = given === undefined || given === false ? LOCAL : meet(given)
  const requests: Requests = {
    conductor,
    coordinator,
    guarded,
    budget: new Budget(settings.maxRecordedBytes),
    barrier: new Barrier(conductor, guarded, settings.purgeOnWrite, coordinator),
    warnings: new Warnings(warnings),
    observing: new Observing(settings.routes.observe ?? OBSERVE, clock),
    silenced: warnings
  }
  const allRequests = (around?.allRequests ?? new Set<Requests>()).add(requests)
  const calls = new Conductor<CallResult>(settings, seams)
  const functionStores = new Set<GuardedStore>()
  /** Where calls meet those of other processes. */
  const functionsMeet = new Set<Coordination>()
  const allStores = (): GuardedStore[] => [...new Set([guarded, ...functionStores])]
  const own: Functions = { stores: functionStores, flights: calls.flights, meet: functionsMeet }
  const allFunctions = (around?.allFunctions ?? new Set<Functions>()).add(own)
  const batches = new Set<BatchCounts>()
  const routes: CoalescedRoute[] = []
  const tallies: Tally[] = []
  const source = {
    tallies,
    flights: () => conductor.flights.size + calls.flights.size,
    waiters: () => conductor.flights.waiters + calls.flights.waiters,
    recordedBytes: () => requests.budget.held,
    store: storeTally,
    stores: () => allStores().map(({ store }) => store),
    coordinations: () => members.figures(),
    queues: () => protections.queues,
    breakers: () => protections.breakers,
    batches: () => batches,
    observing: requests.observing
  } satisfies Source
  instruments?.add(source)
  const buckets = instruments?.buckets ?? BUCKETS

  const names = around?.names ?? new WeakMap<object, Set<string>>()
  const functions: FunctionRegistry = {
    conductor: calls,
    log,
    batches,
    protect: (settings, name) => protections.of(settings, name),
    tallyOf (name, caches) {
      const tally = new Tally('FUNCTION', name, { buckets, caches, chosen: true })
      tallies.push(tally)
      return tally
    },
    store: settings.store,
    guard (store, timeout) {
      const own = store === undefined && timeout === undefined
        ? guarded
        : new GuardedStore(store ?? guarded.store, timeout ?? storeTimeout, clock, storeTally, told)
      functionStores.add(own)
      return own
    },
    refreshes: new Refreshes(() => guarded.now()),
    coordinator: given === false ? undefined : given,
    join (at) {
      const coordination = members.join(at, CALLS, toldOf(calls, functionStores))
      functionsMeet.add(coordination)
      return coordination
    },
    names: at => namesAt(names, at)
  }
  const adviceLog = new AdviceLog(clock, log, warnings, factsOf)
  const api: Coalesce = Object.freeze<Coalesce>({
    stats () {
      const known = new Map(routes.map(route => [route.tally, routeFiguresOf(route)]))
      return {
        ...totalOf(tallies),
        handlerTimeSaved: tallies.reduce((sum, { saved }) => sum + saved, 0),
        ...processFiguresOf(members.figures(), source.stores()),
        ...protectionFiguresOf(source),
        routes: tallies.map(tally => known.get(tally) ?? { ...figuresOf(tally), variesOn: [] })
      }
    },
    deduplicate: deduplicator(() => functions),
    batched: batcher(() => functions),
    disable (selector) { setDisabled(conductor, routes, true, selector) },
    enable (selector) { setDisabled(conductor, routes, false, selector) },
    invalidate (purge) {
      const { labels, soft } = readPurge(purge, settings.routes.router)
      // Of the registrations around this one and inside it as well, as with a write: they may share its store.
      for (const { barrier } of allRequests) barrier.purge(labels, soft)
      for (const { flights, meet, stores } of allFunctions) {
        for (const store of stores) store.purge(labels, soft)
        if (stores.size > 0) flights.fence(STORED)
        for (const coordination of meet) {
          coordination.purge(labels, soft)
          fence(coordination, [STORED])
        }
      }
    },
    entries ({ bodies = false } = {}) {
      const entries = guarded.entries()
      if (entries === undefined) throw new NotListableError()
      return inventory(entries, bodies, guarded.now())
    },
    async explain (request, options = {}) {
      return await explain(fastify, request, options, server => scopeOf(server) as Scope | undefined)
    },
    report: () => reportOf(routes.filter(isWritten).map(factsOf), warnings),
    get registry () { return instruments?.registry }
  })
  return {
    settings,
    inside: [],
    source,
    leaders: () => [...conductor.flights.leaders(), ...calls.flights.leaders()] as Array<Participant<unknown>>,
    stores: allStores,
    requests,
    allRequests,
    allFunctions,
    cacheOf: ({ eagerRefresh, ttl }) => ttl === undefined
      ? NO_CACHE
      : new Cache(guarded, codec, refreshes, eagerRefresh, isMemoryStore(guarded.store)),
    routes,
    tallies,
    buckets,
    ids: new Map(),
    names,
    coordinator: given,
    protect: (settings, name) => protections.of(settings, name),
    switchOff ({ keyHead }) {
      const on = routes.filter(each => each.keyHead === keyHead && !each.disabled)
      for (const route of on) setRouteDisabled(conductor, route, true)
      return on.length > 0
    },
    instruments,
    alarmOf: route => isWritten(route) ? adviceLog.alarmOf(route) : undefined,
    api,
    async ready () {
      await Promise.all([members.ready(), ...allStores().map(async store => { await store.ready() })])
    },
    async close () {
      adviceLog.close()
      refreshes.close()
      functions.refreshes.close()
      for (const { caching, flights } of [conductor, calls]) {
        caching.close()
        flights.deadlines.sweep()
      }
      protections.close()
      requests.observing.close()
      instruments?.remove(source)
      await Promise.all([members.close(), ...allStores().map(async store => { await store.close() })])
    }
  }
}

const kScope = Symbol('fastify-coalesce.scope')

/** The scope of an instance: its own, or that of the one around it. */
export function scopeOf (fastify: FastifyInstance): Scope {
  return (fastify as unknown as { [kScope]: Scope })[kScope]
}

/** Gives an instance a scope of its own. */
export function setScope (fastify: FastifyInstance, scope: Scope): void {
  Object.defineProperty(fastify, kScope, { value: scope })
}

export function hasScope (fastify: FastifyInstance): boolean {
  return Object.hasOwn(fastify, kScope)
}
