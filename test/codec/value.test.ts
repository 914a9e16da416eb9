import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { decodeValue, encodeValue } from '../../lib/codec/value.js'
import { anyText, anyPlainValue, refusedValues } from './arbitraries.js'

const bytesOf = (value: unknown): Buffer | undefined => {
  const pieces = encodeValue(value)
  return pieces === undefined ? undefined : Buffer.concat(pieces)
}
const again = (value: unknown): unknown => decodeValue(bytesOf(value) as Buffer)
const written = (json: string, carried = '', version = 1): Buffer => {
  const head = Buffer.from([version, 0, 0, 0, 0])
  head.writeUInt32BE(Buffer.byteLength(json), 1)
  return Buffer.concat([head, Buffer.from(json), Buffer.from(carried)])
}
const nested = (depth: number): unknown => Array.from({ length: depth }).reduce(value => [value], 1)

t.test('what is decoded is exactly what was encoded', async () => {
  const longText = anyText.map(text => text.repeat(Math.ceil(200 / Math.max(text.length, 1))))
  fc.assert(fc.property(fc.oneof(anyPlainValue, fc.array(longText, { maxLength: 3 })), value => isDeepStrictEqual(again(value), value)), { numRuns: 10_000 })
})

t.test('bytes are bytes and text is text, whatever it looks like', async t => {
  for (const value of [Buffer.from('AAAA'), '#4', "'AAAA", '$4', { type: 'Buffer', data: [1] }, Buffer.alloc(0), '', [[Buffer.from([255])]], ['é'.repeat(200), Buffer.from('x'), '\ud800'.repeat(200), '\u0000'.repeat(129)]]) {
    t.strictSame(again(value), value)
  }
  const own = JSON.parse('{"__proto__":{"polluted":true},"constructor":1}') as object
  const decoded = again(own) as { polluted?: boolean }
  t.strictSame([Object.keys(decoded), decoded.polluted, ({} as { polluted?: boolean }).polluted], [['__proto__', 'constructor'], undefined, undefined])
})

t.test('bytes and long texts travel as they are, and bytes are not copied', async t => {
  const body = Buffer.alloc(2 ** 20, '"')
  const [head, carried, ...more] = encodeValue({ body }) as Uint8Array[]
  t.equal(carried, body)
  t.ok((head as Uint8Array).length < 50)
  t.strictSame(more, [])
  t.ok((bytesOf({ body: body.toString() }) as Buffer).length < 2 ** 20 + 50)
  t.strictSame((encodeValue([Buffer.alloc(0)]) as Uint8Array[]).length, 1, 'an empty piece is none')

  const all = bytesOf([body]) as Buffer
  const [slice] = decodeValue(all) as [Buffer]
  t.equal(slice.buffer, all.buffer)
})

t.test('it reads any bytes, wherever in memory they are', async t => {
  const all = bytesOf(['text', Buffer.from('bytes')]) as Buffer
  const within = Buffer.concat([Buffer.from('before'), all, Buffer.from('after')]).subarray(6, 6 + all.length)
  t.strictSame(decodeValue(within), ['text', Buffer.from('bytes')])
  t.strictSame(decodeValue(new Uint8Array(all)), ['text', Buffer.from('bytes')])
})

t.test('cut, or with something added, it is nothing', async () => {
  fc.assert(fc.property(anyPlainValue, fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 4 }), (value, at, more) => {
    const all = bytesOf(value) as Buffer
    return decodeValue(all.subarray(0, at % all.length)) === undefined && decodeValue(Buffer.concat([all, more])) === undefined &&
      decodeValue(Buffer.concat([all, all])) === undefined
  }), { numRuns: 5000 })
})

t.test('altered anywhere, it is nothing or another plain value', async () => {
  fc.assert(fc.property(anyPlainValue, fc.nat(), fc.integer({ min: 1, max: 255 }), (value, at, change) => {
    const all = bytesOf(value) as Buffer
    all[at % all.length]! ^= change
    const decoded = decodeValue(all)
    return decoded === undefined || isDeepStrictEqual(again(decoded), decoded)
  }), { numRuns: 20_000 })
})

t.test('bytes that nobody encoded are read as strictly as any', async t => {
  t.strictSame(decodeValue(written('["#2","$1",{"\'":1e3}]', 'abc')), [Buffer.from('ab'), 'c', { "'": 1000 }])
  for (const wrong of [written('1', '', 0), written('1', '', 2), Buffer.alloc(0), Buffer.from([1]), Buffer.from([1, 0, 0, 0]), Buffer.from([1, 255, 255, 255, 255, 49])]) t.equal(decodeValue(wrong), undefined)
  for (const wrong of ['', '{', '[1', 'undefined', '"unmarked"', '""', '["a"]', '{"a":{"b":"c"}}', '1e309', '-0', '-1e309']) t.equal(decodeValue(written(wrong)), undefined, wrong)
  for (const mark of ['', '01', '-1', '1.5', '1e0', ' 1', '1 ', '0x1', '3', '99999999999', 'NaN']) {
    for (const kind of ['#', '$']) t.equal(decodeValue(written(`"${kind}${mark}"`, '1')), undefined, kind + mark)
  }
  const invalid = written('"$1"', '?')
  invalid[invalid.length - 1] = 0xff
  t.equal(decodeValue(invalid), undefined, 'no UTF-8')
  const inJson = written('"\'?"')
  inJson[inJson.indexOf('?')] = 0xff
  t.equal(decodeValue(inJson), undefined, 'no UTF-8 in the JSON')
  t.strictSame(decodeValue(written('['.repeat(100) + ']'.repeat(100))), Array.from({ length: 99 }).reduce(value => [value], []))
  for (const depth of [101, 100_000]) t.equal(decodeValue(written('['.repeat(depth) + ']'.repeat(depth))), undefined, 'too deep')
})

t.test('a value that JSON would change is not encoded', async t => {
  for (const each of refusedValues()) {
    for (const value of [each, [each], { a: each }, [{ a: [each] }]]) t.equal(encodeValue(value), undefined, Object.prototype.toString.call(each))
  }
  for (const right of [null, {}, [], [[]], 0, '', false, Object.freeze({ a: Object.freeze([1]) })]) t.strictSame(again(right), right)
})

t.test('both ways are bounded in depth and in all', async t => {
  t.strictSame(again(nested(100)), nested(100))
  for (const depth of [101, 100_000]) t.equal(encodeValue(nested(depth)), undefined)
  // Not compared: what is large must not be printed.
  const isNothing = (found: unknown): boolean => found === undefined
  t.ok(isNothing(encodeValue(Array.from({ length: 90 }).reduce((value: unknown) => [value, value], 1))), 'two to the power of 90')
  const text = 'x'.repeat(2 ** 20)
  for (const each of [text, Buffer.from(text), { [text]: 1 }]) t.ok(isNothing(encodeValue(Array.from({ length: 100 }, () => each))), 'one of a mebibyte a hundred times')
  t.ok(isNothing(decodeValue(written(`[${'0,'.repeat(2 ** 20)}0]`))), 'more than a million parts')
  t.ok(isNothing(decodeValue(written(`{"${text.repeat(64)}":0}`))))
  t.ok(isNothing(decodeValue(written(`"#${2 ** 26}"`, text.repeat(64)))))
})

t.test('neither direction throws, whatever it is given', async () => {
  const anything = fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true, withObjectString: true, withSparseArray: true, withTypedArray: true })
  fc.assert(fc.property(anything, fc.uint8Array({ maxLength: 60 }), (value, bytes) => {
    const encoded = bytesOf(value)
    decodeValue(bytes)
    decodeValue(value as Uint8Array)
    return encoded === undefined || isDeepStrictEqual(decodeValue(encoded), value)
  }), { numRuns: 5000 })
})
