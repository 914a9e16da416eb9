import t from 'tap'
import { flightsOf } from '../../../lib/fastify/page/flights.js'

type Leaders = Parameters<typeof flightsOf>[0]

function leader (role: string, followers = 0, more: object = {}) {
  return { id: 'req-1', role: { type: role }, place: undefined, tally: { method: 'GET', route: '/' }, flight: { since: 10, followers, key: 'k'.repeat(600) }, ...more }
}

const NOTHING = { ids: false, keys: false }
const flights = (leaders: unknown[], revealed = NOTHING) => flightsOf(leaders as Leaders, 15, revealed)

t.test('what a flight waits for is told by what its leader does', async t => {
  const phases = [leader('peer'), leader('peer', 0, { place: {} }), leader('preparing', 0, { place: {} }), leader('preparing'), leader('leader'), leader('landed'), leader('served')]
  t.strictSame(flights(phases).map(({ phase }) => phase), ['elsewhere', 'elsewhere', 'queued', 'prepares', 'runs', 'streams', 'prepares'])
})

t.test('ids and keys are short, and there only if they are to be shown', async t => {
  t.strictSame(flights([leader('leader', 3)]), [{ method: 'GET', route: '/', age: 5, waiters: 3, phase: 'runs' }])
  t.strictSame(flights([leader('leader', 3)], { ids: true, keys: true }), [
    { method: 'GET', route: '/', age: 5, waiters: 3, phase: 'runs', leaderId: 'req-1', key: 'k'.repeat(512) }
  ])
  t.notOk('leaderId' in (flights([leader('peer', 0, { id: '' })], { ids: true, keys: true })[0] as object), 'another process has none that is known')
})

t.test('of any number those with the most waiters are told, in that order', async t => {
  const many = Array.from({ length: 1_000 }, (_, index) => leader('leader', (index * 7) % 1_000))
  t.strictSame(flights(many).map(({ waiters }) => waiters), Array.from({ length: 20 }, (_, index) => 999 - index))
  t.strictSame(flights([]), [])
})
