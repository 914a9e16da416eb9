import t from 'tap'
import { PurgeTimes } from '../../../lib/engine/cache/purge-times.js'

t.test('nothing is marked at first', t => {
  const marks = new PurgeTimes()
  t.equal(marks.isMarkedSince(-Infinity, ['a']), false)
  t.equal(marks.isMarkedSince(0, []), false)
  t.end()
})

t.test('a label is found marked since any moment up to its last mark, that one included', t => {
  const marks = new PurgeTimes()
  marks.mark('a', 10)
  t.equal(marks.isMarkedSince(9, ['a']), true)
  t.equal(marks.isMarkedSince(10, ['a']), true)
  t.equal(marks.isMarkedSince(10.001, ['a']), false)
  marks.mark('a', 20)
  t.equal(marks.isMarkedSince(15, ['a']), true)
  t.equal(marks.isMarkedSince(20.001, ['a']), false)
  t.end()
})

t.test('one of many labels is enough, wherever it stands, and no other label counts', t => {
  const marks = new PurgeTimes()
  marks.mark('b', 10)
  t.equal(marks.isMarkedSince(5, ['a', 'b', 'c']), true)
  t.equal(marks.isMarkedSince(5, ['c', 'a', 'b']), true)
  t.equal(marks.isMarkedSince(5, []), false)
  // Two labels share a place once in 65,536 times, so not always.
  t.ok(Array.from({ length: 100 }, (_, index) => marks.isMarkedSince(5, [`other ${index}`])).some(marked => !marked))
  t.end()
})

t.test('of many labels none that was marked is ever missed, and few others are found', t => {
  const marks = new PurgeTimes()
  const labels = Array.from({ length: 5000 }, (_, index) => `tag:${index}`)
  for (const [at, label] of labels.entries()) marks.mark(label, at)
  t.equal(labels.filter((label, at) => !marks.isMarkedSince(at, [label])).length, 0)
  const found = Array.from({ length: 10_000 }, (_, index) => marks.isMarkedSince(0, [`path:${index}`])).filter(Boolean).length
  t.ok(found < 1200, `${found} of 10,000 that were not marked; about 740 are to be expected`)
  t.end()
})

t.test('which labels share a place differs from one to the next', t => {
  const collide = (marks: PurgeTimes): string => {
    for (let index = 0; index < 600; index++) marks.mark(`tag:${index}`, 1)
    return Array.from({ length: 5000 }, (_, index) => marks.isMarkedSince(1, [`path:${index}`]) ? '1' : '0').join('')
  }
  t.not(collide(new PurgeTimes()), collide(new PurgeTimes()))
  t.end()
})

t.test('all characters of a label count', t => {
  const marks = new PurgeTimes()
  marks.mark('tag:1', 1)
  const others = ['tag:2', 'tag:11', 'tag:', '', 'xag:1', 'tag:\u0131', 'TAG:1']
  t.ok(others.filter(label => marks.isMarkedSince(0, [label])).length <= 1)
  t.end()
})

t.test('all labels can be marked at once', t => {
  const marks = new PurgeTimes()
  marks.markAll(5)
  t.equal(marks.isMarkedSince(5, ['tag:1']), true)
  t.equal(marks.isMarkedSince(6, ['tag:1']), false)
  marks.mark('tag:1', 7)
  t.equal(marks.isMarkedSince(6, ['tag:1']), true)
  t.equal(marks.isMarkedSince(6, ['tag:2']), false)
  t.end()
})
