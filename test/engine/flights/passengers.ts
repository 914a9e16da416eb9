/**
 * Passengers that write down what happens to them, and a register for them.
 */
import type { UnshareableReason } from '../../../lib/reasons.js'
import type { Flight, Passenger } from '../../../lib/engine/flights/flight.js'
import type { Fleet } from '../../../lib/engine/flights/fleet.js'
import { Flights, type FlightLimits } from '../../../lib/engine/flights/flights.js'
import type { AbortReason, Ending, Landing } from '../../../lib/engine/flights/landing.js'
import type { Place } from '../../../lib/protection/permits.js'
import { TestClock } from '../../fixtures/gate.js'

export type TestFlight = Flight<string, TestPassenger>
export type TestFleet = Fleet<TestFlight>

export const WAIT_TIMEOUT = 300
export const FLIGHT_TIMEOUT = 1000

/** What a test passenger does at once when it is settled. */
export type Reaction = (ending: Ending<string>, flight: TestFlight) => void

export interface Times {
  arrived?: number
  waitTimeout?: number
  flightTimeout?: number
  mayLead?: boolean
  fleet?: TestFleet | undefined
}

export class TestPassenger implements Passenger<string, TestPassenger> {
  flight: TestFlight | undefined
  readonly name: string
  readonly waitingSince: number
  readonly waitTimeout: number
  readonly flightTimeout: number
  readonly mayLead: boolean
  readonly fleet: TestFleet | undefined
  isAwaitedElsewhere = false
  level = 0
  place: Place | undefined
  /** How often it was asked for its labels. */
  asked = 0
  onSettle: Reaction = () => {}
  /** Whether an ending answers it. */
  isAnswered: (ending: Ending<string>) => boolean = () => true
  readonly #events: string[]

  constructor (name: string, events: string[], { arrived = 0, waitTimeout = WAIT_TIMEOUT, flightTimeout = FLIGHT_TIMEOUT, mayLead = true, fleet }: Times = {}) {
    this.name = name
    this.#events = events
    this.waitingSince = arrived
    this.waitTimeout = waitTimeout
    this.flightTimeout = flightTimeout
    this.mayLead = mayLead
    this.fleet = fleet
  }

  get labels (): readonly string[] {
    this.asked++
    return [this.name]
  }

  settle (ending: Ending<string>, flight: TestFlight): void {
    this.#events.push(`${this.name} ${describe(ending)}`)
    this.onSettle(ending, flight)
  }

  abort (reason: AbortReason): void {
    this.#events.push(`${this.name} aborted ${reason}`)
  }
}

function describe (ending: Ending<string>): string {
  switch (ending.type) {
    case 'shared':
    case 'failed':
      return `${ending.type} ${ending.recording}`
    case 'unshareable':
    case 'abandoned':
      return `${ending.type} ${ending.reason}`
    default:
      return ending.type
  }
}

export const shared = (recording: string): Landing<string> => ({ type: 'shared', recording, took: 0 })
export const failed = (recording: string): Landing<string> => ({ type: 'failed', recording, took: 0 })
export const unshareable = (reason: UnshareableReason): Landing<string> => ({ type: 'unshareable', reason, variant: { names: [], values: [] } })

/** A flight, and a passenger for each name. */
export interface Crew<Names extends readonly string[]> {
  readonly flight: TestFlight
  readonly crew: { readonly [Index in keyof Names]: TestPassenger }
}

/** An airport: a register, its clock, and all that happened to its passengers since it was last asked. */
export class Airport {
  readonly clock = new TestClock()
  readonly flights: Flights<string, TestPassenger>
  readonly #maxWaitersPerKey: number
  #events: string[] = []

  constructor (limits: Partial<FlightLimits> & { maxWaitersPerKey?: number } = {}) {
    const { maxFlights = 100, maxWaiters = 100, maxWaitersPerKey = 100 } = limits
    this.flights = new Flights({ maxFlights, maxWaiters }, this.clock, {
      settle (follower, ending, flight) { follower.settle(ending, flight) },
      isAnsweredBy: (follower, ending) => follower.isAnswered(ending),
      aborted (leader, reason) { leader.abort(reason) },
      overdue () {},
      outlasted () {}
    })
    this.#maxWaitersPerKey = maxWaitersPerKey
  }

  /** A passenger that has come now, unless `times` says otherwise. */
  passenger (name: string, times: Times = {}): TestPassenger {
    return new TestPassenger(name, this.#events, { arrived: this.clock.now(), ...times })
  }

  /** Lets a passenger board; what it is told is the boarding. */
  board (key: string, passenger: TestPassenger): string {
    return this.flights.board(key, passenger, this.#maxWaitersPerKey, this.clock.now())
  }

  /** Boards new passengers under a key, all of whom must find a place, and gives them with their flight. */
  crew<const Names extends readonly string[]> (key: string, ...names: Names): Crew<Names> {
    const crew = names.map(name => this.passenger(name))
    const boardings = crew.map(passenger => this.board(key, passenger))
    const flight = crew[0]?.flight
    if (flight === undefined || boardings.some(boarding => boarding.startsWith('max-'))) throw new Error(`not all boarded: ${boardings.join()}`)
    return { flight, crew: crew as Crew<Names>['crew'] }
  }

  /** What happened since the last call, in order. */
  events (): string[] {
    return this.#events.splice(0)
  }

  /** What should be nothing when all is over. */
  get left (): { flights: number, waiters: number, leaders: number, timers: number } {
    const { flights, clock } = this
    // Instead of the second for which its timers may outlive them.
    flights.deadlines.sweep()
    return { flights: flights.size, waiters: flights.waiters, leaders: flights.leaders().length, timers: clock.timers }
  }
}

export const NOTHING_LEFT = { flights: 0, waiters: 0, leaders: 0, timers: 0 }
