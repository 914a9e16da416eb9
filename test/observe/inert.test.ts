import t from 'tap'
import { ENOUGH, Inert } from '../../lib/observe/inert.js'
import { PartSets, WIDTH } from '../../lib/observe/part-sets.js'
import { Room } from '../../lib/observe/room.js'
import { random } from '../fixtures/heap.js'

type Key = Readonly<Record<string, string>>

const WINDOW = 5000

/** Requests whose parts and responses come from numbers at random. */
function tryParts (make: (next: (below: number) => number, count: number) => { key: Key, outcome: number, noise?: readonly number[] }, requests = 400, room = new Room(2 ** 22)): Inert {
  const bits = random(5)
  const inert = new Inert(WINDOW, room)
  for (let count = 0; count < requests; count++) {
    const { key, outcome, noise = [] } = make(below => bits() % below, count)
    inert.see(count, new Map(Object.entries(key)), outcome, noise)
  }
  return inert
}

const names = (inert: Inert): string[] => inert.findings().map(({ names }) => names.join('+')).sort()

t.test('a part is inert if the same response is made whatever it is, and else it is not', async t => {
  const inert = tryParts(next => {
    const [q, utm] = [next(3), next(3)]
    return { key: { '?q': String(q), '?utm': String(utm) }, outcome: q }
  })
  const [{ names, pairs, upTo }] = inert.findings() as [ReturnType<Inert['findings']>[number]]
  t.strictSame(names, ['?utm'])
  t.ok(pairs >= ENOUGH && upTo === 3 / pairs)
  inert.reset()
  t.strictSame(inert.findings(), [], 'with other eyes nothing is known yet')
})

t.test('one response that differs is enough', async t => {
  const outcome = (count: number): number => count === 200 ? 7 : 1
  t.strictSame(names(tryParts((next, count) => ({ key: { '?a': String(next(3)) }, outcome: outcome(count) }))), [])
})

t.test('few pairs are not enough, nor are those of long ago', async t => {
  t.strictSame(names(tryParts(next => ({ key: { '?a': String(next(3)) }, outcome: 1 }), 20)), [])
  const inert = new Inert(WINDOW, new Room(2 ** 20))
  for (let count = 0; count < 400; count++) inert.see(count * (WINDOW + 1), new Map([['?a', String(count)]]), 1, [])
  t.strictSame(names(inert), [])
})

t.test('parts that come and go together are found as one', async t => {
  const together = tryParts(next => {
    const [q, utm] = [next(2), next(3)]
    return { key: { '?q': String(q), ...utm > 0 && { '?utm_a': `a${utm}`, '?utm_b': `b${utm}` } }, outcome: q }
  }, 800)
  t.strictSame(names(together), ['?utm_a+?utm_b'])
})

t.test('a pair counts for a set only if all of its parts differ', async t => {
  const sets = new PartSets(WINDOW, new Room(2 ** 20))
  const see = (at: number, one: number, other: number): void => {
    const parts = new Float64Array(WIDTH)
    parts.set([one, other])
    sets.see(at, parts, one + other, 1)
  }
  for (let count = 0; count < 64; count++) see(count, count % 2 + 1, count % 2 + 1)
  for (let count = 0; count < 60; count++) see(count, 1, count)
  t.strictSame(sets.findings(), [{ indexes: [0, 1], pairs: 0 }])
  for (let count = 0; count < 60; count++) see(count, count, count)
  t.ok((sets.findings()[0]?.pairs ?? 0) >= 58)
})

t.test('sets that make a difference give way to others', async t => {
  const inert = tryParts((next, count) => {
    const phase = Math.floor(count / 400)
    const value = String(next(3))
    return { key: { [`?a${phase}`]: value, [`?b${phase}`]: value }, outcome: phase === 5 ? 1 : next(2) }
  }, 2400)
  t.strictSame(names(inert), ['?a5+?b5'])
})

t.test('whatever names are made up, what is asked often is still judged', async t => {
  const inert = tryParts((next, count) => ({ key: { '?q': String(next(2)), '?utm': String(next(2)), [`?${count}`]: '1' }, outcome: 1 }), 500)
  t.notOk(names(inert).some(name => /\d/.test(name)))
  const flooded = tryParts((next, count) => {
    const q = next(2)
    return { key: { '?q': String(q), '?utm': String(next(2)), ...count % 2 === 0 && { [`?${count}`]: '1' } }, outcome: q }
  }, 1500)
  t.ok(names(flooded).includes('?utm'), names(flooded).join())
})

t.test('a part that may choose among noisy values is not called inert; where values are new each time nothing chooses', async t => {
  const banners = (size: number): string[] => names(tryParts(next => {
    const [slot, ref] = [next(2), next(2)]
    return { key: { '?slot': String(slot), '?ref': String(ref) }, outcome: 1, noise: [slot * size + next(size)] }
  }, 800))
  t.strictSame(banners(10), ['?ref'])
  t.strictSame(names(tryParts((next, count) => ({ key: { '?ref': String(next(2)) }, outcome: 1, noise: [count] }))), ['?ref'])
})

t.test('with too many noisy places, or no room to look at them, nothing is called inert', async t => {
  const ref = (next: (below: number) => number): Key => ({ '?ref': String(next(2)) })
  t.strictSame(names(tryParts(next => ({ key: ref(next), outcome: 1, noise: Array.from({ length: 9 }, () => next(2 ** 30)) }))), [])
  const small = new Room(10_000)
  t.strictSame(names(tryParts(next => ({ key: ref(next), outcome: 1, noise: [next(2 ** 30)] }), 400, small)), [])
  t.ok(small.taken <= small.max)
})

t.test('names that are replaced, and sets and values with them, begin anew', async t => {
  const inert = tryParts((next, count) => {
    const key: Record<string, string> = {}
    for (let index = 0; index < 8; index++) key[`?${count}-${index}`] = String(next(2))
    return { key, outcome: 1, noise: [next(4)] }
  }, 100)
  t.strictSame(names(inert), [])
})

t.test('without room nothing is found, and nothing throws', async t => {
  t.strictSame(names(tryParts(next => ({ key: { '?a': String(next(2)) }, outcome: 1, noise: [1] }), 400, new Room(0))), [])
  for (let bytes = 500; bytes < 40_000; bytes += 700) {
    const room = new Room(bytes)
    tryParts(next => {
      const value = String(next(2000))
      return { key: { '?a': value, '?b': value, '?c': String(next(9)) }, outcome: next(30), noise: [next(3)] }
    }, 400, room)
    t.ok(room.taken <= bytes)
  }
})
