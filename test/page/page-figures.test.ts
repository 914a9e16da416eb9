import { runInNewContext } from 'node:vm'
import t from 'tap'
import { History, inVain, Minute, reasonText, whyNot, whyNotText } from '../../lib/page/browser/figures.js'
import { bytes, count, duration, named, percent, plural, rate, seconds, source } from '../../lib/page/browser/format.js'
import { NONE, route } from '../fixtures/page-states.js'

t.test('figures are short, and never say none or all unless it is', async t => {
  t.strictSame([undefined, 0, 999.6, 1234, 1_234_567].map(value => count(value)), ['–', '0', '1,000', '1,234', '1.2 M'])
  t.strictSame([undefined, 0, 0.01, 0.5, 9.94, 9.96, 1234].map(value => rate(value)), ['–', '0', '< 0.1', '0.5', '9.9', '10', '1,234'])
  t.strictSame([undefined, 0, 0.0001, 0.005, 0.5, 0.555, 0.995, 0.9999, 1].map(value => percent(value)), ['–', '0 %', '< 0.1 %', '0.5 %', '50 %', '56 %', '99.5 %', '> 99.9 %', '100 %'])
  t.strictSame([undefined, 0, 0.5, 12.4, 1234, 61_000, 600_000, 3 * 3_600_000 + 300_000, 50 * 3_600_000].map(value => duration(value)),
    ['–', '0 ms', '< 1 ms', '12 ms', '1.2 s', '61 s', '10 min', '3 h 5 min', '2 d 2 h'])
  t.strictSame([0, 1, 3500, 600_000].map(seconds), ['0 s', '1 s', '4 s', '10 min'])
  t.strictSame([undefined, 0, 1023, 1536, 20_971_520, 3 * 1024 ** 3].map(value => bytes(value)), ['– GiB', '0 B', '1,023 B', '1.5 KiB', '20 MiB', '3.0 GiB'])
  t.strictSame([plural(1, 'run'), plural(2, 'run'), plural(0, 'run waits', 'runs wait')], ['1 run', '2 runs', '0 runs wait'])
})

t.test('a name in a sentence is short, whole characters, and keeps its direction to itself', async t => {
  t.equal(named('/word'), '\u2068/word\u2069')
  t.equal(named('abcdef', 3), '\u2068abc…\u2069')
  t.equal(named('ab😀cd', 3), '\u2068ab…\u2069')
})

t.test('a patch is what one would write, and means the same', async t => {
  const patch = { query: { ignore: ['utm_*', 'a "quoted": one', 'it\'s'] }, learnVary: false, 'x-y': { a: '}' } }
  t.match(source({ query: { ignore: ['utm_*'] } }), /^\{ query: \{ ignore: \["utm_\*"\] \} \}$/)
  t.strictSame(runInNewContext(`JSON.stringify(${source(patch)})`), JSON.stringify(patch))
})

t.test('the last five minutes are kept, whatever comes twice', async t => {
  const sample = (at: number, requests: number): { at: number, counts: readonly number[], runs: number, waiters: number } => ({ at, counts: [requests, ...NONE.slice(1)], runs: requests, waiters: 0 })
  const history = new History()
  t.equal(history.recent(), undefined)
  t.equal(history.last, undefined)
  history.take([sample(1000, 0)])
  t.equal(history.recent(), undefined)
  history.take([sample(1000, 0), sample(11_000, 20), sample(21_000, 50)])
  t.match(history.recent(), { seconds: 10, runs: 30, counts: [30] })
  t.match(history.recent(300_000), { seconds: 20, runs: 50 })
  history.take([])
  history.take([sample(310_000, 60)])
  t.strictSame(history.samples.map(({ at }) => at), [11_000, 21_000, 310_000])
  t.equal(history.last, 310_000)
})

t.test('a number has a rate of ten seconds, grows by so much a minute, and begins anew with another process', async t => {
  const minute = new Minute()
  t.strictSame([minute.perSecond, minute.grown, minute.rates], [undefined, 0, []])
  for (let at = 0; at <= 120_000; at += 1000) minute.take(at, at < 60_000 ? 0 : (at - 60_000) / 100)
  minute.take(120_000, 600)
  t.strictSame([minute.perSecond, minute.grown, minute.rates.length], [10, 600, 60])
  t.strictSame(minute.rates.at(-1), [0, 0.01])
  minute.take(121_000, 5)
  t.strictSame([minute.perSecond, minute.grown], [undefined, 0])
})

t.test('the top reason why not is the first that is no good one', async t => {
  const reasons = [
    { outcome: 'hit', reason: 'fresh', count: 9 }, { outcome: 'leader', reason: 'shared', count: 8 }, { outcome: 'leader', reason: 'failed', count: 8 },
    { outcome: 'follower', reason: 'wait-timeout', count: 7 }, { outcome: 'bypass', reason: 'unshareable', cause: 'set-cookie', count: 6 }
  ] as const
  t.match(whyNot(route({ reasons })), { reason: 'wait-timeout' })
  t.equal(inVain(route({ reasons })), 13)
  t.equal(whyNot(route()), undefined)
  t.strictSame([{ reason: 'split', cause: 'address' }, { reason: 'unshareable', cause: 'set-cookie' }, { reason: 'method' }].map(reasonText), ['split (address)', 'set-cookie', 'method'])
})

t.test('why not is what most requests came to, and that they fail is said as well', async t => {
  const text = (failed: number, bypassed: number, total = 100): string | undefined => whyNotText(route({
    totalRequests: total,
    reasons: [{ outcome: 'bypass', reason: 'method', count: bypassed }, { outcome: 'follower', reason: 'failed', count: failed }, { outcome: 'leader', reason: 'failed', count: failed }].filter(({ count }) => count > 0) as never
  }))
  t.strictSame([text(48, 0), text(2, 4), text(2, 3), text(0, 0, 0), text(0, 1), text(0, 30)], ['fails 96 %', 'method 4 %', 'fails 4 %', undefined, undefined, 'method 30 %'])
})
