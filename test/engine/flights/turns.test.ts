/**
 * To tell very many takes more than one turn of the event loop.
 */
import t from 'tap'
import { pace } from '../../../lib/engine/flights/pace.js'
import { Ramp } from '../../../lib/engine/flights/ramp.js'
import { TestClock } from '../../fixtures/gate.js'
import { Airport, NOTHING_LEFT, WAIT_TIMEOUT, shared, unshareable, type TestPassenger } from './passengers.js'

const turn = (): Promise<void> => new Promise(resolve => { setImmediate(resolve) })

/** A flight with six followers, each of whom takes so long to be told: two fit in a turn. */
function six (airport = new Airport()) {
  const { flight, crew } = airport.crew('k', 'L', 'a', 'b', 'c', 'd', 'e', 'f')
  for (const passenger of crew) slow(airport, passenger)
  return { airport, flight, crew }
}

function slow (airport: Airport, passenger: TestPassenger): void {
  passenger.onSettle = () => { airport.clock.advance(3) }
}

t.test('steps are taken in order, as many in one turn as there is time for, and the first at once', async t => {
  const clock = new TestClock()
  const taken: Array<number | string> = []
  let step = 0
  pace(clock, () => {
    taken.push(++step)
    clock.advance(step === 1 ? 5 : 2)
    return step < 6
  }, () => { taken.push('turn') })

  t.strictSame(taken, [1, 'turn'])
  await turn()
  t.strictSame(taken, [1, 'turn', 2, 3, 4, 'turn'])
  await turn()
  t.strictSame(taken, [1, 'turn', 2, 3, 4, 'turn', 5, 6])
})

t.test('steps that take no time are taken in one turn, however many', async t => {
  let steps = 0
  pace(new TestClock(), () => ++steps < 10_000)
  t.equal(steps, 10_000)
})

t.test('a landing that takes long lets the event loop turn, and tells everybody in order of boarding', async t => {
  const { airport, flight, crew: [L, a, , c] } = six()

  flight.land(L, shared('r'))

  t.strictSame(airport.events(), ['a shared r', 'b shared r'])
  t.equal(a.flight, undefined)
  t.equal(c.flight, flight, 'it is not over for who waits for its turn')
  t.equal(airport.flights.waiters, 4)
  t.equal(airport.board('k', airport.passenger('next')), 'leader', 'a newcomer has nothing to do with it')
  await turn()
  t.strictSame(airport.events(), ['c shared r', 'd shared r'])
  await turn()
  t.strictSame(airport.events(), ['e shared r', 'f shared r'])
  await turn()
  t.strictSame(airport.events(), [])
})

t.test('who leaves while others are told is not told, and nobody is told twice', async t => {
  const { airport, flight, crew: [L, , , c, , e, f] } = six()
  flight.land(L, shared('r'))

  flight.leave(c)
  t.equal(flight.land(L, shared('again')), false)
  await turn()
  flight.leave(e)
  flight.leave(f)
  await turn()

  t.strictSame(airport.events(), ['a shared r', 'b shared r', 'd shared r', 'e shared r'])
  t.strictSame(airport.left, NOTHING_LEFT)
})

t.test('nobody\'s patience ends while others are told', async t => {
  const { airport, flight, crew: [L] } = six()
  flight.land(L, unshareable('vary-any'))

  airport.clock.advance(WAIT_TIMEOUT)
  t.strictSame(airport.events(), ['a unshareable vary-any', 'b unshareable vary-any'])
  await turn()
  await turn()

  t.strictSame(airport.events(), ['c unshareable vary-any', 'd unshareable vary-any', 'e unshareable vary-any', 'f unshareable vary-any'])
  t.strictSame(airport.left, NOTHING_LEFT)
})

t.test('those whom a landing does not answer board again at once, and find one another', async t => {
  const { airport, flight, crew } = six()
  const [L, , , , d, , f] = crew
  const boardings: string[] = []
  for (const passenger of [d, f]) {
    passenger.isAnswered = () => false
    passenger.onSettle = () => {
      passenger.onSettle = () => {}
      boardings.push(airport.board('k', passenger))
    }
  }

  flight.land(L, shared('r'))

  t.strictSame(boardings, ['leader', 'follower'])
  t.strictSame(airport.events(), ['a shared r', 'b shared r', 'd shared r', 'f shared r'])
  d.flight?.land(d, shared('of another variant'))
  airport.events()
  await turn()
  t.strictSame(airport.events(), ['c shared r', 'e shared r'])
  t.strictSame(airport.left, NOTHING_LEFT)
})

t.test('who boards an open flight while others are told is told after them, or at once if that is no answer to it', async t => {
  const { airport, flight, crew: [L] } = six()
  flight.open(L, shared('r'))
  const [g, h] = [airport.passenger('g'), airport.passenger('h')]
  h.isAnswered = () => false
  for (const passenger of [g, h]) {
    airport.board('k', passenger)
    flight.answer(passenger)
  }

  t.strictSame(airport.events(), ['a shared r', 'b shared r', 'h shared r'])
  await turn()
  await turn()
  t.strictSame(airport.events(), ['c shared r', 'd shared r', 'e shared r', 'f shared r'])
  await turn()
  t.strictSame(airport.events(), ['g shared r'])
  const i = airport.passenger('i')
  airport.board('k', i)
  flight.answer(i)
  t.strictSame(airport.events(), ['i shared r'], 'all who came before have been told')
  flight.close(L)
  t.strictSame(airport.left, NOTHING_LEFT)
})

t.test('an open flight that closes gives those who wait for their turn its answer at once', async t => {
  const { airport, flight, crew: [L, a] } = six()
  flight.close(L)
  t.equal(flight.leader, L, 'it was not open')
  flight.open(L, shared('r'))
  flight.close(a)
  t.strictSame(airport.events(), ['a shared r', 'b shared r'])

  flight.close(L)

  t.strictSame(airport.events(), ['c shared r', 'd shared r', 'e shared r', 'f shared r'])
  await turn()
  t.strictSame(airport.events(), [])
  t.strictSame(airport.left, NOTHING_LEFT)
})

t.test('an open flight that closes otherwise tells those who wait for their turn how, in their turns', async t => {
  const { airport, flight, crew: [L] } = six()
  flight.open(L, shared('r'))
  airport.events()

  flight.close(L, shared('all of r'))

  t.strictSame(airport.events(), ['c shared all of r', 'd shared all of r'])
  await turn()
  t.strictSame(airport.events(), ['e shared all of r', 'f shared all of r'])
  await turn()
  t.strictSame(airport.events(), [])
  t.strictSame(airport.left, NOTHING_LEFT)
})

t.test('of those who wait for their turn on an open flight that is cut off one leads, and the patience of the others goes on', async t => {
  const { airport, flight, crew: [L, , , c, d] } = six()
  flight.open(L, shared('r'))
  c.onSettle = () => {}
  airport.events()

  flight.abandon(L, 'cut-off')

  t.strictSame(airport.events(), ['c promoted'])
  await turn()
  t.strictSame(airport.events(), [])
  flight.leave(d)
  airport.clock.advance(WAIT_TIMEOUT)
  t.strictSame(airport.events(), ['e wait-timeout', 'f wait-timeout'])
  flight.land(c, shared('r2'))
  t.strictSame(airport.left, NOTHING_LEFT)
})

t.test('the last who waits for its turn on an open flight that is cut off leaves no timer behind', async t => {
  const { airport, flight, crew: [L, , , c, d, e, f] } = six()
  flight.open(L, shared('r'))
  for (const passenger of [d, e, f]) flight.leave(passenger)
  c.onSettle = () => {}
  flight.abandon(L, 'cut-off')

  t.equal(airport.clock.timers, 1, 'the flight\'s')
  flight.land(c, shared('r2'))
  t.strictSame(airport.left, NOTHING_LEFT)
})

t.test('very many whose patience ends at once are told in more than one turn, and those who board again at once', async t => {
  const { airport, flight, crew } = six()
  const [L, , , , d] = crew
  d.isAnswered = () => false

  // A timer that comes late.
  airport.clock.advance(WAIT_TIMEOUT)

  t.strictSame(airport.events(), ['a wait-timeout', 'b wait-timeout', 'd wait-timeout'])
  airport.clock.advance(20)
  t.strictSame(airport.events(), ['c wait-timeout', 'e wait-timeout', 'f wait-timeout'])
  t.equal(flight.land(L, shared('r')), true)
  t.strictSame(airport.left, NOTHING_LEFT)
})

t.test('a follower whose time is up may land the flight, and the others are told that in their turns', async t => {
  const { airport, flight, crew: [L, a] } = six()
  a.onSettle = () => { flight.land(L, shared('r')) }

  airport.clock.advance(WAIT_TIMEOUT)

  t.strictSame(airport.events(), ['a wait-timeout', 'b shared r', 'c shared r'])
  await turn()
  await turn()
  t.strictSame(airport.events(), ['d shared r', 'e shared r', 'f shared r'])
  t.strictSame(airport.left, NOTHING_LEFT)
})

t.test('very many runs that finish at once start in more than one turn, in order', async t => {
  const clock = new TestClock()
  const ramp = new Ramp(1, 1000, clock)
  const started: number[] = []
  let finish = (): void => {}
  ramp.admit(finished => { finish = finished })
  for (let run = 0; run < 5; run++) {
    ramp.admit(finished => {
      started.push(run)
      clock.advance(3)
      finished()
    })
  }

  finish()

  t.strictSame(started, [0, 1])
  ramp.admit(finished => {
    started.push(5)
    finished()
  })
  t.strictSame(started, [0, 1], 'a newcomer comes last')
  await turn()
  t.strictSame(started, [0, 1, 2, 3])
  await turn()
  t.strictSame(started, [0, 1, 2, 3, 4, 5])
  t.equal(clock.timers, 0)
})
