import { runInThisContext } from 'node:vm'
import t from 'tap'
import { CalledOn, isArrowFunction } from '../../lib/functions/called-on.js'

t.test('what functions are called on has a text each', async t => {
  const object = {}
  const calledOn = new CalledOn()
  const each = [undefined, object, {}, () => {}, 0, -0, 1, '1', '', 1n, true, 'true', NaN, '*']
  const texts = each.map(self => calledOn.textOf(self))
  t.equal(new Set(texts).size, each.length)
  t.strictSame(each.map(self => calledOn.textOf(self)), texts)
  t.equal(calledOn.textOf(null), '')
  t.equal(calledOn.textOf(Symbol('s')), undefined)
  t.not(new CalledOn().textOf(object), undefined)
  t.strictSame([undefined, null, object, {}, 1, ''].map(self => calledOn.knows(self)), [false, false, true, false, true, true])
})

t.test('arrow functions are told from all others', async t => {
  const texts = ['() => {}', 'async () => {}', 'a => a', 'async a => a', '$ => 1', 'ä=>1', 'async(a)=>a', "(a = ') {') => {}", 'async ({ a }) => {}', 'async /* so */ a => a']
  // A compiler would make other texts of them.
  const arrows = texts.map(text => runInThisContext(`(${text})`) as () => void)
  t.notOk(isArrowFunction(arrows.pop() as () => void), 'one that cannot be told')
  for (const arrow of arrows) t.ok(isArrowFunction(arrow), String(arrow))
  class Methods {
    async async () {}
    asynchronous () {}
    async plain () {}
    static async () {}
    async '(quoted' () {}
    * generator () {}
    async * asyncGenerator () {}
    get getter () { return 1 }
  }
  const methods = [...Object.values(Object.getOwnPropertyDescriptors(Methods.prototype)), ...Object.values(Object.getOwnPropertyDescriptors(Methods))]
    .map(({ get, value }) => (get ?? value) as unknown).filter(value => typeof value === 'function') as Array<() => void>
  t.equal(methods.length, 9)
  const others = [function () {}, async function () {}, async function named () {}, isArrowFunction.bind(null), Methods, String, new Proxy(() => {}, {})]
  for (const other of [...methods, ...others]) t.notOk(isArrowFunction(other), String(other))
})
