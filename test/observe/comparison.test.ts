import fc from 'fast-check'
import t from 'tap'
import { Allowance } from '../../lib/observe/allowance.js'
import { Comparison, type ComparisonSettings, type Offered } from '../../lib/observe/comparison.js'
import type { Inputs, Sighting } from '../../lib/observe/sighting.js'
import { Witnesses } from '../../lib/observe/witnesses.js'
import type { ComparedResponse, Verdict } from '../../types/index.js'
import { TestClock } from '../fixtures/gate.js'

type Named = Readonly<Record<string, string>>
interface Seen { key?: string, client?: string | undefined, body?: string | Uint8Array | null, status?: number, type?: string, headers?: string, own?: readonly string[], parts?: Named, outside?: Named }

const inputs = (named: Named = {}) => (): Inputs => new Map(Object.entries(named))

/** A route on a clock of its own. */
class Route {
  readonly clock = new TestClock()
  readonly allowance: Allowance
  readonly comparison: Comparison

  constructor (settings: Partial<ComparisonSettings> = {}, { budget = 1, maxBytes = 2 ** 20, took = 0 } = {}) {
    let worked = 0
    this.allowance = new Allowance({ budget, maxBytes, clock: this.clock, stopwatch: () => (worked += took) })
    this.comparison = new Comparison({ window: 5000, ignore: [], clean: undefined, cleanThrew: () => {}, ...settings }, this.allowance)
  }

  sighting ({ key = 'k', client, body = 'same', status = 200, type = 'text/plain', headers, own = [], parts, outside }: Seen): Sighting {
    return { at: this.clock.now(), key, client, body, status, type, headers, own, parts: inputs(parts), outside: inputs(outside) }
  }

  see (seen: Seen): ReturnType<Comparison['see']> {
    return this.comparison.see(this.sighting(seen))
  }

  pair (shared: Partial<Offered>, own: Seen): ReturnType<Comparison['pair']> {
    return this.comparison.pair({ status: 200, type: 'text/plain', body: 'same', client: undefined, outside: undefined, own: [], ...shared }, this.sighting(own))
  }

  get verdict (): Verdict {
    return this.comparison.findings().verdict
  }
}

t.test('responses of different clients for one key are compared, byte for byte', async t => {
  const route = new Route()
  t.equal(route.see({ client: 'a' }), undefined, 'with nobody before')
  t.equal(route.see({ client: 'b' }), 'equal')
  t.equal(route.see({ client: 'b' }), undefined, 'a client with itself is no pair of different ones')
  t.equal(route.see({ key: 'other', client: 'c' }), undefined, 'nor are different keys')
  t.equal(route.see({}), 'equal', 'a client that is not known is another')
  t.equal(route.see({}), 'equal', 'each time')
  t.equal(route.see({ client: 'a', body: Buffer.from('same') }), 'equal', 'bytes are as their text')
  t.equal(route.see({ client: 'b', body: 'other' }), 'differs')
  t.equal(route.see({ client: 'c', body: null }), 'differs')
  t.equal(route.see({ client: 'd', body: '' }), 'equal')
  for (const other of [{ status: 404 }, { type: 'text/html' }, { headers: 'location: /a' }]) t.equal(route.see({ client: `e${JSON.stringify(other)}`, body: '', ...other }), 'differs')
  t.match(route.comparison.pairs, { between: { equal: 5, differs: 5 }, within: { equal: 2, differs: 1 } })
  t.equal(route.comparison.requests, 13)
})

t.test('what was seen longer ago than the window is not compared with, and is not held any longer', async t => {
  const route = new Route()
  route.see({ client: 'a' })
  route.clock.advance(4999)
  t.equal(route.allowance.shelf.size, 1)
  t.equal(route.see({ client: 'b' }), 'equal')
  route.clock.advance(1)
  t.equal(route.allowance.shelf.size, 1, 'the first is gone, although nobody came')
  route.clock.advance(5000)
  t.equal(route.allowance.shelf.size, 0)
  t.equal(route.see({ client: 'c', body: 'other' }), undefined)
  const late = { ...route.sighting({ client: 'd', body: 'x' }), at: route.clock.now() + 5001 }
  t.equal(route.comparison.see(late), undefined, 'by when the run began')
  route.allowance.close()
  t.strictSame([route.clock.timers, route.allowance.shelf.size], [0, 0], 'once the app closes nothing is left')
})

t.test('few pairs say nothing of being harmless', async t => {
  const route = new Route()
  for (let count = 0; count < 30; count++) route.see({ client: `c${count}` })
  t.equal(route.verdict, 'too-few')
  route.see({ client: 'last' })
  t.equal(route.verdict, 'equal')
})

t.test('a time of now in a body is noise', async t => {
  const route = new Route()
  for (let count = 0; count < 40; count++) {
    route.clock.advance(10)
    route.see({ client: `c${count}`, body: JSON.stringify({ at: new Date(route.allowance.wall).toISOString(), ok: true }) })
  }
  t.equal(route.verdict, 'noise')
  t.match(route.comparison.findings().pairs.between, { equal: 0, noise: 39, echo: 0, differs: 0 })
})

t.test('what is of its own request is an echo, and one is enough', async t => {
  const route = new Route()
  const seen = (id: string): Seen => ({ client: id, own: [id], body: `{"id":"${id}"}` })
  route.see(seen('req-1'))
  t.equal(route.see(seen('req-2')), 'echo')
  t.equal(route.verdict, 'echo')
  const ignoring = new Route({ ignore: ['$.id'] })
  ignoring.see(seen('req-1'))
  t.equal(ignoring.see(seen('req-2')), 'noise', 'unless it may differ')
})

t.test('a difference is unknown without a baseline, and differs with one', async t => {
  const route = new Route()
  const body = (client: string): string => JSON.stringify({ user: client })
  for (let count = 0; count < 40; count++) route.see({ client: `c${count}`, body: body(`c${count}`) })
  t.equal(route.verdict, 'unknown')
  t.match(route.comparison.findings().differences, [{ path: '$.user', between: 1, within: undefined }])
  for (let count = 0; count < 9; count++) route.see({ client: `c${count}`, body: body(`c${count}`) })
  t.equal(route.verdict, 'unknown', 'nine pairs of one client are none')
  for (let count = 0; count < 12; count++) route.see({ client: `c${count}`, body: body(`c${count}`) })
  t.equal(route.verdict, 'differs')
  t.match(route.comparison.findings().differences, [{ path: '$.user', between: 1, within: 0 }])
})

t.test('what differs as often for one client is learned to be noise, and pairs that were seen before are judged by that', async t => {
  const route = new Route()
  for (let count = 0; count < 60; count++) route.see({ client: `c${count % 7}`, body: JSON.stringify({ took: count, id: 1 }) })
  const { verdict, noise, differences, pairs } = route.comparison.findings()
  t.match({ verdict, noise, differences }, { verdict: 'noise', noise: ['$.took'], differences: [] })
  t.match(pairs, { between: { noise: 59, differs: 0 }, within: { noise: 53, differs: 0 } })
  t.ok(route.comparison.pairs.between.differs > 0, 'the live counts only grow')
  t.equal(route.see({ client: 'new', body: '{"took":-1,"id":1}' }), 'noise')
  t.equal(route.see({ client: 'newer', body: '{"took":-1,"id":2}' }), 'differs', 'but what else differs is told at once')
  t.equal(route.verdict === 'noise', false)
})

t.test('of noise that turns out to be a leak, it is told', async t => {
  const route = new Route()
  for (let count = 0; count < 60; count++) route.see({ client: `c${count % 7}`, body: JSON.stringify({ x: count >> 1, id: 1 }) })
  t.equal(route.verdict, 'noise')
  for (let count = 0; count < 900; count++) route.see({ client: `c${count % 7}`, body: JSON.stringify({ x: `c${count % 7}`, id: 1 }) })
  t.equal(route.verdict, 'differs')
  t.strictSame(route.comparison.findings().noise, [])
})

t.test('a client alone, however often it asks, cannot have a difference called noise', async t => {
  for (const differing of ['name', 'id']) {
    const route = new Route()
    const body = (n: number): string => JSON.stringify({ name: differing === 'id' ? `0123456789abcdef${String(n).padStart(4, '0')}` : n })
    let honest = 0
    const ask = (): void => { for (let count = 0; count < 60; count++) route.see({ client: 'attacker', body: body(9000 - 60 * honest - count) }) }
    ask()
    t.strictSame(route.comparison.findings().noise, [])
    t.equal(route.comparison.pairs.within.differs, 3, 'a few of its pairs count')
    for (; honest < 100; honest++) {
      route.see({ client: `c${honest % 20}`, body: body(honest % 20) })
      ask()
    }
    const { noise, pairs: { within }, verdict } = route.comparison.findings()
    t.strictSame([verdict, noise, within.equal], ['differs', [], 80])
    t.ok(within.differs >= 15 && within.differs <= 21, `${within.differs} are a fifth`)
  }
})

t.test('in verify mode a pair of a client that has made too many is not counted, and is told as it compares', async t => {
  const route = new Route()
  const pair = (count: number, body = `${count}`): string => route.pair({ client: 'a', body: `${count}` }, { client: 'a', body })
  for (let count = 0; count < 3; count++) route.see({ client: 'a' })
  t.equal(pair(1, '2'), 'noise')
  t.equal(pair(1, '2'), 'noise')
  t.equal(pair(1), 'equal')
  t.match(route.comparison.pairs.within, { equal: 2, differs: 1 })
})

t.test('of more clients than are remembered the last ones are, and without room for one it does not count', async t => {
  const route = new Route()
  for (let client = 0; client < 300; client++) {
    for (let count = 0; count < 4; count++) route.see({ client: `c${client}` })
  }
  t.equal(route.comparison.pairs.within.equal, 900)
  const full = new Route()
  full.see({ client: 'a' })
  const { room } = full.allowance
  room.take(room.max - room.taken)
  t.equal(new Witnesses(room).admits('a'), false)
})

t.test('all places past the bound are never learned to be noise', async t => {
  const route = new Route()
  for (let count = 0; count < 200; count++) {
    route.see({ client: `c${count % 5}`, body: JSON.stringify(Object.fromEntries(Array.from({ length: 70 }, (_, index) => [`k${index}`, count]))) })
  }
  const { verdict, differences, noise } = route.comparison.findings()
  t.equal(verdict, 'unknown')
  t.strictSame(differences.map(({ path }) => path), ['<others>'])
  t.equal(noise.length, 63)
})

t.test('the input that goes with a difference is named', async t => {
  const route = new Route()
  for (let count = 0; count < 100; count++) {
    const ab = count % 3 === 0 ? 'a' : 'b'
    const outside = { 'cookie ab': ab, 'cookie session': `s${count % 9}`, 'header accept': 'x', [`?x${count}`]: '1' }
    route.see({ client: `c${count % 9}`, outside, body: JSON.stringify({ hero: ab }) })
  }
  const [difference] = route.comparison.findings().differences
  t.match(difference, { path: '$.hero', causes: [{ name: 'cookie ab', whenDiffers: 1, whenSame: 0 }] })
  t.notOk(JSON.stringify(difference).includes('header accept'))
})

t.test('what differs in all pairs explains nothing that differs in some of them', async t => {
  const route = new Route()
  for (let count = 0; count < 100; count++) {
    route.see({ client: undefined, outside: { 'header user-agent': `agent ${count}` }, body: JSON.stringify({ hero: count % 4 < 2 }) })
  }
  t.match(route.comparison.findings().differences, [{ path: '$.hero', causes: [] }])
})

t.test('inputs are asked for only once responses have differed', async t => {
  const route = new Route()
  let asked = 0
  const see = (client: string, body: string): unknown => route.comparison.see({ ...route.sighting({ client, body }), outside: () => { asked++; return new Map() } })
  see('a', '1')
  see('b', '1')
  t.equal(asked, 0)
  see('c', '2')
  see('d', '2')
  t.equal(asked, 2, 'once each')
})

t.test('in verify mode one pair that differs is told at once', async t => {
  const route = new Route()
  t.equal(route.pair({ client: 'a' }, { client: 'b' }), 'equal')
  t.equal(route.pair({ client: 'a', body: '{"u":1}', outside: inputs({ 'cookie ab': 'a' }) }, { client: 'b', body: '{"u":2}', outside: { 'cookie ab': 'b' } }), 'differs')
  t.equal(route.verdict, 'unknown')
  const ask = (client: string): unknown => route.pair({ client: 'a', body: '{"u":1}', outside: inputs({ 'cookie ab': 'a' }) }, { client, body: '{"u":2}', outside: { 'cookie ab': 'b' } })
  for (let count = 0; count < 12; count++) ask('b')
  t.equal(route.verdict, 'unknown', 'those of one client are too few')
  for (let count = 0; count < 20; count++) ask(`c${count % 4}`)
  t.equal(route.verdict, 'differs', 'the own runs of four clients are a baseline')
  t.match(route.comparison.findings().differences, [{ path: '$.u', causes: [{ name: 'cookie ab' }] }])
  t.equal(route.pair({ client: 'c', body: 'x' }, { client: 'c', body: 'y' }), 'noise', 'what differs for one client reaches nobody else')
  t.equal(route.pair({ client: undefined, body: 'x' }, { client: undefined, body: 'y' }), 'differs', 'but clients that are not known may be different ones')
  t.strictSame(route.comparison.findings().ttls, [], 'no cache is simulated')
})

t.test('what was offered may have been made some time ago', async t => {
  const route = new Route()
  const at = (ago: number): string => JSON.stringify({ at: new Date(route.allowance.wall - ago).toISOString() })
  t.equal(route.pair({ client: 'a', body: at(3_600_000) }, { client: 'b', body: at(0) }), 'noise')
  t.equal(route.pair({ client: 'a', body: at(0) }, { client: 'b', body: at(3_600_000) }), 'differs', 'but not what was made just now')
})

t.test('clean makes the text that is compared; if it throws, the response is skipped, and that is told once', async t => {
  const errors: unknown[] = []
  const clean = ({ status, type, body }: ComparedResponse): string => {
    if (body === 'throw') throw new Error('as it is told')
    return body === 'number' ? 1 as never : `${status} ${type} ${body.replace(/\d+/, '')}`
  }
  const route = new Route({ clean, cleanThrew: error => errors.push(error) })
  route.see({ client: 'a', body: 'x1' })
  t.equal(route.see({ client: 'b', body: Buffer.from('x2') }), 'equal')
  t.equal(route.see({ client: 'c', body: 'throw' }), 'skipped')
  t.equal(route.see({ client: 'c', body: 'number' }), 'skipped')
  t.equal(route.pair({ body: 'throw' }, { body: 'x1' }), 'skipped')
  t.match(errors[0], { message: 'as it is told' })
  t.equal(errors.length, 3)
  t.match(route.comparison.findings().skipped, { 'clean-threw': 3 })
  const other = new Route({ clean: () => undefined as never, cleanThrew: error => errors.push(error) })
  other.see({})
  t.match(errors[3], { message: 'clean has to return a string, and returned undefined' })
})

t.test('what is past the allowance is skipped and counted by reason', async t => {
  const route = new Route({}, { maxBytes: 16_000 })
  t.equal(route.see({ body: 'x'.repeat(2001) }), 'skipped')
  t.equal(route.see({ body: 'x'.repeat(1900) }), 'skipped', 'with all that is held of it')
  t.equal(route.pair({ body: 'x'.repeat(2001) }, { body: 'x' }), 'skipped')
  route.comparison.skip('stream')
  t.strictSame(route.comparison.findings().skipped, { 'too-large': 3, stream: 1 })
  t.equal(route.comparison.skipped.budget, 0, 'the live ones have all reasons')

  const busy = new Route({}, { budget: 0.01, took: 60 })
  busy.see({ client: 'a' })
  t.equal(busy.see({ client: 'b' }), 'skipped')
  t.match(busy.comparison.findings().skipped, { budget: 1 })
  t.ok(busy.allowance.seconds > 0)
  busy.clock.advance(10_000)
  t.equal(busy.see({ client: 'c' }), undefined)
})

t.test('whatever requests say, there is room for their responses', async t => {
  const route = new Route({}, { maxBytes: 6000 })
  route.see({ client: 'a', outside: {}, body: '1' })
  route.see({ client: 'b', outside: {}, body: '2' })
  const many = Object.fromEntries(Array.from({ length: 8 }, (_, index) => [`x${index}`, '1']))
  for (let round = 0; round < 40; round++) {
    route.see({ client: 'c', body: '3', outside: Object.fromEntries(Object.keys(many).map(name => [`${name}${round % 8}`, '1'])) })
  }
  t.ok(route.allowance.shelf.size > 0)
})

t.test('a noisy place that is not always there is noise all the same', async t => {
  const route = new Route()
  for (let count = 0; count < 100; count++) route.see({ client: `c${count % 7}`, parts: { '?a': `${count % 3}` }, body: JSON.stringify({ ok: 1, ...count % 2 === 0 && { took: count } }) })
  t.match(route.comparison.findings(), { verdict: 'noise', noise: ['$.took'], inert: [{ names: ['?a'] }] })
})

t.test('time is taken from the clock of the registration, and what comparing takes from that of the machine', async t => {
  const clock = Object.assign(new TestClock(), { wall: () => 7 })
  const allowance = new Allowance({ budget: 1, maxBytes: 1000, clock })
  t.equal(allowance.wall, 7)
  t.ok(allowance.time.begin())
  allowance.time.end()
  t.ok(allowance.seconds >= 0 && allowance.seconds < 1)
})

t.test('hits are not simulated if many requests were not seen', async t => {
  const route = new Route()
  for (let count = 0; count < 50; count++) route.see({})
  t.equal(route.comparison.findings().ttls.length, 4)
  for (let count = 0; count < 10; count++) route.comparison.skip('not-sampled')
  t.strictSame(route.comparison.findings().ttls, [])
})

t.test('at most 256 responses are held, and a busy route does not crowd out another', async t => {
  const clock = new TestClock()
  const allowance = new Allowance({ budget: 1, maxBytes: 2 ** 20, clock, stopwatch: () => 0 })
  const settings = { window: 5000, ignore: [], clean: undefined, cleanThrew: () => {} }
  const [busy, quiet] = [new Comparison(settings, allowance), new Comparison(settings, allowance)]
  const seen = (key: string, client: string): Sighting => ({ at: 0, key, client, body: 'same', status: 200, type: undefined, own: [], parts: inputs(), outside: inputs() })
  for (let count = 0; count < 3; count++) quiet.see(seen('k', `c${count}`))
  for (let count = 0; count < 2000; count++) busy.see(seen(`k${count}`, 'c'))
  t.equal(allowance.shelf.size, 256)
  t.match([busy.findings().skipped, quiet.findings().skipped], [{ bytes: 2000 + 3 - 256 }, {}])
  t.equal(busy.findings().ttls.length, 4, 'hits are simulated of all that was seen')
  t.equal(quiet.see(seen('k', 'd')), 'equal')
  t.equal(busy.see(seen('k1999', 'd')), 'equal')
})

t.test('nothing that makes a difference is called inert, on any route', async () => {
  const values = fc.record({ matters: fc.boolean(), values: fc.integer({ min: 2, max: 4 }), noisy: fc.boolean() })
  fc.assert(fc.property(fc.array(values, { minLength: 1, maxLength: 5 }), fc.boolean(), fc.infiniteStream(fc.integer({ min: 0, max: 2 ** 30 })), (parts, hasTook, chance) => {
    const route = new Route()
    const next = (): number => chance.next().value as number
    for (let count = 0; count < 300; count++) {
      route.clock.advance(5)
      const key = Object.fromEntries(parts.map(({ values }, index) => [`?p${index}`, String(next() % values)]))
      const body = Object.fromEntries(parts.flatMap(({ matters, noisy }, index) => matters ? [[`x${index}`, (noisy ? next() % 20 * 10 : 0) + Number(key[`?p${index}`])]] : []))
      route.see({ key: JSON.stringify(key), client: `c${next() % 12}`, parts: key, body: JSON.stringify({ ...body, ...hasTook && { took: next() % 30 } }) })
    }
    const inert = route.comparison.findings().inert.flatMap(({ names }) => names)
    return parts.every(({ matters }, index) => !matters || !inert.includes(`?p${index}`))
  }), { numRuns: 60 })
})

t.test('whatever comes, the bounds hold and nothing throws', async () => {
  const text = fc.oneof(fc.string(), fc.json(), fc.constant('__proto__'), fc.constant('{"__proto__":{"a":1}}'))
  const seen = fc.record({ key: text, client: fc.option(text, { nil: undefined }), body: fc.oneof(text, fc.uint8Array(), fc.constant(null)), status: fc.nat(), own: fc.array(text), parts: fc.dictionary(text, text), outside: fc.dictionary(text, text) })
  fc.assert(fc.property(fc.array(seen, { maxLength: 60 }), fc.integer({ min: 0, max: 200_000 }), (all, maxBytes) => {
    const route = new Route({ ignore: ['$.a*'] }, { maxBytes })
    for (const one of all) {
      route.see(one)
      route.pair({ body: one.body, client: one.client, own: one.own, outside: inputs(one.parts) }, { ...one, body: 'x' })
    }
    const { pairs, requests, skipped } = route.comparison.findings()
    const counted = [...Object.values(pairs.between), ...Object.values(pairs.within)].every(count => count >= 0)
    return counted && route.allowance.room.taken <= maxBytes / 2 && requests <= 2 * all.length && Object.values(skipped).every(count => count > 0)
  }), { numRuns: 60 })
})
