import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import fc from 'fast-check'
import { parseList, Token } from 'structured-headers'
import { appendCacheStatus, CACHE_NAME, cacheStatus, isCacheName, type CacheStatusFacts, type ForwardReason } from '../../lib/http/cache-status.js'
import { anyText } from './arbitraries.js'

/** Each member as its name and its parameters, all as text or as they are. */
function read (field: string) {
  return parseList(field).map(([name, parameters]) => [
    String(name), Object.fromEntries([...parameters].map(([key, value]) => [key, value instanceof Token ? value.toString() : value]))
  ])
}

t.test('a hit says so, and how long it is fresh still', async t => {
  t.equal(cacheStatus('x', { hit: true }), 'x; hit')
  t.equal(cacheStatus('x', { hit: true, ttl: 30 }), 'x; hit; ttl=30')
  t.equal(cacheStatus('x', { hit: true, ttl: -5, detail: 'stale-if-error' }), 'x; hit; ttl=-5; detail=stale-if-error')
})

t.test('what was not a hit says why, and what became of it', async t => {
  t.equal(cacheStatus('x', { fwd: 'miss' }), 'x; fwd=miss')
  t.equal(cacheStatus('x', { fwd: 'stale', fwdStatus: 304, stored: true, collapsed: true, ttl: 60, detail: 'refreshed' }),
    'x; fwd=stale; fwd-status=304; stored; collapsed; ttl=60; detail=refreshed')
  t.equal(cacheStatus('x', { fwd: 'bypass', stored: false, collapsed: false, detail: undefined, ttl: undefined }), 'x; fwd=bypass')
})

t.test('numbers are whole, and none that a list cannot hold', async t => {
  t.equal(cacheStatus('x', { hit: true, ttl: 0.9 }), 'x; hit; ttl=0')
  t.equal(cacheStatus('x', { hit: true, ttl: -0.1 }), 'x; hit; ttl=-1')
  t.equal(cacheStatus('x', { hit: true, ttl: -0 }), 'x; hit; ttl=0')
  t.equal(cacheStatus('x', { hit: true, ttl: Infinity }), 'x; hit; ttl=999999999999999')
  t.equal(cacheStatus('x', { hit: true, ttl: -1e30 }), 'x; hit; ttl=-999999999999999')
  t.equal(cacheStatus('x', { hit: true, ttl: NaN }), 'x; hit')
})

t.test('a name is a token if it can be, else quoted, and some are refused', async t => {
  t.equal(cacheStatus('ExampleCache', { hit: true }), 'ExampleCache; hit')
  t.equal(cacheStatus('my "cache" \\1', { hit: true }), '"my \\"cache\\" \\\\1"; hit')
  t.equal(cacheStatus('1st', { hit: true }), '"1st"; hit')
  t.same(['a', 'a b', '"', '1', CACHE_NAME].filter(name => !isCacheName(name)), [])
  t.same(['', 'é', 'a\n', '\0', '\u{1f36a}', '\x7f'].filter(isCacheName), [])
  t.equal(cacheStatus('a\r\nx: y', { hit: true }), `${CACHE_NAME}; hit`, 'what is refused is never written')
})

t.test('a detail that cannot be written is left out', async t => {
  t.equal(cacheStatus('x', { fwd: 'miss', detail: 'two words' }), 'x; fwd=miss; detail="two words"')
  t.equal(cacheStatus('x', { fwd: 'miss', detail: 'é' }), 'x; fwd=miss')
})

t.test('a cache comes after those that are nearer to the origin', async t => {
  t.equal(appendCacheStatus(undefined, 'x; hit'), 'x; hit')
  t.equal(appendCacheStatus('', 'x; hit'), 'x; hit')
  t.equal(appendCacheStatus([], 'x; hit'), 'x; hit')
  t.equal(appendCacheStatus('a; hit', 'x; hit'), 'a; hit, x; hit')
  t.equal(appendCacheStatus(['a; hit', 'b; fwd=miss'], 'x; hit'), 'a; hit, b; fwd=miss, x; hit')
})

const nil = undefined
const FORWARD: readonly ForwardReason[] = ['bypass', 'method', 'uri-miss', 'vary-miss', 'miss', 'request', 'stale', 'partial']
const text = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...' "\\;,=()*aZ09-_.:/') }), anyText, fc.constantFrom('set-cookie', 'vary-any', 'max-age'))
const common = { ttl: fc.option(fc.oneof(fc.integer(), fc.double()), { nil }), detail: fc.option(text, { nil }) }
const facts: fc.Arbitrary<CacheStatusFacts> = fc.oneof(
  fc.record({ hit: fc.constant(true as const), ...common }),
  fc.record({ fwd: fc.constantFrom(...FORWARD), fwdStatus: fc.option(fc.integer({ min: 100, max: 999 }), { nil }), stored: fc.boolean(), collapsed: fc.boolean(), ...common })
)
const PRINTABLE = /^[\x20-\x7e]*$/

t.test('whatever is written is read back by another parser as what was meant', async t => {
  fc.assert(fc.property(text, facts, fc.constantFrom(undefined, 'a; hit', ['"b, c"; fwd=miss', 'd']), (name, facts, present) => {
    const members = read(appendCacheStatus(present, cacheStatus(name, facts)))
    const [found, parameters] = members.at(-1) as [string, Record<string, unknown>]
    const { ttl, detail } = facts
    const expected: Record<string, unknown> = 'fwd' in facts
      ? {
          fwd: facts.fwd,
          ...(facts.fwdStatus !== nil && { 'fwd-status': facts.fwdStatus }),
          ...(facts.stored === true && { stored: true }),
          ...(facts.collapsed === true && { collapsed: true })
        }
      : { hit: true }
    if (ttl !== nil && !Number.isNaN(ttl)) expected.ttl = Math.max(-999999999999999, Math.min(999999999999999, Math.floor(ttl))) + 0
    if (detail !== nil && PRINTABLE.test(detail)) expected.detail = detail
    return members.length === (present === nil ? 1 : typeof present === 'string' ? 2 : 3) &&
      found === (name !== '' && PRINTABLE.test(name) ? name : CACHE_NAME) && isDeepStrictEqual(parameters, expected)
  }), { numRuns: 20_000 })
  t.pass('20,000 fields were')
})
