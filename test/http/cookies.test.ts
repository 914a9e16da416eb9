import t from 'tap'
import fc from 'fast-check'
import { carriesOnly, cookiePairs } from '../../lib/http/cookies.js'
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
  const started = performance.now()
  const long = ' '.repeat(16_000)
  t.strictSame(cookiePairs(`a=1${long}b;${long}c${long}`), [['a', `1${long}b`], ['', 'c']])
  t.ok(performance.now() - started < 300)
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
