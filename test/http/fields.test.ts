import t from 'tap'
import { combined, directives, lines, tokenList } from '../../lib/http/fields.js'
import { cpuTime } from '../fixtures/cpu-time.js'

t.test('the lines of a field are one list', async t => {
  t.equal(combined(undefined), '')
  t.equal(combined('a'), 'a')
  t.equal(combined(5), '5')
  t.equal(combined(['a', 'b']), 'a, b')
  t.strictSame(lines('a, b'), ['a, b'])
  t.strictSame(lines(['a', 'b']), ['a', 'b'])
  t.strictSame(lines(5), ['5'])
})

t.test('a list of directives is read with its arguments, unquoted', async t => {
  t.strictSame(directives(''), [])
  t.strictSame(directives('A, b=C ,c="d, \\"e\\" \\f",'), [['a', undefined], ['b', 'C'], ['c', 'd, "e" f']])
  t.strictSame(directives('a=""'), [['a', '']])
  t.strictSame(directives('a="\xe9"'), [['a', '\xe9']])
  t.equal(directives('a b'), undefined)
  t.equal(directives('a="b'), undefined)
  t.equal(directives('a, (b)'), undefined)
})

t.test('a list of tokens has no arguments', async t => {
  t.strictSame(tokenList('Keep-Alive, x'), ['keep-alive', 'x'])
  t.equal(tokenList('a=b'), undefined)
  t.equal(tokenList('a=""'), undefined)
  t.equal(tokenList('a;'), undefined)
})

t.test('a long field is read in time that grows with its length', async t => {
  const time = cpuTime(() => {
    directives(`x="${'\\a'.repeat(100_000)}`)
    directives(`${' '.repeat(100_000)}x${' '.repeat(100_000)};`)
    tokenList(','.repeat(100_000))
  })
  t.ok(time < 2000, `${time} ms`)
})
