import t from 'tap'
import { adviceOf, warningText, shown } from '../../lib/observers/advice.js'
import { Causes } from '../../lib/observers/causes.js'
import { credentialDetail, detailOf } from '../../lib/reasons.js'
import { NOTHING_SHARED, WARNINGS } from '../../lib/warnings.js'

t.test('each advice says what was seen, why, and where to read on', t => {
  for (const advice of NOTHING_SHARED) {
    for (const names of [[], ['x-a', 'ip']]) {
      const text = warningText(advice, 50, names)
      t.match(text, /^coalesce: 50 requests of this route came while an identical one was being answered, and none was shared, because \S/)
      t.ok(text.endsWith(`(fastify-coalesce/docs/why-is-nothing-shared.md#${advice})`))
      t.notMatch(text, /undefined|\[object/)
    }
  }
  const cookies = (...names: string[]): string => warningText('nothing-shared-credentials-cookie', 50, names)
  t.ok(cookies('_ga', '_gid').includes("cookies: { ignore: ['_ga', '_gid'] }"))
  t.ok(cookies('_ga', 'theme').includes("cookies: { key: ['theme'], ignore: ['_ga'] }"), 'a page may be made from one that is not known')
  t.ok(cookies('theme').includes("cookies: ['theme'] shares"))
  t.end()
})

t.test('a reason has its advice by its cause, or none', t => {
  t.equal(adviceOf('credentials', credentialDetail('cookie')), 'nothing-shared-credentials-cookie')
  t.equal(adviceOf('credentials', credentialDetail(undefined)), 'nothing-shared-credentials-certificate')
  t.equal(adviceOf('unshareable', detailOf('private')), 'nothing-shared-private')
  t.equal(adviceOf('split', { cause: 'address', names: ['ip'] }), 'nothing-shared-split-address')
  t.equal(adviceOf('set-cookie', undefined), 'nothing-shared-set-cookie')
  const others = [adviceOf('unshareable', undefined), adviceOf('unshareable', detailOf('reads-all-headers')), adviceOf('csp-nonce', undefined), adviceOf('range', undefined), adviceOf('disabled', undefined)]
  t.strictSame(others, others.map(() => undefined))
  t.equal(new Set(WARNINGS).size, WARNINGS.length)
  t.end()
})

t.test('of causes the most frequent is told, with a few names, which are not asked for once they are known', t => {
  const causes = new Causes()
  t.equal(causes.most, undefined)
  causes.note('nothing-shared-private', () => [], 2)
  causes.note('nothing-shared-vary', () => ['', 'a\n', ...'bcdefghijk'], 2)
  causes.note('nothing-shared-vary', () => { throw new Error('asked for') }, 1)
  causes.note('nothing-shared-no-store', () => [], 1)
  t.strictSame(causes.most, { advice: 'nothing-shared-vary', count: 3, names: new Set(['a?', ...'bcdefgh']) })
  t.end()
})

t.test('a name is shown without what could be more than a name', t => {
  t.equal(shown('_ga'), '_ga')
  t.equal(shown('a\u001b[31m"b\'c`d\\\n'), 'a?[31m?b?c?d??')
  t.equal(shown('x'.repeat(1000)).length, 64)
  t.end()
})
