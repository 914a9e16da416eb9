import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import fc from 'fast-check'
import { conditionsFor, freshen, headAgrees, validates, type HeaderPairs } from '../../lib/http/freshen.js'
import { anyText } from './arbitraries.js'

const NOW = Date.UTC(2026, 10, 24, 12)
const THEN = 'Sun, 06 Nov 1994 08:49:37 GMT'
const LATER = 'Sun, 06 Nov 1994 08:49:38 GMT'
const pairs = (fields: Record<string, string | readonly string[]>): HeaderPairs => Object.entries(fields)

t.test('a 304 replaces the fields that it has, adds those that are new and leaves the others', async t => {
  const stored = pairs({ etag: '"a"', 'cache-control': 'max-age=1', link: ['<a>', '<b>'], 'x-kept': '1' })
  const result = freshen(stored, pairs({ 'cache-control': 'max-age=60', link: '<c>', expires: THEN, etag: '"a"' }))
  t.strictSame(result, pairs({ etag: '"a"', 'cache-control': 'max-age=60', link: '<c>', 'x-kept': '1', expires: THEN }))
  t.strictSame(stored, pairs({ etag: '"a"', 'cache-control': 'max-age=1', link: ['<a>', '<b>'], 'x-kept': '1' }), 'what was kept is as it was')
  t.strictSame(freshen(stored, []), stored)
})

t.test('the fields of the bytes stay, for the bytes do', async t => {
  for (const name of ['content-length', 'content-encoding', 'content-type', 'content-range', 'content-digest', 'content-md5', 'digest', 'repr-digest']) {
    t.strictSame(freshen(pairs({ [name]: 'old' }), pairs({ [name]: 'new' })), pairs({ [name]: 'old' }), name)
    t.strictSame(freshen([], pairs({ [name]: 'new' })), [], name)
  }
  t.strictSame(freshen([], pairs({ 'content-language': 'en', 'content-location': '/x', 'content-security-policy': 'a' })).length, 3,
    'others that begin in the same way are fields as any')
})

t.test('the fields of a connection, and what is for one client, are not kept', async t => {
  const names = ['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'x-hop',
    'set-cookie', 'set-cookie2', 'authentication-info', 'proxy-authentication-info']
  t.strictSame(freshen([], names.map(name => [name, name === 'connection' ? 'close, X-Hop' : 'x'])), [])
  t.strictSame(freshen([], pairs({ 'x-hop': 'x' })), pairs({ 'x-hop': 'x' }))
})

t.test('an age and a date are those of the newer answer, or none', async t => {
  t.strictSame(freshen(pairs({ age: '50', date: THEN, etag: '"a"' }), pairs({ date: LATER })), pairs({ etag: '"a"', date: LATER }))
  t.strictSame(freshen(pairs({ age: '50', date: THEN }), pairs({ age: '1' })), pairs({ age: '1' }))
})

t.test('what is kept is asked for with the validators that it has', async t => {
  const conditions = (fields: Record<string, string | readonly string[]>) => conditionsFor(pairs(fields), NOW)
  t.strictSame(conditions({ etag: ' W/"a"', 'last-modified': THEN }), { 'if-none-match': 'W/"a"', 'if-modified-since': THEN })
  t.strictSame(conditions({ etag: '"a"' }), { 'if-none-match': '"a"' })
  t.strictSame(conditions({ 'last-modified': THEN }), { 'if-modified-since': THEN })
  t.strictSame(conditions({ date: THEN }), {})
  t.strictSame(conditions({ etag: 'a', 'last-modified': 'yesterday' }), {}, 'what cannot be read is none')
  t.strictSame(conditions({ etag: ['"a"', '"b"'], 'last-modified': [THEN, THEN] }), {})
})

t.test('a tag of a 304 is about what has the same one', async t => {
  t.equal(validates(pairs({ etag: '"a"' }), pairs({ etag: '"a"' })), true)
  t.equal(validates(pairs({ etag: '"a"' }), pairs({ etag: ' "a" ' })), true)
  t.equal(validates(pairs({ etag: '"a"' }), pairs({ etag: '"b"' })), false)
  t.equal(validates([], pairs({ etag: '"a"' })), false)
  t.equal(validates(pairs({ 'last-modified': THEN }), pairs({ etag: '"a"', 'last-modified': THEN })), false, 'whatever the dates')
  t.equal(validates(pairs({ etag: '"a"', 'last-modified': THEN }), pairs({ etag: '"a"', 'last-modified': LATER })), true)
})

t.test('a tag of a 304 is about what has one that is as good as the same, which stays what it is', async t => {
  t.equal(validates(pairs({ etag: 'W/"a"' }), pairs({ etag: '"a"' })), true)
  t.strictSame(freshen(pairs({ etag: 'W/"a"' }), pairs({ etag: '"a"' })), pairs({ etag: 'W/"a"' }))
  t.equal(validates(pairs({ etag: 'W/"a"' }), pairs({ etag: 'W/"a"' })), true)
  t.equal(validates(pairs({ etag: '"a"' }), pairs({ etag: 'W/"a"' })), true)
  t.equal(validates(pairs({ etag: 'W/"a"' }), pairs({ etag: 'W/"b"' })), false)
  t.equal(validates([], pairs({ etag: 'W/"a"' })), false)
})

t.test('a tag that cannot be read is about what has the same one, to the letter', async t => {
  t.equal(validates(pairs({ etag: 'a' }), pairs({ etag: 'a' })), true)
  t.equal(validates(pairs({ etag: 'a' }), pairs({ etag: '"a"' })), false)
  t.equal(validates(pairs({ etag: '"a"' }), pairs({ etag: 'a' })), false)
  t.equal(validates([], pairs({ etag: '' })), false)
})

t.test('without a tag a 304 is about what was modified then, and without either about what was asked for', async t => {
  t.equal(validates(pairs({ 'last-modified': THEN }), pairs({ 'last-modified': THEN })), true)
  t.equal(validates(pairs({ etag: '"a"', 'last-modified': THEN }), pairs({ 'last-modified': THEN })), true)
  t.equal(validates(pairs({ 'last-modified': THEN }), pairs({ 'last-modified': LATER })), false)
  t.equal(validates(pairs({ etag: '"a"' }), pairs({ 'last-modified': THEN })), false)
  t.equal(validates(pairs({ etag: '"a"', 'last-modified': THEN }), pairs({ date: LATER })), true)
  t.equal(validates([], []), true)
})

t.test('a HEAD agrees with what is kept if all that it says is the same', async t => {
  const stored = pairs({ etag: '"a"', 'last-modified': THEN, 'content-length': '5' })
  t.equal(headAgrees(stored, stored, undefined), true)
  t.equal(headAgrees(stored, [], undefined), true, 'or if it says nothing')
  t.equal(headAgrees(stored, pairs({ etag: '"b"' }), undefined), false)
  t.equal(headAgrees(stored, pairs({ etag: 'W/"a"' }), undefined), false)
  t.equal(headAgrees(stored, pairs({ 'last-modified': LATER }), undefined), false)
  t.equal(headAgrees(stored, pairs({ 'content-length': '6' }), undefined), false)
  t.equal(headAgrees([], pairs({ etag: '"a"' }), undefined), false)
  t.equal(headAgrees([], pairs({ 'last-modified': THEN }), undefined), false)
  t.equal(headAgrees([], pairs({ 'content-length': '0' }), undefined), false, 'a length that is not known is another')
  t.equal(headAgrees([], pairs({ 'content-length': '5' }), 5), true)
  t.equal(headAgrees(stored, pairs({ 'content-length': '5' }), 6), false, 'the body itself knows best')
  t.equal(headAgrees([], pairs({ 'content-length': '0' }), 0), true)
})

const name = fc.constantFrom('etag', 'last-modified', 'content-length', 'date', 'age', 'set-cookie', 'connection', 'x-a', 'x-b', '__proto__', 'constructor')
const value = fc.oneof(fc.constantFrom('"a"', 'W/"a"', '"b"', 'a', THEN, LATER, '5', '', 'x-a, x-b'), anyText, fc.array(anyText, { maxLength: 2 }))
const fields = fc.uniqueArray(fc.tuple(name, value), { selector: ([name]) => name, maxLength: 6 })

t.test('nothing throws; freshening twice is as good as once, and never brings a cookie or loses a field', async t => {
  fc.assert(fc.property(fields, fields, fc.option(fc.nat(9), { nil: undefined }), (stored, answer, bytes) => {
    conditionsFor(stored, NOW)
    if (typeof validates(stored, answer) !== 'boolean' || typeof headAgrees(stored, answer, bytes) !== 'boolean') return false
    const once = freshen(stored, answer)
    const has = (pairs: HeaderPairs, wanted: string): boolean => pairs.some(([name]) => name === wanted)
    return isDeepStrictEqual(new Map(freshen(once, answer)), new Map(once)) &&
      has(once, 'set-cookie') === has(stored, 'set-cookie') &&
      stored.every(([name]) => name === 'age' || name === 'date' || has(once, name)) &&
      new Set(once.map(([name]) => name)).size === once.length
  }), { numRuns: 20_000 })
  t.pass('20,000 answers were taken in')
})

t.test('a response agrees with itself', async t => {
  fc.assert(fc.property(fields, fields => validates(fields, fields) && headAgrees(fields, fields, undefined)), { numRuns: 10_000 })
  t.pass('10,000 responses do')
})
