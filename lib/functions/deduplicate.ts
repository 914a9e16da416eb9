/**
 * Coalescing for plain async functions: of any number of identical concurrent calls one runs, and its result can be cached.
 *
 * Invariant: the engine is the same as for requests. A cached result is given only to calls of its own function on its own object: a
 * store that may outlive this process is used only under a name that the user gave.
 */
import type { Clock, Coordination, Coordinator, Deduplicate, Deduplicated, DeduplicateOptions, Store } from '../../types/index.js'
import { Call, STORED, type AnyFunction, type CallKey, type FunctionContext } from './call.js'
import { signalIn } from './arguments.js'
import type { BatchCounts } from './batch-counts.js'
import { CalledOn, isArrowFunction } from './called-on.js'
import { systemClock } from '../clock.js'
import { Conductor } from '../engine/conductor.js'
import { LOCAL } from '../engine/coordinators/coordinator.js'
import { Members, toldOf } from '../engine/coordinators/members.js'
import { Peers } from '../engine/coordinators/peers.js'
import type { FlightLimits } from '../engine/flights/flights.js'
import { Protections, type Protected, type Protecting } from '../engine/protections.js'
import type { Protection } from '../protection/permits.js'
import { Refreshes } from '../engine/cache/refreshes.js'
import { Cache, NO_CACHE } from '../engine/cache/cache.js'
import { GuardedStore } from '../engine/cache/guarded-store.js'
import { ValueCodec } from '../engine/cache/value-codec.js'
import { functionKeyText, notAKey } from '../http/key-parts.js'
import { atOnce } from '../http/at-once.js'
import { isKey } from '../http/labels.js'
import type { Log } from '../observers/observer.js'
import { SILENT, StoreTally } from '../observers/store-tally.js'
import { Tally } from '../observers/tally.js'
import { tallying } from '../observers/tallying.js'
import { coordinatorOf, readFunctionOptions, type CallSettings } from '../options/function-options.js'
import { fail, forCaller } from '../options/parsers.js'
import { resultCodec } from './result-codec.js'
import type { CallResult } from './results.js'
import { memoryStore } from '../stores/memory.js'

/** What the functions of one registration have in common. */
export interface FunctionRegistry {
  readonly conductor: Conductor<CallResult>
  readonly log: Log
  /** What is counted of its batched functions. */
  readonly batches: Set<BatchCounts>
  /** Protects a function, by its name. */
  readonly protect: <Subject extends readonly unknown[]>(settings: Protecting<Subject>, name: string) => Protected<Subject>
  /** Makes the tally of a new function. */
  readonly tallyOf: (name: string, caches: boolean) => Tally
  /** The store that was given for all of its functions. */
  readonly store: Store | undefined
  /** Guards a store; without one, the store of all of its functions. */
  readonly guard: (store: Store | undefined, timeout: number | undefined) => GuardedStore
  readonly refreshes: Refreshes
  /** The coordinator that was given for all of its functions. */
  readonly coordinator: Coordinator | undefined
  /** Takes part where processes meet. */
  readonly join: (coordinator: Coordinator) => Coordination
  /** The names by which other processes know functions, in a store or at a coordinator that was given. */
  readonly names: (at: object) => Set<string>
}

/** The group of calls at a coordinator. */
export const CALLS = 'calls'

/** The limits that are no options of functions. */
const CALL_LIMITS = Object.freeze({ maxWaitersPerKey: Infinity, releaseConcurrency: 64, unshareableTtl: 0 })
const LIMITS: FlightLimits = Object.freeze({ maxFlights: 10_000, maxWaiters: 50_000 })
const STORE_TIMEOUT = 250

let functions = 0
/** The store of functions without an app. */
let common: Store | undefined
/** The names of functions without an app, by where they meet others. */
const namesIn = new WeakMap<object, Set<string>>()

/** What is different where a function is more than deduplicated. */
export interface Kind {
  readonly ownName?: string
  /** The function that makes such functions. */
  readonly path: string
  /** What its runs have to pass, given what the function itself is protected by. */
  readonly protect: (behind: Protection, name: string) => Protection
}

const DEDUPLICATED: Kind = Object.freeze({ path: 'deduplicate', protect: (behind: Protection) => behind })

/** Deduplicates a function for a registry. */
export function deduplicateAt<A extends readonly unknown[], R> (
  registry: FunctionRegistry,
  fn: AnyFunction<A, R>,
  settings: CallSettings<A, R>,
  { ownName, path, protect }: Kind = DEDUPLICATED
): AnyFunction<A, R> & { invalidate: (...args: A) => void } {
  const { conductor, log } = registry
  let prefix = String(++functions)
  const shared = coordinatorOf(settings, registry.coordinator)
  const given = settings.ttl === undefined ? undefined : settings.store ?? registry.store
  const guard = (): GuardedStore | undefined =>
    settings.ttl === undefined ? undefined : registry.guard(settings.store, settings.storeTimeout)
  const own = given === undefined ? guard() : undefined
  if (given !== undefined || shared !== undefined) {
    // Calls of functions with one name would meet in the flights of their registration, and in its own store, as well.
    const meet = [given, shared, conductor, own?.store].filter(at => at !== undefined)
    prefix = JSON.stringify(claim(meet.map(at => registry.names(at)), settings.name, path))
  }
  const guarded = own ?? guard()
  const tally = registry.tallyOf(settings.name ?? ((ownName ?? fn.name) || 'anonymous'), settings.ttl !== undefined)
  const cache = guarded === undefined
    ? NO_CACHE
    : new Cache(guarded, new ValueCodec(settings.clone), registry.refreshes, settings.eagerRefresh)
  const coordinator = shared === undefined
    ? LOCAL
    : new Peers(registry.join(shared), resultCodec(settings.codec as never, tally.route, log))
  const limits = { ...settings, ...CALL_LIMITS }
  const { levelOf, protection: behind } = registry.protect<A>(settings, tally.route)
  const protection = protect(behind, tally.route)
  const context: FunctionContext<A, R> = { fn, settings, limits, conductor, coordinator, protection, levelOf, cache, tally, log }

  let isWarned = false
  function warnOf (got: string | undefined): void {
    if (got === undefined || isWarned) return
    isWarned = true
    log.warn({ coalesce: { event: 'no-key', route: tally.route, got } },
      `coalesce: what the key function answers is ${got} and so no key, and its calls run by themselves; give a string, number, bigint or boolean, or an array of these`)
  }

  const calledOn = new CalledOn()
  /** What the texts of calls on nothing begin with. */
  const onNothing = textOf('', '')
  const ignoresObject = isArrowFunction(fn)

  /** @throws what the key function throws */
  function argumentsKey (self: unknown, args: A): string | undefined {
    const answer = atOnce(settings.key.apply(self, args as unknown as A & unknown[]))
    const key = functionKeyText(answer)
    if (key === undefined) warnOf(notAKey(answer))
    return key
  }

  function textOf (object: string, key: string): string {
    return `${prefix}:${object}:${key}`
  }

  function keyOf (self: unknown, args: A): CallKey | undefined {
    try {
      const key = argumentsKey(self, args)
      const object = ignoresObject ? '' : calledOn.textOf(self)
      if (key === undefined || object === undefined) return undefined
      return object === '' ? { text: onNothing + key, family: undefined } : { text: textOf(object, key), family: textOf('*', key) }
    } catch (err) {
      log.warn({ err, coalesce: { event: 'key-threw', route: tally.route } }, 'coalesce: the key function threw')
      return undefined
    }
  }

  function deduplicatedCall (this: unknown, ...args: A): Promise<R> {
    const signal = signalIn(args)
    if (signal?.aborted === true) return Promise.reject(signal.reason)
    return new Call(context, this, args, signal).arrive(keyOf(this, args))
  }

  /** Called on an object that calls were made on, it purges for that object only; else for calls on any object. */
  function invalidate (this: unknown, ...args: A): void {
    const key = argumentsKey(this, args)
    if (key === undefined) return
    const object = !ignoresObject && calledOn.knows(this) ? calledOn.textOf(this) ?? '' : ''
    const text = textOf(object, key)
    guarded?.drop(text)
    conductor.flights.fence(text)
    if (object === '') {
      coordinator.purged([text], false)
      coordinator.fenced([text])
    }
    if (ignoresObject || object !== '') return
    const family = textOf('*', key)
    guarded?.purge([family], false)
    conductor.flights.fence(family)
  }

  return Object.assign(deduplicatedCall, { invalidate })
}

/** Reserves a name: functions in one store, at one coordinator, or of one registration, are told apart by it. */
function claim (taken: ReadonlyArray<Set<string>>, name: string | undefined, path: string): string {
  const option = `${path} options.name`
  if (name === undefined) return fail(option, 'a name of its own, because results are kept in a store that was given', name)
  if (taken.some(names => names.has(name))) {
    return fail(option, 'no other function\'s that has a coordinator, or keeps results in a store that was given', name)
  }
  for (const names of taken) names.add(name)
  return name
}

/** Makes the `deduplicate` of a registration. */
export function deduplicator (registry: () => FunctionRegistry): Deduplicate {
  const deduplicate: Deduplicate = (fn, options) => {
    if (typeof fn !== 'function') throw new TypeError('deduplicate wants a function')
    const untyped = fn as unknown as AnyFunction<readonly unknown[], unknown>
    const deduplicated = forCaller(deduplicate, () => deduplicateAt(registry(), untyped, readFunctionOptions(options)))
    return deduplicated as unknown as Deduplicated<typeof fn>
  }
  return deduplicate
}

/** Somebody else has purged this from a store of functions. Of what a run will be labelled with, its key is known before its end. */
export function fenceCalls ({ flights }: Conductor<CallResult>, labels: readonly string[] | undefined): void {
  if (labels?.every(isKey) === true) for (const label of labels) flights.fence(label)
  else flights.fence(STORED)
}

/** The names that are taken in a store, at a coordinator, or in a registration. */
export function namesAt (known: WeakMap<object, Set<string>>, at: object): Set<string> {
  const names = known.get(at) ?? new Set()
  known.set(at, names)
  return names
}

/** Makes the registry of one function without an app. */
export function standalone (clock: Clock = systemClock): FunctionRegistry {
  const conductor = new Conductor<CallResult>(LIMITS, { clock, observer: tallying })
  const protections = new Protections(clock, SILENT)
  const told = (labels: readonly string[] | undefined): void => { fenceCalls(conductor, labels) }
  const members = new Members(clock, SILENT)
  const stores: GuardedStore[] = []
  return {
    conductor,
    coordinator: undefined,
    join: coordinator => members.join(coordinator, CALLS, toldOf(conductor, stores)),
    log: SILENT,
    batches: new Set(),
    protect: (settings, name) => protections.of(settings, name),
    tallyOf: name => new Tally('FUNCTION', name),
    store: undefined,
    guard (store, timeout = STORE_TIMEOUT) {
      const guarded = new GuardedStore(store ?? (common ??= memoryStore()), timeout, clock, new StoreTally(SILENT, clock), told)
      stores.push(guarded)
      return guarded
    },
    refreshes: new Refreshes(clock.now),
    names: at => namesAt(namesIn, at)
  }
}

/**
 * Makes a function of which one call runs for all identical calls that are made meanwhile.
 *
 * Results are shared by reference unless `clone` says otherwise; so are errors. If the last argument is an AbortSignal, an
 * AbortController, or a plain object with a `signal`, it ends its own caller's wait, and the run gets a signal that aborts once no
 * caller is left. Calls on different objects are never identical, except of arrow functions, which have no `this` of their own. With
 * `ttl` results are cached, and `invalidate` of the new function, called with the same arguments, purges one.
 *
 * @throws FST_COALESCE_INVALID_OPTION if an option is wrong
 * @example
 * const lookUp = deduplicate(async (word: string) => await db.find(word), { key: word => word })
 */
export const deduplicate: Deduplicate = deduplicator(standalone)

/**
 * The same for methods, as a standard decorator.
 *
 * @throws FST_COALESCE_INVALID_OPTION if an option is wrong
 * @example
 * class Dictionary {
 *   \@deduplicated({ key: (word: string) => word })
 *   async lookUp (word: string) { return await this.db.find(word) }
 * }
 */
export function deduplicated<A extends readonly unknown[], R, Encoded extends string | Uint8Array = string> (
  options: DeduplicateOptions<A, R, Encoded>
) {
  type Method<This> = (this: This, ...args: A) => Promise<R>
  return function decorate<This> (method: Method<This>, context: ClassMethodDecoratorContext<This>): Method<This> {
    const kind = { ...DEDUPLICATED, ownName: String(context.name) }
    return forCaller(decorate, () => deduplicateAt(standalone(), method as AnyFunction<A, R>, readFunctionOptions<A, R>(options), kind))
  }
}
