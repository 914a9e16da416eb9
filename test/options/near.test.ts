import t from 'tap'
import { nearest } from '../../lib/options/near.js'

t.test('a wrong name is near one that has a letter or two more, fewer, others or exchanged, in any case and with any joints', t => {
  const known = ['waitTimeout', 'ttl', 'tags', 'tagHeaders', 'query', 'staleIfError', 'key']
  const near: ReadonlyArray<readonly [string, string]> = [
    ['waitTimout', 'waitTimeout'], ['waitTimeoutt', 'waitTimeout'], ['WaitTimeOut', 'waitTimeout'], ['wait_timeout', 'waitTimeout'], ['waiTtimeotu', 'waitTimeout'],
    ['tll', 'ttl'], ['ttll', 'ttl'], ['TTL', 'ttl'], ['tag', 'tags'], ['tagHeader', 'tagHeaders'], ['qeury', 'query'], ['stale-if-error', 'staleIfError'], ['keys', 'key']
  ]
  t.strictSame(near.map(([wrong]) => nearest(wrong, known)), near.map(([, name]) => name))
  const far = ['', 'timeout', 'a', 'lt', 'kyes', 'vary', 'waitTimesIn', 'x'.repeat(100_000), '__proto__', 'constructor']
  t.strictSame(far.map(wrong => nearest(wrong, known)), far.map(() => undefined))
  t.equal(nearest('tags', []), undefined)
  t.end()
})
