import fc from 'fast-check'
import t from 'tap'
import { digestOf, digestOfBytes, hashOf, minus, MODULUS, plus } from '../../lib/observe/hashes.js'
import { MAX_NAMES, Names } from '../../lib/observe/names.js'
import { Room } from '../../lib/observe/room.js'
import { Sampler } from '../../lib/observe/sampler.js'
import { SKIP_REASONS } from '../../lib/observe/skip-reasons.js'
import { Table } from '../../lib/observe/table.js'
import { TimeBudget } from '../../lib/observe/time-budget.js'
import { Ttls } from '../../lib/observe/ttls.js'
import { random } from '../fixtures/heap.js'

const count = (sampler: Sampler, of: number): number => Array.from({ length: of }, () => sampler.next()).filter(Boolean).length

t.test('hashes are numbers of 48 bits, of short texts and long ones', async t => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.string({ minLength: 60, maxLength: 200 })), text => {
    for (const hash of [hashOf(text), digestOf(text)]) if (!Number.isSafeInteger(hash) || hash < 0 || hash >= MODULUS) return false
    return hashOf(text) === hashOf(`${text}`)
  }))
  const texts = Array.from({ length: 20_000 }, (_, index) => `name=${index}`)
  t.equal(new Set(texts.map(hashOf)).size, texts.length)
  t.not(hashOf('a'.repeat(49)), hashOf('a'.repeat(50)))
  t.equal(digestOfBytes('head', Buffer.from('body')), digestOf('headbody'), 'bytes are as their text')
})

t.test('a sum of hashes does not depend on their order, and what was added can be taken away', async () => {
  fc.assert(fc.property(fc.array(fc.string(), { minLength: 1 }), fc.nat(), (texts, which) => {
    const sum = (of: readonly string[]): number => of.map(hashOf).reduce(plus, 0)
    const index = which % texts.length
    return sum(texts) === sum(texts.toReversed()) && minus(sum(texts), hashOf(texts[index] as string)) === sum(texts.toSpliced(index, 1))
  }))
})

t.test('of 1,000 a rate of 0.01 picks exactly 10, one of each hundred, at other places each time', async t => {
  const next = random(3)
  const places = new Set<number>()
  for (let round = 0; round < 20; round++) {
    const sampler = new Sampler(0.01, () => next() / 2 ** 32)
    for (let block = 0; block < 10; block++) {
      const picked = Array.from({ length: 100 }, () => sampler.next())
      t.equal(picked.filter(Boolean).length, 1)
      places.add(picked.indexOf(true))
    }
  }
  t.ok(places.size > 50, `${places.size} places`)
})

t.test('any rate is kept exactly, up to one block', async t => {
  fc.assert(fc.property(fc.double({ min: 0.001, max: 1, noNaN: true }), fc.integer({ min: 1, max: 3000 }), fc.double({ min: 0, max: 0.999, noNaN: true }),
    (rate, of, chance) => Math.abs(count(new Sampler(rate, () => chance), of) - rate * of) <= 1 + 1e-3))
  for (const [rate, of, exactly] of [[0.3, 1000, 300], [0.07, 100, 7], [0.7, 1000, 700], [1, 50, 50], [0, 50, 0]] as const) {
    t.equal(count(new Sampler(rate), of), exactly, `${exactly} of ${of}`)
  }
})

t.test('a sampler stays exact after very many', async t => {
  const sampler = new Sampler(1)
  t.equal(count(sampler, 1_000_001), 1_000_001)
  t.equal(count(sampler, 10), 10)
})

t.test('work takes no more than its part of the time, and may take what was not used for some seconds', async t => {
  let [now, worked] = [0, 0]
  const budget = new TimeBudget(0.01, () => now, () => worked)
  let [done, refused] = [0, 0]
  for (; now < 100_000; now++) {
    if (budget.begin()) {
      worked += 0.3
      budget.end()
      done++
    } else refused++
  }
  t.ok(budget.seconds <= 1.1 * 0.01 * 100, `${budget.seconds} s of 100 s`)
  t.ok(budget.seconds > 0.99 * 0.01 * 100)
  t.equal(done + refused, 100_000)
  now += 1e9
  t.ok(budget.begin(), 'there is time again')
  worked += 50
  budget.end()
  t.notOk(budget.begin(), 'but no more than five seconds make')
  t.notOk(new TimeBudget(0, () => 1, () => 1).begin())
})

t.test('a room gives no more bytes than it has', async t => {
  const room = new Room(100)
  t.equal(room.take(60), true)
  t.equal(room.take(41), false)
  t.equal(room.taken, 60)
  room.give(60)
  t.equal(room.take(100), true)
})

t.test('a table grows while there is room for it, and forgets no row while it is half empty', async t => {
  const room = new Room(2 ** 20)
  const table = new Table(1, 256, room)
  const seen = Array.from({ length: 16 }, (_, index) => index * 2)
  for (const hash of seen) {
    const place = table.placeOf(hash)
    table.claim(place, hash)
    table.set(place, 0, hash + 7)
  }
  for (const hash of seen) t.ok(table.has(table.placeOf(hash), hash) && table.get(table.placeOf(hash), 0) === hash + 7)
  for (let hash = 1; hash < 5000; hash += 3) table.claim(table.placeOf(hash), hash)
  t.equal(room.taken, 256 * 2 * 8, 'up to its bound')
  table.clear()
  t.notOk(table.has(table.placeOf(4), 4))
  table.drop()
  t.equal(room.taken, 0)
  t.equal(new Table(1, 256, new Room(10)).placeOf(3), -1, 'and is none without room')
  const small = new Table(1, 256, new Room(32 * 2 * 8))
  for (let hash = 0; hash < 100; hash++) small.claim(small.placeOf(hash), hash)
  t.ok(small.has(small.placeOf(99), 99), 'with little room it stays small')
})

t.test('names that are asked often keep their numbers, whatever names are made up', async t => {
  const replaced: number[] = []
  const room = new Room(2 ** 20)
  const names = new Names(room, index => { replaced.push(index) })
  for (let request = 0; request < 5000; request++) {
    names.begin()
    const known = names.see('?q')
    if (request > 0 && known?.index !== 0) t.fail('the name has another number')
    for (let made = 0; made < 20; made++) names.see(`?${request}-${made}`)
    names.see('x'.repeat(1000))
  }
  t.equal(names.size, MAX_NAMES)
  t.ok(replaced.length > 10_000 && !replaced.includes(0))
  t.ok([...names].every(({ name }) => name.length < 100))
  t.ok(room.taken > 0)
  names.clear()
  t.equal(names.size + room.taken, 0)
  const none = new Names(new Room(0), () => {})
  none.begin()
  t.equal(none.see('?q'), undefined, 'without room there are none')
})

t.test('a simulated ttl hits what it would have kept, and is wrong where the response has changed since', async t => {
  const ttls = new Ttls(new Room(2 ** 20))
  for (let at = 0; at < 10_000; at += 100) ttls.see(1, at, Math.floor(at / 2500))
  const [second, five, half] = ttls.findings()
  t.equal(second?.ttl, 1000)
  t.ok(Math.abs((second?.hits ?? 0) - 0.9) < 0.03 && second?.wrong as number < 0.25, JSON.stringify(second))
  t.ok((five?.hits ?? 0) > 0.95 && five?.wrong as number > 0.4, JSON.stringify(five))
  t.equal(half?.hits, 0.99)
  ttls.reset()
  t.strictSame(ttls.findings(), [], 'of few requests nothing is said')
  for (let key = 0; key < 40; key++) ttls.see(key, 0, 0)
  t.match(ttls.findings()[0], { hits: 0, wrong: 0 })
  const none = new Ttls(new Room(0))
  for (let at = 0; at < 100; at++) none.see(1, at, 0)
  t.strictSame(none.findings(), [])
})

t.test('the reasons why a response is not compared are a closed set', async t => {
  t.ok(Object.isFrozen(SKIP_REASONS))
  t.equal(new Set(SKIP_REASONS).size, SKIP_REASONS.length)
  t.ok(SKIP_REASONS.every(reason => /^[a-z-]+$/.test(reason)))
})
