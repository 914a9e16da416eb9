import fc from 'fast-check'
import t from 'tap'
import { Turns, type InTurn } from '../../lib/protection/turns.js'

interface Named extends InTurn {
  readonly name: string
}

const one = (name: string, rank: number, since = 0): Named => ({ name, rank, since, order: 0, due: 0, placeToRun: -1, placeToGo: -1 })

/** The names of all who wait, in the order in which they run; afterwards nobody waits. */
function drained (turns: Turns<Named>): string {
  const names: string[] = []
  for (let first = turns.first; first !== undefined; first = turns.first) {
    names.push(first.name)
    turns.remove(first)
  }
  return names.join(' ')
}

t.test('the more urgent one runs first, and of those equally urgent the one that came first', async t => {
  const turns = new Turns<Named>(1000)
  t.equal(turns.first, undefined)
  t.equal(turns.last, undefined)
  for (const each of [one('low', 2), one('normal', 1), one('high', 0), one('low too', 2, 5), one('high too', 0, 5)]) turns.add(each)

  t.equal(turns.size, 5)
  t.equal(drained(turns), 'high high too normal low low too')
  t.equal(turns.size, 0)
})

t.test('one that has waited longer by so much a rank runs before a more urgent one', async t => {
  const turns = new Turns<Named>(100)
  for (const each of [one('low', 2, 0), one('normal', 1, 99), one('high', 0, 201), one('high before', 0, 199)]) turns.add(each)

  t.equal(drained(turns), 'normal high before low high')
})

t.test('without ageing a more urgent one always runs first', async t => {
  const turns = new Turns<Named>(Infinity)
  for (const each of [one('low', 1, 0), one('high', 0, 1e9), one('low too', 1, 0)]) turns.add(each)

  t.equal(drained(turns), 'high low low too')
})

t.test('with ageing of nothing all run as they came', async t => {
  const turns = new Turns<Named>(0)
  for (const each of [one('low', 1, 3), one('high', 0, 3), one('later', 0, 4)]) turns.add(each)

  t.equal(drained(turns), 'low high later')
})

t.test('the youngest of the least urgent has to go first, however long the others have waited', async t => {
  const turns = new Turns<Named>(1)
  const all = [one('high', 0, 0), one('low', 1, 0), one('low too', 1, 9), one('high too', 0, 10)]
  for (const each of all) turns.add(each)
  const gone: string[] = []
  for (let last = turns.last; last !== undefined; last = turns.last) {
    gone.push(last.name)
    turns.remove(last)
  }

  t.strictSame(gone, ['low too', 'low', 'high too', 'high'])
})

t.test('one that becomes more urgent keeps its age, and goes back to its place when it is less so again', async t => {
  const turns = new Turns<Named>(1000)
  const [first, second, third] = [one('first', 1), one('second', 1), one('third', 1)]
  for (const each of [first, second, third]) turns.add(each)
  turns.add(one('high', 0, 5))

  turns.move(second, 0)
  t.equal(turns.first, second, 'it came before the other one')
  t.equal(turns.last, third)
  turns.move(third, 0)
  t.equal(turns.last, first)
  turns.move(second, 1)
  turns.move(third, 1)
  t.equal(turns.last, third)
  t.equal(drained(turns), 'high first second third')
})

t.test('who has left does not leave again', async t => {
  const turns = new Turns<Named>(1000)
  const [first, second] = [one('first', 0), one('second', 0)]
  turns.add(first)
  turns.add(second)

  t.equal(turns.remove(first), true)
  t.equal(turns.has(first), false)
  t.equal(turns.remove(first), false)
  t.equal(turns.has(second), true)
  t.equal(drained(turns), 'second')
})

t.test('whatever comes, moves and leaves, those who wait are in the order of a list that is sorted', t => {
  const step = fc.record({ what: fc.constantFrom('add', 'add', 'move', 'remove', 'wait'), whom: fc.nat(), rank: fc.nat(3) })
  fc.assert(fc.property(fc.constantFrom(0, 7, 1000, Infinity), fc.array(step, { maxLength: 120 }), (aging, steps) => {
    const turns = new Turns<Named>(aging)
    const list: Named[] = []
    let [now, come] = [0, 0]
    for (const { what, whom, rank } of steps) {
      const chosen = list[whom % Math.max(list.length, 1)]
      if (what === 'wait') now += whom % 20
      else if (what === 'add') {
        const newcomer = one(`${come++}`, rank, now)
        list.push(newcomer)
        turns.add(newcomer)
      } else if (chosen !== undefined && what === 'move') turns.move(chosen, rank)
      else if (chosen !== undefined) {
        list.splice(list.indexOf(chosen), 1)
        if (!turns.remove(chosen)) return false
      }
      const toRun = list.toSorted((a, b) => (aging === Infinity ? a.rank - b.rank : a.since + a.rank * aging - b.since - b.rank * aging) || Number(a.name) - Number(b.name))
      const toGo = list.toSorted((a, b) => b.rank - a.rank || Number(b.name) - Number(a.name))
      if (turns.first !== toRun[0] || turns.last !== toGo[0] || turns.size !== list.length) return false
      if (turns.all.toSorted((a, b) => a.order - b.order).join() !== list.join()) return false
      if (what === 'remove' && whom % 10 === 0) {
        if (drained(turns) !== toRun.map(({ name }) => name).join(' ')) return false
        list.length = 0
      }
    }
    return true
  }), { numRuns: 500 })
  t.end()
})

t.test('with many who wait, one that comes, moves or goes is compared with few', async t => {
  const turns = new Turns<Named>(1000)
  let comparisons = 0
  const counted = (rank: number, since: number): Named => {
    let due = 0
    return {
      ...one('', rank, since),
      get due () {
        comparisons++
        return due
      },
      set due (value) { due = value }
    }
  }
  const all = Array.from({ length: 4096 }, (_, index) => counted(index % 3, index))
  for (const each of all) turns.add(each)

  comparisons = 0
  for (const each of all.slice(1000, 1100)) turns.move(each, 0)
  for (const each of all.slice(1000, 1100)) turns.remove(each)
  for (let count = 0; count < 100; count++) turns.remove(turns.last as Named)
  t.ok(comparisons < 300 * 120, `each looked at ${comparisons / 300}`)
})
