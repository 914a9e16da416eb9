import t from 'tap'
import { planKeeping, type Keepable, type KeepSettings, type Plan } from '../../lib/http/keep.js'
import type { Headers } from '../../lib/http/headers.js'

const NOW = Date.UTC(2026, 10, 24, 12)
const S = 1000
const date = (at: number): string => new Date(at).toUTCString()
const SETTINGS: KeepSettings = {
  ttl: 0, staleWhileRevalidate: 0, staleIfError: 0, ttlJitter: 0, negativeTtl: new Map(), maxEntryBytes: 100
}

interface Given {
  readonly response?: Partial<Keepable>
  readonly settings?: Partial<KeepSettings>
  readonly ttl?: number | 'headers' | undefined
}

function plan ({ response = {}, settings = {}, ...given }: Given = {}) {
  const came: Keepable = { status: 200, headers: {}, failed: false, bytes: 10, requestedAt: NOW, respondedAt: NOW, ...response }
  const ttl = 'ttl' in given ? given.ttl : 10 * S
  return planKeeping(came, { ...SETTINGS, ...settings }, () => ttl)
}

function planned (given: Given): Plan {
  const result = plan(given)
  if (result.reason !== undefined) throw new Error(`not kept: ${result.reason}`)
  return result
}

const reason = (given: Given): string | undefined => plan(given).reason
/** Fresh, stale while it is refreshed, stale in the place of an error; in seconds. */
const seconds = (given: Given): number[] => {
  const { freshFor, staleWhileRevalidate, staleIfError } = planned(given).durations
  return [freshFor / S, staleWhileRevalidate / S, staleIfError / S]
}

t.test('an entry may be as large as the route says, and no larger', async t => {
  t.equal(reason({ response: { bytes: 100 } }), undefined)
  t.equal(reason({ response: { bytes: 101 } }), 'entry-too-large')
})

t.test('the ttl of the route is for what is no error; an error is kept if its status has one of its own', async t => {
  t.equal(reason({ ttl: undefined }), 'no-ttl')
  t.equal(reason({ response: { status: 399 } }), undefined)
  for (const status of [400, 404, 500, 503]) {
    t.equal(reason({ response: { status } }), 'error', String(status))
    t.same(seconds({ response: { status }, settings: { negativeTtl: new Map([[status, S]]) } }), [1, 0, 0])
  }
  t.equal(reason({ response: { status: 200, failed: true } }), 'error', 'what an error handler answers is one, whatever its status says')
})

t.test('a response that forbids it is not kept, whatever the route says', async t => {
  const refused: Array<[Headers, string]> = [
    [{ 'set-cookie': 'a=b' }, 'set-cookie'],
    [{ 'cache-control': 'private' }, 'private'],
    [{ 'cache-control': 'no-store' }, 'no-store'],
    [{ 'cache-control': 'no-cache' }, 'no-cache']
  ]
  for (const ttl of [10 * S, 'headers'] as const) {
    for (const [headers, why] of refused) t.equal(reason({ ttl, response: { headers } }), why)
  }
  t.equal(reason({ response: { headers: { 'cache-control': 'max-age=0' } } }), 'expired')
  t.equal(reason({ ttl: 'headers' }), 'no-freshness')
  t.equal(reason({ ttl: 0 }), 'expired', 'nor is what is of no use')
})

t.test('a ttl counts from now, whatever age the response has; what its headers say, from when it was made', async t => {
  const headers = { age: '4', 'cache-control': 'max-age=10' }
  t.same(seconds({ response: { headers } }), [10, 0, 0])
  t.same(seconds({ ttl: 'headers', response: { headers } }), [6, 0, 0])
  t.equal(planned({ response: { headers } }).age, 4 * S, 'and it is served with that age')
  t.equal(planned({ response: { requestedAt: NOW - 3 * S } }).age, 3 * S, 'to which its run adds')
})

t.test('what is older than its freshness has used up some of the time that it may be served stale', async t => {
  const settings = { staleWhileRevalidate: 5 * S, staleIfError: 8 * S }
  const headers = { age: '13', 'cache-control': 'max-age=10' }
  t.same(seconds({ ttl: 'headers', settings, response: { headers } }), [0, 2, 5])
  t.same(seconds({ ttl: 'headers', settings, response: { headers: { ...headers, age: '16' } } }), [0, 0, 2])
  t.equal(reason({ ttl: 'headers', settings, response: { headers: { ...headers, age: '18' } } }), 'expired')
})

t.test('what the response says of its time as stale outweighs the route, where its headers are to be obeyed', async t => {
  const settings = { staleWhileRevalidate: 5 * S, staleIfError: 5 * S }
  const headers = { 'cache-control': 'max-age=10, stale-while-revalidate=1, stale-if-error=20' }
  t.same(seconds({ ttl: 'headers', settings, response: { headers } }), [10, 1, 20])
  t.same(seconds({ settings, response: { headers } }), [10, 5, 5])
})

t.test('an error from 500 is served stale only if it says so itself', async t => {
  const settings = { staleWhileRevalidate: 5 * S, staleIfError: 5 * S, negativeTtl: new Map<number, number | 'headers'>([[404, S], [500, S], [503, 'headers']]) }
  const headers = { 'cache-control': 'max-age=1, stale-while-revalidate=2' }
  t.same(seconds({ settings, response: { status: 404 } }), [1, 5, 5])
  t.same(seconds({ settings, response: { status: 500 } }), [1, 0, 0])
  t.same(seconds({ settings, response: { status: 503, headers } }), [1, 2, 0])
})

t.test('a response that forbids it is not served stale', async t => {
  const settings = { staleWhileRevalidate: 5 * S, staleIfError: 5 * S }
  const headers = { 'cache-control': 'max-age=10, must-revalidate' }
  for (const ttl of [10 * S, 'headers'] as const) t.same(seconds({ ttl, settings, response: { headers } }), [10, 0, 0])
})

t.test('a jitter takes no more than its part', async t => {
  const all = Array.from({ length: 200 }, () => seconds({ settings: { ttlJitter: 0.2 } })[0] as number)
  t.ok(all.every(each => each > 8 && each <= 10))
  t.ok(new Set(all).size > 1)
})

t.test('an entry is kept for as long as it is of any use, as fresh, as stale, or to be asked about', async t => {
  t.equal(planned({}).keepFor, 10 * S)
  t.equal(planned({ settings: { staleWhileRevalidate: 5 * S, staleIfError: 3 * S } }).keepFor, 15 * S)
  t.equal(planned({ settings: { staleWhileRevalidate: 5 * S, staleIfError: 8 * S } }).keepFor, 18 * S)
  for (const headers of [{ etag: '"a"' }, { 'last-modified': date(NOW) }]) {
    t.equal(planned({ response: { headers } }).keepFor, 70 * S, 'a minute longer if it has a validator')
    t.equal(planned({ ttl: 90 * S, response: { headers } }).keepFor, 180 * S, 'or as long as it was fresh')
  }
})

t.test('a response was made when its Date says; or now, where that says nothing', async t => {
  const at = NOW - 7 * S
  t.equal(planned({ response: { headers: { date: ` ${date(at)} ` } } }).date, at)
  for (const headers of [{}, { date: 'yesterday' }]) t.equal(planned({ response: { headers } }).date, NOW)
})
