/**
 * What figures alone tell: runs that split, gates that are skipped, limits, and routes that share nothing. And what a ttl would have done.
 */
import t from 'tap'
import type { Advice, CoalesceRouteOptions, ReasonFigures, RouteFigures, SimulatedTtl } from '../../types/index.js'
import { advised, type Given } from './subjects.js'

const split = (cause: string, count = 200): ReasonFigures => ({ outcome: 'leader', reason: 'split', cause, count })
const varies = (...names: string[]): RouteFigures['variesOn'] => names.map(name => ({ name, learnedFrom: 'handler' }))

const unshared = (name: string, names: readonly string[] = []): Given => ({
  figures: { deduplicatedRequests: 0, variesOn: varies('x-a', 'ip') }, unshared: { name: `nothing-shared-${name}` as never, overlapped: 50, names }
})

function only (given: Given): Advice | undefined {
  const [advice, ...others] = advised(given)
  t.strictSame(others, [])
  return advice
}

t.test('a header that runs split by is put in the key', t => {
  const advice = only({ figures: { reasons: [split('header')], variesOn: varies('accept-language', 'ip', 'accept-encoding') } })
  t.match(advice, {
    id: 'too-broad/split',
    text: /^The handler, or a hook before it, reads accept-language, which the key leaves out/,
    evidence: '200 of 1,000 requests (20 %) led a run of their own because of it',
    confidence: 'medium',
    silence: "warnings: ['advice-too-broad'] of the registration"
  })
  t.strictSame(advice?.patch, { headers: ['accept-language'] })
  t.end()
})

t.test('a parameter that runs split by is put in the key, and many headers are not', t => {
  t.strictSame(only({ options: { query: ['q'] }, figures: { reasons: [split('query')], variesOn: varies('?sig', '?') } })?.patch, { query: ['q', 'sig'] })
  const many = only({ figures: { reasons: [split('header')], variesOn: varies('x-a', 'x-b', 'x-c', 'x-d', 'x-e') } })
  t.strictSame([many?.patch, many?.confidence], [undefined, 'low'])
  t.end()
})

t.test('runs that seldom split, or by what no option names, are no reason for advice', t => {
  const variesOn = varies('accept-language')
  t.equal(only({ figures: { reasons: [split('header', 49)], variesOn } }), undefined)
  t.equal(only({ figures: { totalRequests: 99, reasons: [split('header', 99)], variesOn } }), undefined)
  t.equal(only({ figures: { reasons: [split('header')], variesOn: varies('ip', 'authorization') } }), undefined)
  t.equal(only({ figures: { reasons: [split('address'), split('cookie')], variesOn } }), undefined)
  t.equal(only({ ...unshared('split-header'), figures: { deduplicatedRequests: 0, reasons: [split('header')], variesOn } })?.kind, 'nothing-shared', 'which says it already')
  t.end()
})

const ttls = (...some: Array<readonly [ttl: number, hits: number, wrong: number]>): SimulatedTtl[] => some.map(([ttl, hits, wrong]) => ({ ttl, hits, wrong }))

t.test('a ttl is advised that hits nearly as often as a longer one, if what it answers is right', t => {
  const advice = only({ observed: { ttls: ttls([300_000, 0.9, 0.2], [30_000, 0.7, 0], [5000, 0.6, 0], [1000, 0.2, 0]) } })
  t.match(advice, {
    id: 'ttl/missing',
    text: 'A ttl of 5s would have answered 60 % of the requests without a run, and none of them wrongly. The price: a change shows up to 5s later, unless it purges.',
    evidence: '1,000 requests: 1s hits 20 %, 0 % wrong; 5s hits 60 %, 0 % wrong; 30s hits 70 %, 0 % wrong',
    confidence: 'medium',
    patch: { ttl: 5000 },
    silence: "warnings: ['advice-ttl'] of the registration"
  })
  const some = only({ observed: { ttls: ttls([5000, 0.6, 0.0075]) } })
  t.match(some, { text: /and 0\.75 % of those with what had changed meanwhile/, confidence: 'low' })
  t.end()
})

t.test('a ttl that answers wrongly too often is advised to be shorter', t => {
  const given = ttls([1000, 0.2, 0], [5000, 0.5, 0.008], [30_000, 0.8, 0.0625], [300_000, 0.9, 0.5])
  const advice = only({ options: { ttl: '1m', tags: ['a'] }, observed: { ttls: given } })
  t.match(advice, { id: 'ttl/too-long', confidence: 'high', patch: { ttl: 5000 } })
  t.equal(advice?.text, 'Of what a ttl of 30s answers, 6.3 % differs from what its own run would have answered; the route has 1m. With 5s it is 0.80 %, and 50 % of the requests are answered without a run.')
  const none = only({ options: { ttl: '1s' }, observed: { ttls: ttls([1000, 0.2, 0.3]) } })
  t.match(none?.text, /No shorter one is much better: purge by tags when something changes, or ttl: false\.$/)
  t.equal(none?.patch, undefined)
  t.end()
})

t.test('no ttl is advised where it is not worth it, not known, or not ours to say', t => {
  const good = ttls([5000, 0.6, 0])
  t.equal(only({ observed: { ttls: ttls([5000, 0.09, 0]) } }), undefined)
  t.equal(only({ observed: { ttls: ttls([5000, 0.6, 0.02]) } }), undefined)
  t.equal(only({ observed: { ttls: good, requests: 99 } }), undefined)
  t.equal(only({ observed: { ttls: good, verdict: 'too-few' } }), undefined)
  t.equal(only({ observed: { ttls: good, verdict: 'differs' } })?.kind, 'leak')
  t.equal(only({ observed: { ttls: ttls([5000, 0.6, 0.3]) }, options: { ttl: 'headers' } }), undefined)
  t.equal(only({ observed: { ttls: good }, options: { ttl: '5s' } }), undefined)
  t.equal(only({ observed: { ttls: good }, options: { ttl: '500ms' } }), undefined)
  t.equal(only({ observed: { ttls: ttls([1000, 0, 0.3]) }, options: { ttl: '5s' } }), undefined)
  t.end()
})

t.test('followers that skip gates are told of', t => {
  const parking = { at: 'onRequest', why: 'the hook option', skips: ['preHandler', 'schema'] } as const
  const advice = only({ options: { hook: 'onRequest' }, figures: { parking } })
  t.match(advice, {
    id: 'placement/skips-gates',
    text: /do not pass preHandler, schema\. If one of these decides who may have the response, leave hook to 'auto'/,
    evidence: '100 of 1,000 requests were answered without passing preHandler, schema',
    patch: { hook: 'auto' }
  })
  t.equal(only({ figures: { parking } }), undefined)
  t.equal(only({ options: { hook: 'onRequest' } }), undefined)
  t.equal(only({ options: { hook: 'onRequest' }, figures: { parking: undefined } as never }), undefined, 'where it is not known')
  t.equal(only({ options: { hook: 'onRequest' }, figures: { parking, totalRequests: 99 } }), undefined)
  t.equal(only({ options: { hook: 'onRequest' }, figures: { parking, deduplicatedRequests: 0 } }), undefined)
  t.end()
})

const met = (reason: string, count = 50, cause?: string): RouteFigures['reasons'] => [{ outcome: 'alone', reason, count, ...cause !== undefined && { cause } }]
const handlerTime = { count: 900, mean: 500, p50: 400, p99: 40_000 }
const raised: ReadonlyArray<readonly [reasons: RouteFigures['reasons'], id: string, patch: CoalesceRouteOptions | undefined, says: RegExp, options?: CoalesceRouteOptions]> = [
  [met('wait-timeout'), 'limits/wait-timeout', { waitTimeout: 120_000 }, /\(30s\) in vain; one run of a hundred takes 40s or more: .* for the price of longer waits/],
  [met('flight-timeout'), 'limits/flight-timeout', { flightTimeout: 120_000 }, /flightTimeout \(1m\)/],
  [met('flight-timeout'), 'limits/flight-timeout', { flightTimeout: 2 ** 31 - 1 }, /flightTimeout \(576h\)/, { flightTimeout: '24d' }],
  [met('too-large'), 'limits/too-large', { maxBodyBytes: 33_554_432 }, /maxBodyBytes \(8,388,608\)/],
  [met('unshareable', 50, 'too-large'), 'limits/too-large', { maxBodyBytes: 4096 }, /maxBodyBytes \(5\)/, { maxBodyBytes: 5 }],
  [met('max-waiters-per-key'), 'limits/max-waiters-per-key', { maxWaitersPerKey: 20_000 }, /maxWaitersPerKey allows \(10,000\)/],
  [met('max-waiters'), 'limits/max-waiters', undefined, /maxWaiters of the registration/],
  [met('max-flights'), 'limits/max-flights', undefined, /maxFlights of the registration/],
  [[...met('queue-full', 3), ...met('queue-timeout', 3), ...met('evicted', 4)], 'limits/queue', undefined, /The queue refuses runs: raise its maxRuns/]
]

for (const [reasons, id, patch, says, options = {}] of raised) {
  t.test(`${JSON.stringify(reasons.map(({ reason }) => reason))}: ${id} is advised`, t => {
    const advice = only({ options, figures: { reasons, handlerTime } })
    t.equal(advice?.id, id)
    t.strictSame(advice?.patch, patch)
    t.match(advice?.text, says)
    t.match(advice?.evidence, /^\d+ of 1,000 requests \([\d.]+ %\)$/)
    t.end()
  })
}

t.test('limits that few requests come up against are right', t => {
  t.strictSame(advised({ figures: { reasons: met('wait-timeout', 9) } }), [])
  t.strictSame(advised({ figures: { totalRequests: 200, reasons: met('wait-timeout', 4) } }), [])
  t.strictSame(advised({ figures: { totalRequests: 99, reasons: met('wait-timeout', 50) } }), [])
  t.notMatch(only({ figures: { reasons: met('wait-timeout') } })?.text, /one run of a hundred/)
  t.end()
})

t.test('a route that shares nothing is advised what its warning says', t => {
  const advice = only(unshared('credentials-cookie', ['_ga', 'theme']))
  t.match(advice, {
    id: 'nothing-shared/credentials-cookie',
    kind: 'nothing-shared',
    text: /^50 requests of this route came while an identical one was being answered, and none was shared, because they carry cookies \(_ga, theme\)/,
    evidence: '0 of 1,000 requests shared; of the first 50 that overlapped, most for this reason',
    silence: "warnings: ['nothing-shared-credentials-cookie'] of the registration"
  })
  t.strictSame(advice?.patch, { cookies: { ignore: ['_ga'], key: ['theme'] } })
  t.strictSame(only(unshared('credentials-other', ['x-api-key']))?.patch, { headers: ['x-api-key'] })
  t.strictSame(only(unshared('vary'))?.patch, { headers: ['x-a'] })
  t.end()
})

t.test('no option is advised of which it is not known whether it is safe', t => {
  for (const each of [unshared('split-address', ['ip']), unshared('credentials-cookie'), unshared('credentials-cookie', ['x'.repeat(64)]), unshared('private')]) t.equal(only(each)?.patch, undefined)
  t.end()
})

t.test('a route of which something was shared since is told nothing', t => {
  t.equal(only({ ...unshared('private'), figures: { deduplicatedRequests: 1 } }), undefined)
  t.equal(only({ ...unshared('private'), figures: { deduplicatedRequests: 0, cacheHits: 1 } }), undefined)
  t.end()
})
