/**
 * Flights in the air that are let go together: those of one route.
 *
 * Invariant: a flight is in its fleet from boarding to its end. Adding and removing one costs a few assignments, however many there are.
 */

/** A flight, as far as its fleet goes. */
export interface FleetMember<F> {
  /** Its neighbours. Written by the fleet alone. */
  older: F | undefined
  younger: F | undefined
}

export class Fleet<F extends FleetMember<F>> {
  #newest: F | undefined

  add (flight: F): void {
    flight.older = this.#newest
    if (this.#newest !== undefined) this.#newest.younger = flight
    this.#newest = flight
  }

  remove (flight: F): void {
    const { older, younger } = flight
    if (older !== undefined) older.younger = younger
    if (younger === undefined) this.#newest = older
    else younger.older = older
    flight.older = flight.younger = undefined
  }

  /** All of them, the oldest first. */
  flights (): F[] {
    const found: F[] = []
    for (let flight = this.#newest; flight !== undefined; flight = flight.older) found.push(flight)
    return found.reverse()
  }
}
