import t from 'tap'
import fc from 'fast-check'
import { parseDictionary as parseWhole } from 'structured-headers'
import { parseDictionary, tokenOrString } from '../../lib/http/structured-fields.js'
import { cpuTime } from '../fixtures/cpu-time.js'
import { anyText, textOf } from './arbitraries.js'

const read = (value: Parameters<typeof parseDictionary>[0]) => {
  const members = parseDictionary(value)
  return members && [...members]
}

t.test('the members of a dictionary are read as they are written', async t => {
  t.strictSame(read('max-age=60, no-store'), [['max-age', '60'], ['no-store', undefined]])
  t.strictSame(read('a="x, \\"y\\\\", b=*t/o:k, c=?0, d=-1.5, e=:YQ==:,f=()\t,\tg=( 1 "a";q  t )'), [
    ['a', '"x, \\"y\\\\"'], ['b', '*t/o:k'], ['c', '?0'], ['d', '-1.5'], ['e', ':YQ==:'], ['f', '()'], ['g', '( 1 "a";q  t )']
  ])
  t.strictSame(read(['a=1', 'b=2']), [['a', '1'], ['b', '2']], 'on several lines')
  t.strictSame(read('  a \t'), [['a', undefined]])
  t.strictSame(read('max-age=60;x; y="z";w=1.5, b;c'), [['max-age', '60'], ['b', undefined]], 'without their parameters')
  t.strictSame(read('a=1, b, a=2'), [['a', '2'], ['b', undefined]], 'of one name the last counts')
  t.strictSame([read(undefined), read(''), read('   ')], [[], [], []], 'nothing is an empty one')
})

t.test('what is not well formed to its end is no dictionary', async t => {
  const malformed = [
    ',', 'a,', ',a', 'a,,b', 'a b', 'A', 'Max-Age=60', 'a=', 'a =1', 'a= 1', '1=a', '"a"', '\ta', '\t', 'a=1.', 'a=.5', 'a=1.2345', 'a=--1',
    'a=1234567890123456', 'a=1234567890123.1', 'a=60s', 'a="x', 'a="\\x"', 'a="\x7f"', 'a="é"', 'a=?2', 'a=?', 'a=:Y', 'a=(', 'a=(1', 'a=(1,2)',
    'a=("a""b")', 'a;', 'a ;b', 'a;B', 'a=1;b=', 'a=@1', 'a=%"x"', 'a=1\n', 'a&', ['a', '']
  ]
  t.same(malformed.filter(each => parseDictionary(each) !== undefined), [])
})

// Dates and display strings came with RFC 9651; a field that is defined by RFC 8941 has none, and the pieces make none.
t.test('a dictionary is one exactly where another parser says so, with the same names', async () => {
  const pieces = fc.constantFrom('a', 'max-age', '*b', '=', '=', ',', ', ', ' ', '\t', ';', '; ', '"', '"x"', '\\', '1', '60', '-', '.', '1.5', '?1', '?0', '(', ')',
    'A', '/', '_', '999999999999999', '9999999999999999')
  fc.assert(fc.property(fc.array(pieces, { maxLength: 10 }), all => {
    const text = all.join('')
    let whole: string[] | undefined
    try {
      whole = [...parseWhole(text).keys()]
    } catch {}
    const members = parseDictionary(text)
    return members === undefined ? whole === undefined : whole?.join() === [...members.keys()].join()
  }), { numRuns: 50_000 })
})

t.test('no text throws, or takes long', async t => {
  fc.assert(fc.property(fc.oneof(anyText, fc.array(anyText, { maxLength: 3 })), value => {
    parseDictionary(value)
    tokenOrString(String(value))
  }), { numRuns: 20_000 })
  for (const long of ['a'.repeat(50_000) + '\0', 'a=("x" '.padEnd(50_000, 'b ') + '\0', 'a' + ';b'.repeat(25_000) + '\0', 'a="' + '\\"'.repeat(25_000), ' '.repeat(50_000) + '\0']) {
    const time = cpuTime(() => { t.equal(parseDictionary(long), undefined) })
    t.ok(time < 1000, `${time} ms`)
  }
})

t.test('text is a token if it can be, else a string, else nothing', async t => {
  t.equal(tokenOrString('fastify-coalesce'), 'fastify-coalesce')
  t.equal(tokenOrString('*a/b:c'), '*a/b:c')
  t.equal(tokenOrString('1st'), '"1st"')
  t.equal(tokenOrString('my cache'), '"my cache"')
  t.equal(tokenOrString('"\\'), '"\\"\\\\"')
  t.equal(tokenOrString(''), '""')
  t.same(['é', '\n', 'a\n', '\x7f', '\0', '\u{1f36a}', 'a\t'].filter(each => tokenOrString(each) !== undefined), [])
  fc.assert(fc.property(textOf('aZ09*-_ "\\;,=', 0, 10), text => {
    const written = tokenOrString(text)
    const value = parseWhole(`x=${written}`).get('x')?.[0]
    return String(value) === text
  }), { numRuns: 10_000 })
})
