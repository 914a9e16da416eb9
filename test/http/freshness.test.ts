import t from 'tap'
import fc from 'fast-check'
import {
  ageOf, freshnessOf, mayServeStale, permitsAuthorization, restrictsKeeping, type Freshness, type FreshnessReason, type KeepReason
} from '../../lib/http/freshness.js'
import type { Headers } from '../../lib/http/headers.js'
import { anyCase, anyText, space } from './arbitraries.js'

/** Sun, 06 Nov 1994 08:49:37 GMT */
const NOW = 784_111_777_000
const MOST = 2 ** 31 * 1000
const httpDate = (seconds: number): string => new Date(NOW + seconds * 1000).toUTCString()

const of = (headers: Headers, status = 200, requestedAt = NOW, respondedAt = NOW) => freshnessOf({ status, headers, requestedAt, respondedAt })
const cacheControl = (value: string | readonly string[]) => of({ 'cache-control': value })
const cdn = (value: string, rest: Headers = {}) => of({ 'cdn-cache-control': value, ...rest })

function fresh (found: Freshness | FreshnessReason): Freshness {
  if (typeof found === 'string') throw new Error(found)
  return found
}

t.test('s-maxage is how long it is fresh, else max-age, else what lies between Expires and Date', async t => {
  const all = { 'cache-control': 'max-age=20, s-maxage=30', expires: httpDate(10), date: httpDate(0) }
  t.equal(fresh(of(all)).lifetime, 30_000)
  t.equal(fresh(of({ ...all, 'cache-control': 'max-age=20' })).lifetime, 20_000)
  t.equal(fresh(of({ ...all, 'cache-control': 'public' })).lifetime, 10_000)
  t.equal(fresh(of({ expires: httpDate(10), date: httpDate(-5) })).lifetime, 15_000, 'whatever the time here')
  t.equal(fresh(of({ 'cache-control': 'S-MaxAge="30", MAX-AGE=20' })).lifetime, 30_000, 'in any case, quoted or not')
})

t.test('a lifetime of 0 stands, even next to one that is longer', async t => {
  t.equal(fresh(cacheControl('max-age=0')).lifetime, 0)
  t.equal(fresh(cacheControl('s-maxage=0, max-age=60')).lifetime, 0)
  t.equal(fresh(cacheControl('max-age=0, s-maxage=60')).lifetime, 60_000, 's-maxage is for shared caches')
  t.equal(fresh(of({ 'cache-control': 'max-age=0', expires: httpDate(60) })).lifetime, 0)
})

t.test('of two values the shorter one counts', async t => {
  t.equal(fresh(cacheControl('max-age=60, max-age=10')).lifetime, 10_000)
  t.equal(fresh(cacheControl(['max-age=10', 'max-age=60'])).lifetime, 10_000, 'on any line')
  t.equal(fresh(cacheControl('s-maxage=1, s-maxage=2')).lifetime, 1000)
  t.equal(fresh(of({ expires: [httpDate(20), httpDate(10)] })).lifetime, 10_000)
  t.equal(fresh(of({ expires: [httpDate(20), '0'] })).lifetime, 0)
  t.equal(fresh(cacheControl('max-age=9, stale-if-error=5, stale-if-error=4, stale-while-revalidate=2, stale-while-revalidate=3')).staleIfError, 4000)
  t.equal(fresh(cacheControl('max-age=9, stale-while-revalidate=2, stale-while-revalidate=3')).staleWhileRevalidate, 2000)
})

t.test('what is too long is 2^31 seconds', async t => {
  t.equal(fresh(cacheControl('max-age=2147483648')).lifetime, MOST)
  t.equal(fresh(cacheControl('max-age=99999999999999999999')).lifetime, MOST)
  t.equal(fresh(of({ expires: 'Fri, 31 Dec 9999 23:59:59 GMT', date: httpDate(0) })).lifetime, MOST)
  t.equal(fresh(of({ 'cache-control': 'max-age=60', age: '99999999999999999999' })).age, MOST)
})

t.test('an Expires that is no date has expired', async t => {
  const past = ['0', '-1', '', 'soon', httpDate(0), httpDate(-1), 'Thu, 01 Jan 1970 00:00:00 UTC', `${httpDate(60)}, ${httpDate(60)}`, '60']
  t.same(past.filter(expires => fresh(of({ expires })).lifetime !== 0), [])
  t.equal(fresh(of({ expires: 0 })).lifetime, 0)
  t.equal(fresh(of({ expires: ` ${httpDate(1)} ` })).lifetime, 1000, 'space around it is nothing')
  t.equal(of({ expires: [] }), 'no-freshness', 'no line is no field')
})

t.test('without a Date, or with one that cannot be read, the response was made when it came', async t => {
  for (const date of [undefined, '', 'yesterday', '0', `${httpDate(-5)}, ${httpDate(-5)}`]) {
    const found = fresh(of({ expires: httpDate(10), date }))
    t.equal(found.lifetime, 10_000)
    t.equal(found.age, 0)
  }
})

t.test('a response that does not say how long it is fresh is not kept', async t => {
  t.equal(of({}), 'no-freshness')
  t.equal(cacheControl(''), 'no-freshness')
  t.equal(cacheControl('public'), 'no-freshness', 'nothing is guessed')
  t.equal(cacheControl('public, immutable, stale-while-revalidate=60'), 'no-freshness')
  t.equal(of({ 'last-modified': httpDate(-100_000), date: httpDate(0) }), 'no-freshness', 'from no date either')
  t.equal(fresh(of({ pragma: 'no-cache', expires: httpDate(1) })).lifetime, 1000, 'Pragma is for requests')
})

t.test('what is for one client is not kept, however fresh', async t => {
  const reasons: Array<[Headers, FreshnessReason & KeepReason]> = [
    [{ 'cache-control': 'max-age=60, private' }, 'private'],
    [{ 'cache-control': 'max-age=60, Private="x-a"' }, 'private'],
    [{ 'cache-control': ['max-age=60', 'NO-STORE'] }, 'no-store'],
    [{ 'cache-control': 'max-age=60; private' }, 'cache-control-malformed'],
    [{ 'cache-control': 'max-age' }, 'cache-control-malformed'],
    [{ 'cache-control': 's-maxage=-1, max-age=60' }, 'cache-control-malformed'],
    [{ 'cache-control': 'max-age=60', 'set-cookie': 'a=b' }, 'set-cookie'],
    [{ 'cache-control': 'public, max-age=60', 'set-cookie': ['a=b'] }, 'set-cookie'],
    [{ 'cache-control': 'max-age=60, no-cache' }, 'no-cache'],
    [{ 'cache-control': 'max-age=60, No-Cache="set-cookie"' }, 'no-cache'],
    [{ 'cache-control': 'no-cache=x, max-age=60' }, 'no-cache'],
    [{ 'cache-control': ['', 'no-cache'] }, 'no-cache']
  ]
  for (const [headers, reason] of reasons) {
    t.equal(of(headers), reason, `${JSON.stringify(headers)} as the headers say`)
    t.equal(restrictsKeeping(headers, NOW), reason, `${JSON.stringify(headers)} as the route says`)
  }
})

t.test('a route that says how long keeps whatever does not say that it must not', async t => {
  const allowed: Headers[] = [{}, { 'cache-control': 'public' }, { 'cache-control': 'max-age=1' }, { 'cache-control': 's-maxage=1, max-age=0' },
    { 'cache-control': 'must-revalidate' }, { expires: httpDate(1) }, { pragma: 'no-cache' }, { 'x-private': 'private' }, { age: '100' }]
  t.same(allowed.filter(headers => restrictsKeeping(headers, NOW) !== undefined), [])
  const expired: Headers[] = [{ 'cache-control': 'max-age=0' }, { 'cache-control': 'Max-Age="0"' }, { 'cache-control': 'max-age=60, max-age=0' },
    { 'cache-control': 's-maxage=0, max-age=60' }, { expires: '0' }, { expires: httpDate(0), date: httpDate(0) }, { expires: httpDate(-1) },
    { 'cdn-cache-control': 'max-age=0', 'cache-control': 'max-age=60' }]
  t.same(expired.filter(headers => restrictsKeeping(headers, NOW) !== 'expired'), [])
})

t.test('the answer to one request only is not kept, nor what must be understood and is not', async t => {
  const statuses = [100, 103, 199, 206, 304, 412, 416]
  t.same(statuses.filter(status => of({ 'cache-control': 'max-age=60' }, status) !== 'status'), [])
  const kept = [200, 201, 204, 301, 302, 404, 410, 418, 500, 503, 599]
  t.same(kept.filter(status => typeof of({ 'cache-control': 'max-age=60' }, status) === 'string'), [], 'others may say that they can be')
  t.equal(of({ 'cache-control': 'max-age=60, must-understand' }, 299), 'status')
  t.equal(of({ 'cache-control': 'max-age=60, must-understand' }, 418), 'status')
  t.equal(fresh(of({ 'cache-control': 'max-age=60, must-understand' }, 404)).lifetime, 60_000)
  t.equal(of({ 'cache-control': 'max-age=60, must-understand, no-store' }), 'no-store', 'no-store is obeyed all the same')
})

t.test('an age is the largest of what Date, Age and the time that it took say', async t => {
  const age = (headers: Headers, took = 0) => ageOf({ headers, requestedAt: NOW - took, respondedAt: NOW })
  t.equal(age({}), 0)
  t.equal(age({}, 1500), 1500, 'it may have been made as soon as it was asked for')
  t.equal(age({ age: '10' }), 10_000)
  t.equal(age({ age: '10' }, 1500), 11_500)
  t.equal(age({ date: httpDate(-20) }), 20_000)
  t.equal(age({ date: httpDate(-20), age: '10' }, 1500), 20_000)
  t.equal(age({ date: httpDate(-11), age: '10' }, 1500), 11_500)
  t.equal(age({ date: httpDate(20) }), 0, 'a clock that is ahead makes nothing younger')
  t.equal(age({ date: httpDate(20), age: '10' }), 10_000)
  t.equal(age({}, -1500), 0, 'nor does one that went back')
  t.equal(age({ age: '10' }, -1500), 10_000)
  t.equal(fresh(of({ 'cache-control': 'max-age=1', age: 10 }, 200, NOW - 5)).age, 10_005)
  t.equal(ageOf({ headers: { date: httpDate(0) }, requestedAt: NOW, respondedAt: NOW + 999 }), 999)
})

t.test('of several ages the first counts, and what is not well formed is none', async t => {
  const age = (value: Headers[string]) => ageOf({ headers: { age: value }, requestedAt: NOW, respondedAt: NOW })
  t.equal(age('5, 60'), 5000)
  t.equal(age(['5', '60']), 5000)
  t.equal(age(', 5'), 5000, 'an empty member is none')
  t.equal(age(' 5\t'), 5000)
  t.same(['-5', '+5', '5.5', '5s', 'a', '', '"5"', 'a, 5', '5;q=1', '\u0665', []].filter(each => age(each) !== 0), [])
})

t.test('must-revalidate and proxy-revalidate mean never to be served stale, and so does s-maxage that says nothing of it', async t => {
  for (const directive of ['must-revalidate', 'Proxy-Revalidate', 'must-revalidate="x"', 's-maxage=60, must-revalidate']) {
    const value = `max-age=60, ${directive}, stale-while-revalidate=30, stale-if-error=300`
    const found = fresh(cacheControl(value))
    t.equal(found.mayServeStale, false, directive)
    t.equal(found.staleWhileRevalidate, undefined)
    t.equal(found.staleIfError, undefined)
    t.equal(mayServeStale({ 'cache-control': value }), false)
  }
  t.equal(fresh(cacheControl('s-maxage=60')).mayServeStale, false)
  t.equal(mayServeStale({ 'cache-control': 'public, S-MaxAge=60' }), false)
  t.equal(fresh(cacheControl('s-maxage=60, stale-while-revalidate=30')).staleWhileRevalidate, 30_000)
  t.equal(fresh(cacheControl('s-maxage=60, stale-if-error=30')).staleIfError, 30_000)
  const found = fresh(cacheControl('max-age=60, Stale-While-Revalidate=30, stale-if-error="300"'))
  t.equal(found.mayServeStale, true)
  t.equal(found.staleWhileRevalidate, 30_000)
  t.equal(found.staleIfError, 300_000)
  t.equal(mayServeStale({}), true)
  t.equal(mayServeStale({ 'cache-control': 'x-must-revalidate' }), true)
})

t.test('how long it may be stale is nothing where that cannot be read, and unsaid where it is not there', async t => {
  const found = fresh(cacheControl('max-age=60, stale-while-revalidate, stale-if-error=x'))
  t.equal(found.staleWhileRevalidate, 0)
  t.equal(found.staleIfError, 0)
  t.equal(fresh(cacheControl('max-age=60, stale-if-error=5, stale-if-error=-1')).staleIfError, 0)
  t.equal(fresh(cacheControl('max-age=60')).staleWhileRevalidate, undefined)
  t.equal(fresh(cacheControl('max-age=60')).staleIfError, undefined)
})

t.test('the response to a request with Authorization is for others only where it says so', async t => {
  t.same(['public', 'Must-Revalidate', 's-maxage=60'].filter(value => !permitsAuthorization({ 'cache-control': value })), [])
  t.same(['', 'max-age=60', 'proxy-revalidate', 'no-cache', 'x-public'].filter(value => permitsAuthorization({ 'cache-control': value })), [])
  t.equal(permitsAuthorization({}), false)
})

t.test('CDN-Cache-Control takes the place of Cache-Control and Expires', async t => {
  t.equal(fresh(cdn('max-age=60')).lifetime, 60_000)
  t.equal(fresh(cdn('max-age=60, s-maxage=30')).lifetime, 30_000)
  t.equal(fresh(cdn('max-age=60', { 'cache-control': 's-maxage=10', expires: httpDate(5) })).lifetime, 60_000)
  t.equal(fresh(cdn('max-age=60', { 'cache-control': 'no-store, private, no-cache, max-age=0' })).lifetime, 60_000)
  t.equal(fresh(cdn('max-age=60', { 'cache-control': 'mal formed' })).lifetime, 60_000)
  t.equal(cdn('public', { 'cache-control': 'max-age=60', expires: httpDate(5) }), 'no-freshness')
  t.equal(cdn('none', { expires: httpDate(5) }), 'no-freshness', 'a directive that nobody knows says nothing, but is there')
  t.equal(fresh(cdn('max-age=60', { 'cache-control': 'must-revalidate' })).mayServeStale, true)
  t.equal(fresh(cdn('max-age=60, must-revalidate', { 'cache-control': 'max-age=60' })).mayServeStale, false)
  t.equal(fresh(cdn('max-age=60, stale-while-revalidate=5, stale-if-error=6')).staleWhileRevalidate, 5000)
  t.equal(fresh(cdn('max-age=60;x="y", max-age=30')).lifetime, 30_000, 'parameters say nothing, and the last of a name counts')
})

t.test('CDN-Cache-Control restricts as Cache-Control does', async t => {
  const open = { 'cache-control': 'public, max-age=60' }
  const reasons: Array<[string, FreshnessReason & KeepReason]> = [['private', 'private'], ['max-age=60, no-store', 'no-store'], ['no-cache', 'no-cache'],
    ['no-cache="x", max-age=60', 'no-cache'], ['private="x"', 'private'], ['no-store=?0', 'no-store'], ['no-store;x', 'no-store'],
    ['max-age=1.5', 'cache-control-malformed'], ['max-age="60"', 'cache-control-malformed'], ['max-age', 'cache-control-malformed'],
    ['max-age=-1', 'cache-control-malformed'], ['s-maxage=(60), max-age=60', 'cache-control-malformed'], ['max-age=sixty', 'cache-control-malformed']]
  for (const [value, reason] of reasons) {
    t.equal(cdn(value, open), reason, value)
    t.equal(restrictsKeeping({ 'cdn-cache-control': value, ...open }, NOW), reason, value)
  }
  t.equal(cdn('max-age=60', { 'set-cookie': 'a' }), 'set-cookie', 'nor does it let a cookie pass')
})

t.test('a CDN-Cache-Control that is empty or malformed is as if it was not there', async t => {
  for (const value of ['', ' ', 'max-age=60,', 'max-age = 60', 'Max-Age=60', 'max-age=60;', 'max-age=60s', '=', 'no-store, é']) {
    t.equal(fresh(cdn(value, { 'cache-control': 'max-age=10' })).lifetime, 10_000, JSON.stringify(value))
    t.equal(fresh(cdn(value, { expires: httpDate(5) })).lifetime, 5000)
    t.equal(cdn(value, { 'cache-control': 'private' }), 'private')
    t.equal(cdn(value), 'no-freshness')
  }
})

const field = fc.oneof(anyText, fc.array(anyText, { maxLength: 3 }), fc.integer(), fc.constant(undefined))
const REASONS = new Set<unknown>([undefined, 'private', 'no-store', 'cache-control-malformed', 'set-cookie', 'no-cache', 'expired', 'status', 'no-freshness'])

t.test('nothing that is read throws, or comes to what is not a duration', async t => {
  const piece = fc.constantFrom('max-age', 's-maxage', 'private', '=', '0', '60', ',', ' ', '"', '\\', ';', '\t', httpDate(5), '-', 'é')
  const pieces = fc.array(piece, { maxLength: 8 }).map(all => all.join(''))
  const any = fc.oneof(field, pieces)
  const cookie = fc.option(field, { nil: undefined })
  const headers = fc.record({ 'cache-control': any, 'cdn-cache-control': any, expires: any, date: any, age: any, 'set-cookie': cookie })
  fc.assert(fc.property(headers, fc.integer({ min: 100, max: 999 }), fc.integer(), fc.integer(), (headers, status, requestedAt, respondedAt) => {
    const found = freshnessOf({ headers, status, requestedAt, respondedAt })
    if (!REASONS.has(restrictsKeeping(headers, respondedAt)) || typeof mayServeStale(headers) !== 'boolean') return false
    if (typeof found === 'string') return REASONS.has(found)
    return [found.lifetime, found.age, found.staleIfError ?? 0, found.staleWhileRevalidate ?? 0].every(each => each >= 0 && Number.isFinite(each)) &&
      found.lifetime <= MOST
  }), { numRuns: 50_000 })
  t.pass('50,000 responses were read')
})

const quiet = fc.constantFrom('max-age=60', 's-maxage=60', 'public', 'must-revalidate', 'x="a, b"', 'stale-if-error=60', 'immutable', '', 'x-y=z')
const restrictive = fc.tuple(fc.constantFrom('private', 'no-store', 'no-cache'), fc.constantFrom('', '="x-a"', '="a, b"', '=x', '=""'))
  .chain(([name, argument]) => anyCase(name).map(any => any + argument))
const expiredNow = fc.constantFrom('max-age=0', 's-maxage=0').chain(text => anyCase(text))

/** A list of directives with one in any place, on one or two field lines. */
function around (wanted: fc.Arbitrary<string>, others: fc.Arbitrary<string>): fc.Arbitrary<string | string[]> {
  return fc.tuple(fc.array(others, { maxLength: 4 }), wanted, fc.array(others, { maxLength: 4 }), space, space, fc.nat(), fc.boolean())
    .map(([before, found, after, left, right, cut, split]) => {
      const members = [...before, found, ...after].map(each => `${left}${each}${right}`)
      const at = cut % (members.length + 1)
      return split ? [members.slice(0, at).join(','), members.slice(at).join(',')] : members.join(',')
    })
}

t.test('no restriction is ever lost, whatever stands around it', async t => {
  const noDictionary = fc.constantFrom(undefined, '', 'max-age=60,', 'No-Cache')
  const rest = fc.record({ expires: fc.option(field, { nil: undefined }), date: field, age: field, 'cdn-cache-control': noDictionary })
  fc.assert(fc.property(around(restrictive, quiet), rest, (value, rest) => {
    const headers = { ...rest, 'cache-control': value }
    return typeof of(headers) === 'string' && restrictsKeeping(headers, NOW) !== undefined
  }), { numRuns: 20_000 })
  const none = fc.constantFrom('max-age=0', 's-maxage=0', 'public', 'x="max-age=60"', '', 'stale-if-error=60')
  fc.assert(fc.property(around(expiredNow, none), rest, (value, rest) => {
    const found = of({ ...rest, 'cache-control': value })
    return typeof found !== 'string' && found.lifetime === 0 && restrictsKeeping({ ...rest, 'cache-control': value }, NOW) === 'expired'
  }), { numRuns: 10_000 })
  const dictionary = fc.tuple(fc.array(fc.constantFrom<string>('max-age=60', 'public', 'x="a, b"', 's-maxage=60;p'), { maxLength: 4 }),
    fc.constantFrom('private', 'no-store', 'no-cache', 'private="x"', 'no-cache;a=1', 'no-store=?0', 'private=(a b)'), fc.nat())
    .map(([others, wanted, at]) => others.toSpliced(at % (others.length + 1), 0, wanted).join(', '))
  fc.assert(fc.property(dictionary, field, (value, cacheControl) => {
    const headers = { 'cdn-cache-control': value, 'cache-control': cacheControl }
    return typeof of(headers) === 'string' && restrictsKeeping(headers, NOW) !== undefined
  }), { numRuns: 10_000 })
  const never = fc.constantFrom('must-revalidate', 'proxy-revalidate').chain(anyCase)
  fc.assert(fc.property(around(never, quiet), value => !mayServeStale({ 'cache-control': value })), { numRuns: 10_000 })
  t.pass('50,000 responses were read')
})
