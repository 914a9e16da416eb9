/**
 * One call of a deduplicated function: a passenger like a request, with results for recordings.
 *
 * Invariant: it is settled once, with the result of a run that was in the air while it waited, with one that was kept, or with
 * its own; its AbortSignal ends its own wait and nobody else's.
 */
import { AsyncResource } from 'node:async_hooks'
import type { Outcome } from '../../types/index.js'
import { offAbort, onAbort } from './abort-signals.js'
import { signalIn, withSignal } from './arguments.js'
import type { AbortReason, Ending, Flight, Passenger } from '../engine/flights/flight.js'
import type { Flights } from '../engine/flights/flights.js'
import { FlightTimeoutError, NobodyWaitsError, WaitTimeoutError } from '../errors.js'
import type { CallSettings } from '../options/function-options.js'
import type { Log, Observer, Subject } from '../observers/observer.js'
import type { Tally } from '../observers/tally.js'
import type { KeptResult, Look, Looked, Results } from './results.js'
import { outcomeOf } from '../engine/participant.js'

export type Run<R> =
  | { readonly value: R }
  | { readonly error: unknown }

export type AnyFunction<A extends readonly unknown[], R> = (...args: A) => Promise<R>

/** What a call boards under. */
export interface CallKey {
  readonly text: string
  readonly family: string | undefined
}

/** A function with what its calls have in common. */
export interface Desk<A extends readonly unknown[], R> {
  readonly fn: AnyFunction<A, R>
  readonly settings: CallSettings<A, R>
  readonly flights: Flights<Run<unknown>>
  readonly observer: Observer
  readonly tally: Tally
  readonly log: Log
  /** Undefined: it keeps none. */
  readonly results: Results<A, R> | undefined
}

/** How many of those who could not share a run run for themselves at a time. */
const RELEASE_CONCURRENCY = 64
/** Makes of a key that of its relief flight. Keys end in a quote or a bracket, so no key ends in this. */
const RELIEF = ' relief'
/** The label of calls whose results are kept. No key is one: keys end in a quote or a bracket. */
export const KEEPING = 'keeping'

let calls = 0

export class Call<A extends readonly unknown[], R> implements Passenger<Run<unknown>>, Subject {
  flight: Flight<Run<unknown>> | undefined
  readonly mayLead = true
  readonly fleet = undefined
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
  readonly key: string | undefined
  /** The label of the calls of the same arguments on whatever object; undefined if it was called on none. */
  readonly family: string | undefined
  /** What its run's result replaces, and may be served should it fail. */
  #standby: Look<R>['standby']
  /** When its run began, by the shelf. */
  #since = 0
  /** How long it had waited before `arrived`, in milliseconds. */
  #waited = 0
  /** Its patience ended once, and it boarded a relief flight. */
  #relieved = false

  constructor (desk: Desk<A, R>, self: unknown, args: A, key: CallKey | undefined) {
    this.#desk = desk
    this.#self = self
    this.#args = args
    this.key = key?.text
    this.family = key?.family
    this.arrived = desk.flights.clock.now()
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.#signal = signalIn(args)
    if (this.#signal !== undefined) onAbort(this.#signal, this.#onAbort)
  }

  get log (): Log {
    return this.#desk.log
  }

  get tally (): Tally {
    return this.#desk.tally
  }

  get labels (): readonly string[] {
    // Who has no key leads nothing.
    const labels = [this.key as string]
    if (this.family !== undefined) labels.push(this.family)
    if (this.#desk.results !== undefined) labels.push(KEEPING)
    return labels
  }

  get waitTimeout (): number {
    return this.#desk.settings.waitTimeout
  }

  get flightTimeout (): number {
    return this.#desk.settings.flightTimeout
  }

  /** Takes its place, and runs, waits, or is served at once. */
  arrive (): void {
    if (this.key === undefined) this.#bypass('no-key')
    else this.#enter(this.key, boarding => { this.#bypass(boarding) })
  }

  /** Boards; or is served what is kept, if nobody is on the way to bring something newer. */
  #enter (flightKey: string, otherwise: (boarding: string) => void): void {
    const { flights } = this.#desk
    const look = flights.has(flightKey) ? undefined : this.#look()
    if (look !== undefined && !(look instanceof Promise) && this.#serve(look)) return
    const boarding = flights.board(flightKey, this, Infinity, this.arrived)
    switch (boarding) {
      case 'leader':
        this.leaderId = this.id
        this.#begin(look)
        break
      case 'follower':
        this.#park()
        break
      default:
        otherwise(boarding)
    }
  }

  #look (): Looked<R> | undefined {
    return this.#desk.results?.look(this, this.key as string)
  }

  /** It leads, and what is kept is, or will be, known. */
  #begin (look: Looked<R> | undefined): void {
    if (look instanceof Promise) look.then(found => { this.#looked(found) }, () => { this.#looked(undefined) })
    else this.#looked(look)
  }

  #looked (look: Look<R> | undefined): void {
    if (this.flight === undefined) {
      // Its flight ended without it.
      if (this.#over) return
      this.tally.runs++
      this.#runForItself()
      return
    }
    if (look !== undefined && this.#serve(look)) return
    this.#standby = look?.standby
    this.#lead()
  }

  /** Gives everybody on its flight, and itself, what is kept; false if that may not be served. */
  #serve ({ kept, refresh }: Look<R>): boolean {
    if (kept === undefined) return false
    this.#landKept(kept)
    if (refresh) this.#refresh()
    return true
  }

  #landKept ({ value, reason }: KeptResult<R>): void {
    this.#settled(outcomeOf(reason), reason)
    this.flight?.land(this, { type: 'kept', recording: { value }, reason })
    this.#take({ value })
  }

  #refresh (): void {
    const run = async (signal: AbortSignal): Promise<R> => await this.#invoke(withSignal(this.#args, signal))
    this.#desk.results?.refresh(this, this.key as string, this.#args, run)
  }

  /** Runs the function for everybody on the flight. */
  #lead (): void {
    this.leaderId = this.id
    this.#since = this.#desk.results?.shelf.stamp() ?? 0
    this.tally.runs++
    this.#desk.observer.started(this)
    const controller = this.#controller = new AbortController()
    this.#invoke(withSignal(this.#args, controller.signal)).then(
      value => { this.#land({ value }) },
      (error: unknown) => { this.#land({ error }) })
  }

  /** Runs the function for this caller only. */
  #bypass (reason: string): void {
    this.tally.runs++
    this.#desk.observer.settled(this, 'bypass', reason, 0)
    this.#runForItself()
  }

  #park (): void {
    this.#scope ??= new AsyncResource('CoalescedCall')
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
        this.#inScope(() => { this.#begin(this.#look()) })
        return
      case 'kept':
        this.#settled(outcomeOf(ending.reason), ending.reason)
        this.#take(ending.recording as Run<R>)
        return
      case 'wait-timeout': {
        const leader = flight.leader as Call<A, R> | undefined
        const standby = leader && this.#desk.results?.standIn(leader.#standby)
        if (standby !== undefined) {
          this.#settled('stale', standby.reason)
          this.#take(standby)
        } else if (this.#desk.settings.onWaitTimeout === 'run') {
          this.#relieve(flight)
        } else {
          this.#settled('follower', 'wait-timeout')
          this.#end({ error: new WaitTimeoutError(this.waitTimeout) })
        }
        return
      }
      case 'abandoned':
        this.#runAlone(ending.reason, flight)
    }
  }

  takes (ending: Ending<Run<unknown>>): boolean {
    return ending.type !== 'wait-timeout' || this.#relieved || this.#desk.settings.onWaitTimeout !== 'run'
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
    const { observer, results, settings } = this.#desk
    const failed = 'error' in run
    const standby = failed ? this.#failed() : undefined
    if (flight !== undefined) {
      // Before the flight is gone: there is no moment at which neither is there.
      if (!failed) results?.keep(this, this.key as string, this.#since, run.value, this.#args, this.#standby !== undefined)
      observer.landed(this, failed ? 'failed' : 'completed', standby?.reason ?? (failed ? 'failed' : 'shared'), flight.followers)
      if (standby !== undefined) {
        this.#landKept(standby)
        return
      }
      this.#settled('leader', failed ? 'failed' : 'shared')
      if (failed && settings.onError === 'promote' && flight.promotions === 0) flight.abandon(this, 'failed')
      else flight.land(this, { type: failed ? 'failed' : 'shared', recording: run })
    }
    if (standby === undefined) this.#end(run)
    else this.#take(standby)
  }

  /** Its run failed. What may be served in the place of that. */
  #failed (): KeptResult<R> | undefined {
    const { results } = this.#desk
    // Nobody waits for it any more, and it was told so.
    if (results === undefined || (this.flight === undefined && this.#over)) return undefined
    results.failed(this.key as string)
    return results.standIn(this.#standby)
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
    if (this.#relieved || this.key === undefined) {
      this.#runAlone('wait-timeout', flight)
      return
    }
    const now = flights.clock.now()
    this.#relieved = true
    this.#waited = now - this.arrived
    this.arrived = now
    this.#inScope(() => {
      this.#enter(this.key + RELIEF, () => { this.#runAlone('wait-timeout', flight) })
    })
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
      .then(value => { this.#end({ value }) }, async (error: unknown) => { await this.#failAlone(error) })
      .finally(finished)
  }

  /** A run for this caller only failed: it is given what is kept, if that may stand in. */
  async #failAlone (error: unknown): Promise<void> {
    if (this.#desk.results !== undefined && this.key !== undefined && !this.#over) {
      this.#desk.results.failed(this.key)
      const look = await this.#look()
      if (look?.kept !== undefined) this.#take(look.kept)
    }
    this.#end({ error })
  }

  async #invoke (args: A): Promise<R> {
    return await this.#desk.fn.apply(this.#self, args as unknown as A & unknown[])
  }

  /** In the context that it parked in, as all do that are settled. */
  #inScope (action: () => void): void {
    (this.#scope as AsyncResource).runInAsyncScope(action)
  }

  #settled (outcome: Outcome, reason: string): void {
    const waited = outcome === 'leader' ? 0 : this.#waited + this.#desk.flights.clock.now() - this.arrived
    this.#desk.observer.settled(this, outcome, reason, waited)
  }

  #end (run: Run<R>): void {
    if (this.#over) return
    this.#over = true
    if (this.#signal !== undefined) offAbort(this.#signal, this.#onAbort)
    if ('error' in run) this.#reject(run.error)
    else this.#resolve(run.value)
  }
}

/** A call of whatever function. */
export type AnyCall = Call<readonly unknown[], unknown>
