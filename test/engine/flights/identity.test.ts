import t from 'tap'
import { Airport, shared } from './passengers.js'

t.test('who led before can not land the flight of who leads now', async t => {
  const airport = new Airport()
  const { flight, crew: [L] } = airport.crew('k', 'L', 'a', 'b')
  flight.abandon(L, 'no-reply')
  airport.events()

  t.equal(flight.land(L, shared('late')), false)
  t.strictSame(airport.events(), [], 'nobody is told')
  t.equal(flight.followers, 1)
})
