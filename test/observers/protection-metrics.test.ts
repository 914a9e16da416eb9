/**
 * "What queues, breakers and batched functions count is told once for each name, whoever uses them, and never decreases."
 */
import t from 'tap'
import { protectionFiguresOf } from '../../lib/observers/protection-figures.js'
import { ProtectionMetrics, type Counts } from '../../lib/observers/protection-metrics.js'
import type { BatchFigures, BreakerFigures, QueueFigures } from '../../types/index.js'

type Level = QueueFigures['levels'][number]

const NOT_YET = { count: 0, sum: 0, buckets: [[5, 0], [25, 0], [Infinity, 0]] } as const

function level (name: string, told: Partial<Level> = {}): Level {
  return { level: name, waiting: 0, runs: 0, waited: NOT_YET, shed: { full: 0, timeout: 0, evicted: 0 }, ...told }
}

function queue (told: Partial<QueueFigures> = {}): Counts<QueueFigures> & { told: Partial<QueueFigures> } {
  const own = { told, figures: () => ({ name: 'db', running: 0, waiting: 0, limit: 2, levels: [level('high'), level('low')], raised: 0, meanRun: 0, ...own.told }) }
  return own
}

function breaker (told: Partial<BreakerFigures> = {}): Counts<BreakerFigures> {
  const none = { closed: 0, open: 0, 'half-open': 0 }
  return {
    figures: () => ({
      name: 'db',
      state: 'closed',
      retryAfter: 0,
      states: { ...none, closed: 1 },
      transitions: none,
      runs: { good: 0, failed: 0, neutral: 0 },
      shed: { open: 0, probing: 0 },
      ...told
    })
  }
}

function batches (told: Partial<BatchFigures> = {}): Counts<BatchFigures> {
  return { figures: () => ({ name: 'words', batches: 0, keys: NOT_YET, durations: NOT_YET, failures: { batch: 0, key: 0, result: 0 }, ...told }) }
}

function metrics () {
  const all = { queues: [] as Array<Counts<QueueFigures>>, breakers: [] as Array<Counts<BreakerFigures>>, batches: [] as Array<Counts<BatchFigures>> }
  const told = new ProtectionMetrics({ queues: () => all.queues, breakers: () => all.breakers, batches: () => all.batches })
  const definitions = told.definitions('x_')
  /** The lines of a metric: labels, and values. */
  const lines = (name: string): string[] => [...definitions.find(each => each.name === `x_${name}`)?.read() ?? []].flat()
    .map(({ labels, metricName, value }) => [metricName?.replace(`x_${name}`, ''), ...Object.values(labels), value].filter(part => part !== undefined).join(' '))
  return { all, told, definitions, lines }
}

t.test('without a queue, a breaker and a batched function there is no series', async t => {
  const { definitions, lines } = metrics()
  t.equal(definitions.length, 12)
  for (const { name } of definitions) t.strictSame(lines(name.replace('x_', '')), [], name)
})

t.test('what is counted has its series from the start, at 0, but the histograms', async t => {
  const { all, definitions, lines } = metrics()
  all.queues.push(queue())
  all.breakers.push(breaker())
  all.batches.push(batches())
  for (const { name, type } of definitions.filter(({ type }) => type !== 'gauge')) {
    const values = lines(name.replace('x_', '')).map(line => line.split(' ').at(-1))
    t.strictSame([...new Set(values)], type === 'histogram' ? [] : ['0'], name)
  }
  t.strictSame(lines('shed_total'), [
    'db high queue-full 0', 'db high queue-timeout 0', 'db high evicted 0', 'db low queue-full 0', 'db low queue-timeout 0', 'db low evicted 0',
    'db breaker-open 0', 'db breaker-probing 0'
  ])
  t.strictSame(lines('queue_limit'), ['db 2'])
  t.strictSame(lines('breaker_state'), ['db closed 1', 'db open 0', 'db half-open 0'])
  t.strictSame(lines('breaker_transitions_total'), ['db closed 0', 'db open 0', 'db half-open 0'])
  t.strictSame(lines('breaker_runs_total'), ['db good 0', 'db failed 0', 'db neutral 0'])
  t.strictSame(lines('batch_failures_total'), ['words batch 0', 'words key 0', 'words result 0'])
})

t.test('each tells what it has counted, times in seconds', async t => {
  const { all, lines } = metrics()
  all.queues.push(queue({
    running: 2,
    raised: 3,
    levels: [
      level('high', { waiting: 4, waited: { count: 3, sum: 40, buckets: [[5, 1], [25, 2], [Infinity, 3]] }, shed: { full: 1, timeout: 2, evicted: 3 } }),
      level('low')
    ]
  }))
  all.breakers.push(breaker({
    states: { closed: 5, open: 2, 'half-open': 1 },
    transitions: { closed: 1, open: 4, 'half-open': 2 },
    runs: { good: 7, failed: 8, neutral: 9 },
    shed: { open: 10, probing: 11 }
  }))
  all.batches.push(batches({
    keys: { count: 2, sum: 30, buckets: [[5, 1], [25, 2], [Infinity, 2]] },
    durations: { count: 2, sum: 28, buckets: [[5, 1], [25, 2], [Infinity, 2]] },
    failures: { batch: 1, key: 2, result: 3 }
  }))
  t.strictSame(lines('queue_running'), ['db 2'])
  t.strictSame(lines('queue_waiting'), ['db high 4', 'db low 0'])
  t.strictSame(lines('queue_raised_total'), ['db 3'])
  t.strictSame(lines('queue_wait_seconds'), ['_bucket db high 0.005 1', '_bucket db high 0.025 2', '_bucket db high +Inf 3', '_sum db high 0.04', '_count db high 3'])
  t.strictSame(lines('shed_total').filter(line => !line.endsWith(' 0')), [
    'db high queue-full 1', 'db high queue-timeout 2', 'db high evicted 3', 'db breaker-open 10', 'db breaker-probing 11'
  ])
  t.strictSame(lines('breaker_state'), ['db closed 5', 'db open 2', 'db half-open 1'])
  t.strictSame(lines('breaker_transitions_total'), ['db closed 1', 'db open 4', 'db half-open 2'])
  t.strictSame(lines('breaker_runs_total'), ['db good 7', 'db failed 8', 'db neutral 9'])
  t.strictSame(lines('batch_keys'), ['_bucket words 5 1', '_bucket words 25 2', '_bucket words +Inf 2', '_sum words 30', '_count words 2'])
  t.strictSame(lines('batch_seconds'), ['_bucket words 0.005 1', '_bucket words 0.025 2', '_bucket words +Inf 2', '_sum words 0.028', '_count words 2'])
  t.strictSame(lines('batch_failures_total'), ['words batch 1', 'words key 2', 'words result 3'])
})

t.test('one that several use counts once, others of the same name are added up, also of other levels, and other names are apart', async t => {
  const { all, lines } = metrics()
  const one = queue({ raised: 2, running: 1 })
  all.queues.push(one, one, queue({ raised: 3, running: 1, levels: [level('low', { waiting: 1 })] }), queue({ name: 'files', raised: 4 }))
  const opened = breaker({ shed: { open: 1, probing: 0 } })
  all.breakers.push(opened, opened, breaker({ shed: { open: 2, probing: 0 } }))
  const called = batches({ failures: { batch: 1, key: 0, result: 0 } })
  all.batches.push(called, called)
  t.strictSame(lines('queue_raised_total'), ['db 5', 'files 4'])
  t.strictSame(lines('queue_running'), ['db 2', 'files 0'])
  t.strictSame(lines('queue_waiting'), ['db high 0', 'db low 1', 'files high 0', 'files low 0'])
  t.strictSame(lines('breaker_state'), ['db closed 2', 'db open 0', 'db half-open 0'])
  t.ok(lines('shed_total').includes('db breaker-open 3'))
  t.strictSame(lines('batch_failures_total'), ['words batch 1', 'words key 0', 'words result 0'])
})

t.test('what has ended is still counted, and holds nothing any more, until all is counted anew', async t => {
  const { all, lines, told } = metrics()
  const one = queue({ running: 1, raised: 5 })
  all.queues.push(one)
  all.breakers.push(breaker({ runs: { good: 1, failed: 0, neutral: 0 } }))
  all.batches.push(batches({ keys: { count: 1, sum: 3, buckets: [[5, 1], [25, 1], [Infinity, 1]] } }))
  told.note()
  all.queues.length = all.breakers.length = all.batches.length = 0
  t.strictSame(lines('queue_raised_total'), ['db 5'])
  t.strictSame([...lines('queue_running'), ...lines('queue_limit'), ...lines('breaker_state')], [])
  t.strictSame(lines('breaker_runs_total'), ['db good 1', 'db failed 0', 'db neutral 0'])
  t.ok(lines('batch_keys').includes('_count words 1'))
  all.queues.push(one, queue({ raised: 1 }))
  one.told = { raised: 6 }
  t.strictSame(lines('queue_raised_total'), ['db 7'], 'one that comes back is not counted twice')
  all.queues.length = 0
  told.forget()
  t.strictSame([...lines('queue_raised_total'), ...lines('breaker_runs_total'), ...lines('batch_keys')], [])
})

t.test('stats() has what there is, and nothing of what there is not', async t => {
  const { all } = metrics()
  const source = { queues: () => all.queues, breakers: () => all.breakers, batches: () => all.batches }
  t.strictSame(protectionFiguresOf(source), {})
  all.queues.push(queue())
  t.strictSame(Object.keys(protectionFiguresOf(source)), ['queues'])
  all.breakers.push(breaker())
  all.batches.push(batches())
  t.match(protectionFiguresOf(source), { queues: [{ name: 'db' }], breakers: [{ name: 'db' }], batches: [{ name: 'words' }] })
})
