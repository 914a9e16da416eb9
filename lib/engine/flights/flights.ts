/**
 * The register of flights in the air.
 *
 * Invariant: boarding is synchronous. Nothing can happen between "is there a flight for this key?" and "I lead it", so a key never has
 * two leaders. A flight releases its own entry only, never that of a successor under the same key. The cost of a fence does not grow
 * with the flights in the air: a flight is checked when a passenger wants to join it.
 */
import type { Clock } from '../../../types/index.js'
import { Deadlines } from '../../deadlines.js'
import { Flight, type Passenger } from './flight.js'
import type { FlightListener, FlightRegistry } from './listener.js'
import { PurgeTimes } from '../cache/purge-times.js'

/** The place that a passenger got, or why it got none. */
export type Boarding = 'leader' | 'follower' | NoFlight

/** Why a passenger got no place. */
export type NoFlight = 'no-flight' | 'max-flights' | 'max-waiters' | 'max-waiters-per-key'

export interface FlightLimits {
  readonly maxFlights: number
  readonly maxWaiters: number
}

export class Flights<R, P extends Passenger<R, P>> implements FlightRegistry<R, P, Flight<R, P>> {
  readonly clock: Clock
  readonly deadlines: Deadlines
  readonly listener: FlightListener<R, P, Flight<R, P>>
  readonly #limits: FlightLimits
  readonly #flights = new Map<string, Flight<R, P>>()
  /** The flight that was boarded last. It is not in the map, because most land before the next is boarded. */
  #newest: Flight<R, P> | undefined
  /** Flights that take no more passengers but have not landed. */
  readonly #detached = new Set<Flight<R, P>>()
  #waiters = 0
  /** The number of fences so far, the number of the last fence for all flights, and those of the others by label. */
  #fences = 0
  #fenceForAll = 0
  readonly #fenced = new PurgeTimes()

  constructor (limits: FlightLimits, clock: Clock, listener: FlightListener<R, P, Flight<R, P>>) {
    this.#limits = limits
    this.clock = clock
    this.listener = listener
    this.deadlines = new Deadlines(clock)
  }

  /** How many flights are in the air. */
  get size (): number {
    return this.#flights.size + this.#detached.size + (this.#newest === undefined ? 0 : 1)
  }

  /** How many followers are parked. */
  get waiters (): number {
    return this.#waiters
  }

  /** Whether there is a flight to join for `key`. */
  has (key: string): boolean {
    return this.#find(key) !== undefined
  }

  /** The flight that a newcomer of `key` would join, if there is one. */
  at (key: string): Flight<R, P> | undefined {
    return this.#find(key)
  }

  /** The place that a passenger would get for `key`. */
  placeFor (key: string, { mayLead }: Pick<P, 'mayLead'>, maxWaitersPerKey: number): Boarding {
    return this.#place(this.#find(key), mayLead, maxWaitersPerKey)
  }

  /**
   * Takes a place for `key`: the leader's if it is free and the passenger may lead, else a follower's.
   *
   * @param now the time, by the clock
   */
  board (key: string, passenger: P, maxWaitersPerKey: number, now: number): Boarding {
    const flight = this.#find(key)
    const place = this.#place(flight, passenger.mayLead, maxWaitersPerKey)
    if (place === 'leader') {
      this.#settleNewest()
      this.#newest = new Flight(key, passenger, this, now)
      this.#newest.cleared = this.#fences
    } else if (place === 'follower') {
      (flight as Flight<R, P>).follow(passenger)
    }
    return place
  }

  #place (flight: Flight<R, P> | undefined, mayLead: boolean, maxWaitersPerKey: number): Boarding {
    if (flight === undefined) {
      if (!mayLead) return 'no-flight'
      return this.size >= this.#limits.maxFlights ? 'max-flights' : 'leader'
    }
    if (flight.followers >= maxWaitersPerKey) return 'max-waiters-per-key'
    return this.#waiters >= this.#limits.maxWaiters ? 'max-waiters' : 'follower'
  }

  /** Lets no newcomer join the flights in the air whose leaders have this label. Those on board stay. */
  fence (label: string): void {
    if (this.size > 0) this.#fenced.mark(label, ++this.#fences)
  }

  /** Lets no newcomer join any flight in the air. */
  fenceAll (): void {
    this.#fenceForAll = ++this.#fences
  }

  /** Gives a flight another key, if it takes newcomers and the other key has no flight. */
  rename (flight: Flight<R, P>, key: string): void {
    if (this.#find(flight.key) !== flight || this.#find(key) !== undefined) return
    this.release(flight)
    flight.key = key
    this.#flights.set(key, flight)
  }

  /** All leaders. */
  leaders (): Array<P> {
    this.#settleNewest()
    return [...this.#flights.values(), ...this.#detached].map(({ leader }) => leader as P)
  }

  release (flight: Flight<R, P>): void {
    if (flight === this.#newest) this.#newest = undefined
    else if (!this.#detached.delete(flight)) this.#flights.delete(flight.key)
  }

  waitersChanged (by: number): void {
    this.#waiters += by
  }

  /** The flight that takes newcomers for `key`. */
  #find (key: string): Flight<R, P> | undefined {
    const flight = this.#newest?.key === key ? this.#newest : this.#flights.size === 0 ? undefined : this.#flights.get(key)
    if (flight === undefined || flight.cleared === this.#fences) return flight
    if (!this.#isFenced(flight)) {
      flight.cleared = this.#fences
      return flight
    }
    this.release(flight)
    this.#detached.add(flight)
    return undefined
  }

  #isFenced ({ cleared, leader }: Flight<R, P>): boolean {
    return this.#fenceForAll > cleared || this.#fenced.isMarkedSince(cleared + 1, (leader as P).labels)
  }

  #settleNewest (): void {
    if (this.#newest === undefined) return
    this.#flights.set(this.#newest.key, this.#newest)
    this.#newest = undefined
  }
}
