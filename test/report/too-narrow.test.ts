/**
 * Parts of the key that make no difference are advised to be left out of it.
 */
import t from 'tap'
import type { Advice, CoalesceRouteOptions, InertPart } from '../../types/index.js'
import { advised, pairs, type Given } from './subjects.js'

const part = (names: readonly string[], more: Partial<InertPart> = {}): InertPart => ({ names, pairs: 281, upTo: 0.0107, ...more })
const narrow = (inert: readonly InertPart[], options: CoalesceRouteOptions = {}, more: Given['observed'] = {}): Advice[] => advised({ options, observed: { inert, ...more } })
const patchOf = (inert: readonly InertPart[], options?: CoalesceRouteOptions) => narrow(inert, options)[0]?.patch

t.test('campaign parameters that differ together are one pattern', t => {
  t.strictSame(narrow([part(['?utm_campaign', '?utm_medium', '?utm_source'])]), [{
    id: 'too-narrow/utm',
    kind: 'too-narrow',
    method: 'GET',
    route: '/x',
    text: 'utm_campaign, utm_medium, utm_source of the query makes no difference to the response, and keeps requests apart that could share: the query option can leave it out, ' +
      'if no hook and no handler uses it: handlers do not see what is ignored.',
    evidence: '?utm_campaign+?utm_medium+?utm_source: 281 pairs, same bytes (95 %: < 1.1 % differ)',
    confidence: 'medium',
    patch: { query: { ignore: ['utm_*'] } },
    silence: "warnings: ['advice-too-narrow'] of the registration"
  }])
  t.end()
})

t.test('a parameter that makes each URL new is said to be one', t => {
  const [advice] = narrow([part(['?_'], { upTo: 0.005 }), part(['?utm_id'], { upTo: 0.01 })])
  t.match(advice, { id: 'too-narrow/query', confidence: 'high', patch: { query: { ignore: ['_', 'utm_*'] } } })
  t.match(advice?.text, /_ looks like what scripts add so that no cache answers\.$/)
  t.end()
})

t.test('what the query option says already stays said', t => {
  t.strictSame(patchOf([part(['?x'])], { query: { ignore: ['sig'] } }), { query: { ignore: ['sig', 'x'] } })
  t.strictSame(patchOf([part(['?x'])], { query: ['q', 'x'] }), { query: ['q'] })
  for (const options of [{ query: 'raw' }, { key: () => 'k' }] as const) {
    const [advice] = narrow([part(['?x'])], options)
    t.equal(advice?.patch, undefined)
    t.match(advice?.text, 'key' in options ? /let the key function leave it out/ : /query: true, or a list of names, can leave it out/)
  }
  t.equal(patchOf([part(['?x*'])]), undefined, 'which would stand for others as well')
  t.end()
})

t.test('a header or cookie of the key that makes no difference is left out, the others stay', t => {
  const [headers] = narrow([part(['header x-a']), part(['header x-b'])], { headers: ['x-a', 'x-b', 'x-c'] })
  t.match(headers, { id: 'too-narrow/headers', patch: { headers: ['x-c'] }, text: /^The header x-a, x-b is in the key/ })
  const [cookies] = narrow([part(['cookie ab'])], { cookies: ['ab', 'theme'] })
  t.match(cookies, { id: 'too-narrow/cookies', text: /^The cookie ab is in the key/ })
  t.strictSame(cookies?.patch, { cookies: { ignore: ['ab'], key: ['theme'] } })
  t.strictSame(patchOf([part(['cookie ab'])], { cookies: { key: ['ab'], ignore: ['_ga'] } }), { cookies: { ignore: ['_ga', 'ab'] } })
  t.equal(patchOf([part(['cookie a*'])], { cookies: ['a*'] }), undefined)
  t.end()
})

t.test('a parameter of the path is left to a key function', t => {
  const [advice] = narrow([part(['param slug'])])
  t.match(advice, { id: 'too-narrow/path', text: /^The parameter slug of the path makes no difference to the response: a key function/ })
  t.equal(advice?.patch, undefined)
  t.end()
})

t.test('what may say who is asking is never advised to be left out', t => {
  const names = [['?token'], ['?api_key'], ['header x-auth'], ['header x-api-key'], ['cookie sid'], ['cookie session'], ['param user'], ['identity'], ['address'], ['?utm_source', 'cookie ab'], [], ['?'], ['header x-unknown']]
  t.strictSame(narrow(names.map(each => part(each)), { headers: ['x-auth', 'x-api-key'], cookies: ['sid', 'session', 'ab'] }), [])
  t.end()
})

t.test('a header that means credentials stays in the key: without it requests would not take part', t => {
  t.strictSame(narrow([part(['header x-tenant'])], { headers: ['x-tenant'], credentials: { add: ['x-tenant'] } }), [])
  t.end()
})

t.test('where a key lacks something nothing is advised to be left out', t => {
  for (const verdict of ['differs', 'unknown', 'echo'] as const) {
    t.strictSame(narrow([part(['?x'])], {}, { verdict, pairs: { between: pairs({ differs: 50 }), within: pairs() } }).map(({ kind }) => kind), ['leak'])
  }
  t.equal(narrow([part(['?x'], { upTo: 0.05 })])[0]?.confidence, 'low')
  t.end()
})

t.test('of many names the first are told', t => {
  const [advice] = narrow(Array.from({ length: 20 }, (_, index) => part([`?p${index}`])))
  t.match(advice?.text, /^p0, p1, p2, p3, p4, p5, p6, p7 and 12 more of the query/)
  t.equal(advice?.evidence.split('; ').length, 8)
  t.end()
})
