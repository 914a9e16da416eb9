/**
 * What the live page is given of a registration and of those inside it.
 *
 * Invariant: to read it changes nothing, and its size does not grow with what clients send.
 */
import type { CircuitBreaker, RouteSelector } from '../../../types/index.js'
import { UnknownRouteError } from '../../errors.js'
import { Distribution } from '../../observers/distribution.js'
import { figuresOfStore } from '../../observers/process-figures.js'
import type { PageFigures, PageSource, Revealed } from '../../page/source.js'
import { SERIES } from '../../page/state.js'
import type { Scope } from '../scope.js'
import { Findings } from './findings.js'
import { flightsOf } from './flights.js'
import { keptOf } from './kept.js'
import { Rows } from './routes.js'

/** The most queues, breakers, coordinators and stores of each kind. */
const MOST = 50

/** A registration, and those inside it. */
function scopesOf (scope: Scope): Scope[] {
  return [scope, ...scope.inside.flatMap(scopesOf)]
}

/** @param own of the context that has the page */
export function pageSource (own: Scope): PageSource {
  const { clock, maxFlights, maxRecordedBytes, maxWaiters } = own.settings
  const findings = new Findings(clock, () => scopesOf(own))
  const rows = new Map<Scope, Rows>()
  const rowsOf = (scope: Scope): Rows => {
    let found = rows.get(scope)
    if (found === undefined) rows.set(scope, found = new Rows(scope, findings))
    return found
  }

  const source: PageSource = {
    clock,
    now: () => own.requests.guarded.now(),
    sample () {
      const counts = SERIES.map(() => 0)
      let [runs, waiters] = [0, 0]
      for (const scope of scopesOf(own)) {
        waiters += scope.source.waiters()
        for (const tally of scope.tallies) runs += tally.runs
        rowsOf(scope).addTo(counts)
      }
      return { counts, runs, waiters }
    },
    figures (revealed: Revealed): PageFigures {
      const scopes = scopesOf(own)
      const { counts, runs, waiters } = source.sample()
      const p99 = waitOf(scopes)
      const sum = (read: (scope: Scope) => number): number => scopes.reduce((total, scope) => total + read(scope), 0)
      return {
        mode: modeOf(scopes),
        totals: {
          counts,
          runs,
          saved: sum(({ tallies }) => tallies.reduce((total, { saved }) => total + saved, 0)),
          ...p99 !== undefined && { p99 },
          flights: sum(({ source }) => source.flights()),
          waiters,
          bytes: sum(({ source }) => source.recordedBytes())
        },
        limits: { flights: maxFlights, waiters: maxWaiters, bytes: maxRecordedBytes },
        routes: scopes.flatMap(scope => rowsOf(scope).texts()),
        flights: flightsOf(scopes.flatMap(({ leaders }) => leaders()), clock.now(), revealed),
        kept: keptOf(scopes.flatMap(({ stores }) => stores()), revealed),
        queues: urgent(figuresOf(distinct(scopes, ({ source }) => source.queues())), ({ running, waiting }) => running + waiting),
        breakers: urgent(figuresOf(breakersOf(scopes)), ({ state }) => state === 'closed' ? 0 : 1),
        coordinators: distinct(scopes, ({ source }) => source.coordinations()).slice(0, MOST),
        stores: distinct(scopes, ({ source }) => source.stores()).flatMap(store => figuresOfStore(store) ?? []).slice(0, MOST),
        advice: findings.advice()
      }
    },
    async explain (request, values) {
      return await own.api.explain(request, { values })
    },
    setDisabled (disabled, selector) {
      const scopes = scopesOf(own)
      const change = (scope: Scope, of?: RouteSelector): void => { scope.api[disabled ? 'disable' : 'enable'](of) }
      if (selector === undefined) {
        for (const scope of scopes) change(scope)
        return
      }
      const { url } = selector
      const methods = selector.method.split(',')
      // Its HEAD route is a part of it, and mostly not to be seen.
      if (methods.includes('GET')) methods.push('HEAD')
      const found = scopes.flatMap(scope => methods.filter(method => hasRoute(scope, url, method)).map(method => [scope, method] as const))
      if (found.length === 0) throw new UnknownRouteError(`${selector.method} ${url}`)
      for (const [scope, method] of found) change(scope, { url, method })
    },
    purge (purge) { own.api.invalidate(purge) },
    breakers: name => breakersOf(scopesOf(own)).filter(breaker => breaker.name === name)
  }
  return source
}

function modeOf (scopes: readonly Scope[]): PageFigures['mode'] {
  if (scopes.every(({ requests }) => requests.conductor.disabled)) return 'off'
  const isObserved = ({ routes }: Scope): boolean => routes.every(({ observed }) => observed?.mode === 'observe')
  return scopes.some(({ routes }) => routes.length > 0) && scopes.every(isObserved) ? 'observe' : 'share'
}

function hasRoute ({ routes }: Scope, url: string, method: string): boolean {
  return routes.some(({ methods, urls }) => urls.includes(url) && methods.includes(method))
}

function distinct<T> (scopes: readonly Scope[], read: (scope: Scope) => Iterable<T>): T[] {
  return [...new Set(scopes.flatMap(scope => [...read(scope)]))]
}

function breakersOf (scopes: readonly Scope[]): CircuitBreaker[] {
  return distinct(scopes, ({ source }) => source.breakers() as Iterable<CircuitBreaker>)
}

function figuresOf<F> (all: ReadonlyArray<{ figures (): F }>): F[] {
  return all.map(each => each.figures())
}

/** All in their order, or those that matter most. */
function urgent<T> (all: T[], weight: (one: T) => number): T[] {
  return all.length <= MOST ? all : all.sort((one, other) => weight(other) - weight(one)).slice(0, MOST)
}

/** The longest p99 of the registrations, in milliseconds: they may have buckets of their own. Undefined before anybody waited. */
function waitOf (scopes: readonly Scope[]): number | undefined {
  const waits = scopes.flatMap(({ buckets, tallies }) => {
    const all = new Distribution(buckets.wait)
    for (const { waits } of tallies) if (waits.count > 0) all.add(waits)
    return all.count === 0 ? [] : [all.quantile(0.99) * 1000]
  })
  return waits.length === 0 ? undefined : Math.max(...waits)
}
