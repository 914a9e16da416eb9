/**
 * "Runs that may take off together become one call, whoever waits for them, and whatever lets that call begin."
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import type { Asking, Permission, Permit, Place, Protection, Refusal, RunEnd } from '../../lib/protection/permits.js'
import { NO_PROTECTION } from '../../lib/protection/permits.js'
import * as errors from '../../lib/errors.js'
import { BatchCounts } from '../../lib/functions/batch-counts.js'
import { Batches } from '../../lib/functions/batches.js'
import type { BatchFunction, BatchItem } from '../../lib/functions/batch.js'
import { gate, TestClock, until, type Gate } from '../fixtures/gate.js'

const REFUSED: Refusal = { type: 'refused', reason: 'queue-full', error: new Error('refused'), retryAfter: 1000 }

interface Asked extends Asking {
  readonly told: RunEnd[]
  readonly changes: string[]
  released: number
  hasLeft: boolean
  /** Gives it a permit. */
  grant: () => void
}

/** Protection that has everybody wait until the test says so, and notes what it is told. */
function protection (): { seam: Protection, asked: Asked[] } {
  const asked: Asked[] = []
  const seam: Protection = {
    patience: 5000,
    wouldProbe: ([word]) => word === 'refused',
    foresee: ([word], level) => word === 'refused' ? REFUSED : level === 0 ? 'runs' : 'waits',
    refusalFor: ([word]) => word === 'refused' ? REFUSED : undefined,
    ask (asking) {
      const own: Asked = Object.assign({ told: [] as RunEnd[], changes: [] as string[], released: 0, hasLeft: false, grant () { own.answered(permitOf(own)) } }, asking)
      asked.push(own)
      return {
        type: 'waits',
        joined: level => { own.changes.push(`joined ${level}`) },
        left: level => { own.changes.push(`left ${level}`) },
        leave () { own.hasLeft = true },
        handOver () {}
      }
    }
  }
  return { seam, asked }
}

function permitOf (asked: Pick<Asked, 'told' | 'released'>): Permit {
  return { type: 'granted', tell: end => { asked.told.push(end) }, streams () {}, excuse () {}, release () { asked.released++ }, passOn: () => undefined }
}

interface Call extends Gate<unknown> {
  readonly keys: readonly unknown[]
  readonly signal: AbortSignal
  readonly group: unknown
}

interface Run {
  readonly place: Place
  readonly controller: AbortController
  readonly permission: () => Permission | undefined
  /** What becomes of it. */
  readonly result: Promise<unknown>
}

/** Batches whose calls the test answers. */
function departure (options: { maxBatchSize?: number, window?: number | 'turn', behind?: Protection, fn?: BatchFunction } = {}) {
  const clock = new TestClock()
  const calls: Call[] = []
  const counts = new BatchCounts('look up')
  const batches = new Batches({
    fn: options.fn ?? (async (keys, call) => {
      const made = { ...gate<unknown>(), keys, ...call }
      calls.push(made)
      return await made.promise
    }),
    clock,
    counts,
    runTimeout: 1000
  }, { maxBatchSize: options.maxBatchSize ?? 100, window: options.window ?? 'turn', protection: options.behind ?? NO_PROTECTION })

  /** A run asks, and begins when it may. */
  function run (word: string, { level = 1, isRefresh = false, group = '', runTimeout = 1000, begins = true } = {}): Run {
    const controller = new AbortController()
    const item = itemOf(word, group)
    let permission: Permission | undefined
    let place!: Place
    const result = new Promise<unknown>((resolve, reject) => {
      place = batches.ask({
        level,
        subject: [item],
        isRefresh,
        runTimeout,
        answered (given) {
          permission = given
          if (given.type === 'refused') reject(given.error)
          else if (begins) resolve(batches.load(item, controller.signal))
        }
      })
    })
    result.catch(() => {})
    return { place, controller, permission: () => permission, result }
  }

  return { batches, calls, clock, counts, run }
}

function itemOf (word: string, group = ''): BatchItem {
  return { id: `${group} ${word}`, groupId: group, group, key: word, args: [word] }
}

/** What the calls were for. */
const keysOf = (calls: readonly Call[]): string[] => calls.map(({ keys }) => keys.join())

async function settled (runs: readonly Run[]): Promise<unknown[]> {
  return (await Promise.allSettled(runs.map(async ({ result }) => await result)))
    .map(each => each.status === 'fulfilled' ? each.value : (each.reason as Error).message)
}

t.test('runs that ask in one turn are one call, and those of the next turn another', async t => {
  const { calls, run } = departure()
  const first = ['a', 'b', 'c'].map(word => run(word))
  t.equal(calls.length, 0, 'not before the turn has ended')
  await turn()
  const second = [run('d')]
  await turn()
  t.strictSame(keysOf(calls), ['a,b,c', 'd'])

  calls[0]?.open([1, 2, 3])
  calls[1]?.open([4])
  t.strictSame(await settled([...first, ...second]), [1, 2, 3, 4])
})

t.test('groups are never mixed', async t => {
  const { calls, run } = departure()
  const runs = [run('a', { group: 'x' }), run('a', { group: 'y' }), run('b', { group: 'x' })]
  await turn()

  t.strictSame(calls.map(({ keys, group }) => `${String(group)}: ${keys.join()}`), ['x: a,b', 'y: a'])
  calls[0]?.open(['xa', 'xb'])
  calls[1]?.open(['ya'])
  t.strictSame(await settled(runs), ['xa', 'ya', 'xb'])
})

t.test('a window counts from its first key, and ends early when a batch is full', async t => {
  const { calls, clock, run } = departure({ window: 10, maxBatchSize: 3 })
  run('a')
  clock.advance(6)
  run('b')
  await turn()
  t.strictSame(keysOf(calls), [])
  clock.advance(4)
  await turn()
  t.strictSame(keysOf(calls), ['a,b'])

  for (const word of ['c', 'd', 'e', 'f']) run(word)
  await turn()
  t.strictSame(keysOf(calls), ['a,b', 'c,d,e'])
  clock.advance(9)
  t.equal(calls.length, 2)
  clock.advance(1)
  t.strictSame(keysOf(calls), ['a,b', 'c,d,e', 'f'])
  t.equal(clock.timers, 0)
})

t.test('many keys in one turn are batches of the greatest size', async t => {
  const { calls, run } = departure({ maxBatchSize: 10 })
  for (let index = 0; index < 34; index++) run(`k${index}`)
  await until(() => calls.length === 4)

  t.strictSame(calls.map(({ keys }) => keys.length), [10, 10, 10, 4])
})

t.test('a batch fills while it waits for its slot, and the next one waits behind it', async t => {
  const { seam, asked } = protection()
  const { calls, run } = departure({ behind: seam, maxBatchSize: 3 })
  run('a', { runTimeout: 500 })
  await turn()
  t.match(asked, [{ level: 1, subject: ['a'], isRefresh: false, runTimeout: 500 }])
  run('b')
  await turn()
  run('c')
  await turn()
  t.equal(asked.length, 1, 'no place of their own')
  run('d', { runTimeout: 2000 })
  await turn()
  t.equal(asked.length, 2)
  t.equal(asked[1]?.runTimeout, 2000)

  asked[0]?.grant()
  t.strictSame(keysOf(calls), ['a,b,c'])
  run('e')
  await turn()
  asked[1]?.grant()
  t.strictSame(keysOf(calls), ['a,b,c', 'd,e'])
  t.equal(asked.length, 2)
})

t.test('the answer to a place that is not needed any more, come too late, is nobody else\'s', async t => {
  for (const isRefused of [true, false]) {
    const { seam, asked } = protection()
    const { calls, run } = departure({ behind: seam, maxBatchSize: 2 })
    const [a, b, c] = ['a', 'b', 'c'].map(word => run(word)) as [Run, Run, Run]
    await turn()
    await turn()
    t.equal(asked.length, 2)
    c.place.leave()
    t.ok(asked[1]?.hasLeft)
    if (isRefused) asked[1]?.answered(REFUSED)
    else asked[1]?.grant()
    t.strictSame([a.permission(), b.permission(), calls.length], [undefined, undefined, 0])
    t.equal(asked[1]?.released, isRefused ? 0 : 1)

    asked[0]?.grant()
    t.strictSame(keysOf(calls), ['a,b'])
  }
})

t.test('who waits behind refreshes for more than one batch gets a place of its own, once', async t => {
  const { seam, asked } = protection()
  const limited: Protection = {
    ...seam,
    ask (asking) {
      if (asked.length === 10) throw new Error('places without end')
      return seam.ask(asking)
    }
  }
  const { calls, run } = departure({ behind: limited, maxBatchSize: 2 })
  for (const word of ['a', 'b', 'c', 'd']) run(word, { isRefresh: true })
  await turn()
  t.strictSame(asked.map(({ isRefresh }) => isRefresh), [true, true])
  run('e')
  await turn()
  await turn()
  const waiting = asked.filter(({ hasLeft }) => !hasLeft)
  t.strictSame(waiting.map(({ isRefresh }) => isRefresh), [false, true, true])
  for (const each of waiting) each.grant()
  t.strictSame(keysOf(calls), ['e,a', 'b,c', 'd'])
})

t.test('a run that leaves while others of its batch are told takes nobody with it', async t => {
  const { seam, asked } = protection()
  const { batches, calls, run } = departure({ behind: seam, maxBatchSize: 2 })
  const told: Permission[] = []
  const first = itemOf('a')
  batches.ask({
    level: 1,
    subject: [first],
    isRefresh: false,
    runTimeout: 1000,
    answered () {
      leaves.place.leave()
      batches.load(first, new AbortController().signal).catch(() => {})
    }
  })
  const leaves = { place: batches.ask({ level: 1, subject: [itemOf('b')], isRefresh: false, runTimeout: 1000, answered: permission => { told.push(permission) } }) }
  await turn()
  run('c')
  asked[0]?.grant()
  for (const each of told) if (each.type === 'granted') each.release()
  await turn()
  asked[1]?.grant()
  t.strictSame(keysOf(calls), ['a', 'c'])
})

t.test('its slot goes back, and how it went is told, once and when its call has ended', async t => {
  const { seam, asked } = protection()
  const { calls, counts, run } = departure({ behind: seam })
  const runs = ['a', 'b'].map(word => run(word))
  await turn()
  asked[0]?.grant()
  for (const each of runs) {
    const permit = each.permission() as Permit
    permit.tell({ status: undefined, error: new Error('its own') })
    permit.release()
    permit.release()
    t.equal(permit.passOn(), undefined)
  }
  t.strictSame([asked[0]?.told, asked[0]?.released], [[], 0])
  calls[0]?.open([1, new Error('bad b')])
  t.strictSame(await settled(runs), [1, 'bad b'])

  t.strictSame([asked[0]?.told, asked[0]?.released], [[{ status: undefined, error: undefined }], 1])
  t.strictSame(counts.failures, { batch: 0, key: 1, result: 0 })
})

t.test('a call that throws has failed, for all of its keys and once for what is behind it', async t => {
  const down = new Error('down')
  for (const fn of [async () => { throw down }, () => { throw down }]) {
    const { seam, asked } = protection()
    const { counts, run } = departure({ behind: seam, fn })
    const runs = ['a', 'b'].map(word => run(word))
    await turn()
    asked[0]?.grant()

    t.strictSame(await settled(runs), ['down', 'down'])
    t.strictSame(asked[0]?.told, [{ status: undefined, error: down }])
    t.equal(asked[0]?.released, 1)
    t.strictSame(counts.failures, { batch: 1, key: 0, result: 0 })
  }
})

t.test('a call of which every key failed has failed', async t => {
  const { seam, asked } = protection()
  const errors = [new Error('bad a'), new Error('bad b')]
  const { counts, run } = departure({ behind: seam, fn: () => errors })
  const runs = ['a', 'b'].map(word => run(word))
  await turn()
  asked[0]?.grant()

  t.strictSame(await settled(runs), ['bad a', 'bad b'])
  t.strictSame(asked[0]?.told, [{ status: undefined, error: errors[0] }])
  t.equal(counts.failures.key, 2)
})

t.test('what is no result for each key fails them all', async t => {
  for (const [answer, message] of [
    [['only one'], 'look up must answer one result a key, and answered 1 for 2 keys; give undefined, an Error or null for what there is none of, or answer a Map'],
    [[1, 2, 3], 'look up must answer one result a key, and answered 3 for 2 keys; give undefined, an Error or null for what there is none of, or answer a Map'],
    [undefined, 'look up must answer an array or a Map, and answered undefined'],
    [null, 'look up must answer an array or a Map, and answered null'],
    [{ a: 1, b: 2 }, 'look up must answer an array or a Map, and answered an object'],
    ['ab', 'look up must answer an array or a Map, and answered a string']
  ] as const) {
    const { seam, asked } = protection()
    const { counts, run } = departure({ behind: seam, fn: () => answer })
    const runs = ['a', 'b'].map(word => run(word))
    await turn()
    asked[0]?.grant()

    t.strictSame(await settled(runs), [message, message])
    await t.rejects((runs[0] as Run).result, { code: 'FST_COALESCE_BATCH_RESULT', statusCode: 500 })
    t.match(asked[0]?.told, [{ error: { code: 'FST_COALESCE_BATCH_RESULT' } }])
    t.strictSame(counts.failures, { batch: 0, key: 0, result: 1 })
  }
})

t.test('a Map gives each key its own, and undefined where it has none', async t => {
  const { run } = departure({ fn: () => new Map<unknown, unknown>([['c', 3], ['a', 1], ['d', new Error('bad d')]]) })
  const runs = ['a', 'b', 'c', 'd'].map(word => run(word))

  t.strictSame(await settled(runs), [1, undefined, 3, 'bad d'])
})

t.test('a refusal is that of all who wait for the batch', async t => {
  const { seam, asked } = protection()
  const { calls, run } = departure({ behind: seam })
  const runs = ['a', 'b'].map(word => run(word))
  await turn()
  asked[0]?.answered(REFUSED)
  t.strictSame(await settled(runs), ['refused', 'refused'])

  const refusing = departure({ behind: { ...seam, ask: () => REFUSED }, maxBatchSize: 2 })
  const more = ['a', 'b', 'c', 'd', 'e'].map(word => refusing.run(word))
  t.strictSame(await settled(more), more.map(() => 'refused'), 'one that comes at once as well')
  t.equal(calls.length + refusing.calls.length, 0)
})

t.test('of two batches, who has waited for the longest is refused when a wait ends, and the least urgent when a place is lost', async t => {
  for (const [reason, refused] of [['queue-timeout', 'a,b'], ['evicted', 'b,d']] as const) {
    const { seam, asked } = protection()
    const { clock, run } = departure({ behind: seam, maxBatchSize: 2 })
    const runs = ['a', 'b', 'c', 'd'].map((word, index) => {
      clock.advance(1)
      return { word, run: run(word, { level: index % 2 === 0 ? 0 : 2 }) }
    })
    await turn()
    t.equal(asked.length, 2)
    asked[1]?.answered({ ...REFUSED, reason })

    t.equal(runs.filter(each => each.run.permission()?.type === 'refused').map(({ word }) => word).join(), refused)
    t.equal(runs.filter(each => each.run.permission() === undefined).length, 2)
  }
})

t.test('a batch is as urgent as the most urgent of its keys', async t => {
  const { seam, asked } = protection()
  const { run } = departure({ behind: seam })
  const a = run('a', { level: 1 })
  await turn()
  t.equal(asked[0]?.level, 1)
  run('b', { level: 2 })
  t.strictSame(asked[0]?.changes, [])
  const c = run('c', { level: 0 })
  t.strictSame(asked[0]?.changes.splice(0), ['joined 0', 'left 1'])
  c.place.leave()
  t.strictSame(asked[0]?.changes.splice(0), ['joined 1', 'left 0'])
  a.place.joined(0)
  t.strictSame(asked[0]?.changes.splice(0), ['joined 0', 'left 1'])
  a.place.joined(2)
  a.place.left(1)
  t.strictSame(asked[0]?.changes, [])
  a.place.left(0)
  t.strictSame(asked[0]?.changes, ['joined 2', 'left 0'])
  a.place.left(2)
  t.strictSame(asked[0]?.changes.splice(2), [], 'nobody waits for it, and it has not left yet')
})

t.test('urgent keys go first', async t => {
  const { seam, asked } = protection()
  const { calls, clock, run } = departure({ behind: seam, maxBatchSize: 2 })
  const runs = ['a', 'b', 'c'].map(word => {
    clock.advance(1)
    return run(word, { level: 2 })
  })
  await turn()
  run('d', { level: 0 })
  runs[2]?.place.joined(1)
  await turn()
  t.equal(asked.length, 2)
  asked[0]?.grant()
  asked[1]?.grant()

  t.strictSame(keysOf(calls), ['d,c', 'a,b'])
})

t.test('nobody is overtaken for ever', async t => {
  const { seam, asked } = protection()
  const { calls, clock, run } = departure({ behind: seam, maxBatchSize: 2 })
  run('low', { level: 2 })
  for (let index = 0; index < 50 && !calls.flatMap(({ keys }) => keys).includes('low'); index++) {
    run(`${index}-one`, { level: 0 })
    run(`${index}-two`, { level: 0 })
    await turn()
    clock.advance(100)
    asked[index]?.grant()
  }

  t.equal(calls.length, 21, 'two seconds are two levels')
})

t.test('the batch that is let in first takes the most urgent, whichever that is', async t => {
  const { seam, asked } = protection()
  const { calls, run } = departure({ behind: seam, maxBatchSize: 1 })
  run('a', { level: 0 })
  run('b', { level: 1 })
  run('c', { level: 2 })
  await turn()
  t.strictSame(asked.map(({ level }) => level), [0, 1, 2])
  asked[2]?.grant()

  t.strictSame(keysOf(calls), ['a'])
  t.strictSame(asked.map(({ changes }) => changes.join()), ['joined 1,left 0', 'joined 2,left 1', ''])
})

t.test('who leaves is in no batch, and an empty one gives up its place or its window', async t => {
  const { seam, asked } = protection()
  const { calls, clock, run } = departure({ behind: seam, window: 10, maxBatchSize: 2 })
  const early = run('a')
  early.place.leave()
  early.place.leave()
  t.equal(clock.timers, 0)
  const [b, c, d] = ['b', 'c', 'd'].map(word => run(word)) as [Run, Run, Run]
  await turn()
  clock.advance(10)
  t.equal(asked.length, 2)
  b.place.leave()
  t.ok(asked[1]?.hasLeft)
  t.notOk(asked[0]?.hasLeft)
  c.place.leave()
  d.place.leave()
  t.ok(asked[0]?.hasLeft)
  t.equal(clock.timers, 0)
  t.equal(calls.length, 0)

  const { run: inTurn, calls: none } = departure()
  inTurn('a').place.leave()
  for (const word of ['a', 'b']) inTurn(word).place.leave()
  await turn()
  t.equal(none.length, 0)
})

t.test('a full batch of which one leaves before it has asked waits for its window', async t => {
  const { calls, run } = departure({ maxBatchSize: 2 })
  run('a')
  run('b').place.leave()
  await Promise.resolve()
  t.equal(calls.length, 0)
  await turn()
  t.strictSame(keysOf(calls), ['a'])
})

t.test('refreshes go along, and by themselves are less urgent than all', async t => {
  const { seam, asked } = protection()
  const { calls, run } = departure({ behind: seam, maxBatchSize: 3 })
  run('a', { isRefresh: true })
  await turn()
  t.match(asked, [{ level: 1, isRefresh: true }])
  run('b', { isRefresh: true })
  t.strictSame(asked[0]?.changes, [])

  const c = run('c', { level: 2 })
  t.ok(asked[0]?.hasLeft, 'a place that evicts nobody is none for a client')
  await turn()
  t.match(asked[1], { level: 2, isRefresh: false, subject: ['c'] })
  c.place.leave()
  t.strictSame(asked[1]?.changes, [])
  t.notOk(asked[1]?.hasLeft)
  asked[1]?.grant()
  t.strictSame(keysOf(calls), ['a,b'])
})

t.test('one of its keys may be that of somebody who runs in the place of who had asked', async t => {
  const { seam, asked } = protection()
  const { batches, calls, run } = departure({ behind: seam })
  const { place } = run('a')
  await turn()
  let result: Promise<unknown> | undefined
  place.handOver(() => { result = batches.load(itemOf('a'), new AbortController().signal) })
  asked[0]?.grant()
  calls[0]?.open(['found'])

  t.equal(await result, 'found')
})

t.test('runs for the same key are one key', async t => {
  const { calls, run } = departure()
  const runs = ['a', 'b', 'a'].map(word => run(word))
  await turn()
  t.strictSame(keysOf(calls), ['a,b'])
  calls[0]?.open([1, 2])

  t.strictSame(await settled(runs), [1, 2, 1])
})

t.test('a call waits for nobody who was permitted and does not begin', async t => {
  const { calls, run } = departure()
  const gone = run('a', { begins: false })
  run('b')
  await turn()
  t.equal(calls.length, 0)
  const permit = gone.permission() as Permit
  permit.release()
  t.strictSame(keysOf(calls), ['b'], 'who gives up')

  run('c', { begins: false })
  run('d')
  await turn()
  await turn()
  t.strictSame(keysOf(calls), ['b', 'd'], 'who says nothing')

  const { seam, asked } = protection()
  const { calls: none, run: runNone } = departure({ behind: seam })
  runNone('a', { begins: false })
  await turn()
  asked[0]?.grant()
  await turn()
  t.equal(none.length, 0)
  t.strictSame([asked[0]?.told, asked[0]?.released], [[undefined], 1], 'that tells nothing')
})

t.test('who begins a little later is waited for, and who comes too late, or has not asked, is in a batch to come', async t => {
  const { batches, calls, run } = departure()
  run('a', { begins: false })
  run('b')
  await turn()
  const late = batches.load(itemOf('a'), new AbortController().signal)
  t.strictSame(keysOf(calls), ['a,b'])
  calls[0]?.open(['in time', 1])
  t.equal(await late, 'in time')

  const other = batches.load(itemOf('a'), new AbortController().signal)
  await until(() => calls.length === 2)
  calls[1]?.open(['too late'])
  t.equal(await other, 'too late')

  const refusing = departure({ behind: { ...NO_PROTECTION, ask: () => REFUSED } })
  await t.rejects(refusing.batches.load(itemOf('a'), new AbortController().signal), REFUSED.error)
  const gone = new AbortController()
  const left = batches.load(itemOf('a'), gone.signal)
  gone.abort(new Error('gone'))
  await t.rejects(left, { message: 'gone' })
  await t.rejects(batches.load(itemOf('a'), gone.signal), { message: 'gone' })
  await turn()
  t.equal(calls.length, 2)
})

t.test('its signal aborts when nobody is left who wants any of its keys', async t => {
  const { seam, asked } = protection()
  const { calls, run } = departure({ behind: seam })
  const runs = ['a', 'a', 'b'].map(word => run(word)) as [Run, Run, Run]
  await turn()
  asked[0]?.grant()
  runs[0].controller.abort()
  runs[2].controller.abort()
  t.notOk(calls[0]?.signal.aborted)
  runs[1].controller.abort(new Error('nobody'))
  t.match(calls[0]?.signal, { aborted: true, reason: { message: 'nobody' } })

  calls[0]?.fail(new Error('aborted'))
  t.strictSame(await settled(runs), ['aborted', 'aborted', 'aborted'])
  t.strictSame([asked[0]?.told, asked[0]?.released], [[undefined], 1], 'which tells nothing of what is behind it')
})

t.test('a call that is given up because it took too long has failed', async t => {
  const { seam, asked } = protection()
  const { calls, run } = departure({ behind: seam })
  const only = run('a')
  await turn()
  asked[0]?.grant()
  const error = new errors.FlightTimeoutError(100)
  only.controller.abort(error)
  calls[0]?.fail(new Error('aborted'))
  await settled([only])

  t.strictSame(asked[0]?.told, [{ status: undefined, error }])
})

t.test('what is asked of the function\'s own protection is asked with the arguments of a call', async t => {
  const { seam } = protection()
  const { batches } = departure({ behind: seam })
  const [refused, fine] = [[itemOf('refused')], [itemOf('a')]]
  t.strictSame([batches.refusalFor(refused), batches.wouldProbe(refused), batches.foresee(refused, 0)], [REFUSED, true, REFUSED])
  t.strictSame([batches.refusalFor(fine), batches.wouldProbe(fine), batches.foresee(fine, 0), batches.foresee(fine, 1)], [undefined, false, 'runs', 'waits'])

  t.equal(batches.patience, 5000)
  t.equal(departure({ behind: seam, window: 20 }).batches.patience, 5020, 'and its window')
})

t.test('a key that nobody wants any more when its call begins is left out', async t => {
  const { batches, calls, run } = departure()
  run('a', { begins: false })
  const gone = run('b')
  await turn()
  gone.controller.abort()
  await turn()
  t.equal(calls.length, 0)
  await t.rejects(gone.result, { code: 'FST_COALESCE_NOBODY_WAITS' })

  run('e', { begins: false })
  const leaves = run('f')
  await turn()
  leaves.controller.abort()
  const stays = batches.load(itemOf('e'), new AbortController().signal)
  const [call] = calls.splice(0)
  t.strictSame(call?.keys, ['e'])
  t.notOk(call?.signal.aborted)
  stays.catch(() => {})

  const aborted = run('c')
  aborted.controller.abort()
  run('d')
  await turn()
  t.strictSame(keysOf(calls), ['d'])
  t.notOk(calls[0]?.signal.aborted)
})

t.test('a call sees nobody\'s asynchronous context, and leaves none behind', async t => {
  const storage = new AsyncLocalStorage<string>()
  const seen: unknown[] = []
  const { run } = departure({
    fn: keys => {
      seen.push(storage.getStore())
      storage.enterWith('entered')
      return keys
    }
  })
  const first = ['a', 'b'].map(word => storage.run(`tenant ${word}`, () => run(word)))
  await settled(first)
  await settled([storage.run('tenant c', () => run('c'))])

  t.strictSame(seen, [undefined, undefined])
})

t.test('calls, keys, durations and failures are counted', async t => {
  const { calls, clock, counts, run } = departure()
  const runs = ['a', 'b', 'c'].map(word => run(word))
  await turn()
  clock.advance(20)
  calls[0]?.open([1, 2, new Error('bad c')])
  await settled(runs)

  const { keys, durations, ...others } = counts.figures()
  t.strictSame(others, { name: 'look up', batches: 1, failures: { batch: 0, key: 1, result: 0 } })
  t.strictSame(keys, { count: 1, sum: 3, buckets: [[1, 0], [2, 0], [5, 1], [10, 1], [20, 1], [50, 1], [100, 1], [200, 1], [500, 1], [1000, 1], [Infinity, 1]] })
  t.strictSame([durations.count, durations.sum, durations.buckets.filter(([, count]) => count === 0).map(([le]) => le)], [1, 20, [1, 5, 10]])
})

t.test('a signal that aborts later does nothing', async t => {
  const { calls, run } = departure()
  const one = run('a')
  await turn()
  calls[0]?.open([1])
  await settled([one])
  one.controller.abort()
  t.notOk(calls[0]?.signal.aborted)
})
