/**
 * The report: what is advised comes in order, is valid, harmless to print, and can be silenced; and `assertSafe`.
 */
import fc from 'fast-check'
import t from 'tap'
import { readOptions } from '../../lib/options/options.js'
import { advise } from '../../lib/report/advise.js'
import { reportOf } from '../../lib/report/report.js'
import { count, percent, time } from '../../lib/report/words.js'
import { NOTHING_SHARED, WARNINGS } from '../../lib/warnings.js'
import type { CoalesceRouteOptions, RouteReport } from '../../types/index.js'
import { advised, facts, pairs, settingsOf, type Given } from './subjects.js'

const NONE: ReadonlySet<string> = new Set()

const leak: Given = { figures: { route: '/leak' }, observed: { verdict: 'differs', differences: [{ path: '$.a', between: 1, within: 0, causes: [{ name: 'cookie ab', whenDiffers: 1, whenSame: 0 }] }] } }
const narrow: Given = { figures: { route: '/narrow' }, observed: { inert: [{ names: ['?utm_source'], pairs: 100, upTo: 0.03 }] } }
const limited: Given = { figures: { route: '/limited', reasons: [{ outcome: 'alone', reason: 'wait-timeout', count: 100 }] } }

t.test('the most urgent comes first', t => {
  const { advice, routes } = reportOf([narrow, limited, leak].map(facts), NONE)
  t.strictSame(advice.map(({ id, route }) => `${id} ${route}`), ['leak/differs /leak', 'limits/wait-timeout /limited', 'too-narrow/utm /narrow'])
  t.equal(routes.length, 2, 'those that are observed')
  const sure: Given = { ...narrow, observed: { inert: [{ names: ['?x'], pairs: 1000, upTo: 0.003 }] } }
  t.strictSame(advise([narrow, sure].map(facts), NONE).map(({ confidence }) => confidence), ['high', 'medium'])
  t.end()
})

t.test('what is silenced is not there, the rest is', t => {
  for (const given of [leak, narrow, limited]) {
    const [advice] = advised(given)
    const name = /\['(.*)'\]/.exec(advice?.silence ?? '')?.[1] as string
    t.ok(WARNINGS.includes(name))
    t.strictSame(advised(given, [name]), [])
    t.equal(advised(given, ['advice-placement']).length, 1)
  }
  t.end()
})

const texts = fc.string({ unit: 'binary', maxLength: 90 })
const named = fc.oneof(
  fc.tuple(fc.constantFrom('cookie ', 'header ', '?', 'param ', ''), texts).map(parts => parts.join('')),
  fc.constantFrom('cookie ab', 'cookie sid', 'header x-a', 'header accept-language', '?q', '?utm_id', '?utm_*', 'address', 'identity', '?', 'cookie ')
)
const part = fc.double({ min: 0, max: 1, noNaN: true })
const optionsOf: fc.Arbitrary<CoalesceRouteOptions> = fc.record({
  query: fc.constantFrom(true as const, 'raw' as const, ['q'], { ignore: ['utm_*', 'x'] }),
  headers: fc.constantFrom([], ['x-a', 'accept-language']),
  cookies: fc.constantFrom([], ['ab'], { ignore: ['_ga'] }, { ignore: ['*'], key: ['ab'] }),
  waitTimeout: fc.constantFrom(1, '1s', '24d'),
  ttl: fc.constantFrom(false as const, '1s', '1h', 'headers' as const),
  maxBodyBytes: fc.constantFrom(0, 5, Number.MAX_SAFE_INTEGER)
})
const findings: fc.Arbitrary<Partial<RouteReport>> = fc.record({
  verdict: fc.constantFrom('too-few', 'equal', 'noise', 'echo', 'unknown', 'differs'),
  differences: fc.array(fc.record({
    path: texts, between: part, within: fc.option(part, { nil: undefined }), causes: fc.array(fc.record({ name: named, whenDiffers: part, whenSame: fc.option(part, { nil: undefined }) }), { maxLength: 2 })
  }), { maxLength: 6 }),
  inert: fc.array(fc.record({ names: fc.array(named, { maxLength: 3 }), pairs: fc.nat(1000), upTo: part }), { maxLength: 6 }),
  ttls: fc.array(fc.record({ ttl: fc.constantFrom(1000, 5000, 30_000, 300_000), hits: part, wrong: part }), { maxLength: 4 })
})
const given: fc.Arbitrary<Given> = fc.record({
  options: optionsOf,
  observed: findings,
  figures: fc.record({
    deduplicatedRequests: fc.constantFrom(0, 10),
    variesOn: fc.array(fc.record({ name: fc.oneof(texts, named), learnedFrom: fc.constant('hook' as const) }), { maxLength: 4 }),
    reasons: fc.array(fc.record({
      outcome: fc.constant('alone' as const), reason: fc.constantFrom('split', 'wait-timeout', 'flight-timeout', 'too-large', 'max-waiters-per-key'), cause: fc.constantFrom('header', 'query'), count: fc.nat(1000)
    }), { maxLength: 4 })
  }),
  unshared: fc.option(fc.record({ name: fc.constantFrom(...NOTHING_SHARED), overlapped: fc.nat(), names: fc.array(fc.string({ maxLength: 64 }), { maxLength: 4 }) }), { nil: undefined })
})

t.test('whatever was found, patches are options of the route, and texts are harmless', t => {
  const kinds = new Set<string>()
  fc.assert(fc.property(given, given => {
    const known = facts(given)
    for (const { evidence, id, kind, patch, silence, text } of advise([known], NONE)) {
      kinds.add(kind)
      for (const each of [id, text, evidence, silence]) if (!/^[\x20-\x7e]+$/.test(each) || /undefined|NaN|Infinity/.test(each.replaceAll(/'[^']*'/g, ''))) throw new Error(each)
      if (patch === undefined) continue
      if (JSON.stringify(patch).length > 10_000) throw new Error('a patch is large')
      settingsOf({ ...given.options, ...JSON.parse(JSON.stringify(patch)) as CoalesceRouteOptions })
    }
  }), { numRuns: 1000 })
  t.strictSame([...kinds].sort(), ['leak', 'limits', 'nothing-shared', 'too-broad', 'too-narrow', 'ttl'])
  t.end()
})

function thrownBy (action: () => void): { readonly code?: string, readonly message: string } {
  try {
    action()
  } catch (error) {
    return error as { code: string, message: string }
  }
  return { message: 'nothing was thrown' }
}

const asserted = (...given: Given[]) => thrownBy(() => { reportOf(given.map(facts), NONE).assertSafe() })

t.test('what was compared and found equal, or noise, is safe', t => {
  for (const verdict of ['equal', 'noise', 'too-few'] as const) t.equal(asserted({ observed: { verdict } }, {}).message, 'nothing was thrown', verdict)
  t.end()
})

t.test('what differs is not safe: routes, places and causes are named', t => {
  const error = asserted(leak, narrow, { figures: { route: '/other' }, observed: { verdict: 'echo', pairs: { between: pairs({ equal: 5, echo: 3 }), within: pairs() } } })
  t.equal(error.code, 'FST_COALESCE_UNSAFE')
  t.equal(error.message, 'GET /x: responses differ between clients (0 of 400 pairs): $.a differs for 100 % of pairs between clients, 0 % within; cookie ab explains all of it\n' +
    'GET /x: responses hold what is of their own request (3 of 8 pairs)')
  t.match(asserted({ observed: { verdict: 'unknown' } }).message, /responses differ, and too few clients were seen twice/)
  t.end()
})

t.test('with too few pairs for a verdict whatever differs counts', t => {
  t.match(asserted({ observed: { verdict: 'too-few', pairs: { between: pairs({ differs: 1 }), within: pairs() } } }).message, /^GET \/x: responses differ \(1 of 1 pairs\)$/)
  t.match(asserted({ observed: { verdict: 'too-few', pairs: { between: pairs({ echo: 1 }), within: pairs() } } }).message, /^GET \/x: responses differ \(1 of 1 pairs\)$/)
  t.end()
})

t.test('a route without a verdict of which responses were skipped that may differ is not safe', t => {
  const few = (given: Given['observed']): Given => ({ observed: { verdict: 'too-few', ...given } })
  const error = asserted(few({ skipped: { budget: 12 } }), {})
  t.equal(error.code, 'FST_COALESCE_UNSAFE')
  t.equal(error.message, 'GET /x: no verdict, because responses were not compared (12 skipped: budget): observe: { budget: 1 } at the registration, in tests, has all of them compared')
  t.match(asserted(few({ skipped: { bytes: 1, 'too-large': 2 } })).message, /\(1 skipped: bytes, 2 skipped: too-large\): a larger maxBytes .* to compare with; a larger maxBytes/)
  t.match(asserted(few({ skipped: { 'clean-threw': 3, error: 1 } })).message, /\(3 skipped: clean-threw, 1 skipped: error\): clean has to .*observe-failed/)
  for (const [what, hides] of [
    ['what others would not be given, or is not to be compared', few({ skipped: { stream: 9, failed: 9, unfinished: 9, busy: 9, 'not-sampled': 9 } })],
    ['a verdict was found all the same', { observed: { verdict: 'equal', skipped: { budget: 12 } } }]
  ] as const) t.equal(asserted(hides).message, 'nothing was thrown', what)
  t.end()
})

t.test('a route whose handler reads all headers is told so, and what to do, and is silenced by the name of its warning', t => {
  const reads: Given = {
    figures: {
      reasons: [
        { outcome: 'bypass', reason: 'unshareable', cause: 'reads-all-headers', count: 400 }, { outcome: 'leader', reason: 'reads-all-headers', count: 100 }, { outcome: 'bypass', reason: 'unshareable', cause: 'private', count: 300 }
      ]
    }
  }
  const [advice, ...others] = advised(reads)
  t.strictSame(others, [])
  t.match(advice, {
    id: 'nothing-shared/reads-all-headers',
    kind: 'nothing-shared',
    confidence: 'high',
    evidence: '500 of 1,000 requests (50 %)',
    silence: "warnings: ['reads-all-headers'] of the registration",
    text: /^The handler, or a hook before it, reads all request headers .* learnVary: false trusts their own Vary, at the price .* Read, or log, headers by name; .*onResponse/
  })
  t.notOk('patch' in (advice as object), 'learnVary: false may share what must not be')
  t.strictSame(advised(reads, ['reads-all-headers']), [])
  t.strictSame(advised({ figures: { ...reads.figures, totalRequests: 1001 } }), [], 'fewer than half')
  t.strictSame(advised({ figures: { reasons: [{ outcome: 'leader', reason: 'reads-all-headers', count: 99 }], totalRequests: 99 } }), [], 'too few to tell')
  t.match(advised({ observed: { would: [{ outcome: 'unshareable', reason: 'reads-all-headers', count: 900 }] } }), [{ id: 'nothing-shared/reads-all-headers' }])
  t.end()
})

t.test('what would keep most requests of an observed route from being shared is advised as where nothing is shared', t => {
  const barred = { advice: 'nothing-shared-credentials-other', count: 500, names: new Set(['x-api-key']) } as const
  t.match(advised({ observed: {}, barred }), [{
    id: 'nothing-shared/credentials-other', evidence: '500 of 1,000 requests (50 %)', patch: { headers: ['x-api-key'] }, text: /^Most requests of this route, which is observed, would not be shared, because they carry credentials \(x-api-key\): /
  }])
  const [bare] = advised({ observed: {}, barred: { ...barred, advice: 'nothing-shared-set-cookie' } })
  t.notOk('patch' in (bare as object))
  t.strictSame(advised({ observed: {}, barred: { ...barred, count: 499 } }), [])
  t.strictSame(advised({ observed: {}, barred }, ['nothing-shared-credentials-other']), [])
  t.end()
})

t.test('what differs for one client is not harmless if next to nothing was seen to be equal for different ones', t => {
  const asked = (between: Record<string, number>, within: Record<string, number>, noise: string[] = []): string =>
    asserted({ observed: { verdict: 'too-few', noise, pairs: { between: pairs(between), within: pairs(within) } } }, {}).message
  t.equal(asked({}, { differs: 40 }),
    'GET /x: responses to one client differ, and too few of different clients were compared to tell whether that is noise (0 pairs)')
  t.match(asked({}, { echo: 1 }), /responses to one client differ/)
  t.match(asked({}, { noise: 40 }, ['$.name']), /responses to one client differ/, 'also if it was learned to be noise')
  t.match(asked({ equal: 9, noise: 1 }, { noise: 40 }, ['$.name']), /\(10 pairs\)/, 'and differs between some')
  t.equal(asked({ equal: 10 }, { noise: 40 }, ['$.name']), 'nothing was thrown', 'unless all others are equal')
  t.equal(asked({ equal: 9, noise: 1 }, { noise: 40 }), 'nothing was thrown', 'times of now are noise')
  t.match(asked({}, { noise: 40 }), /were of different clients, so nothing was compared$/, 'but do not stand for others')
  t.end()
})

t.test('of many routes the first are named', t => {
  const { message } = asserted(...Array.from({ length: 23 }, () => leak))
  t.equal(message.split('\n').length, 21)
  t.match(message, /\nand 3 more routes$/)
  t.end()
})

t.test('where nothing was compared nothing is safe', t => {
  t.match(asserted({}), { code: 'FST_COALESCE_UNSAFE', message: /^no route is observed, so nothing was compared: observe: true/ })
  t.match(asserted({ observed: { verdict: 'too-few', pairs: { between: pairs(), within: pairs({ equal: 10 }) } } }).message, /were of different clients, so nothing was compared$/)
  t.end()
})

t.test('every kind of advice can be silenced by its name at the registration', t => {
  const names = ['advice-leak', 'advice-too-narrow', 'advice-too-broad', 'advice-ttl', 'advice-placement', 'advice-limits']
  const { warnings } = readOptions({ warnings: names }, { semicolonDelimits: false, parsesItself: false, trustsByAddress: false })
  t.strictSame([...warnings], names)
  t.end()
})

t.test('figures are short', t => {
  t.strictSame([0, 0.0075, 0.00001, 0.03, 0.51, 1].map(percent), ['0 %', '0.75 %', '0.0010 %', '3.0 %', '51 %', '100 %'])
  t.strictSame([1, 1500, 5000, 90_000, 120_000, 7_200_000].map(time), ['1ms', '1500ms', '5s', '90s', '2m', '2h'])
  t.equal(count(1_234_567), '1,234,567')
  t.end()
})
