import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { decodeEntry, encodeEntry } from '../../lib/stores/codec.js'
import type { Entry } from '../../types/index.js'
import { anyPlainValue, anyText, refusedValues } from '../codec/arbitraries.js'
import { cpuTime } from '../fixtures/cpu-time.js'
import { entryOf } from './conformance.js'

const amount = fc.double({ min: 0, noNaN: true, noDefaultInfinity: true })
const anyEntry: fc.Arbitrary<Entry> = fc.record({
  version: fc.constant(1 as const),
  key: anyText,
  since: amount,
  storedAt: amount,
  freshFor: amount,
  staleWhileRevalidate: amount,
  staleIfError: amount,
  labels: fc.array(anyText, { maxLength: 3 }),
  bytes: amount,
  value: anyPlainValue
}, { noNullPrototype: true })

const valued = (value: unknown): Entry => ({ ...entryOf('key'), value })

/** Text that has the right digest, whoever wrote it. */
const signed = (json: string): string => createHash('sha256').update(json).digest('base64url') + json

t.test('what is decoded is exactly what was encoded', async () => {
  fc.assert(fc.property(anyEntry, entry => {
    const decoded = decodeEntry(encodeEntry(entry), entry.key)
    return isDeepStrictEqual(decoded, entry) && Object.isFrozen(decoded)
  }), { numRuns: 10_000 })
})

t.test('bytes are bytes and text is text, whatever it looks like', async t => {
  for (const value of [Buffer.from('AAAA'), '#AAAA', "'AAAA", "'#AAAA", { type: 'Buffer', data: [1] }, Buffer.alloc(0), '', [[Buffer.from([255])]]]) {
    t.strictSame(decodeEntry(encodeEntry(entryOf('key', value)), 'key')?.value, value)
  }
  const own = JSON.parse('{"__proto__":{"polluted":true},"constructor":1}') as object
  const decoded = decodeEntry(encodeEntry(entryOf('key', own)), 'key')?.value as { polluted?: boolean }
  t.strictSame([Object.keys(decoded), decoded.polluted], [['__proto__', 'constructor'], undefined])
})

t.test('what is decoded shares nothing with the text or with another decoding', async t => {
  const text = encodeEntry(entryOf('key', { body: Buffer.from('bytes'), list: [1] }))
  const first = decodeEntry(text, 'key')?.value as { body: Buffer, list: number[] }
  first.body.fill(0)
  first.list.push(2)
  t.strictSame(decodeEntry(text, 'key')?.value, { body: Buffer.from('bytes'), list: [1] })
})

t.test('cut or altered anywhere, text is a miss', async t => {
  const unit = fc.nat(0xffff).map(code => String.fromCharCode(code))
  fc.assert(fc.property(anyEntry, fc.nat(), unit, (entry, at, other) => {
    const text = encodeEntry(entry) as string
    const index = at % text.length
    const altered = text.slice(0, index) + other + text.slice(index + 1)
    return (other === text[index] || decodeEntry(altered, entry.key) === undefined) &&
      decodeEntry(text.slice(0, index), entry.key) === undefined && decodeEntry(text.slice(index + 1), entry.key) === undefined &&
      decodeEntry(text.slice(0, index) + text.slice(index + 1), entry.key) === undefined &&
      decodeEntry(text.slice(0, index) + other + text.slice(index), entry.key) === undefined
  }), { numRuns: 20_000 })

  const text = encodeEntry(entryOf('key', 'a \ufffd')) as string
  for (let at = 0; at < text.length; at++) {
    for (const other of ['\0', ' ', '0', 'A', '"', '\ud800', '\ufffd']) {
      if (text[at] !== other && decodeEntry(text.slice(0, at) + other + text.slice(at + 1), 'key') !== undefined) t.fail(`${other} at ${at}`)
    }
  }
  t.ok(decodeEntry(text, 'key'))
})

t.test('an entry is one of its own whole key only', async t => {
  const text = encodeEntry(entryOf('a key'))
  for (const key of ['a', 'a key ', 'A KEY', '', '__proto__']) t.equal(decodeEntry(text, key), undefined)
  t.ok(decodeEntry(text, 'a key'))
})

t.test('text with the right digest is read as strictly as any', async t => {
  const members: unknown[] = [1, 'key', 5, 10, 1000, 0, 2000, ['label'], 100, "'value"]
  const decode = (at: number, member: unknown): unknown => decodeEntry(signed(JSON.stringify(members.with(at, member))), 'key')
  t.strictSame(decode(9, "'value"), entryOf('key', 'value', { labels: ['label'] }))
  for (const at of [2, 3, 4, 5, 6, 8]) for (const wrong of [-1, null, '5', [], {}, true]) t.equal(decode(at, wrong), undefined)
  for (const wrong of [0, 2, '1', null]) t.equal(decode(0, wrong), undefined, 'another version')
  for (const wrong of ['kez', null, 5, ['key']]) t.equal(decode(1, wrong), undefined, 'another key')
  for (const wrong of ['label', null, [5], { 0: 'label', length: 1 }]) t.equal(decode(7, wrong), undefined, 'labels')
  for (const wrong of ['unmarked', '$1', '', ['unmarked'], { a: { b: 'unmarked' } }]) t.equal(decode(9, wrong), undefined, 'no mark')
  for (const wrong of [members.slice(1), members.slice(0, -1), [...members, null], { ...members, length: members.length }, {}, null, 5, '']) t.equal(decodeEntry(signed(JSON.stringify(wrong)), 'key'), undefined)
  for (const wrong of ['', '{', '[1', 'undefined']) t.equal(decodeEntry(signed(wrong), 'key'), undefined)
  t.ok(decodeEntry(signed(JSON.stringify(members).replace('1000', '1e308')), 'key'))
  t.equal(decodeEntry(signed(JSON.stringify(members).replace('1000', '1e309')), 'key'), undefined, 'Infinity')
  const nested = (depth: number): string => signed(JSON.stringify(members.with(9, 'here')).replace('"here"', '['.repeat(depth) + ']'.repeat(depth)))
  t.ok(decodeEntry(nested(100), 'key'))
  for (const depth of [101, 100_000]) t.equal(decodeEntry(nested(depth), 'key'), undefined, 'too deep')
})

t.test('a value that JSON would change is not encoded', async t => {
  const encodes = (value: unknown): boolean => encodeEntry(valued(value)) !== undefined
  for (const each of refusedValues()) for (const value of [each, [each], { a: each }, [{ a: [each] }]]) t.notOk(encodes(value), Object.prototype.toString.call(each))
  for (const right of [null, {}, [], [[]], 0, '', false, Object.freeze({ a: Object.freeze([1]) })]) t.ok(encodes(right))
})

t.test('the walk is bounded in depth and in all', async t => {
  const nested = (depth: number): unknown => Array.from({ length: depth }).reduce(value => [value], 1)
  t.strictSame(decodeEntry(encodeEntry(entryOf('key', nested(100))), 'key')?.value, nested(100))
  t.equal(encodeEntry(entryOf('key', nested(101))), undefined)
  t.equal(encodeEntry(entryOf('key', nested(100_000))), undefined)
  const time = cpuTime(() => {
    const doubled = Array.from({ length: 90 }).reduce((value: unknown) => [value, value], 1)
    t.equal(encodeEntry(entryOf('key', doubled)), undefined, 'two to the power of 90')
    const text = 'x'.repeat(2 ** 20)
    t.equal(encodeEntry(entryOf('key', Array.from({ length: 100 }, () => text))), undefined, 'one text a hundred times')
    t.equal(encodeEntry(entryOf('key', Array.from({ length: 100 }, () => Buffer.from(text)))), undefined)
  })
  t.ok(time < 5000, `${time} ms`)
})

t.test('an entry that is none is not encoded', async t => {
  for (const wrong of [{ version: 2 }, { key: 5 }, { since: NaN }, { storedAt: -1 }, { freshFor: Infinity }, { staleIfError: '5' }, { staleWhileRevalidate: undefined }, { labels: [1] }, { labels: 'a' }, { bytes: null }]) {
    t.equal(encodeEntry(entryOf('key', 1, wrong as object)), undefined, JSON.stringify(wrong))
  }
})

t.test('neither direction throws, whatever it is given', async () => {
  const anything = fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true, withObjectString: true, withSparseArray: true, withTypedArray: true })
  fc.assert(fc.property(anything, anything, (a, b) => {
    encodeEntry(a as Entry)
    encodeEntry({ ...valued(a), labels: b as string[] })
    const text = encodeEntry(valued(a))
    return decodeEntry(a, b as string) === undefined && decodeEntry(String(typeof a === 'string' ? a : ''), 'key') === undefined &&
      (text === undefined || isDeepStrictEqual(decodeEntry(text, 'key')?.value, a))
  }), { numRuns: 5000 })
})
