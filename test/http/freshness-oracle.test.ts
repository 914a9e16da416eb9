/**
 * A second opinion on how long responses are fresh: http-cache-semantics, which knows nothing of this package.
 *
 * Where the two differ is written down, one difference at a time, with the section that decides: each is the response said
 * again in the words that make the other read it as the section does. So said, the two agree to the millisecond; and with any
 * one of them left out they do not.
 */
import CachePolicy from 'http-cache-semantics'
import t from 'tap'
import fc from 'fast-check'
import { freshnessOf } from '../../lib/http/freshness.js'

const RESPONDED = Date.UTC(2026, 10, 24, 12)
const MOST = 2 ** 31
const imfDate = (seconds: number): string => new Date(RESPONDED + seconds * 1000).toUTCString()

interface Response {
  readonly status: number
  /** The directives of Cache-Control. */
  readonly said: readonly string[]
  readonly cdn?: string | undefined
  readonly expires?: string | undefined
  readonly date?: string | undefined
  readonly age?: string | undefined
  readonly cookie?: string | undefined
  readonly pragma?: string | undefined
  /** How long it took to come, in seconds. */
  readonly took: number
}

/** How much longer it is fresh, in milliseconds, when it has been here for so long; 0 if it is not kept at all. */
function ours (response: Response, elapsed: number): number {
  const { status, said, cdn, expires, date, age, cookie, pragma, took } = response
  const found = freshnessOf({
    status,
    headers: { 'cache-control': said.length === 0 ? undefined : said.join(', '), 'cdn-cache-control': cdn, expires, date, age, 'set-cookie': cookie, pragma },
    requestedAt: RESPONDED - took * 1000,
    respondedAt: RESPONDED
  })
  return typeof found === 'string' ? 0 : Math.max(0, found.lifetime - found.age - elapsed)
}

class Policy extends CachePolicy {
  static time = RESPONDED
  now (): number {
    return Policy.time
  }
}

function theirs ({ status, said, expires, date, age, cookie, pragma }: Response, elapsed: number): number {
  const all = { 'cache-control': said.length === 0 ? undefined : said.join(', '), expires, date, age, 'set-cookie': cookie, pragma }
  const headers = Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined))
  Policy.time = RESPONDED
  const policy = new Policy({ url: '/', method: 'GET', headers: {} }, { status, headers }, { shared: true, cacheHeuristic: 0 })
  Policy.time = RESPONDED + elapsed
  return policy.storable() ? Math.max(0, Math.round((policy.maxAge() - policy.age()) * 1000)) : 0
}

const nameOf = (directive: string): string => directive.replace(/=.*/s, '')
const has = ({ said }: Response, name: string): boolean => said.some(each => nameOf(each) === name)
const never = (response: Response): Response => ({ ...response, said: ['no-store'] })

/** The only ones that are made here which are dates in HTTP, as their seconds. */
const secondsOf = (text: string | undefined): number | undefined => {
  const time = text === undefined ? NaN : Date.parse(text)
  return Number.isNaN(time) || new Date(time).toUTCString() !== text ? undefined : (time - RESPONDED) / 1000
}

const BAD_CDN = ['', 'max-age=90,', 'Max-Age=90', 'max-age = 90']
const BAD_DIRECTIVES = ['max-age=70s', 'max-age', 'max-age = 70', 'public; max-age=70', 'max-age=7.5', 'max-age=-1', 's-maxage=', 'max-age=70 80']
const BAD_AGES = ['5s', '-5', '5.5', 'a']
const ASCTIME = 'Tue Nov 24 12:01:10 2026'
const RFC_850 = 'Tuesday, 24-Nov-26 12:01:10 GMT'

/** In this order: each is said of what the ones before it have made of the response. */
const DIFFERENCES: ReadonlyArray<readonly [section: string, what: string, say: (response: Response) => Response]> = [
  ['RFC 9213, 2.2', 'CDN-Cache-Control takes the place of Cache-Control and Expires; http-cache-semantics does not know it', response => {
    if (response.cdn === undefined || BAD_CDN.includes(response.cdn)) return response
    const members = new Map(response.cdn.split(', ').map(member => [nameOf(member), member.replace(/;.*/, '')]))
    const said = [...members.values()].map(member => /^(?:max-age|s-maxage)=(?!\d+$)/.test(member) ? 'no-store' : member.replace('=?0', ''))
    return { ...response, said, expires: undefined }
  }],
  ['RFC 9110, 5.6.4', 'a comma in a quoted string ends no directive; there it does', response =>
    ({ ...response, said: response.said.filter(each => !each.startsWith('x="')) })],
  ['RFC 9111, 4.2.1 and 5.2', 'a field that is not well formed is not to be relied on; there the rest of it is', response =>
    response.said.some(each => BAD_DIRECTIVES.includes(each)) ? never(response) : response],
  ['RFC 9111, 5.2', 'directives are in any case; there in lower case', response => ({
    ...response,
    said: response.said.map(each => nameOf(each).toLowerCase() + each.slice(nameOf(each).length))
  })],
  ['RFC 9111, 1.2.2', 'what is too large is 2^31 seconds; there it is as large as it says', response => ({
    ...response,
    said: response.said.map(each => each.replace(/(?<=age=)\d{10,}/, String(MOST))),
    expires: (secondsOf(response.expires) ?? 0) > MOST ? imfDate((secondsOf(response.date) ?? 0) + MOST) : response.expires,
    age: /^\d{10,}$/.test(response.age ?? '') ? String(MOST) : response.age
  })],
  ['RFC 9111, 4.2.1', 'of two values the shorter one; there the last one', response => {
    const seconds = (directive: string): number => Number(directive.replace(/\D/g, ''))
    const least = response.said.filter(each => /age=/.test(each)).sort((a, b) => seconds(b) - seconds(a))
    return { ...response, said: [...response.said.filter(each => !/age=/.test(each)), ...least] }
  }],
  ['RFC 9111, 5.2.2.8', 'proxy-revalidate is about what is stale; there it makes everything so', response =>
    ({ ...response, said: response.said.filter(each => each !== 'proxy-revalidate') })],
  ['RFC 8246, 2', 'immutable makes nothing fresh for longer; there for a day at least', response =>
    ({ ...response, said: response.said.filter(each => each !== 'immutable') })],
  ['RFC 9111, 5.4', 'Pragma says nothing in a response; there no-cache', response => ({ ...response, pragma: undefined })],
  ['RFC 9111, 7.3', 'a response with a cookie is never kept for others, which is allowed; there it is if it is public', response =>
    response.cookie === undefined ? response : never(response)],
  ['RFC 9111, 5.2.2.3 and 3', 'any final status that says so may be kept, unless it must be understood; there a few only', response => {
    if (has(response, 'must-understand') && response.status === 418) return never(response)
    return [206, 304, 412, 416].includes(response.status) ? response : { ...response, status: 200 }
  }],
  ['RFC 9110, 5.6.7', 'asctime is in GMT; there in the zone of the machine', response => ({
    ...response,
    expires: response.expires === ASCTIME ? imfDate(70) : response.expires
  })],
  ['RFC 9111, 5.3', 'what is no date of HTTP has expired, were it none at all; there other dates do, and nothing is no field', response =>
    response.expires === undefined || response.expires === RFC_850 || secondsOf(response.expires) !== undefined ? response : { ...response, expires: '0' }],
  ['RFC 9110, 6.6.1', 'a Date that is no date of HTTP says nothing; there other dates do', response =>
    ({ ...response, date: secondsOf(response.date) === undefined ? undefined : response.date })],
  ['RFC 9111, 5.1', 'an Age that is no number says nothing; there what it begins with', response =>
    ({ ...response, age: BAD_AGES.includes(response.age ?? '') ? undefined : response.age })],
  ['RFC 9111, 4.2.3', 'Date and the time that it took make it older; there Age only', response => {
    const age = Number.parseInt(response.age ?? '0') + response.took
    return { ...response, age: String(Math.max(0, age, -(secondsOf(response.date) ?? 0))) }
  }]
]

function saidAgain (response: Response, leftOut?: string): Response {
  return DIFFERENCES.filter(([, what]) => what !== leftOut).reduce((so, [, , say]) => say(so), response)
}

const or = <Value>(arbitrary: fc.Arbitrary<Value>, weight = 1): fc.Arbitrary<Value | undefined> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight, arbitrary })
const seconds = fc.oneof(fc.nat(120), fc.constantFrom(0, 1, 59, 60, 61))
const digits = fc.oneof({ weight: 12, arbitrary: seconds.map(String) }, { weight: 1, arbitrary: fc.constantFrom('9999999999', '00060') })
const duration = fc.tuple(fc.constantFrom('max-age', 's-maxage', 'max-age', 'Max-Age', 'S-MAXAGE'), digits)
  .map(([name, value]) => `${name}=${value}`)
const flag = fc.constantFrom('public', 'Public', 'must-revalidate', 'proxy-revalidate', 'immutable', 'must-understand',
  'stale-while-revalidate=30', 'stale-if-error=60', 'x=y')
const restriction = fc.constantFrom('private', 'no-store', 'no-cache', 'private="a, b"', 'no-cache="set-cookie"', 'NO-STORE', 'Private')
const quoted = fc.constantFrom('x="a, no-store"', 'x="a, max-age=5, b"', 'max-age="60"', 'x="private"')
const directive = fc.oneof({ weight: 12, arbitrary: duration }, { weight: 8, arbitrary: flag },
  { weight: 1, arbitrary: restriction }, { weight: 1, arbitrary: quoted }, { weight: 1, arbitrary: fc.constantFrom(...BAD_DIRECTIVES) })
const member = fc.oneof(seconds.map(each => `max-age=${each}`), fc.constantFrom('public', 's-maxage=50', 'max-age=60;a=b', 'must-revalidate',
  'private', 'no-store=?0', 'no-cache', 'max-age="60"', 'max-age=1.5'))
const cdn = fc.oneof(fc.constantFrom(...BAD_CDN), fc.array(member, { minLength: 1, maxLength: 3 }).map(all => all.join(', ')))
const date = fc.oneof({ weight: 5, arbitrary: fc.integer({ min: -100, max: 30 }).map(imfDate) },
  { weight: 1, arbitrary: fc.constantFrom('0', '', '2026-11-24T11:59:30Z', 'Mon, 24 Nov 2026 11:59:30 GMT') })
const expires = fc.oneof({ weight: 5, arbitrary: fc.integer({ min: -20, max: 120 }).map(imfDate) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('0', '', '-1', RFC_850, ASCTIME, '2026-11-24T12:01:00Z',
      'Mon, 24 Nov 2026 12:01:00 GMT', 'Fri, 31 Dec 9999 23:59:59 GMT')
  })
const age = fc.oneof({ weight: 5, arbitrary: fc.nat(90).map(String) }, { weight: 1, arbitrary: fc.constantFrom(...BAD_AGES, '5, 60', '9999999999') })
const response: fc.Arbitrary<Response> = fc.record({
  status: fc.oneof({ weight: 6, arbitrary: fc.constant(200) },
    { weight: 1, arbitrary: fc.constantFrom(201, 204, 206, 301, 302, 304, 404, 410, 412, 416, 418, 500, 503) }),
  said: fc.array(directive, { maxLength: 4 }),
  cdn: fc.oneof({ weight: 6, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: cdn }),
  expires: or(expires, 2),
  date: or(date, 2),
  age: or(age),
  cookie: fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.constant('a=b') }),
  pragma: or(fc.constant('no-cache')),
  took: fc.oneof(fc.constant(0), fc.nat(10))
})
const elapsed = fc.oneof(fc.constant(0), fc.nat(130_000), fc.nat(130).map(each => each * 1000))
const RUNS = 40_000

t.test('so said, both agree on how long a response is fresh, to the millisecond', async t => {
  let fresh = 0
  let plain = 0
  fc.assert(fc.property(response, elapsed, (response, elapsed) => {
    const [mine, others] = [ours(response, elapsed), theirs(saidAgain(response), elapsed)]
    if (mine > 0) fresh++
    if (theirs(response, elapsed) === mine) plain++
    return mine === others
  }), { numRuns: RUNS })
  t.ok(fresh > RUNS / 10, `${fresh} of ${RUNS} were fresh`)
  t.ok(plain > RUNS / 3, `on ${plain} of ${RUNS} both agree as it is`)
})

t.test('saying it again changes nothing for us, but for what only we read', async t => {
  fc.assert(fc.property(response, elapsed, (response, elapsed) => {
    const { cdn: _cdn, ...again } = saidAgain(response)
    return ours({ ...again, took: 0 }, elapsed) === ours(response, elapsed)
  }), { numRuns: RUNS })
  t.pass(`${RUNS} responses were`)
})

t.test('each difference is one: left out alone, the two disagree', async t => {
  const cases = fc.sample(response, { numRuns: 10_000, seed: 1 })
  for (const [section, what] of DIFFERENCES) {
    const found = cases.filter(response => ours(response, 0) !== theirs(saidAgain(response, what), 0)).length
    t.ok(found > 0, `${section}: ${what} (${found} of ${cases.length})`)
  }
})
