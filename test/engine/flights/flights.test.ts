import t from 'tap'
import { Fleet } from '../../../lib/engine/flights/fleet.js'
import { Airport, NOTHING_LEFT, shared, type TestFlight, type TestPassenger } from './passengers.js'

t.test('the first passenger of a key leads, the others follow, and keys are apart', async t => {
  const airport = new Airport()

  const boardings = ['x', 'x', 'y', 'x'].map((key, index) => airport.board(key, airport.passenger(`p${index}`)))

  t.strictSame(boardings, ['leader', 'follower', 'leader', 'follower'])
  t.equal(airport.flights.size, 2)
  t.equal(airport.flights.waiters, 2)
  t.strictSame(airport.flights.leaders().map(leader => (leader as TestPassenger).name), ['p0', 'p2'])
})

t.test('a flight knows its key and when it took off', async t => {
  const airport = new Airport()
  airport.clock.advance(42)
  const { flight } = airport.crew('k', 'L')

  t.equal(flight.key, 'k')
  t.equal(flight.since, 42)
})

t.test('any string is a key, those that objects have for names included', async t => {
  const airport = new Airport()
  const keys = ['', '__proto__', 'constructor', 'toString', '\0']

  t.strictSame(keys.map(key => airport.board(key, airport.passenger(key))), keys.map(() => 'leader'))
  t.strictSame(keys.map(key => airport.board(key, airport.passenger(key))), keys.map(() => 'follower'))
})

t.test('a flight over the limit does not take off, and a place that is freed is taken', async t => {
  const airport = new Airport({ maxFlights: 2 })
  const { flight, crew: [L] } = airport.crew('x', 'L')
  airport.crew('y', 'M')
  const refused = airport.passenger('refused')

  t.equal(airport.board('z', refused), 'max-flights')
  t.equal(refused.flight, undefined)
  t.equal(airport.board('x', airport.passenger('a')), 'follower', 'following is not a further flight')
  t.equal(airport.flights.size, 2)
  flight.land(L, shared('r'))
  t.equal(airport.board('z', refused), 'leader')
})

t.test('with no flights allowed nobody leads', async t => {
  const airport = new Airport({ maxFlights: 0 })
  t.equal(airport.board('x', airport.passenger('a')), 'max-flights')
  t.strictSame(airport.left, NOTHING_LEFT)
})

t.test('followers over the limit of their key do not board, and places are freed by those who leave', async t => {
  const airport = new Airport({ maxWaitersPerKey: 2 })
  const { flight, crew: [, a] } = airport.crew('x', 'L', 'a', 'b')
  const refused = airport.passenger('refused')

  t.equal(airport.board('x', refused), 'max-waiters-per-key')
  t.equal(refused.flight, undefined)
  t.equal(airport.flights.waiters, 2)
  flight.leave(a)
  t.equal(airport.board('x', refused), 'follower')
})

t.test('followers over the limit of all do not board, and places are freed by landings and promotions', async t => {
  const airport = new Airport({ maxWaiters: 3 })
  const { flight: x, crew: [L] } = airport.crew('x', 'L', 'a', 'b')
  const { flight: y, crew: [M, c] } = airport.crew('y', 'M', 'c')
  const refused = airport.passenger('refused')

  t.equal(airport.board('x', refused), 'max-waiters')
  t.equal(airport.board('y', refused), 'max-waiters')
  t.equal(refused.flight, undefined)
  y.abandon(M, 'gone')
  t.equal(airport.board('y', airport.passenger('d')), 'follower', 'who was promoted waits no more')
  t.equal(airport.board('y', refused), 'max-waiters')
  x.land(L, shared('r'))
  t.equal(airport.flights.waiters, 1)
  t.equal(airport.board('y', refused), 'follower')
  y.land(c, shared('r'))
  t.strictSame(airport.left, NOTHING_LEFT)
})

t.test('a fenced flight takes no newcomers, lands for those on board, and leaves its successor alone', async t => {
  const airport = new Airport()
  const { flight: old, crew: [L] } = airport.crew('x', 'L', 'a')
  airport.crew('y', 'M')

  airport.flights.fence('L')
  const next = airport.passenger('N')
  t.equal(airport.board('x', next), 'leader')
  t.equal(airport.board('x', airport.passenger('b')), 'follower')
  t.equal(airport.board('y', airport.passenger('c')), 'follower', 'other flights can be joined')
  t.equal(airport.flights.size, 3, 'a fenced flight is in the air')
  t.strictSame(airport.flights.leaders().map(leader => (leader as TestPassenger).name).sort(), ['L', 'M', 'N'])

  t.equal(old.land(L, shared('old')), true)

  t.strictSame(airport.events(), ['a shared old'])
  t.equal(airport.flights.size, 2)
  t.equal(airport.board('x', airport.passenger('d')), 'follower', 'the successor can still be joined')
  next.flight?.land(next, shared('new'))
  t.strictSame(airport.events(), ['b shared new', 'd shared new'])
})

t.test('a successor that lands first leaves the fenced flight in the air', async t => {
  const airport = new Airport()
  const { flight: old, crew: [L] } = airport.crew('x', 'L')
  airport.flights.fenceAll()
  const { flight: young, crew: [N] } = airport.crew('x', 'N')

  young.land(N, shared('new'))

  t.equal(airport.flights.size, 1)
  t.equal(airport.board('x', airport.passenger('b')), 'leader', 'and nobody joins it again')
  old.land(L, shared('old'))
  t.equal(airport.flights.size, 1)
})

t.test('a flight that is renamed takes newcomers of its new key, and leaves its old one free', async t => {
  const airport = new Airport()
  const { flight, crew: [L] } = airport.crew('x', 'L', 'a')
  airport.flights.rename(flight, 'y')

  t.strictSame([flight.key, airport.flights.size], ['y', 1])
  t.equal(airport.board('y', airport.passenger('b')), 'follower')
  const M = airport.passenger('M')
  t.equal(airport.board('x', M), 'leader')
  flight.land(L, shared('r'))
  t.equal(airport.flights.has('y'), false)
  t.equal(airport.flights.has('x'), true, 'its successor under its old key is not released')
  M.flight?.land(M, shared('s'))
  t.strictSame(airport.left, NOTHING_LEFT)
})

t.test('a flight is not renamed to the key of another, nor to its own, nor once it takes no newcomers', async t => {
  const airport = new Airport()
  const { flight: x, crew: [L] } = airport.crew('x', 'L')
  const { flight: y, crew: [M] } = airport.crew('y', 'M')
  for (const key of ['y', 'x']) {
    airport.flights.rename(x, key)
    t.strictSame([x.key, y.key, airport.flights.size], ['x', 'y', 2])
  }
  t.equal(airport.board('y', airport.passenger('a')), 'follower')
  t.equal(y.followers, 1)
  airport.flights.fence('L')
  airport.flights.rename(x, 'z')
  t.equal(airport.flights.has('z'), false)
  x.land(L, shared('r'))
  y.land(M, shared('r'))
  t.strictSame(airport.left, NOTHING_LEFT)
})

t.test('a flight that is fenced twice is in the air once', async t => {
  const airport = new Airport()
  const { flight, crew: [L] } = airport.crew('x', 'L')
  airport.flights.fence('L')
  t.equal(airport.flights.has('x'), false)
  airport.flights.fenceAll()
  t.equal(airport.flights.has('x'), false)

  t.equal(airport.flights.size, 1)
  flight.land(L, shared('r'))
  t.strictSame(airport.left, NOTHING_LEFT)
})

t.test('a fenced flight counts for the limit', async t => {
  const airport = new Airport({ maxFlights: 1 })
  airport.crew('x', 'L')
  airport.flights.fenceAll()

  t.equal(airport.board('x', airport.passenger('N')), 'max-flights')
})

t.test('a fence is for what is in the air, and not for what takes off later', async t => {
  const airport = new Airport()
  airport.flights.fence('L')
  airport.flights.fenceAll()
  airport.crew('x', 'L', 'a')
  airport.flights.fence('M')
  airport.crew('y', 'M', 'b')
  t.equal(airport.board('x', airport.passenger('c')), 'follower', 'another label is fenced')
})

t.test('a fence asks none of the flights in the air, and one that somebody wants to join is asked once for each fence', async t => {
  const airport = new Airport()
  const crews = Array.from({ length: 50 }, (_, index) => airport.crew(`k${index}`, `L${index}`).crew[0])
  const asked = (): number => crews.reduce((sum, leader) => sum + leader.asked, 0)
  airport.flights.fence('other')
  airport.flights.fence('another')
  t.equal(asked(), 0)
  for (const name of ['a', 'b', 'c']) t.equal(airport.board('k7', airport.passenger(name)), 'follower')
  t.equal(asked(), 1)
  airport.flights.fence('other')
  t.equal(airport.board('k7', airport.passenger('d')), 'follower')
  t.equal(asked(), 2)
})

t.test('the flights of a fleet are found without looking at those of others, until they end', async t => {
  const airport = new Airport()
  const fleets = [new Fleet<TestFlight>(), new Fleet<TestFlight>()] as const
  const leaders = ['a', 'b', 'c', 'd'].map((name, index) => airport.passenger(name, { fleet: fleets[index === 3 ? 1 : 0] }))
  for (const leader of leaders) airport.board(leader.name, leader)
  const names = (): string[][] => fleets.map(fleet => fleet.flights().map(({ leader }) => (leader as TestPassenger).name))
  const end = (index: number): void => { leaders[index]?.flight?.land(leaders[index] as TestPassenger, shared('r')) }
  t.strictSame(names(), [['a', 'b', 'c'], ['d']])
  end(1)
  t.strictSame(names(), [['a', 'c'], ['d']])
  end(2)
  end(3)
  t.strictSame(names(), [['a'], []])
  const later = airport.passenger('e', { fleet: fleets[0] })
  airport.board('e', later)
  end(0)
  t.strictSame(names(), [['e'], []])
  later.flight?.land(later, shared('r'))
  t.strictSame(names(), [[], []])
  t.strictSame(airport.left, NOTHING_LEFT)
})

t.test('ten thousand flights later nothing is left', async t => {
  const airport = new Airport({ maxFlights: 10_000, maxWaiters: 10_000 })
  const crews = Array.from({ length: 10_000 }, (_, index) => airport.crew(`k${index}`, 'L', 'f'))
  t.strictSame(airport.left, { flights: 10_000, waiters: 10_000, leaders: 10_000, timers: 10_001 })

  for (const { flight, crew: [L] } of crews) flight.land(L, shared('r'))

  t.strictSame(airport.left, NOTHING_LEFT)
  t.equal(airport.events().length, 10_000)
})
