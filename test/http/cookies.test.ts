import cookie from '@fastify/cookie'
import Fastify from 'fastify'
import t from 'tap'
import fc from 'fast-check'
import { ANALYTICS_COOKIES } from '../../lib/http/analytics-cookies.js'
import { carriesOnly, cookiePairs, withoutCookies } from '../../lib/http/cookies.js'
import { namedBy } from '../../lib/http/name-patterns.js'
import { cpuTime } from '../fixtures/cpu-time.js'
import { anyText } from './arbitraries.js'

t.test('the pairs of a Cookie header are read raw and in order', async t => {
  t.strictSame(cookiePairs(''), [])
  t.strictSame(cookiePairs(' ; ;'), [])
  t.strictSame(cookiePairs('a=1; b=2;a=%20;c="x=y"; D='), [['a', '1'], ['b', '2'], ['a', '%20'], ['c', '"x=y"'], ['D', '']])
  t.strictSame(cookiePairs('a = 1 ;\tb=2'), [['a', '1'], ['b', '2']])
  t.strictSame(cookiePairs('=x; y'), [['', 'x'], ['', 'y']], 'a piece without a name is nobody\'s')
})

t.test('only spaces and tabs are taken off: what another parser would keep is part of the name', async t => {
  t.strictSame(cookiePairs('\xa0a=1;\t b\t=\t2 '), [['\xa0a', '1'], ['b', '2']])
  t.notOk(carriesOnly('\xa0theme=a', ['theme']))
})

t.test('a long header is read in time that grows with its length', async t => {
  const long = ' '.repeat(16_000)
  const time = cpuTime(() => {
    t.strictSame(cookiePairs(`a=1${long}b;${long}c${long}`), [['a', `1${long}b`], ['', 'c']])
  })
  t.ok(time < 300, `${time} ms`)
})

t.test('a header carries only declared cookies if each of its pairs is declared', async t => {
  const names = ['theme', 'lang']
  const covered = ['theme=a', 'lang=b; theme=a', 'theme=a; theme=b', 'theme=', '']
  t.strictSame(covered.filter(each => !carriesOnly(each, names)), [])
  const more = ['sid=1', 'theme=a; sid=1', 'sid=1; theme=a', 'Theme=a', 'theme', 'theme=a; x', '=theme', 'theme%3Da', 'theme=a;sid', 'theme=a, sid=1; sid=2']
  t.strictSame(more.filter(each => carriesOnly(each, names)), [])
  t.notOk(carriesOnly('', []), 'nothing is covered where nothing is declared')
  t.notOk(carriesOnly('theme=a', []))
})

t.test('nothing throws, and an undeclared cookie is never overlooked', async t => {
  fc.assert(fc.property(anyText, anyText, (before, after) => !carriesOnly(`${before};sid=1;${after}`, ['theme'])), { numRuns: 100_000 })
  t.pass()
})

/** A header of many pairs, some of them ignored, as clients may write it. */
const names = fc.constantFrom('_ga', '_gab', '_g', 'sid', 'SID', '"_ga"', '__proto__', '', 'a b')
const gap = fc.constantFrom('', '', ' ', '\t', ' \xa0 ')
const piece = fc.oneof(
  fc.tuple(gap, names, gap, fc.constantFrom('=', '=', '=', '', '=='), fc.constantFrom('', '1', '_ga=1', '"x', 'y"', 'a,_ga=2', '%3B'), gap).map(parts => parts.join('')),
  anyText
)
const header = fc.array(piece, { maxLength: 6 }).map(pieces => pieces.join(';'))
const isIgnored = namedBy(['_ga', 's*'])

t.test('what is left is what was sent but the ignored cookies, in its order', async t => {
  t.equal(withoutCookies('_ga=1; a=1;_ga=2;b = 2 ;; sid=3', isIgnored), 'a=1; b = 2')
  t.equal(withoutCookies('_ga=1', isIgnored), undefined)
  t.equal(withoutCookies('_ga=1; ;', isIgnored), undefined)
  t.equal(withoutCookies('_ga; a=1', isIgnored), '_ga; a=1', 'a piece without = has no name')
  t.equal(withoutCookies('a; b=1; =2', namedBy(['*'])), undefined)
  let taken = 0
  fc.assert(fc.property(header, sent => {
    const left = withoutCookies(sent, isIgnored)
    if (left === sent) return !sent.split(';').some(each => each.includes('=') && isIgnored((each.split('=')[0] as string).trim()))
    taken++
    const expected = cookiePairs(sent).filter(([name]) => !isIgnored(name.trim()))
    return JSON.stringify(cookiePairs(left ?? '')) === JSON.stringify(expected) && left !== ''
  }), { numRuns: 50_000 })
  t.ok(taken > 10_000)
})

t.test('no parser finds an ignored cookie in what is left, and each other one that it finds has its value', async t => {
  const app = Fastify()
  await app.register(cookie)
  // It finds nothing in what is shorter than a name and its value can be.
  const parsed = (text: string): Array<[string, unknown]> => Object.entries(app.parseCookie(`${text};;`))
  /** Other ways to read the header that are about. */
  const parsers: Array<(text: string) => Array<readonly [string, unknown]>> = [
    parsed,
    text => text.split(/; */).map(each => [each.split('=')[0]?.trim() ?? '', each] as const).filter(([, each]) => each.includes('=')),
    text => [...text.matchAll(/(?:^|;)\s*([^=;]*?)\s*=([^;]*)/g)].map(([, name, value]) => [name as string, value?.trim()] as const)
  ]
  fc.assert(fc.property(header, sent => {
    const left = withoutCookies(sent, isIgnored) ?? ''
    return parsers.every(parse => {
      const before = parse(sent).filter(([name]) => !isIgnored(name.trim())).map(([name]) => name)
      const after = parse(left).map(([name]) => name)
      return !after.some(name => isIgnored(name.trim())) && JSON.stringify(before) === JSON.stringify(after)
    })
  }), { numRuns: 20_000 })
  fc.assert(fc.property(header, sent => {
    const left = withoutCookies(sent, isIgnored) ?? ''
    return JSON.stringify(parsed(sent).filter(([name]) => !isIgnored(name.trim()))) === JSON.stringify(parsed(left))
  }), { numRuns: 20_000 })
  t.pass()
})

t.test('the analytics cookies are names of their own, and none is what apps, logins, consent or experiments use', async t => {
  const isAnalytics = namedBy(ANALYTICS_COOKIES)
  t.equal(new Set(ANALYTICS_COOKIES).size, ANALYTICS_COOKIES.length)
  t.ok(Object.isFrozen(ANALYTICS_COOKIES))
  t.strictSame(['_ga', '_ga_ABC123', '_gid', '_gat_UA-1', '_gcl_au', '__utma', '_fbp', '_hjSession_1', '_pk_id.1.1fff', 'mp_token_mixpanel', 'ajs_anonymous_id', 'AMP_0123456789']
    .filter(name => !isAnalytics(name)), [])
  t.strictSame(['', '*', 'sid', 'session', 'connect.sid', 'PHPSESSID', 'JSESSIONID', '__Host-session', '__Secure-id', 'token', 'jwt', 'csrf', '_csrf', 'XSRF-TOKEN', 'lang',
    'theme', 'currency', 'OptanonConsent', 'CookieConsent', 'euconsent-v2', 'optimizelyEndUserId', '_vwo_uuid', '_gaexp', '__cf_bm', 'cf_clearance', 'AWSALB', 'route', '_g', 'ga']
    .filter(isAnalytics), [])
})
