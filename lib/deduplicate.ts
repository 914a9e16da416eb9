/**
 * Coalescing for plain async functions: of any number of identical concurrent calls, one runs.
 *
 * Invariant: the same flights as for requests. A call is settled once, with the result of a run that was in the air while it
 * waited, or with its own; one caller's AbortSignal ends that caller's wait and nobody else's.
 */
import { AsyncResource } from 'node:async_hooks'
import type { Clock, Deduplicate, DeduplicateOptions } from '../types/index.js'
import { systemClock } from './clock.js'
import type { AbortReason, Ending, Flight, Passenger } from './core/flight.js'
import { Flights, type Limits } from './core/flights.js'
import { FlightTimeoutError, NobodyWaitsError, WaitTimeoutError } from './errors.js'
import { all, type Log, type Observer, type Subject } from './observers/observer.js'
import { Tally, tallying } from './observers/tally.js'
import { readFunctionOptions, type CallSettings } from './options.js'

type Run<R> =
  | { readonly value: R }
  | { readonly error: unknown }

type AnyFunction<A extends readonly unknown[], R> = (...args: A) => Promise<R>

/** A function with what its calls have in common. */
interface Desk<A extends readonly unknown[], R> {
  readonly fn: AnyFunction<A, R>
  readonly settings: CallSettings<A, R>
  readonly flights: Flights<Run<unknown>>
  readonly observer: Observer
  readonly tally: Tally
  readonly log: Log
}

/** Where a function's calls are counted and parked. */
export interface Terminal {
  readonly flights: Flights<Run<unknown>>
  readonly observer: Observer
  readonly log: Log
  /** Told of each new function. */
  readonly track: (tally: Tally) => void
}

const silence = (): void => {}
const SILENT: Log = Object.freeze({ debug: silence, warn: silence, error: silence })
const LIMITS: Limits = Object.freeze({ maxFlights: 10_000, maxWaiters: 50_000 })

/** How many of those who could not share a run run for themselves at a time. */
const RELEASE_CONCURRENCY = 64
/** Makes of a key that of its relief flight. Keys end in a quote or a bracket, so no key ends in this. */
const RELIEF = ' relief'

let functions = 0
let calls = 0

class Call<A extends readonly unknown[], R> implements Passenger<Run<unknown>>, Subject {
  flight: Flight<Run<unknown>> | undefined
  readonly mayLead = true
  leaderId: string | undefined
  /** When its patience began: it was made, or relieved. */
  arrived: number
  readonly id = `call-${(++calls).toString(36)}`
  readonly promise: Promise<R>
  readonly #desk: Desk<A, R>
  readonly #self: unknown
  readonly #args: A
  readonly #signal: AbortSignal | undefined
  #scope: AsyncResource | undefined
  #resolve!: (value: R) => void
  #reject!: (error: unknown) => void
  #controller: AbortController | undefined
  #over = false
  /** What it boards under; undefined if it does not. */
  readonly #key: string | undefined
  /** How long it had waited before `arrived`, in milliseconds. */
  #waited = 0
  /** Its patience ended once, and it boarded a relief flight. */
  #relieved = false

  constructor (desk: Desk<A, R>, self: unknown, args: A, key: string | undefined) {
    this.#desk = desk
    this.#self = self
    this.#args = args
    this.#key = key
    this.arrived = desk.flights.clock.now()
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.#signal = signalIn(args)
    this.#signal?.addEventListener('abort', this.#onAbort)
  }

  get log (): Log {
    return this.#desk.log
  }

  get tally (): Tally {
    return this.#desk.tally
  }

  get waitTimeout (): number {
    return this.#desk.settings.waitTimeout
  }

  get flightTimeout (): number {
    return this.#desk.settings.flightTimeout
  }

  /** Runs the function for everybody on the flight. */
  lead (): void {
    this.leaderId = this.id
    this.tally.runs++
    this.#desk.observer.started(this)
    const controller = this.#controller = new AbortController()
    this.#invoke(withSignal(this.#args, controller.signal)).then(
      value => { this.#land({ value }) },
      (error: unknown) => { this.#land({ error }) })
  }

  /** Runs the function for this caller only. */
  bypass (reason: string): void {
    this.tally.runs++
    this.#desk.observer.settled(this, 'bypass', reason, 0)
    this.#runForItself()
  }

  park (): void {
    this.#scope = new AsyncResource('CoalescedCall')
    const { leader, followers } = this.flight as Flight<Run<unknown>>
    this.leaderId = (leader as Call<A, R>).id
    this.#desk.observer.joined(this, followers)
  }

  settle (ending: Ending<Run<unknown>>, flight: Flight<Run<unknown>>): void {
    switch (ending.type) {
      case 'shared':
      case 'failed':
        this.#settled('follower', ending.type)
        this.#take(ending.recording as Run<R>)
        return
      case 'promoted':
        this.#inScope(() => { this.lead() })
        return
      case 'wait-timeout':
        if (this.#desk.settings.onWaitTimeout === 'run') {
          this.#relieve(flight)
        } else {
          this.#settled('follower', 'wait-timeout')
          this.#end({ error: new WaitTimeoutError(this.waitTimeout) })
        }
        return
      case 'abandoned':
        this.#runAlone(ending.reason, flight)
    }
  }

  abort (reason: AbortReason): void {
    const timedOut = reason === 'flight-timeout'
    if (timedOut) this.#desk.observer.cleanedUp(this)
    else this.#desk.observer.landed(this, 'abandoned', 'client-left', 0)
    this.#settled('leader', timedOut ? 'flight-timeout' : 'client-left')
    this.#controller?.abort(timedOut ? new FlightTimeoutError(this.flightTimeout) : new NobodyWaitsError())
  }

  readonly #onAbort = (): void => {
    const { flight } = this
    if (flight !== undefined) {
      if (flight.leader !== this) this.#settled('follower', 'client-left')
      flight.leave(this)
    }
    this.#end({ error: this.#signal?.reason })
  }

  /** The caller's own result goes to it in any case; the flight lands if this call still leads it. */
  #land (run: Run<R>): void {
    const { flight } = this
    const { observer, settings } = this.#desk
    if (flight !== undefined) {
      const failed = 'error' in run
      observer.landed(this, failed ? 'failed' : 'completed', failed ? 'failed' : 'shared', flight.followers)
      this.#settled('leader', failed ? 'failed' : 'shared')
      if (failed && settings.onError === 'promote' && flight.promotions === 0) flight.abandon(this, 'failed')
      else flight.land(this, { type: failed ? 'failed' : 'shared', recording: run })
    }
    this.#end(run)
  }

  /** Another caller's result, in an object of this one's own where `clone` makes one. */
  #take (run: Run<R>): void {
    const { clone } = this.#desk.settings
    if (clone === undefined || 'error' in run) {
      this.#end(run)
      return
    }
    try {
      this.#end({ value: clone(run.value) })
    } catch (error) {
      this.#end({ error })
    }
  }

  /** Its patience has ended: those of a key whose patience ends share one more run, beside the one that takes so long. */
  #relieve (flight: Flight<Run<unknown>>): void {
    const { flights } = this.#desk
    if (this.#relieved || this.#key === undefined) {
      this.#runAlone('wait-timeout', flight)
      return
    }
    const now = flights.clock.now()
    this.#relieved = true
    this.#waited = now - this.arrived
    this.arrived = now
    switch (flights.board(this.#key + RELIEF, this, Infinity, now)) {
      case 'leader':
        this.#inScope(() => { this.lead() })
        break
      case 'follower':
        this.#inScope(() => { this.park() })
        break
      default:
        this.#runAlone('wait-timeout', flight)
    }
  }

  #runAlone (reason: string, flight: Flight<Run<unknown>>): void {
    flight.release(this, RELEASE_CONCURRENCY, finished => {
      if (this.#over) {
        this.#settled('follower', 'client-left')
        finished()
        return
      }
      this.tally.runs++
      this.leaderId = this.id
      this.#settled('alone', reason)
      this.#inScope(() => { this.#runForItself(finished) })
    })
  }

  #runForItself (finished: () => void = () => {}): void {
    this.#invoke(this.#args)
      .then(value => { this.#end({ value }) }, (error: unknown) => { this.#end({ error }) })
      .finally(finished)
  }

  async #invoke (args: A): Promise<R> {
    return await this.#desk.fn.apply(this.#self, args as unknown as A & unknown[])
  }

  #inScope (action: () => void): void {
    this.#scope?.runInAsyncScope(action)
  }

  #settled (outcome: 'leader' | 'follower' | 'alone', reason: string): void {
    const waited = outcome === 'leader' ? 0 : this.#waited + this.#desk.flights.clock.now() - this.arrived
    this.#desk.observer.settled(this, outcome, reason, waited)
  }

  #end (run: Run<R>): void {
    if (this.#over) return
    this.#over = true
    this.#signal?.removeEventListener('abort', this.#onAbort)
    if ('error' in run) this.#reject(run.error)
    else this.#resolve(run.value)
  }
}

/** The caller's signal: the last argument, or the `signal` of the last argument. */
function signalIn (args: readonly unknown[]): AbortSignal | undefined {
  const last: unknown = args.at(-1)
  if (last instanceof AbortSignal) return last
  if (typeof last !== 'object' || last === null || !('signal' in last)) return undefined
  return last.signal instanceof AbortSignal ? last.signal : undefined
}

/** The arguments for a run that is not one caller's: its signal instead of the caller's. */
function withSignal<A extends readonly unknown[]> (args: A, signal: AbortSignal): A {
  if (signalIn(args) === undefined) return args
  const last: unknown = args.at(-1)
  const own = last instanceof AbortSignal ? signal : { ...last as object, signal }
  return [...args.slice(0, -1), own] as unknown as A
}

/** An injective text for a key; undefined if it says nothing. */
function encodeKey (key: unknown): string | undefined {
  if (typeof key === 'string') return key === '' ? undefined : JSON.stringify(key)
  if (!Array.isArray(key) || key.length === 0) return undefined
  const parts: string[] = []
  for (const part of key as unknown[]) {
    switch (typeof part) {
      case 'string':
        parts.push(JSON.stringify(part))
        break
      case 'number':
        parts.push(Object.is(part, -0) ? '-0' : String(part))
        break
      case 'bigint':
        parts.push(`${part}n`)
        break
      case 'boolean':
      case 'undefined':
        parts.push(String(part))
        break
      default:
        if (part !== null) return undefined
        parts.push('null')
    }
  }
  return `[${parts.join(',')}]`
}

/** What `deduplicate` and `@deduplicated` do, at a terminal. `identify` tells apart calls on different objects. */
export function deduplicateAt<A extends readonly unknown[], R> (
  terminal: Terminal,
  fn: AnyFunction<A, R>,
  options: DeduplicateOptions<A, R>,
  identify: (self: unknown) => number = () => 0
): AnyFunction<A, R> {
  if (typeof fn !== 'function') throw new TypeError('deduplicate wants a function')
  const settings = readFunctionOptions(options)
  const { flights, observer, log } = terminal
  const tally = new Tally('FUNCTION', settings.name ?? (fn.name || 'anonymous'))
  terminal.track(tally)
  const desk: Desk<A, R> = { fn, settings, flights, observer, tally, log }
  const id = ++functions

  function keyOf (self: unknown, args: A): string | undefined {
    try {
      const key = encodeKey(settings.key.apply(self, args as unknown as A & unknown[]))
      return key === undefined ? undefined : `${id}:${identify(self)}:${key}`
    } catch (err) {
      log.warn({ err, coalesce: { event: 'key-threw', route: tally.route } }, 'coalesce: the key function threw')
      return undefined
    }
  }

  return function deduplicatedCall (this: unknown, ...args: A): Promise<R> {
    const signal = signalIn(args)
    if (signal?.aborted === true) return Promise.reject(signal.reason)
    tally.requests++
    const key = keyOf(this, args)
    const call = new Call(desk, this, args, key)
    const boarding = key === undefined ? 'no-key' : flights.board(key, call, Infinity, call.arrived)
    switch (boarding) {
      case 'leader':
        call.lead()
        break
      case 'follower':
        call.park()
        break
      default:
        call.bypass(boarding)
    }
    return call.promise
  }
}

/** `deduplicate` at a terminal. */
export function deduplicator (terminal: () => Terminal): Deduplicate {
  return function deduplicate (fn, options) {
    const untyped = fn as unknown as AnyFunction<readonly unknown[], unknown>
    return deduplicateAt(terminal(), untyped, options as unknown as DeduplicateOptions) as unknown as typeof fn
  }
}

function standalone (clock: Clock = systemClock): Terminal {
  return { flights: new Flights(LIMITS, clock), observer: all(tallying), log: SILENT, track () {} }
}

/**
 * Makes a function of which one call runs for any number of identical ones that are made while it does.
 *
 * Results are shared by reference unless `clone` says otherwise; so are errors. If the last argument is an AbortSignal, or an
 * object with a `signal`, it ends its own caller's wait, and the run gets a signal that aborts once no caller is left.
 *
 * @throws FST_COALESCE_INVALID_OPTION if an option is wrong
 * @example
 * const lookUp = deduplicate(async (word: string) => await db.find(word), { key: word => word })
 */
export const deduplicate: Deduplicate = deduplicator(standalone)

/**
 * The same for methods, as a standard decorator. Calls on different objects are never identical.
 *
 * @throws FST_COALESCE_INVALID_OPTION if an option is wrong
 * @example
 * class Dictionary {
 *   \@deduplicated({ key: (word: string) => word })
 *   async lookUp (word: string) { return await this.db.find(word) }
 * }
 */
export function deduplicated<A extends readonly unknown[], R> (options: DeduplicateOptions<A, R>) {
  type Method<This> = (this: This, ...args: A) => Promise<R>
  return function decorate<This> (method: Method<This>, context: ClassMethodDecoratorContext<This>): Method<This> {
    const ids = new WeakMap<object, number>()
    let objects = 0
    const identify = (self: unknown): number => {
      if (typeof self !== 'object' && typeof self !== 'function') return 0
      if (self === null) return 0
      let id = ids.get(self)
      if (id === undefined) ids.set(self, id = ++objects)
      return id
    }
    return deduplicateAt(standalone(), method as AnyFunction<A, R>, { name: String(context.name), ...options }, identify)
  }
}
