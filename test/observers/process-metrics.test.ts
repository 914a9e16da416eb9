/**
 * "What coordinators and shared stores count is told once, whoever uses them, and never decreases, whatever they say."
 */
import t from 'tap'
import { ProcessMetrics } from '../../lib/observers/process-metrics.js'
import type { CoordinationFigures, Durations, Store, StoreFigures } from '../../types/index.js'

type Changed<T> = { -readonly [Name in keyof T]: T[Name] }

const NONE: Durations = { bounds: [], counts: [], sum: 0 }

function figures (): Changed<CoordinationFigures> {
  return {
    isOpen: false,
    openings: { timeout: 0 },
    timeouts: 0,
    joins: { leads: 0, follows: 0, noted: 0, nothing: 0, unknown: 0, skipped: 0 },
    joinTimes: NONE,
    leaseTimes: NONE,
    renewals: 0,
    lostLeases: 0,
    handOffTimes: NONE,
    failedHandOffs: 0,
    sent: { messages: 0, bytes: 0 },
    received: { messages: 0, bytes: 0 },
    uploads: { count: 0, bytes: 0 },
    tooLarge: 0,
    takeovers: 0,
    rejected: 0,
    purges: { sent: 0, received: 0, missed: 0, resets: 0 }
  }
}

const STORED: StoreFigures = {
  frontHits: 1, hits: 2, misses: 3, skipped: 4, errors: 5, rejected: 6, stored: 7, fenced: 8, outrun: 9, unstorable: 10, bytesRead: 11, bytesWritten: 12
}

function storeOf (figures: Store['figures']): Store {
  return { get: () => undefined, set () {}, delete () {}, ...figures === undefined ? {} : { figures } }
}

function metrics () {
  const coordinations: CoordinationFigures[] = []
  const stores: Store[] = []
  const all = new ProcessMetrics({ coordinations: () => coordinations, stores: () => stores })
  const definitions = all.definitions('x_')
  /** The lines of a metric: labels, and values. */
  const lines = (name: string): string[] => [...definitions.find(each => each.name === `x_${name}`)?.read() ?? []].flat()
    .map(({ labels, metricName, value }) => [metricName?.replace(`x_${name}`, ''), ...Object.values(labels), value].filter(part => part !== undefined).join(' '))
  return { all, coordinations, stores, definitions, lines }
}

t.test('without a coordinator and a shared store there is no series', async t => {
  const { definitions, lines, stores } = metrics()
  stores.push(storeOf(undefined))
  t.ok(definitions.length > 20)
  for (const { name } of definitions) t.strictSame(lines(name.replace('x_', '')), [])
})

t.test('what is counted has its series from the start, at 0, but the histograms', async t => {
  const { coordinations, definitions, lines } = metrics()
  coordinations.push(figures())
  for (const { name, type } of definitions.filter(({ name }) => name.includes('coordinator'))) {
    const values = lines(name.replace('x_', '')).map(line => line.split(' ').at(-1))
    if (type === 'histogram') t.strictSame(values, [], name)
    else t.strictSame([...new Set(values)], ['0'], name)
  }
  t.strictSame(lines('coordinator_joins_total'), ['leads 0', 'follows 0', 'noted 0', 'nothing 0', 'unknown 0', 'skipped 0'])
  t.strictSame(lines('coordinator_purges_total'), ['sent 0', 'received 0', 'missed 0', 'resets 0'])
})

t.test('members that share what is counted are counted once, and others are added up', async t => {
  const { coordinations, lines, stores } = metrics()
  const one = Object.assign(figures(), { takeovers: 2, isOpen: true, sent: { messages: 1, bytes: 100 }, received: { messages: 2, bytes: 50 } })
  const other = Object.assign(figures(), { takeovers: 3 })
  stores.push(storeOf(() => ({ ...STORED, link: one })))
  coordinations.push(one, one, other)
  t.strictSame(lines('coordinator_takeovers_total'), ['5'])
  t.strictSame(lines('coordinator_circuits_open'), ['1'])
  t.strictSame(lines('coordinator_messages_total'), ['sent 1', 'received 2'])
  t.strictSame(lines('coordinator_message_bytes_total'), ['sent 100', 'received 50'])
  one.takeovers = 4
  t.strictSame(lines('coordinator_takeovers_total'), ['7'])
})

t.test('the connection of a store is told of without a coordinator', async t => {
  const { lines, stores } = metrics()
  const link = Object.assign(figures(), { timeouts: 7 })
  const shared = storeOf(() => ({ ...STORED, link }))
  stores.push(shared, shared)
  t.strictSame(lines('coordinator_timeouts_total'), ['7'])
  t.strictSame(lines('coordinator_circuits_open'), ['0'])
  t.strictSame(lines('shared_store_lookups_total'), ['memory 1', 'server 2', 'none 3'])
  t.strictSame(lines('shared_store_writes_total'), ['stored 7', 'purged 8', 'outrun 9', 'unstorable 10'])
  t.strictSame(lines('shared_store_bytes_total'), ['read 11', 'written 12'])
  t.strictSame(['skipped', 'failed', 'rejected'].map(what => lines(`shared_store_${what}_total`)), [['4'], ['5'], ['6']])
})

t.test('what has ended is still counted, what begins again at 0 is added, until all is counted anew', async t => {
  const { all, coordinations, lines } = metrics()
  const one = Object.assign(figures(), { rejected: 5 })
  coordinations.push(one)
  all.note()
  coordinations.length = 0
  t.strictSame(lines('coordinator_rejected_total'), ['5'])
  coordinations.push(one)
  one.rejected = 2
  t.strictSame(lines('coordinator_rejected_total'), ['7'])
  coordinations.length = 0
  all.forget()
  t.strictSame(lines('coordinator_rejected_total'), [])
  coordinations.push(one)
  t.strictSame(lines('coordinator_rejected_total'), ['2'])
})

t.test('causes of openings are a closed set', async t => {
  const { coordinations, lines } = metrics()
  coordinations.push(Object.assign(figures(), { openings: { timeout: 1, READONLY: 2, 'whatever a server says': 3, more: 4, __proto__: 5 } }))
  t.strictSame(lines('coordinator_circuit_openings_total').filter(line => !line.endsWith(' 0')), ['timeout 1', 'READONLY 2', 'other 7'])
})

t.test('durations are told in seconds, in buckets of our own', async t => {
  const { coordinations, lines } = metrics()
  coordinations.push(Object.assign(figures(), { joinTimes: { bounds: [0.5, 2, 2.5, 20_000], counts: [1, 2, 4, 8, 16], sum: 3000 } }))
  const told = lines('coordinator_join_seconds')
  t.strictSame(told.slice(0, 4), ['_bucket 0.0005 1', '_bucket 0.001 1', '_bucket 0.0025 7', '_bucket 0.005 7'])
  t.strictSame(told.slice(-4), ['_bucket 10 7', '_bucket +Inf 31', '_sum 3', '_count 31'])
})

t.test('who does not count as it should spoils nothing', async t => {
  const { coordinations, lines, stores } = metrics()
  coordinations.push({} as CoordinationFigures, Object.assign(figures(), { takeovers: 1, timeouts: 'many' as unknown as number, rejected: -1, tooLarge: NaN }))
  stores.push(storeOf(() => { throw new Error('broken') }), storeOf(() => ({}) as StoreFigures))
  t.strictSame(['takeovers', 'timeouts', 'rejected', 'too_large'].map(what => lines(`coordinator_${what}_total`)), [['1'], ['0'], ['0'], ['0']])
  t.strictSame(lines('shared_store_lookups_total'), ['memory 0', 'server 0', 'none 0'])
})
