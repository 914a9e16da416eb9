/**
 * The flights against a model of them: any order of commands, and the same events in both.
 *
 * A command is one number, so that 10^5 schedules cost seconds and shrink to the few commands that fail. Times are multiples
 * of ten, and the timeouts end in other digits, so that no two timers of a flight come due at once.
 */
import fc from 'fast-check'
import t from 'tap'
import type { Landing } from '../../../lib/engine/flights/landing.js'
import { Airport, NOTHING_LEFT, failed, shared, unshareable, type TestPassenger, type TestFlight } from './passengers.js'

const WAIT = 305
const FLIGHT = 1003
const LIMITS = { maxFlights: 3, maxWaiters: 7, maxWaitersPerKey: 4 }
const MAX_PROMOTIONS = 1
const KEYS = ['x', 'y', 'z', 'w'] as const
const SCHEDULES = 100_000

interface ModelFlight {
  readonly key: string
  readonly real: TestFlight
  joinable: boolean
  leader: Traveller
  leaderStays: boolean
  /** When the leader's time is up. */
  deadline: number
  promotions: number
  /** What newcomers are told, once it is open. */
  answer: string | undefined
  followers: Traveller[]
}

/** One who ever found a place: what the model knows, and what is real. */
interface Traveller {
  readonly passenger: TestPassenger
  readonly flight: ModelFlight
  readonly deadline: number
  onBoard: boolean
  /** How often it was told an ending that is its last. */
  endings: number
}

/** Whom a command is about: a leader of now, anybody who ever boarded, or a follower who has not been answered. */
type Whom = 'leader' | 'anybody' | 'follower'

/** Commands by number; the more often one stands here the more often it is given. */
const COMMANDS: ReadonlyArray<{ readonly name: string, run (world: World, number: number): void }> = [
  { name: 'board x', run (world) { world.board('x', 0, true) } },
  { name: 'board', run (world, number) { world.board(KEYS[number % KEYS.length] ?? 'x', 0, true) } },
  { name: 'board', run (world, number) { world.board(KEYS[number % KEYS.length] ?? 'x', 0, true) } },
  { name: 'board x', run (world) { world.board('x', 0, true) } },
  { name: 'board to follow', run (world, number) { world.board(KEYS[number % KEYS.length] ?? 'x', 0, false) } },
  { name: 'board x to follow', run (world) { world.board('x', 0, false) } },
  { name: 'board x after a wait', run (world, number) { world.board('x', (number % 29 + 1) * 10, true) } },
  { name: 'land', run (world, number) { world.land('leader', number) } },
  { name: 'land anybody', run (world, number) { world.land('anybody', number) } },
  { name: 'open', run (world, number) { world.open('leader', number) } },
  { name: 'open anybody', run (world, number) { world.open('anybody', number) } },
  { name: 'answer', run (world, number) { world.answer('follower', number) } },
  { name: 'answer anybody', run (world, number) { world.answer('anybody', number) } },
  { name: 'abandon', run (world, number) { world.abandon('leader', number) } },
  { name: 'abandon anybody', run (world, number) { world.abandon('anybody', number) } },
  { name: 'leave as leader', run (world, number) { world.leave('leader', number) } },
  { name: 'leave', run (world, number) { world.leave('anybody', number) } },
  { name: 'leave', run (world, number) { world.leave('anybody', number) } },
  { name: 'advance', run (world, number) { world.advance((number % 12 + 1) * 10) } },
  { name: 'advance far', run (world, number) { world.advance((number % 108 + 13) * 10) } },
  { name: 'fence', run (world) { world.fence() } }
]

const LANDINGS: ReadonlyArray<(name: string) => { readonly landing: Landing<string>, readonly told: string }> = [
  name => ({ landing: shared(name), told: `shared ${name}` }),
  name => ({ landing: failed(name), told: `failed ${name}` }),
  () => ({ landing: unshareable('vary-any'), told: 'unshareable vary-any' })
]

let steps = 0
let passedOver = 0
let openPromotions = 0
const boardings = new Set<string>()
const endings = new Set<string>()
const given = new Set<string>()

/** The real flights, and what should happen to them, in plain arrays. */
class World {
  readonly #airport = new Airport(LIMITS)
  #now = 0
  #flights: ModelFlight[] = []
  readonly #travellers: Traveller[] = []
  #names = 0
  #expected: string[] = []

  board (key: string, waited: number, mayLead: boolean): void {
    const passenger = this.#airport.passenger(`p${this.#names++}`, {
      arrived: this.#now - waited, waitTimeout: WAIT, flightTimeout: FLIGHT, mayLead
    })
    const boarding = this.#airport.board(key, passenger)
    const flight = this.#flights.find(each => each.key === key && each.joinable)
    const expected = this.#place(flight, mayLead)
    boardings.add(expected)
    if (boarding !== expected) throw new Error(`wanted ${expected}, got ${boarding}`)
    if (boarding === 'leader') {
      const taken = {
        key,
        real: passenger.flight as TestFlight,
        joinable: true,
        leaderStays: true,
        deadline: this.#now + FLIGHT,
        promotions: 0,
        answer: undefined,
        followers: []
      } as unknown as ModelFlight
      taken.leader = this.#boarded(passenger, taken, 0)
      this.#flights.push(taken)
    } else if (boarding === 'follower') {
      flight?.followers.push(this.#boarded(passenger, flight, this.#now - waited + WAIT))
    }
  }

  land (whom: Whom, number: number): void {
    const traveller = this.#pick(whom, number)
    if (traveller === undefined) return
    const { flight, passenger } = traveller
    const { landing, told } = this.#landing(passenger.name, number)
    const leads = this.#leads(traveller)
    if (leads) this.#land(flight, told)
    this.#equal('landed', leads, flight.real.land(passenger, landing))
  }

  open (whom: Whom, number: number): void {
    const traveller = this.#pick(whom, number)
    if (traveller === undefined) return
    const { flight, passenger } = traveller
    const { landing, told } = this.#landing(passenger.name, number)
    const leads = this.#leads(traveller)
    if (leads) {
      flight.answer = told
      for (const follower of flight.followers.splice(0)) this.#tell(follower, told)
    }
    this.#equal('opened', leads, flight.real.open(passenger, landing))
  }

  answer (whom: Whom, number: number): void {
    const traveller = this.#pick(whom, number)
    if (traveller === undefined) return
    const { flight, passenger } = traveller
    if (flight.answer !== undefined && flight.followers.includes(traveller)) {
      flight.followers.splice(flight.followers.indexOf(traveller), 1)
      this.#tell(traveller, flight.answer)
    }
    flight.real.answer(passenger)
  }

  abandon (whom: Whom, number: number): void {
    const traveller = this.#pick(whom, number)
    if (traveller === undefined) return
    const leads = this.#leads(traveller)
    const last = number % 3 === 0
    if (leads) this.#abandon(traveller.flight, 'hijacked', last)
    this.#equal('abandoned', leads, traveller.flight.real.abandon(traveller.passenger, 'hijacked', last))
  }

  leave (whom: Whom, number: number): void {
    const traveller = this.#pick(whom, number)
    if (traveller === undefined) return
    const { flight, passenger } = traveller
    if (this.#leads(traveller)) {
      flight.leaderStays = false
    } else if (flight.followers.includes(traveller)) {
      flight.followers.splice(flight.followers.indexOf(traveller), 1)
      traveller.onBoard = false
    }
    this.#endIfEmpty(flight)
    flight.real.leave(passenger)
  }

  fence (): void {
    for (const flight of this.#flights) flight.joinable = false
    this.#airport.flights.fenceAll()
  }

  advance (milliseconds: number): void {
    const end = this.#now + milliseconds
    for (;;) {
      let due = Infinity
      for (const { deadline, followers } of this.#flights) {
        due = Math.min(due, deadline)
        for (const follower of followers) due = Math.min(due, follower.deadline)
      }
      if (due > end) break
      this.#now = due
      for (const flight of [...this.#flights]) this.#come(flight)
    }
    this.#now = end
    this.#airport.clock.advance(milliseconds)
  }

  /** Fails unless both sides say the same. */
  check (): void {
    steps++
    const { flights } = this.#airport
    const heard = this.#airport.events()
    if (heard.length > 0 || this.#expected.length > 0) {
      // A flight's events are in order; flights that come due at the same moment have none among them.
      this.#equal('events', this.#expected.sort().join('; '), heard.sort().join('; '))
      for (const event of heard) endings.add(event.replace(/^\w+ /, '').replace(/ p\d+$/, ''))
      this.#expected = []
    }
    let waiters = 0
    for (const { real, leader, followers } of this.#flights) {
      waiters += followers.length
      this.#equal('leader', leader.passenger, real.leader)
      this.#equal('followers', followers.length, real.followers)
    }
    this.#equal('flights', this.#flights.length, flights.size)
    this.#equal('waiters', waiters, flights.waiters)
    for (const { passenger, flight, onBoard } of this.#travellers) {
      this.#equal(passenger.name, onBoard ? flight.real : undefined, passenger.flight)
    }
  }

  /** Whatever is still in the air runs out of time, and nothing is left. */
  end (): void {
    this.advance(5 * FLIGHT)
    this.check()
    const { left } = this.#airport
    this.#equal('left', JSON.stringify(NOTHING_LEFT), JSON.stringify(left))
    for (const { passenger, endings, onBoard } of this.#travellers) {
      if (endings > 1 || onBoard) throw new Error(`${passenger.name} was settled ${endings} times, and is ${onBoard ? 'still' : 'not'} on board`)
    }
  }

  #place (flight: ModelFlight | undefined, mayLead: boolean): string {
    if (flight === undefined) {
      if (!mayLead) return 'no-flight'
      return this.#flights.length >= LIMITS.maxFlights ? 'max-flights' : 'leader'
    }
    if (flight.followers.length >= LIMITS.maxWaitersPerKey) return 'max-waiters-per-key'
    return this.#flights.reduce((sum, { followers }) => sum + followers.length, 0) >= LIMITS.maxWaiters ? 'max-waiters' : 'follower'
  }

  #boarded (passenger: TestPassenger, flight: ModelFlight, deadline: number): Traveller {
    const traveller = { passenger, flight, deadline, onBoard: true, endings: 0 }
    this.#travellers.push(traveller)
    return traveller
  }

  #pick (whom: Whom, number: number): Traveller | undefined {
    const candidates = whom === 'anybody'
      ? this.#travellers
      : whom === 'leader' ? this.#flights.map(({ leader }) => leader) : this.#flights.flatMap(({ followers }) => followers)
    return candidates[number % candidates.length]
  }

  #landing (name: string, number: number): ReturnType<typeof LANDINGS[number]> {
    return (LANDINGS[number % LANDINGS.length] as typeof LANDINGS[number])(name)
  }

  #leads (traveller: Traveller): boolean {
    return traveller.onBoard && traveller.flight.leader === traveller
  }

  #tell (traveller: Traveller, what: string): void {
    traveller.onBoard = false
    traveller.endings++
    this.#expected.push(`${traveller.passenger.name} ${what}`)
  }

  #land (flight: ModelFlight, told: string): void {
    this.#over(flight)
    for (const follower of flight.followers.splice(0)) this.#tell(follower, told)
  }

  #abandon (flight: ModelFlight, reason: string, last: boolean): void {
    const able = flight.followers.filter(({ passenger }) => passenger.mayLead)
    const next = able.at(last ? -1 : 0)
    if (next === undefined || flight.promotions === MAX_PROMOTIONS) {
      this.#land(flight, `abandoned ${reason}`)
      return
    }
    if (next !== flight.followers.at(last ? -1 : 0)) passedOver++
    if (flight.answer !== undefined) openPromotions++
    flight.leader.onBoard = false
    flight.followers.splice(flight.followers.indexOf(next), 1)
    Object.assign(flight, {
      leader: next, leaderStays: true, deadline: this.#now + FLIGHT, promotions: flight.promotions + 1, answer: undefined
    })
    this.#expected.push(`${next.passenger.name} promoted`)
  }

  /** What comes due on a flight now. */
  #come (flight: ModelFlight): void {
    const impatient = flight.followers.filter(({ deadline }) => deadline <= this.#now)
    if (impatient.length > 0) {
      flight.followers = flight.followers.filter(({ deadline }) => deadline > this.#now)
      for (const follower of impatient) this.#tell(follower, 'wait-timeout')
      this.#endIfEmpty(flight)
    } else if (flight.deadline <= this.#now) {
      if (flight.answer !== undefined) {
        this.#land(flight, flight.answer)
        return
      }
      const late = flight.leader
      this.#abandon(flight, 'flight-timeout', false)
      this.#abort(late, 'flight-timeout')
    }
  }

  #abort (leader: Traveller, reason: string): void {
    leader.endings++
    this.#expected.push(`${leader.passenger.name} aborted ${reason}`)
  }

  #endIfEmpty (flight: ModelFlight): void {
    if (flight.leaderStays || flight.followers.length > 0 || !this.#flights.includes(flight)) return
    this.#over(flight)
    this.#abort(flight.leader, 'nobody-waits')
  }

  #over (flight: ModelFlight): void {
    flight.leader.onBoard = false
    this.#flights.splice(this.#flights.indexOf(flight), 1)
  }

  #equal (what: string, wanted: unknown, got: unknown): void {
    if (wanted !== got) throw new Error(`${what}: wanted ${String(wanted)}, got ${String(got)}`)
  }
}

const schedules = fc.array(fc.noBias(fc.nat(0x7fffffff)), { maxLength: 50, size: 'max' })

t.test('flights do what their model does, in any order of commands', async t => {
  fc.assert(fc.property(schedules, schedule => {
    const world = new World()
    const done: string[] = []
    try {
      for (const number of schedule) {
        const { name, run } = COMMANDS[number % COMMANDS.length] as typeof COMMANDS[number]
        given.add(name)
        done.push(name)
        run(world, Math.floor(number / COMMANDS.length))
        world.check()
      }
      done.push('the end')
      world.end()
    } catch (error) {
      throw new Error(`after ${done.join(', ')}: ${(error as Error).message}`)
    }
  }), { numRuns: SCHEDULES })

  t.ok(steps >= 2_000_000, `${steps} steps`)
  t.strictSame([...given].sort(), [...new Set(COMMANDS.map(({ name }) => name))].sort())
  t.strictSame([...boardings].sort(), ['follower', 'leader', 'max-flights', 'max-waiters', 'max-waiters-per-key', 'no-flight'])
  t.ok(passedOver > 0, 'some whose turn it was were passed over, because they may not lead')
  t.ok(openPromotions > 0, 'some took over a run that had answered others')
  t.strictSame([...endings].sort(), [
    'abandoned flight-timeout', 'abandoned hijacked', 'aborted flight-timeout', 'aborted nobody-waits', 'failed', 'promoted', 'shared',
    'unshareable vary-any', 'wait-timeout'
  ], 'every ending came about')
})
