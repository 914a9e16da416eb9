/**
 * What one registration has: its coalescer, what it keeps, its figures, and what of these an app is given.
 *
 * Invariant: nothing here is shared with another registration but what that one asked for: its metrics.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { Coalesce, RouteSelector } from '../../types/index.js'
import { KEEPING } from '../functions/call.js'
import { Coalescer } from '../engine/conductor.js'
import type { Strategies } from './routes/constraints.js'
import { Flights } from '../engine/flights/flights.js'
import { Refreshes } from '../engine/cache/refreshes.js'
import { Shelf } from '../engine/cache/guarded-store.js'
import { deduplicator, type Terminal } from '../functions/deduplicate.js'
import { NotListableError, UnknownRouteError } from '../errors.js'
import type { Pairable } from './routes/head-routes.js'
import { inventory } from './cache/inventory.js'
import { Keeper } from './cache/response-cache.js'
import { publishing } from '../observers/channels.js'
import { logging } from '../observers/log.js'
import { both } from '../observers/observer.js'
import { Instruments } from '../observers/prometheus.js'
import { StoreTally } from '../observers/store-tally.js'
import { Tally, tallying } from '../observers/tally.js'
import { readPurge, type Settings } from '../options/options.js'
import { memoryStore } from '../stores/memory.js'
import type { Route } from '../engine/participant.js'

/** A coalesced route as Fastify has it. */
export interface FastifyRoute extends Omit<Route, 'keyHead'>, Pairable {
  readonly url: string
  parksAt: 'onRequest' | 'preHandler'
  /** Whether no hook of others comes between capturing a response and deciding upon it. */
  decidesAtOnce: boolean
  /** Whether no hook of others comes after that. */
  decidesLast: boolean
  /** Whether hooks of others run before its requests board. */
  watchesHooks: boolean
  /** The app's constraint strategies; undefined if the route has a constraint of one that is not known. */
  readonly strategies: Strategies | undefined
  /** Whether what validation finds in a query reaches the handler although what it looked at does not. */
  tellsValidation: boolean
  /** What of its functions it has been warned of. */
  readonly warned: Set<string>
  /** Decides where to park, once all hooks are known. */
  readonly settle: () => void
}

/** What a registration's deduplicated functions keep, and their runs in the air. */
interface Functions {
  readonly shelves: Set<Shelf>
  readonly calls: Terminal['flights']
}

export interface Scope {
  readonly settings: Settings
  readonly coalescer: Coalescer
  /** Those of this registration, of the ones around it and inside it. */
  readonly coalescers: Set<Coalescer>
  /** The same. */
  readonly functions: Set<Functions>
  readonly routes: FastifyRoute[]
  readonly tallies: Tally[]
  /** How many routes there are that neither method nor pattern nor written constraints tell apart. */
  readonly ids: Map<string, number>
  readonly instruments: Instruments | undefined
  readonly api: Coalesce
  /** The app ends. */
  readonly close: () => void
}

export function createScope (log: FastifyBaseLogger, settings: Settings, around: Scope | undefined): Scope {
  const { clock, storeTimeout } = settings
  const observer = both(tallying, both(logging, publishing))
  const storeTally = new StoreTally(log, clock)
  const shelf = new Shelf(settings.store ?? memoryStore({ clock }), storeTimeout, clock, storeTally)
  const coalescer = new Coalescer(settings, new Keeper(shelf, observer), observer)
  const coalescers = (around?.coalescers ?? new Set<Coalescer>()).add(coalescer)
  const calls: Terminal['flights'] = new Flights(settings, clock)
  const shelves = new Set<Shelf>()
  const functions = (around?.functions ?? new Set<Functions>()).add({ shelves, calls })
  const routes: FastifyRoute[] = []
  const tallies: Tally[] = []
  const source = {
    tallies,
    flights: () => coalescer.flights.size + calls.size,
    waiters: () => coalescer.flights.waiters + calls.waiters,
    recordedBytes: () => coalescer.budget.held,
    store: storeTally,
    stores: () => [shelf, ...shelves].map(({ store }) => store)
  }
  const instruments = settings.metrics === false
    ? undefined
    : settings.metrics === undefined ? around?.instruments : Instruments.in(settings.metrics, around?.instruments?.registry)
  instruments?.add(source)

  const names = new Set<string>()
  const terminal: Terminal = {
    flights: calls,
    observer,
    log,
    track: tally => { tallies.push(tally) },
    store: settings.store,
    shelve (store, timeout) {
      const own = store === undefined && timeout === undefined
        ? shelf
        : new Shelf(store ?? shelf.store, timeout ?? storeTimeout, clock, storeTally)
      shelves.add(own)
      return own
    },
    refreshes: new Refreshes(() => shelf.now()),
    names: () => names
  }
  const setDisabled = (disabled: boolean, selector: RouteSelector | undefined): void => {
    if (selector === undefined) {
      coalescer.disabled = disabled
      if (disabled) coalescer.release()
      return
    }
    // Of one that has two URLs either names both, and the HEAD routes of both.
    const urls = new Set(routes.filter(route => route.urls.includes(selector.url)).flatMap(route => route.urls))
    const chosen = routes.filter(({ urls: own, methods }) =>
      own.some(url => urls.has(url)) && (selector.method === undefined || methods.includes(selector.method.toUpperCase())))
    if (chosen.length === 0) throw new UnknownRouteError(`${selector.method ?? '*'} ${selector.url}`)
    for (const route of chosen) {
      route.disabled = disabled
      if (disabled) coalescer.release(route)
    }
  }
  const api: Coalesce = Object.freeze<Coalesce>({
    stats () {
      const total = new Tally('', '')
      for (const tally of tallies) total.add(tally)
      return { ...total.figures(), routes: tallies.map(tally => ({ method: tally.method, route: tally.route, ...tally.figures() })) }
    },
    deduplicate: deduplicator(() => terminal),
    disable (selector) { setDisabled(true, selector) },
    enable (selector) { setDisabled(false, selector) },
    invalidate (purge) {
      const { labels, soft } = readPurge(purge, settings.routes.router)
      // Of the registrations around this one and inside it as well, as with a write: they may share its store.
      for (const { barrier } of coalescers) barrier.purge(labels, soft)
      for (const each of functions) {
        for (const shelf of each.shelves) shelf.purge(labels, soft)
        if (each.shelves.size > 0) each.calls.fence(KEEPING)
      }
    },
    entries ({ bodies = false } = {}) {
      const entries = shelf.entries()
      if (entries === undefined) throw new NotListableError()
      return inventory(entries, bodies, shelf.now())
    },
    get registry () { return instruments?.registry }
  })
  return {
    settings,
    coalescer,
    coalescers,
    functions,
    routes,
    tallies,
    ids: new Map(),
    instruments,
    api,
    close () {
      coalescer.keeper.close()
      terminal.refreshes.close()
      for (const flights of [coalescer.flights, calls]) flights.deadlines.sweep()
      instruments?.remove(source)
    }
  }
}
