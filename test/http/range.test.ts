import t from 'tap'
import fc from 'fast-check'
import { validatorsOf } from '../../lib/http/conditional.js'
import { MAX_RANGES, contentRange, ifRangeHolds, multipart, parseRange, type Span } from '../../lib/http/range.js'
import { cpuTime } from '../fixtures/cpu-time.js'
import { anyText } from './arbitraries.js'

const spansOf = (value: string, length = 10): string | undefined => parseRange(value, length)?.map(({ start, end }) => `${start}-${end}`).join()

t.test('ranges are read as section 14.1.2 has them', async t => {
  const found = Object.fromEntries(['0-0', '0-4', '5-', '-3', '-30', '0-99', '9-9', '00-01'].map(spec => [spec, spansOf(`bytes=${spec}`)]))
  t.strictSame(found, { '0-0': '0-1', '0-4': '0-5', '5-': '5-10', '-3': '7-10', '-30': '0-10', '0-99': '0-10', '9-9': '9-10', '00-01': '0-2' })
  t.equal(spansOf('bytes=0-1,3-4, -2'), '0-2,3-5,8-10')
  t.equal(spansOf('bytes=-2 ,\t0-1 ,, '), '8-10,0-2', 'in the order that was asked for')
  t.equal(spansOf('BYTES=0-1'), '0-2')
  t.equal(spansOf(`bytes=0-${'9'.repeat(400)}`), '0-10')
})

t.test('ranges behind the end are left out, and if all are there are none', async t => {
  t.equal(spansOf('bytes=0-1,10-20'), '0-2')
  for (const value of ['bytes=10-', 'bytes=10-20', 'bytes=-0', `bytes=${'9'.repeat(400)}-`, 'bytes=10-,-0']) t.strictSame(parseRange(value, 10), [], value)
  t.strictSame(parseRange('bytes=0-', 0), [])
  t.equal(parseRange('bytes=-1', 0), undefined, 'the last byte of nothing')
})

t.test('what is not well formed, or another unit, is not heeded', async t => {
  const malformed = [
    '', 'bytes', 'bytes=', 'bytes= ', 'bytes=,', 'bytes=-', 'bytes=a-b', 'bytes=1', 'bytes=2-1', 'bytes=0-1,2-1', 'bytes=0-1;3-4', 'bytes=0--1', 'bytes=+0-1', 'bytes=0 -1',
    'bytes =0-1', ' bytes=0-1', 'items=0-1', 'bytes:0-1', 'bytes=0-1\n', 'bytes=0x1-2', 'bytes=1.5-2', 'bytes=\xa00-1', 'bytes=0-1, bytes=3-4', 'bytes=\u0661-\u0662',
    `bytes=${'9'.repeat(30)}1-${'9'.repeat(30)}0`
  ]
  t.same(malformed.filter(each => parseRange(each, 10) !== undefined), [])
})

t.test('too many ranges, and ranges that overlap, are not heeded', async t => {
  const many = (count: number): string => `bytes=${Array.from({ length: count }, (_, index) => `${index * 2}-${index * 2}`).join()}`
  t.equal(parseRange(many(MAX_RANGES), 1000)?.length, MAX_RANGES)
  t.equal(parseRange(many(MAX_RANGES + 1), 1000), undefined)
  t.equal(parseRange(`${many(MAX_RANGES)},5000-`, 1000), undefined, 'those behind the end count')
  for (const specs of ['0-5,5-6', '0-,0-', '0-9,-1', '5-6,0-9', '0-0,0-0', '3-4,0-1,1-2']) t.equal(parseRange(`bytes=${specs}`, 10), undefined, specs)
  t.equal(spansOf('bytes=0-1,2-3'), '0-2,2-4', 'side by side is not over one another')
})

t.test('a long Range costs no more than its length', async t => {
  const time = cpuTime(() => {
    parseRange(`bytes=0-1${' '.repeat(100_000)}x`, 10)
    parseRange(`bytes=${','.repeat(100_000)}`, 10)
    parseRange(`bytes=${'0'.repeat(100_000)}-${'0'.repeat(100_000)}`, 10)
  })
  t.ok(time < 2000, `${time} ms: a quadratic look at it would take a minute`)
})

t.test('If-Range holds for this very representation only', async t => {
  const then = 'Sun, 06 Nov 1994 08:49:37 GMT'
  const sent = Date.UTC(1994, 10, 6, 8, 49, 38)
  const validators = validatorsOf({ etag: '"a"', 'last-modified': then }, sent)
  const holds = (value: string | undefined, at = sent, own = validators): boolean => ifRangeHolds(value, own, at)
  t.equal(holds(undefined), true)
  t.strictSame(['"a"', 'W/"a"', '"b"', '"a", "b"', '*', 'a', ''].map(value => holds(value)), [true, false, false, false, false, false, false])
  t.equal(holds('"a"', sent, validatorsOf({ etag: 'W/"a"' }, sent)), false)
  t.equal(holds('"a"', sent, validatorsOf({}, sent)), false)
  t.strictSame([then, then.replace(':37', ':36'), then.replace(':37', ':38')].map(value => holds(value)), [true, false, false], 'to the second')
  t.equal(holds(then, sent - 1), false, 'within its second it may have changed again')
  t.equal(holds(then, sent, validatorsOf({ etag: '"a"' }, sent)), false)
})

t.test('several ranges are written between boundaries that the whole does not contain', async t => {
  const whole = Buffer.from('0123456789 taken')
  const tokens = ['taken', '9', 'free', 'not asked for']
  const { type, body } = multipart(whole, [{ start: 8, end: 10 }, { start: 0, end: 1 }], 'text/plain', () => tokens.shift() as string)
  t.equal(type, 'multipart/byteranges; boundary=free')
  t.equal(body.toString(), [
    '', '--free', 'Content-Type: text/plain', 'Content-Range: bytes 8-9/16', '', '89', '--free', 'Content-Type: text/plain', 'Content-Range: bytes 0-0/16', '', '0', '--free--', ''
  ].join('\r\n'))
  t.notMatch(multipart(whole, [{ start: 0, end: 1 }], undefined, () => 'free').body.toString(), /content-type/i)
})

t.test('whatever is asked for, the spans lie within the whole and apart from one another', async t => {
  const spec = fc.tuple(fc.option(fc.nat(40), { nil: '' }), fc.option(fc.nat(40), { nil: '' })).map(([first, last]) => `${first}-${last}`)
  const asked = fc.oneof(anyText.map(text => `bytes=${text}`), anyText, fc.array(spec, { maxLength: 5 }).map(specs => `bytes=${specs.join(', ')}`))
  fc.assert(fc.property(asked, fc.nat(30), (value, length) => {
    const spans = parseRange(value, length) ?? []
    const bytes = spans.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, index) => start + index))
    return spans.every(({ start, end }) => start >= 0 && start < end && end <= length) && new Set(bytes).size === bytes.length
  }), { numRuns: 100_000 })
  t.pass('100,000 ranges were read')
})

t.test('what is written can be read: each part has its own bytes, whatever they are', async t => {
  const bytes = fc.uint8Array({ minLength: 4, maxLength: 60 })
  fc.assert(fc.property(bytes, fc.constantFrom('a', '--a', '\r\n'), (array, filler) => {
    const whole = Buffer.concat([Buffer.from(array), Buffer.from(filler)])
    const spans: Span[] = [{ start: 2, end: 4 }, { start: 0, end: 1 }]
    let asked = 0
    const { type, body } = multipart(whole, spans, 'x/y', () => `a${'-a'.repeat(asked++)}`)
    const boundary = type.slice(type.indexOf('=') + 1)
    const parts = body.toString('latin1').split(`\r\n--${boundary}`)
    return !whole.includes(boundary) && parts.length === 4 && parts[3] === '--\r\n' && spans.every((span, index) => {
      const part = parts[index + 1] as string
      const head = `\r\nContent-Type: x/y\r\nContent-Range: ${contentRange(span, whole.length)}\r\n\r\n`
      return part === head + whole.toString('latin1', span.start, span.end)
    })
  }), { numRuns: 10_000 })
  t.pass('10,000 bodies were read')
})
