import t from 'tap'
import { BUCKETS, Distribution } from '../../lib/observers/distribution.js'
import { Tally } from '../../lib/observers/tally.js'
import { tallying } from '../../lib/observers/tallying.js'
import { TestSubject } from './subjects.js'

t.test('a distribution counts a value in the first bucket that it does not pass', async t => {
  const distribution = new Distribution([1, 2, 5])
  for (const value of [0, 1, 1.5, 2, 3, 5, 5.1, 100]) distribution.observe(value)

  t.strictSame(distribution.counts, [2, 2, 2, 2])
  t.equal(distribution.count, 8)
  t.equal(distribution.sum, 117.6)
})

t.test('percentiles are estimated within their bucket, as Prometheus does', async t => {
  const distribution = new Distribution([1, 2, 5])
  t.strictSame([distribution.mean, distribution.quantile(0.5)], [0, 0], 'nothing was seen')
  for (const value of [0.5, 0.9, 1.5, 4]) distribution.observe(value)
  t.equal(distribution.mean, 1.725)
  t.strictSame([0.25, 0.5, 0.75, 0.875, 1].map(part => distribution.quantile(part)), [0.5, 1, 2, 3.5, 5])
  distribution.observe(100)
  t.equal(distribution.quantile(0.99), 5, 'above the last bound nothing is known')
  const fromZero = new Distribution([0, 1])
  fromZero.observe(0)
  t.equal(fromZero.quantile(0.5), 0)
})

t.test('distributions add up', async t => {
  const one = new Distribution([1, 2])
  const two = new Distribution([1, 2])
  for (const value of [1, 3]) one.observe(value)
  for (const value of [2, 9]) two.observe(value)

  one.add(two)

  t.strictSame({ ...one }, { bounds: [1, 2], counts: [1, 1, 2], sum: 15, count: 4 })
  t.strictSame(two.counts, [0, 1, 1])
})

t.test('the bounds of the histograms rise and cannot be changed', async t => {
  for (const bounds of Object.values(BUCKETS) as Array<readonly number[]>) {
    t.strictSame([...bounds], [...new Set(bounds)].sort((a, b) => a - b))
    t.ok(Object.isFrozen(bounds))
  }
})

t.test('the figures are the seed\'s five', async t => {
  const tally = new Tally('GET', '/')
  t.strictSame(tally.figures(), { totalRequests: 0, deduplicatedRequests: 0, cacheHits: 0, actualExecutions: 0, deduplicationRate: 0 })

  Object.assign(tally, { requests: 8, deduplicated: 6, runs: 2 })

  t.strictSame(tally.figures(), { totalRequests: 8, deduplicatedRequests: 6, cacheHits: 0, actualExecutions: 2, deduplicationRate: 0.75 })
})

t.test('tallies add up, outcomes by outcome and reason', async t => {
  const one = new Tally('GET', '/')
  const two = new Tally('GET', '/')
  Object.assign(one, { requests: 1, deduplicated: 2, runs: 3 })
  Object.assign(two, { requests: 10, deduplicated: 20, runs: 30 })
  one.count('leader', 'shared')
  two.count('leader', 'shared', 4)
  two.count('leader', 'failed')
  two.count('alone', 'vary')
  two.waits.observe(0.5)
  two.followers.observe(3)

  one.add(two)

  t.match(one, { requests: 11, deduplicated: 22, runs: 33, waits: { count: 1, sum: 0.5 }, followers: { count: 1, sum: 3 } })
  t.strictSame([...one.outcomes].map(([outcome, reasons]) => [outcome, ...[...reasons.values()].map(({ reason, count }) => [reason, count])]), [
    ['leader', ['shared', 5], ['failed', 1], ['flight-timeout', 0]],
    ['follower', ['shared', 0], ['wait-timeout', 0]],
    ['alone', ['vary', 1]]
  ])
  t.equal(two.outcomes.get('leader')?.get('shared')?.count, 4, 'the other one is as it was')
})

t.test('who waited for another process is counted as one that waited, and what was lost by its reason', async t => {
  const subject = new TestSubject('r')
  const { tally } = subject
  for (const reason of ['shared', 'failed'] as const) tallying.settled(subject, 'peer', reason, 250, undefined)
  tallying.peerLost(subject, 'gone')
  t.equal(tally.deduplicated, 2)
  t.match(tally.waits, { count: 2, sum: 0.5 })
  const total = new Tally('GET', '/')
  for (const part of [tally, tally]) total.add(part)
  t.strictSame([...total.lostPeers], [['gone', 2]])
})

t.test('each outcome is counted once, and only those wait that others run for', async t => {
  const subject = new TestSubject('r')
  const { tally } = subject
  tallying.started(subject)
  tallying.joined(subject, 1, false)
  tallying.cleanedUp(subject)
  t.strictSame([...tally.counts()].filter(({ count }) => count > 0), [])

  tallying.settled(subject, 'leader', 'shared', 0, undefined)
  tallying.settled(subject, 'bypass', 'credentials', 0, undefined)
  tallying.settled(subject, 'alone', 'vary', 700, undefined)
  for (const reason of ['shared', 'failed', 'wait-timeout', 'client-left'] as const) tallying.settled(subject, 'follower', reason, 250, undefined)

  t.strictSame([...tally.counts()].filter(({ count }) => count > 0).map(({ outcome, reason, count }) => `${count} ${outcome} ${reason}`), [
    '1 leader shared', '1 follower shared', '1 follower wait-timeout', '1 follower failed', '1 follower client-left',
    '1 bypass credentials', '1 alone vary'
  ])
  t.equal(tally.deduplicated, 2, 'those that were answered with their leader\'s run')
  t.match(tally.waits, { count: 4, sum: 1 }, 'in seconds')
})

t.test('a landing counts its followers', async t => {
  const subject = new TestSubject('r')
  tallying.landed(subject, 'completed', 'shared', 0, undefined)
  tallying.landed(subject, 'unshareable', 'set-cookie', 499, 250)

  t.match(subject.tally.followers, { count: 2, sum: 499 })
  t.equal(subject.tally.followers.counts[0], 1)
  t.match(subject.tally.runTimes, { count: 1, sum: 0.25 }, 'a run that took a known time, in seconds')
})
