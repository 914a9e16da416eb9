import t from 'tap'
import { Variants } from '../lib/variants.js'
import type { Route } from '../lib/visit.js'

t.test('of the headers that streams read late the last few are known for each route, however many there were', t => {
  const variants = new Variants()
  const [route, other] = [{}, {}] as Route[] as [Route, Route]
  for (let index = 0; index < 1_000; index++) variants.readLate(route, [`x-${index}`])
  variants.readLate(other, ['x-0', 'x-0'])
  t.equal(variants.lateReads(route).size, 64)
  t.ok(variants.lateReads(route).has('x-999'))
  variants.readLate(route, Array.from({ length: 1_000 }, (_, index) => `y-${index}`))
  t.equal(variants.lateReads(route).size, 64)
  t.strictSame([...variants.lateReads(other)], ['x-0'])
  t.strictSame([...variants.lateReads({} as Route)], [])
  t.end()
})
