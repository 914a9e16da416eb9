/**
 * The flights against a model of them: any order of commands, and the same events in both.
 *
 * Times are multiples of ten, and the timeouts end in other digits, so that no two timers of a flight come due at once.
 */
import fc from 'fast-check'
import t from 'tap'
import { Airport, NOTHING_LEFT, failed, shared, unshareable, type TestPassenger } from './passengers.js'

const WAIT = 305
const FLIGHT = 1003
const LIMITS = { maxFlights: 3, maxWaiters: 7, maxWaitersPerKey: 4 }
const MAX_PROMOTIONS = 1
const KEYS = ['x', 'y', 'z', 'w']
const RUNS = 4000

interface ModelFlight {
  readonly key: string
  joinable: boolean
  leader: string
  leaderStays: boolean
  /** When the leader's time is up. */
  deadline: number
  promotions: number
  followers: Array<{ readonly name: string, readonly deadline: number, readonly mayLead: boolean }>
}

/** What should happen, in plain arrays. */
class Model {
  now = 0
  flights: ModelFlight[] = []
  /** By name of passenger: the flight that it boarded, and never left in the books. */
  readonly boarded = new Map<string, ModelFlight>()
  #events: string[] = []

  get waiters (): number {
    return this.flights.reduce((sum, { followers }) => sum + followers.length, 0)
  }

  get leaders (): string[] {
    return this.flights.map(({ leader }) => leader).sort()
  }

  events (): string[] {
    return this.#events.splice(0)
  }

  board (key: string, name: string, waited: number, mayLead: boolean): string {
    const flight = this.flights.find(each => each.key === key && each.joinable)
    if (flight === undefined) {
      if (!mayLead) return 'no-flight'
      if (this.flights.length >= LIMITS.maxFlights) return 'max-flights'
      const taken: ModelFlight = {
        key, joinable: true, leader: name, leaderStays: true, deadline: this.now + FLIGHT, promotions: 0, followers: []
      }
      this.flights.push(taken)
      this.boarded.set(name, taken)
      return 'leader'
    }
    if (flight.followers.length >= LIMITS.maxWaitersPerKey) return 'max-waiters-per-key'
    if (this.waiters >= LIMITS.maxWaiters) return 'max-waiters'
    flight.followers.push({ name, deadline: this.now - waited + WAIT, mayLead })
    this.boarded.set(name, flight)
    return 'follower'
  }

  land (name: string, told: string): boolean {
    const flight = this.#ledBy(name)
    if (flight === undefined) return false
    this.#over(flight)
    for (const follower of flight.followers) this.#events.push(`${follower.name} ${told}`)
    return true
  }

  abandon (name: string, reason: string): boolean {
    const flight = this.#ledBy(name)
    if (flight === undefined) return false
    const next = flight.followers.find(({ mayLead }) => mayLead)
    const others = flight.followers.filter(each => each !== next)
    if (next === undefined || flight.promotions === MAX_PROMOTIONS) return this.land(name, `abandoned ${reason}`)
    if (next !== flight.followers[0]) passedOver++
    Object.assign(flight, {
      leader: next.name, leaderStays: true, deadline: this.now + FLIGHT, promotions: flight.promotions + 1, followers: others
    })
    this.#events.push(`${next.name} promoted`)
    return true
  }

  leave (name: string): void {
    const flight = this.boarded.get(name)
    if (flight === undefined || !this.flights.includes(flight)) return
    if (flight.leader === name) flight.leaderStays = false
    flight.followers = flight.followers.filter(follower => follower.name !== name)
    this.#endIfEmpty(flight)
  }

  detach (key: string): void {
    for (const flight of this.flights) if (flight.key === key) flight.joinable = false
  }

  advance (milliseconds: number): void {
    const end = this.now + milliseconds
    for (;;) {
      const due = Math.min(...this.flights.flatMap(({ deadline, followers }) => [deadline, ...followers.map(each => each.deadline)]))
      if (due > end) break
      this.now = due
      for (const flight of [...this.flights]) this.#come(flight)
    }
    this.now = end
  }

  /** What comes due on a flight now. */
  #come (flight: ModelFlight): void {
    const impatient = flight.followers.filter(({ deadline }) => deadline <= this.now)
    if (impatient.length > 0) {
      flight.followers = flight.followers.filter(({ deadline }) => deadline > this.now)
      for (const { name } of impatient) this.#events.push(`${name} wait-timeout`)
      this.#endIfEmpty(flight)
    } else if (flight.deadline <= this.now) {
      const late = flight.leader
      this.abandon(late, 'flight-timeout')
      this.#events.push(`${late} aborted flight-timeout`)
    }
  }

  #ledBy (name: string): ModelFlight | undefined {
    return this.flights.find(({ leader }) => leader === name)
  }

  #endIfEmpty (flight: ModelFlight): void {
    if (flight.leaderStays || flight.followers.length > 0) return
    this.#over(flight)
    this.#events.push(`${flight.leader} aborted nobody-waits`)
  }

  #over (flight: ModelFlight): void {
    this.flights = this.flights.filter(each => each !== flight)
  }
}

/** The real flights, and everybody who was ever on one, with the flight that it boarded. */
class Real {
  readonly airport = new Airport(LIMITS)
  readonly passengers: Array<{ readonly passenger: TestPassenger, readonly flight: NonNullable<TestPassenger['flight']> }> = []
  readonly heard: string[] = []
  #names = 0

  board (key: string, waited: number, mayLead: boolean): { name: string, boarding: string } {
    const arrived = this.airport.clock.now() - waited
    const passenger = this.airport.passenger(`p${this.#names++}`, { arrived, waitTimeout: WAIT, flightTimeout: FLIGHT, mayLead })
    const boarding = this.airport.board(key, passenger)
    if (passenger.flight !== undefined) this.passengers.push({ passenger, flight: passenger.flight })
    return { name: passenger.name, boarding }
  }

  /** Anybody who was ever on board, or one of those who lead now. */
  pick (index: number, whom: 'anybody' | 'leader'): Real['passengers'][number] | undefined {
    const candidates = whom === 'anybody'
      ? this.passengers
      : this.passengers.filter(({ passenger, flight }) => flight.leader === passenger)
    return candidates[index % candidates.length]
  }
}

let steps = 0
const kinds = new Set<string>()
const boardings = new Set<string>()
let passedOver = 0

/** Fails unless both sides say the same. */
function compare (model: Model, real: Real, what: string, expected: unknown, got: unknown): void {
  steps++
  kinds.add(what.replace(/ .*/, ''))
  const { airport: { flights }, passengers, heard } = real
  const events = real.airport.events()
  heard.push(...events)
  const onBoard = model.flights.flatMap(({ leader, followers }) => [leader, ...followers.map(({ name }) => name)])
  // A flight's events are in order; flights that come due at the same moment have none among them.
  const one = JSON.stringify([expected, model.events().sort(), model.flights.length, model.waiters, model.leaders, onBoard.sort()])
  const other = JSON.stringify([
    got, events.sort(), flights.size, flights.waiters,
    flights.leaders().map(leader => (leader as TestPassenger).name).sort(),
    passengers.filter(({ passenger, flight }) => passenger.flight === flight).map(({ passenger }) => passenger.name).sort()
  ])
  if (one !== other) throw new Error(`after ${what}\nwanted ${one}\ngot    ${other}`)
}

abstract class Command implements fc.Command<Model, Real> {
  check (): boolean {
    return true
  }

  abstract run (model: Model, real: Real): void
  abstract toString (): string
}

/** Boards a newcomer, or one that has waited on another flight before. */
class Board extends Command {
  constructor (readonly key: string, readonly waited = 0, readonly mayLead = true) { super() }

  run (model: Model, real: Real): void {
    const { name, boarding } = real.board(this.key, this.waited, this.mayLead)
    const expected = model.board(this.key, name, this.waited, this.mayLead)
    boardings.add(expected)
    compare(model, real, this.toString(), expected, boarding)
  }

  toString (): string { return `board ${this.key} after ${this.waited}${this.mayLead ? '' : ' to follow'}` }
}

/** What one passenger does; the leader of now, or anybody: a follower, a late leader, one whose part is over. */
class Act extends Command {
  constructor (
    readonly deed: 'shared' | 'failed' | 'unshareable' | 'abandon' | 'leave',
    readonly whom: 'anybody' | 'leader',
    readonly index: number
  ) { super() }

  run (model: Model, real: Real): void {
    const picked = real.pick(this.index, this.whom)
    if (picked === undefined) return
    const { passenger, flight } = picked
    const { name } = passenger
    const what = `${this.deed} ${name}`
    switch (this.deed) {
      case 'shared':
        compare(model, real, what, model.land(name, `shared ${name}`), flight.land(passenger, shared(name)))
        return
      case 'failed':
        compare(model, real, what, model.land(name, `failed ${name}`), flight.land(passenger, failed(name)))
        return
      case 'unshareable':
        compare(model, real, what, model.land(name, 'unshareable vary'), flight.land(passenger, unshareable('vary')))
        return
      case 'abandon':
        compare(model, real, what, model.abandon(name, 'hijacked'), flight.abandon(passenger, 'hijacked'))
        return
      case 'leave':
        model.leave(name)
        flight.leave(passenger)
        compare(model, real, what, undefined, undefined)
    }
  }

  toString (): string { return `${this.deed} ${this.whom}#${this.index}` }
}

class Advance extends Command {
  constructor (readonly tens: number) { super() }

  run (model: Model, real: Real): void {
    model.advance(this.tens * 10)
    real.airport.clock.advance(this.tens * 10)
    compare(model, real, this.toString(), undefined, undefined)
  }

  toString (): string { return `advance ${this.tens * 10}` }
}

class Detach extends Command {
  constructor (readonly key: string) { super() }

  run (model: Model, real: Real): void {
    model.detach(this.key)
    real.airport.flights.detach(leader => (leader as TestPassenger).flight?.key === this.key)
    compare(model, real, this.toString(), undefined, undefined)
  }

  toString (): string { return `detach ${this.key}` }
}

const key = fc.constantFrom(...KEYS)
const index = fc.nat({ max: 60 })
const commands = fc.commands([
  key.map(each => new Board(each)),
  key.map(each => new Board(each)),
  fc.constant(new Board('x')),
  key.map(each => new Board(each, 0, false)),
  fc.constant(new Board('x', 0, false)),
  fc.integer({ min: 1, max: 29 }).map(tens => new Board('x', tens * 10)),
  fc.constantFrom('shared' as const, 'failed' as const, 'unshareable' as const)
    .chain(deed => index.map(each => new Act(deed, 'leader', each))),
  index.map(each => new Act('abandon', 'leader', each)),
  index.map(each => new Act('leave', 'leader', each)),
  index.map(each => new Act('leave', 'anybody', each)),
  fc.constantFrom('shared' as const, 'abandon' as const).chain(deed => index.map(each => new Act(deed, 'anybody', each))),
  fc.integer({ min: 1, max: 12 }).map(tens => new Advance(tens)),
  fc.integer({ min: 13, max: 120 }).map(tens => new Advance(tens)),
  key.map(each => new Detach(each))
], { maxCommands: 90, size: 'max' })

/** How often each passenger was told an ending that is its last, promotion apart. */
function endings (heard: readonly string[]): Map<string, number> {
  const times = new Map<string, number>()
  for (const event of heard) {
    const [name = '', what = ''] = event.split(' ')
    if (what !== 'promoted') times.set(name, (times.get(name) ?? 0) + 1)
  }
  return times
}

t.test('flights do what their model does, in any order of commands', async t => {
  const seen = new Set<string>()

  fc.assert(fc.property(commands, schedule => {
    let real!: Real
    fc.modelRun(() => {
      real = new Real()
      return { model: new Model(), real }
    }, schedule)
    // Whatever is still in the air runs out of time: four leaders one after the other at most.
    real.airport.clock.advance(5 * FLIGHT)
    real.heard.push(...real.airport.events())
    if (JSON.stringify(real.airport.left) !== JSON.stringify(NOTHING_LEFT)) throw new Error(`left ${JSON.stringify(real.airport.left)}`)
    const twice = [...endings(real.heard)].filter(([, times]) => times > 1)
    if (twice.length > 0) throw new Error(`settled more than once: ${twice.join()}`)
    for (const event of real.heard) seen.add(event.replace(/^\w+ /, '').replace(/ p\d+$/, ''))
  }), { numRuns: RUNS })

  t.ok(steps >= 100_000, `${steps} steps`)
  t.strictSame([...kinds].sort(), ['abandon', 'advance', 'board', 'detach', 'failed', 'leave', 'shared', 'unshareable'])
  t.strictSame([...boardings].sort(), ['follower', 'leader', 'max-flights', 'max-waiters', 'max-waiters-per-key', 'no-flight'])
  t.ok(passedOver > 0, 'some who had waited longest were passed over, because they may not lead')
  const rare = ['abandoned flight-timeout', 'abandoned hijacked']
  const common = ['aborted flight-timeout', 'aborted nobody-waits', 'failed', 'promoted', 'shared', 'unshareable vary', 'wait-timeout']
  t.strictSame([...seen].filter(ending => !rare.includes(ending)).sort(), common, 'every ending came about, but for the rarest')
})
