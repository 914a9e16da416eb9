/**
 * Where responses of different clients differ: the cause is named, and what puts it in the key.
 */
import t from 'tap'
import type { Advice, CoalesceRouteOptions, Difference, RouteReport } from '../../types/index.js'
import { advised, pairs } from './subjects.js'

const leaks = { between: pairs({ equal: 49, differs: 51 }), within: pairs({ equal: 1695 }) }

function difference (cause?: string, more: Partial<Difference> = {}): Difference {
  return { path: '$.hero', between: 0.51, within: 0, causes: cause === undefined ? [] : [{ name: cause, whenDiffers: 1, whenSame: 0 }], ...more }
}

function leakOf (differences: readonly Difference[], options: CoalesceRouteOptions = {}, more: Partial<RouteReport> = {}): Advice {
  const [advice, ...others] = advised({ options, observed: { verdict: 'differs', pairs: leaks, differences, ...more } })
  if (advice === undefined) throw new Error('nothing is advised')
  t.strictSame(others, [])
  return advice
}

t.test('a cookie that explains all is put in the key', t => {
  t.strictSame(leakOf([difference('cookie ab')]), {
    id: 'leak/differs',
    kind: 'leak',
    method: 'GET',
    route: '/x',
    text: 'Sharing would give a client what is another one\'s: $.hero differs for 51 % of pairs between clients, 0 % within; cookie ab explains all of it. Have it in the key: cookie ab.',
    evidence: '51 of 100 pairs of different clients differ, 0 of 1,695 of the same client',
    confidence: 'high',
    patch: { cookies: ['ab'] },
    silence: "warnings: ['advice-leak'] of the registration"
  })
  t.end()
})

t.test('with sharing on it is said that it happens', t => {
  t.match(leakOf([difference('cookie ab')], {}, { mode: 'verify' }).text, /^Sharing gives a client what is another one's: /)
  t.end()
})

const remedies: ReadonlyArray<readonly [causes: string[], options: CoalesceRouteOptions, patch: CoalesceRouteOptions | undefined, says: RegExp]> = [
  [['header Accept-Language'], { headers: ['x-a'] }, { headers: ['x-a', 'accept-language'] }, /Have it in the key: header Accept-Language\./],
  [['cookie ab', 'header x-tenant', 'cookie ab'], { cookies: ['theme'] }, { cookies: ['theme', 'ab'], headers: ['x-tenant'] }, /cookie ab, header x-tenant\./],
  [['cookie ab'], { cookies: { ignore: ['_ga'], key: ['theme'] } }, { cookies: { ignore: ['_ga'], key: ['theme', 'ab'] } }, /cookie ab/],
  [['?page'], { query: ['q'] }, { query: ['q', 'page'] }, /Have it in the key: \?page/],
  [['?page'], { query: { ignore: ['p*', 'x'] } }, { query: { ignore: ['x'] } }, /\?page/],
  [['?page'], { query: { ignore: ['p*'] } }, { query: true }, /\?page/],
  [['?page'], {}, undefined, /No option has \?page in the key: the identity or key function can/],
  [['?page'], { query: ['q'], key: () => 'k' }, undefined, /Have it in the key: \?page/],
  [['cookie sid'], {}, undefined, /cookie sid says who is asking: identity: /],
  [['header authorization'], {}, undefined, /header authorization says who is asking: identity: /],
  [['header x-api-key'], {}, { headers: ['x-api-key'] }, /header x-api-key\./],
  [['address'], {}, undefined, /No option has address in the key: identity: request => request\.ip does, or coalesce: false/],
  [['cookie ab', 'address'], {}, { cookies: ['ab'] }, /Have it in the key: cookie ab\. No option has address/],
  [['header x y'], {}, undefined, /header x\?y/],
  [['cookie a\u001b[2J'], {}, undefined, /cookie a\?\[2J/],
  [['cookie a*'], {}, undefined, /cookie a\*/]
]

for (const [causes, options, patch, says] of remedies) {
  t.test(`${JSON.stringify(causes)} with ${JSON.stringify(options)}`, t => {
    const advice = leakOf(causes.map(cause => difference(cause)), options)
    t.strictSame(advice.patch, patch)
    t.match(advice.text, says)
    t.end()
  })
}

t.test('what nothing explains is said to be unexplained', t => {
  const advice = leakOf([difference()])
  t.match(advice.text, /Nothing that requests say was seen to explain it: identity, if it is of the user who asks; else coalesce: false/)
  t.strictSame([advice.confidence, advice.patch], ['medium', undefined])
  t.match(leakOf([difference()], { identity: () => 'me' }).text, /Nothing that requests say was seen to explain it: coalesce: false/)
  t.end()
})

t.test('what is explained in part makes the advice less certain', t => {
  const advice = leakOf([difference(undefined, { causes: [{ name: 'cookie ab', whenDiffers: 0.9, whenSame: 0.3 }] })])
  t.strictSame([advice.confidence, advice.patch], ['medium', { cookies: ['ab'] }])
  t.match(advice.text, /cookie ab explains some of it/)
  t.equal(leakOf([difference(undefined, { causes: [{ name: 'cookie ab', whenDiffers: 0.9, whenSame: undefined }] })]).confidence, 'medium')
  t.end()
})

t.test('what explains all is told rather than what differs for each client', t => {
  const causes = [{ name: 'cookie _visitor', whenDiffers: 1, whenSame: undefined }, { name: 'cookie ab', whenDiffers: 1, whenSame: 0.02 }]
  t.strictSame(leakOf([difference(undefined, { causes })]).patch, { cookies: ['ab'] })
  t.end()
})

t.test('where too few clients were seen twice it is said that it may be harmless', t => {
  const advice = leakOf([difference('cookie ab', { within: undefined })], {}, { verdict: 'unknown' })
  t.strictSame([advice.id, advice.confidence, advice.patch], ['leak/unknown', 'low', { cookies: ['ab'] }])
  t.match(advice.text, /too few clients were seen twice to tell whether that is noise, so that sharing perhaps would give .*: \$\.hero differs for 51 % of pairs between clients; cookie ab/)
  t.end()
})

t.test('what is of its own request is never shared, whatever the key is', t => {
  const advice = leakOf([], {}, { verdict: 'echo', pairs: { between: pairs({ echo: 40 }), within: pairs({ echo: 2 }) } })
  t.strictSame([advice.id, advice.confidence, advice.patch], ['leak/echo', 'high', undefined])
  t.match(advice.text, /^Sharing would give a client what is another one's\. That is of one request only, its id or its nonce/)
  t.equal(advice.evidence, '40 of 40 pairs of different clients differ, 2 of 2 of the same client')
  t.end()
})

t.test('of what is of its own request nothing in the key helps', t => {
  t.equal(leakOf([difference('cookie ab')], {}, { verdict: 'echo' }).patch, undefined)
  t.end()
})

t.test('of many places a few are named, and their names are made harmless', t => {
  const { text } = leakOf(Array.from({ length: 9 }, (_, index) => difference(undefined, { path: `$.\u001b[3${index}m\u202e` })))
  t.equal([...text.matchAll(/differs for/g)].length, 4)
  t.notMatch(text, /[^\x20-\x7e]/)
  t.end()
})

t.test('what may be shared, or is not known yet, is no leak', t => {
  for (const verdict of ['too-few', 'equal', 'noise'] as const) t.strictSame(advised({ observed: { verdict, differences: [difference('cookie ab')] } }), [], verdict)
  t.end()
})
