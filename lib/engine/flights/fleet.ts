/**
 * The flights in the air that are let go together: those of one route.
 *
 * Invariant: a flight is in it from its take-off to its end. Taking it in and out costs a few assignments, however many there are.
 */
import type { Flight, Passenger } from './flight.js'

export class Fleet<R, P extends Passenger<R, P>> {
  #newest: Flight<R, P> | undefined

  add (flight: Flight<R, P>): void {
    flight.older = this.#newest
    if (this.#newest !== undefined) this.#newest.younger = flight
    this.#newest = flight
  }

  remove (flight: Flight<R, P>): void {
    const { older, younger } = flight
    if (older !== undefined) older.younger = younger
    if (younger === undefined) this.#newest = older
    else younger.older = older
    flight.older = flight.younger = undefined
  }

  /** All of them, the oldest first. */
  flights (): Array<Flight<R, P>> {
    const found: Array<Flight<R, P>> = []
    for (let flight = this.#newest; flight !== undefined; flight = flight.older) found.push(flight)
    return found.reverse()
  }
}
