/**
 * "An end that arrives before the reply that names its run is kept until then, within bounds, and not longer."
 */
import t from 'tap'
import { EarlyMessages } from '../../lib/redis/early-messages.js'

const MEBIBYTE = 2 ** 20
const inline = (token: string, bytes = 1) => ({ type: 'inline', token, sealed: Buffer.alloc(bytes) } as const)

t.test('while a reply is outstanding ends are kept, each until it is taken, and the first of each run counts', async t => {
  const early = new EarlyMessages()
  early.asked()
  early.keep(inline('a'))
  early.keep({ type: 'released', token: 'a' })
  early.keep({ type: 'released', token: 'b' })
  t.equal(early.take('a')?.type, 'inline')
  t.equal(early.take('a'), undefined)
  t.equal(early.take('none'), undefined)
  t.strictSame(early.take('b'), { type: 'released', token: 'b' })
})

t.test('without an outstanding reply nothing is kept, and with the last one that comes all is dropped', async t => {
  const early = new EarlyMessages()
  early.keep(inline('a'))
  t.equal(early.take('a'), undefined)
  early.asked()
  early.asked()
  early.keep(inline('a'))
  early.keep(inline('b'))
  early.answered()
  t.ok(early.take('a'))
  early.answered()
  early.asked()
  t.equal(early.take('b'), undefined)
})

t.test('no more is kept than a number of ends, and a number of bytes', async t => {
  const many = new EarlyMessages()
  many.asked()
  for (let index = 0; index <= 1_000; index++) many.keep({ type: 'claim', token: String(index), bytes: 2 ** 30 })
  t.ok(many.take('999'))
  t.equal(many.take('1000'), undefined)

  const large = new EarlyMessages()
  large.asked()
  for (let index = 0; index < 17; index++) large.keep(inline(String(index), MEBIBYTE))
  t.ok(large.take('15'))
  t.equal(large.take('16'), undefined)
  large.keep(inline('16', MEBIBYTE))
  t.ok(large.take('16'), 'what was taken makes room')
  large.clear()
  for (let index = 0; index < 16; index++) large.keep(inline(`new ${index}`, MEBIBYTE))
  t.ok(large.take('new 15'), 'and so does what was dropped')
})

t.test('of a log the last that was told of it counts, or the end that came instead', async t => {
  const early = new EarlyMessages()
  early.asked()
  early.keep({ type: 'log', token: 'a', entries: 1, isWhole: false })
  early.keep({ type: 'log', token: 'a', entries: 3, isWhole: true })
  t.strictSame(early.take('a'), { type: 'log', token: 'a', entries: 3, isWhole: true })
  early.keep({ type: 'log', token: 'b', entries: 1, isWhole: false })
  early.keep({ type: 'released', token: 'b' })
  t.strictSame(early.take('b'), { type: 'released', token: 'b' })
})
