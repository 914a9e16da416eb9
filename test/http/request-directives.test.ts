import type { IncomingHttpHeaders } from 'node:http'
import t from 'tap'
import fc from 'fast-check'
import { acceptable, acceptableOnError, NO_REQUEST_DIRECTIVES as NONE, requestDirectives, type RequestDirectives } from '../../lib/http/request-directives.js'
import { anyCase, anyText, space } from './arbitraries.js'

const of = (value: string): RequestDirectives => requestDirectives({ 'cache-control': value })
/** Fresh for a minute, and this old. */
const aged = (age: number, mayServeStale = true, staleIfError?: number) => ({ age, lifetime: 60_000, mayServeStale, staleIfError })

t.test('a request that asks nothing of caches asks nothing', async t => {
  t.equal(requestDirectives({}), NONE)
  t.strictSame(of(''), NONE)
  t.strictSame(of('x-y=1, no-transform, private'), NONE, 'nor one that asks what is not known')
})

t.test('each directive is read in any case, quoted or not', async t => {
  t.strictSame(of('No-Cache, NO-STORE, only-if-cached, Max-Age=1, min-fresh="2", max-stale=3, stale-if-error=4'), {
    noCache: true, noStore: true, onlyIfCached: true, maxAge: 1000, minFresh: 2000, maxStale: 3000, staleIfError: 4000
  })
  t.equal(of('max-stale').maxStale, Infinity, 'max-stale without an argument is any time')
  t.equal(of('max-age=99999999999').maxAge, 2 ** 31 * 1000)
})

t.test('of two values the one counts that asks for more', async t => {
  t.equal(of('max-age=5, max-age=3').maxAge, 3000)
  t.equal(of('max-age=3, max-age=5').maxAge, 3000)
  t.equal(of('min-fresh=3, min-fresh=5').minFresh, 5000)
  t.equal(of('min-fresh=5, min-fresh=3').minFresh, 5000)
  t.equal(of('max-stale, max-stale=5').maxStale, 5000)
  t.equal(of('max-stale=5, max-stale').maxStale, 5000)
  t.equal(of('stale-if-error=5, stale-if-error=3').staleIfError, 3000)
  t.equal(of('stale-if-error=3, stale-if-error=5').staleIfError, 3000)
})

t.test('what is not well formed asks for a run', async t => {
  t.match(of('no cache'), { noCache: true, noStore: true }, 'a field that cannot be read may have said anything')
  t.equal(of('max-age').maxAge, 0)
  t.equal(of('max-age=-1').maxAge, 0)
  t.equal(of('min-fresh').minFresh, Infinity)
  t.equal(of('min-fresh=x').minFresh, Infinity)
  t.equal(of('max-stale=x').maxStale, 0)
  t.equal(of('max-stale=""').maxStale, 0)
  t.equal(of('stale-if-error').staleIfError, 0)
})

t.test('Pragma: no-cache counts where there is no Cache-Control', async t => {
  const noCache = (headers: IncomingHttpHeaders) => requestDirectives(headers).noCache
  t.equal(noCache({ pragma: 'no-cache' }), true)
  t.equal(noCache({ pragma: 'x, No-Cache' }), true)
  t.equal(noCache({ pragma: 'no cache' }), true, 'even if it cannot be read')
  t.equal(noCache({ pragma: 'x=no-cache' }), false)
  t.equal(noCache({ pragma: 'no-cache', 'cache-control': 'max-age=60' }), false)
  t.equal(noCache({ pragma: 'no-cache', 'cache-control': '' }), false)
  t.strictSame({ ...requestDirectives({ pragma: 'no-cache' }), noCache: false }, NONE, 'and says nothing else')
})

t.test('a kept response will do as long as it is fresh', async t => {
  t.equal(acceptable(aged(0), NONE), true)
  t.equal(acceptable(aged(59_999), NONE), true)
  t.equal(acceptable(aged(60_000), NONE), false, 'at its lifetime it is not fresh any more')
  t.equal(acceptable(aged(60_001), NONE), false)
  t.equal(acceptable({ age: 0, lifetime: 0, mayServeStale: true }, NONE), false)
})

t.test('no-cache takes nothing that is kept; no-store and only-if-cached do', async t => {
  t.equal(acceptable(aged(0), of('no-cache')), false)
  t.equal(acceptable(aged(60_001), of('no-cache, max-stale')), false)
  t.equal(acceptable(aged(0), of('no-store, only-if-cached')), true)
  t.equal(acceptable(aged(60_000), of('only-if-cached')), false)
})

t.test('max-age takes nothing older', async t => {
  t.equal(acceptable(aged(10_000), of('max-age=10')), true)
  t.equal(acceptable(aged(10_001), of('max-age=10')), false)
  t.equal(acceptable(aged(0), of('max-age=0')), true, 'what is new this very millisecond is not older')
  t.equal(acceptable(aged(1), of('max-age=0')), false)
  t.equal(acceptable(aged(60_000), of('max-age=100')), false, 'and makes nothing fresher')
  t.equal(acceptable(aged(60_000), of('max-age=59, max-stale')), false)
  t.equal(acceptable(aged(60_000), of('max-age=60, max-stale')), true)
})

t.test('min-fresh takes what is fresh for so long still', async t => {
  t.equal(acceptable(aged(50_000), of('min-fresh=10')), true)
  t.equal(acceptable(aged(50_001), of('min-fresh=10')), false)
  t.equal(acceptable(aged(0), of('min-fresh=61')), false)
  t.equal(acceptable(aged(60_000), of('min-fresh=0')), false)
  t.equal(acceptable(aged(60_000), of('min-fresh=1, max-stale')), false)
})

t.test('max-stale takes what has been stale for no longer, unless the response forbids it', async t => {
  t.equal(acceptable(aged(70_000), of('max-stale=10')), true)
  t.equal(acceptable(aged(70_001), of('max-stale=10')), false)
  t.equal(acceptable(aged(1e12), of('max-stale')), true)
  t.equal(acceptable(aged(60_000), of('max-stale=0')), true)
  t.equal(acceptable(aged(60_000, false), of('max-stale')), false)
  t.equal(acceptable(aged(59_999, false), of('max-stale')), true)
})

t.test('in the place of an error a stale response will do where request or response says so, for the shorter time', async t => {
  t.equal(acceptableOnError(aged(60_000), NONE), false, 'nobody said so')
  t.equal(acceptableOnError(aged(59_999), NONE), true, 'what is fresh will do anyway')
  t.equal(acceptableOnError(aged(70_000, true, 10_000), NONE), true)
  t.equal(acceptableOnError(aged(70_001, true, 10_000), NONE), false)
  t.equal(acceptableOnError(aged(70_000), of('stale-if-error=10')), true)
  t.equal(acceptableOnError(aged(70_001), of('stale-if-error=10')), false)
  t.equal(acceptableOnError(aged(66_000, true, 10_000), of('stale-if-error=5')), false)
  t.equal(acceptableOnError(aged(66_000, true, 5000), of('stale-if-error=10')), false)
  t.equal(acceptableOnError(aged(65_000, true, 10_000), of('stale-if-error=5')), true)
  t.equal(acceptableOnError(aged(60_001, false, 10_000), of('stale-if-error=10')), false, 'the response forbids it')
  t.equal(acceptableOnError(aged(0, true, 10_000), of('no-cache')), false)
})

const duration = fc.nat(100_000)
const kept = fc.record({ age: duration, lifetime: duration, mayServeStale: fc.boolean(), staleIfError: fc.option(duration, { nil: undefined }) })

t.test('nothing that is read throws, and a stale response that must not be served never is', async t => {
  const pieces = fc.array(fc.constantFrom('max-age', 'max-stale', 'min-fresh', 'stale-if-error', '=', '0', '60', ',', ' ', '"', 'x'), { maxLength: 8 }).map(all => all.join(''))
  const any = fc.option(fc.oneof(anyText, pieces), { nil: undefined })
  fc.assert(fc.property(any, any, kept, (cacheControl, pragma, kept) => {
    const directives = requestDirectives({ 'cache-control': cacheControl, pragma })
    const served = acceptable(kept, directives) || acceptableOnError(kept, directives)
    return !served || kept.mayServeStale || kept.age < kept.lifetime
  }), { numRuns: 50_000 })
  t.pass('50,000 requests were read')
})

t.test('no-cache, no-store and only-if-cached are never lost, whatever stands around them', async t => {
  const other = fc.constantFrom('max-age=60', 'max-stale', 'x="a, b"', '', 'min-fresh=0', 'foo')
  const wanted = fc.constantFrom('no-cache', 'no-store', 'only-if-cached')
  fc.assert(fc.property(wanted.chain(name => fc.tuple(fc.constant(name), anyCase(name))), fc.array(other, { maxLength: 4 }), fc.array(other, { maxLength: 4 }), space,
    ([name, written], before, after, around) => {
      const found = of([...before, written, ...after].map(each => `${around}${each}${around}`).join(','))
      return { 'no-cache': found.noCache, 'no-store': found.noStore, 'only-if-cached': found.onlyIfCached }[name]
    }), { numRuns: 10_000 })
  t.pass('10,000 requests were read')
})

t.test('asking for more never makes a kept response do that would not otherwise', async t => {
  const stricter = fc.constantFrom('no-cache', 'max-age=5', 'max-age=50', 'min-fresh=5', 'max-age=x', 'min-fresh')
  const asked = fc.array(fc.constantFrom('max-stale', 'max-stale=20', 'max-age=40', 'min-fresh=10', 'no-store'), { maxLength: 3 })
  fc.assert(fc.property(kept, asked, stricter, (kept, asked, more) =>
    !acceptable(kept, of([...asked, more].join())) || acceptable(kept, of(asked.join()))), { numRuns: 10_000 })
  t.pass('10,000 pairs were tried')
})
