import { Readable } from 'node:stream'
import t from 'tap'
import fc from 'fast-check'
import { digestBody } from '../../lib/http/body-digest.js'

const digest = (body: unknown) => digestBody(body, 1_048_576)

/** A JSON text and its digest as a handler would get the body. */
const ofText = (text: string) => digest(JSON.parse(text))

t.test('bodies of different kinds have different digests', async t => {
  const bodies = [undefined, null, '', 'a', '"a"', 'none', 'null', Buffer.from(''), Buffer.from('a'), {}, [], [''], true, false, 0, 1, 'undefined', '{}']
  const digests = bodies.map(digest)
  t.notOk(digests.includes(undefined), 'each has one')
  t.equal(new Set(digests).size, bodies.length)
  t.equal(digest(new Uint8Array([1, 2])), digest(Buffer.from([1, 2])), 'bytes are bytes')
})

t.test('JSON values that differ only in the order of members have one digest', async t => {
  t.equal(ofText('{"a":1,"b":{"c":[1,2],"d":null}}'), ofText('{"b":{"d":null,"c":[1,2]},"a":1}'))
  t.equal(digest(Object.assign(Object.create(null), { a: 1 })), digest({ a: 1 }))
  t.not(ofText('[1,2]'), ofText('[2,1]'))
  t.not(ofText('{"a":1}'), ofText('{"a":"1"}'))
  t.not(ofText('{"a":null}'), ofText('{}'))
  t.not(ofText('"\\ud800"'), ofText('"\\ufffd"'), 'lone surrogates stay what they are')
  t.equal(ofText('{"toJSON":"x"}'), ofText('{"toJSON":"x"}'))
  t.not(ofText('{"toJSON":"x"}'), ofText('{"toJSON":"y"}'))
})

t.test('what JSON cannot say without loss has no digest', async t => {
  class Money { amount = 1 }
  const unsaid: unknown[] = [
    JSON.parse('1e999'), { v: Infinity }, { v: -Infinity }, [NaN], -0, { v: -0 }, { v: undefined }, [undefined], [1n], Symbol('x'), () => {},
    { toJSON: () => 'x' }, new Date(0), new Map(), new Money(), [new Money()], { file: Readable.from([]) }, Readable.from([]), Object.create({ a: 1 })
  ]
  t.same(unsaid.filter(each => digest(each) !== undefined), [])
})

t.test('a body that is nested without end, or in itself, has no digest', async t => {
  t.equal(ofText('['.repeat(100_000) + ']'.repeat(100_000)), undefined)
  t.equal(ofText('{"a":'.repeat(50_000) + '1' + '}'.repeat(50_000)), undefined)
  const circular: unknown[] = []
  circular.push(circular)
  t.equal(digest(circular), undefined)
  t.type(ofText('['.repeat(100) + ']'.repeat(100)), 'string')
})

t.test('a body over the limit has no digest', async t => {
  t.type(digestBody('äb', 3), 'string')
  t.equal(digestBody('äb', 2), undefined)
  t.equal(digestBody(Buffer.alloc(4), 3), undefined)
  t.equal(digestBody({ a: 1 }, 6), undefined)
  t.type(digestBody({ a: 1 }, 7), 'string')
})

t.test('two JSON values have one digest if and only if they are deeply equal', async t => {
  const json = fc.jsonValue({ maxDepth: 3, stringUnit: 'binary' })
  const plain = (value: unknown): boolean => !Object.is(value, -0) && (typeof value !== 'object' || value === null || Object.values(value).every(plain))
  const sorted = (value: unknown): unknown => typeof value !== 'object' || value === null
    ? value
    : Array.isArray(value) ? value.map(sorted) : Object.entries(value).map(([name, member]) => [name, sorted(member)]).sort(([a], [b]) => String(a) < String(b) ? -1 : 1).concat([['object']])
  const seen = new Map<string, string>()
  fc.assert(fc.property(json.filter(plain), value => {
    const found = digest(value)
    const canonical = JSON.stringify(sorted(value))
    const known = seen.get(found ?? '')
    if (found !== undefined) seen.set(found, canonical)
    return found !== undefined && (known === undefined || known === canonical) && found === digest(reversed(value))
  }), { numRuns: 1500 })
  t.equal(new Set(seen.values()).size, seen.size)
})

/** The same value, members in reverse order. */
function reversed (value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(reversed)
  return Object.fromEntries(Object.entries(value).reverse().map(([name, member]) => [name, reversed(member)]))
}

t.test('what a parser of forms makes has a digest, what inherits anything has none', async t => {
  const bare = Object.create(Object.create(null) as object) as Record<string, string>
  bare.q = 'a'
  t.type(digestBody(bare, 100), 'string')
  t.equal(digestBody(Object.create({ q: 'a' }), 100), undefined)
  t.equal(digestBody(Object.create(Object.create(bare) as object), 100), undefined)
})
