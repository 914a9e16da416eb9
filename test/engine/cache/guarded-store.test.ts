import t from 'tap'
import { GuardedStore, type Found } from '../../../lib/engine/cache/guarded-store.js'
import type { Operation } from '../../../lib/observers/observer.js'
import { memoryStore } from '../../../lib/stores/memory.js'
import type { Entry, Store, StoreUser } from '../../../types/index.js'
import { gate, TestClock, until } from '../../fixtures/gate.js'
import { chaos, GARBAGE, type Chaos, type Failure } from '../../stores/chaos.js'
import { entryOf as entryWith } from '../../stores/conformance.js'

const TIMEOUT = 250
const KEEP = 60_000
const KEY = '["a"]'

interface Opened {
  readonly shelf: GuardedStore
  readonly clock: TestClock
  readonly store: Chaos
  /** What it said, in order. */
  readonly said: string[]
}

function open (inner?: Store): Opened {
  const clock = new TestClock()
  const store = chaos(inner ?? memoryStore({ clock }))
  const said: string[] = []
  const shelf = new GuardedStore(store, TIMEOUT, clock, {
    failed: (operation: Operation, reason) => { said.push(`${operation} ${reason}`) },
    rejected: reason => { said.push(`rejected ${reason}`) },
    answered: took => { said.push(`answered ${took}`) }
  })
  return { shelf, clock, store, said }
}

/** An entry of a run that began, and ended, now. */
function entryOf (shelf: GuardedStore, members: Partial<Entry> = {}): Entry {
  const now = shelf.now()
  return entryWith(KEY, 'value', { since: shelf.stamp(), storedAt: now, ...members })
}

/** A store that answers with promises. */
function slow (inner: Store): Store {
  return {
    get: async key => await inner.get(key),
    set: async (entry, keepFor) => { await inner.set(entry, keepFor) },
    delete: async key => { await inner.delete(key) }
  }
}

const valueOf = (found: Found | undefined): unknown => found?.entry.value

t.test('what is kept is found, at once where the store answers at once, and grows older', t => {
  const { shelf, clock, said } = open()
  t.equal(shelf.lookUp(KEY), undefined)
  t.equal(shelf.keep(entryOf(shelf), KEEP), true)
  clock.advance(1500)
  t.match(shelf.lookUp(KEY), { entry: { key: KEY, value: 'value' }, resident: 1500, outdated: false })
  t.equal(shelf.lookUp('["b"]'), undefined)
  t.strictSame(said, [])
  t.end()
})

t.test('its time goes on from the time of day, and its stamps are all different and grow', t => {
  const { shelf, clock } = open()
  t.ok(Math.abs(shelf.now() - Date.now()) < 5000)
  const stamps = Array.from({ length: 1000 }, () => shelf.stamp())
  t.ok(stamps.every((stamp, index) => index === 0 || stamp > (stamps[index - 1] as number)))
  clock.advance(10_000)
  t.equal(shelf.stamp(), shelf.now())
  t.end()
})

t.test('a look never throws and never lasts longer than the store may take, whatever it does', async t => {
  for (const how of ['throws', 'rejects', 'hangs', 'delays', 'bad-promise'] as const) {
    const { shelf, clock, store, said } = open()
    shelf.keep(entryOf(shelf), KEEP)
    store.on.get = how
    let found: unknown = 'nothing yet'
    const look = Promise.resolve(shelf.lookUp(KEY)).then(answer => { found = answer })
    await new Promise(resolve => setImmediate(resolve))
    clock.advance(TIMEOUT - 1)
    await new Promise(resolve => setImmediate(resolve))
    const waits = how === 'hangs' || how === 'delays'
    t.equal(found, waits ? 'nothing yet' : undefined, how)
    clock.advance(1)
    await look
    t.equal(found, undefined, how)
    t.strictSame(said, [waits ? 'get timeout' : 'get error'], how)
    t.equal(clock.timers, 0, how)
  }
})

t.test('a store that answers late, but in time, is heeded, and how long it took is told', async t => {
  const { shelf, clock, store, said } = open()
  shelf.keep(entryOf(shelf), KEEP)
  store.on.get = 'delays'
  const look = shelf.lookUp(KEY)
  clock.advance(TIMEOUT - 1)
  store.gate.open()
  t.equal(valueOf(await look), 'value')
  t.strictSame(said, [`answered ${TIMEOUT - 1}`])
  t.equal(clock.timers, 0)
})

t.test('garbage is a miss, from a store that answers at once and from one that does not', async t => {
  for (const inner of [memoryStore(), slow(memoryStore())]) {
    const { shelf, store, said } = open(inner)
    store.on.get = 'garbage'
    for (let round = 0; round < GARBAGE.length; round++) t.equal(await shelf.lookUp(KEY), undefined)
    t.ok(said.length > 0)
  }
  for (const garbage of GARBAGE) {
    const { shelf } = open({ get: async () => garbage as Entry, set: () => {}, delete: () => {} })
    t.equal(await shelf.lookUp(KEY), undefined)
  }
  const trap = new Proxy({}, { get: () => { throw new Error('trap') } })
  const { shelf, said } = open({ get: () => trap as Entry, set: () => {}, delete: () => {} })
  t.equal(shelf.lookUp(KEY), undefined)
  t.equal(said.length, 1)
})

t.test('garbage in the place of an entry keeps no newer one from being kept', t => {
  for (const garbage of [...GARBAGE, new Proxy({}, { get: () => { throw new Error('trap') } })]) {
    const { shelf } = open({ get: () => garbage as Entry, set: () => {}, delete: () => {} })
    t.equal(shelf.keep(entryOf(shelf), KEEP), true)
  }
  t.end()
})

t.test('an entry that lacks something, or is of another key or version, is a miss', async t => {
  const wrong: Array<[object, string]> = [
    [{ key: '["b"]' }, 'key'], [{ key: undefined }, 'key'], [{ version: 2 }, 'version'], [{ version: '1' }, 'version'],
    [{ since: undefined }, 'garbage'], [{ since: '5' }, 'garbage'], [{ storedAt: NaN }, 'garbage'], [{ freshFor: Infinity }, 'garbage'],
    [{ staleWhileRevalidate: null }, 'garbage'], [{ staleIfError: undefined }, 'garbage'], [{ labels: 'tag:a' }, 'garbage'],
    [{ labels: [5] }, 'garbage'], [{ labels: undefined }, 'garbage']
  ]
  for (const [members, reason] of wrong) {
    for (const isSlow of [false, true]) {
      const answer: { entry?: Entry } = {}
      const { shelf, said } = open({ get: () => isSlow ? Promise.resolve(answer.entry) : answer.entry, set: () => {}, delete: () => {} })
      answer.entry = { ...entryOf(shelf), ...members }
      t.equal(await shelf.lookUp(KEY), undefined, JSON.stringify(members))
      t.ok(said.includes(`rejected ${reason}`), JSON.stringify(members))
    }
  }
})

t.test('what comes from the future is no entry: it would be fresh for ever, and no purge would be after it', async t => {
  let entry: Entry | undefined
  const { shelf, said } = open({ get: () => entry, set: () => {}, delete: () => {} })
  for (const members of [{ storedAt: shelf.now() + 3_600_000 }, { since: shelf.now() + 3_600_000 }]) {
    entry = entryOf(shelf, members)
    t.equal(shelf.lookUp(KEY), undefined)
    t.equal(said.pop(), 'rejected garbage')
  }
  entry = entryOf(shelf, { storedAt: shelf.now() + 500 })
  t.match(shelf.lookUp(KEY), { resident: 0 }, 'another clock may be a little ahead')
})

t.test('what a slow store still takes is found meanwhile', async t => {
  const { shelf, clock, store, said } = open()
  store.on.set = 'delays'
  t.equal(shelf.keep(entryOf(shelf), KEEP), true)
  t.equal(valueOf(await shelf.lookUp(KEY)), 'value')
  t.equal(store.calls.get, 1, 'only whether a later one is there was asked')
  store.gate.open()
  await until(() => clock.timers === 0)
  await until(() => store.calls.get === 1 && valueOf(shelf.lookUp(KEY) as Found) === 'value')
  t.equal(store.calls.get, 2)
  t.strictSame(said, [])
})

t.test('a store that never takes what is kept is given up, and what it did not take is not found', async t => {
  for (const how of ['throws', 'rejects', 'hangs', 'bad-promise'] as const satisfies Failure[]) {
    const { shelf, clock, store, said } = open()
    store.on.set = how
    t.equal(shelf.keep(entryOf(shelf), KEEP), true)
    if (how === 'hangs') clock.advance(TIMEOUT)
    await until(() => said.length === 1)
    await until(() => clock.timers === 0)
    t.strictSame(said, [how === 'hangs' ? 'set timeout' : 'set error'], how)
    await new Promise(resolve => setImmediate(resolve))
    t.equal(shelf.lookUp(KEY), undefined, how)
  }
})

t.test('what was put while a look went on goes before what the store says', async t => {
  const { shelf, store } = open(slow(memoryStore()))
  shelf.keep(entryOf(shelf, { value: 'old' }), KEEP)
  await new Promise(resolve => setImmediate(resolve))
  store.on.get = 'delays'
  store.on.set = 'hangs'
  const look = shelf.lookUp(KEY)
  shelf.keep(entryOf(shelf, { value: 'new' }), KEEP)
  store.gate.open()
  t.equal(valueOf(await look), 'new')
})

t.test('of two that are on their way to the store the last one put is found until both are there', async t => {
  const { shelf, store, clock } = open()
  store.on.set = 'delays'
  const first = store.gate
  shelf.keep(entryOf(shelf, { value: 'old' }), KEEP)
  store.gate = gate()
  shelf.keep(entryOf(shelf, { value: 'new' }), KEEP)
  first.open()
  await until(() => clock.timers === 1)
  await new Promise(resolve => setImmediate(resolve))
  t.equal(valueOf(await shelf.lookUp(KEY)), 'new')
})

t.test('no more than so many are on their way to the store', async t => {
  const { shelf, store, said, clock } = open()
  store.on.set = 'hangs'
  const kept = Array.from({ length: 1010 }, (_, index) => shelf.keep(entryOf(shelf, { key: `["${index}"]` }), KEEP))
  t.equal(kept.filter(Boolean).length, 1000)
  t.equal(said.filter(each => each === 'set full').length, 10)
  clock.advance(TIMEOUT)
  await until(() => clock.timers === 0)
  await new Promise(resolve => setImmediate(resolve))
  t.equal(shelf.keep(entryOf(shelf), KEEP), true)
})

t.test('the run that began last goes before one that ended last', async t => {
  for (const inner of [memoryStore(), slow(memoryStore())]) {
    const { shelf, store } = open(inner)
    if (inner.entries === undefined) store.on.set = 'hangs'
    // So that it is known to be slow.
    await shelf.lookUp(KEY)
    const early = shelf.stamp()
    t.equal(shelf.keep(entryOf(shelf, { value: 'late' }), KEEP), true)
    t.equal(shelf.keep(entryOf(shelf, { since: early, value: 'early' }), KEEP), false)
    t.equal(valueOf(await shelf.lookUp(KEY)), 'late')
    t.equal(shelf.keep(entryOf(shelf, { value: 'later' }), KEEP), true)
    t.equal(valueOf(await shelf.lookUp(KEY)), 'later')
  }
})

t.test('a slow store is not asked whether a later one is there', async t => {
  const { shelf, store } = open(slow(memoryStore()))
  await shelf.lookUp(KEY)
  shelf.keep(entryOf(shelf), KEEP)
  t.equal(store.calls.get, 1)
})

t.test('a purge ends what began before it, is kept or in the air, by any of its labels or its key, and nothing that begins after it', t => {
  for (const label of ['tag:a', 'tag:b', KEY]) {
    const { shelf } = open()
    const labels = ['tag:a', 'tag:b']
    shelf.keep(entryOf(shelf, { labels }), KEEP)
    const inTheAir = entryOf(shelf, { labels })
    shelf.purge(['tag:other'], false)
    t.equal(valueOf(shelf.lookUp(KEY) as Found), 'value')
    shelf.purge([label], false)
    t.equal(shelf.lookUp(KEY), undefined, label)
    t.equal(shelf.keep(inTheAir, KEEP), false)
    t.equal(shelf.lookUp(KEY), undefined)
    t.equal(shelf.keep(entryOf(shelf, { labels }), KEEP), true)
    t.equal(valueOf(shelf.lookUp(KEY) as Found), 'value')
  }
  t.end()
})

t.test('a purge while a slow store is asked counts', async t => {
  const { shelf, store } = open()
  shelf.keep(entryOf(shelf, { labels: ['tag:a'] }), KEEP)
  store.on.get = 'delays'
  const look = shelf.lookUp(KEY)
  shelf.purge(['tag:a'], false)
  store.gate.open()
  t.equal(await look, undefined)
})

t.test('a soft purge makes stale what is kept, and what is in the air is not kept', t => {
  for (const label of ['tag:a', KEY]) {
    const { shelf } = open()
    shelf.keep(entryOf(shelf, { labels: ['tag:a'] }), KEEP)
    const inTheAir = entryOf(shelf, { labels: ['tag:a'] })
    shelf.purge([label], true)
    t.match(shelf.lookUp(KEY), { outdated: true, entry: { value: 'value' } })
    t.equal(shelf.keep(inTheAir, KEEP), false)
    t.match(shelf.entries(), [{ outdated: true }])
    t.equal(shelf.keep(entryOf(shelf, { labels: ['tag:a'] }), KEEP), true)
    t.match(shelf.lookUp(KEY), { outdated: false })
  }
  t.end()
})

t.test('what is dropped is gone from the store and from the way there, and what is in the air for it is not kept', async t => {
  const { shelf, store } = open()
  shelf.keep(entryOf(shelf), KEEP)
  const inTheAir = entryOf(shelf)
  shelf.drop(KEY)
  t.equal(store.calls.delete, 1)
  t.equal(store.get(KEY), undefined)
  t.equal(shelf.keep(inTheAir, KEEP), false)
  store.on.set = 'hangs'
  shelf.keep(entryOf(shelf), KEEP)
  shelf.drop(KEY)
  t.equal(shelf.lookUp(KEY), undefined)
})

t.test('a store that answers with what cannot be looked at harms nobody', t => {
  const trap = new Proxy({}, { get: () => { throw new Error('trap') } }) as PromiseLike<void>
  const { shelf, said } = open({ get: () => undefined, set: () => trap, delete: () => trap })
  shelf.keep(entryOf(shelf), KEEP)
  shelf.drop(KEY)
  t.strictSame(said, ['set error', 'delete error'])
  t.end()
})

t.test('a store that fails to delete brings nothing back', async t => {
  for (const how of ['throws', 'rejects', 'hangs', 'bad-promise'] as const satisfies Failure[]) {
    const { shelf, clock, store, said } = open()
    shelf.keep(entryOf(shelf), KEEP)
    store.on.delete = how
    shelf.drop(KEY)
    t.equal(shelf.lookUp(KEY), undefined, how)
    if (how === 'hangs') clock.advance(TIMEOUT)
    await until(() => said.length === 1 && clock.timers === 0)
    t.strictSame(said, [how === 'hangs' ? 'delete timeout' : 'delete error'])
  }
})

t.test('what is listed is what would be found; a store that does not list says so', t => {
  const { shelf } = open()
  shelf.keep(entryOf(shelf, { labels: ['tag:a'] }), KEEP)
  shelf.keep(entryOf(shelf, { key: '["b"]' }), KEEP)
  shelf.purge(['tag:a'], false)
  t.match(shelf.entries()?.map(({ entry }) => entry.key), ['["b"]'])
  const [listed] = shelf.store.entries?.() ?? []
  const odd = [null, undefined, 1, 'text', {}, { ...listed, key: undefined, since: 0 }, listed] as Entry[]
  const foreign = open({ ...memoryStore(), entries: () => odd }).shelf
  foreign.purge(['tag:a'], false)
  t.strictSame(foreign.entries()?.map(({ entry }) => entry), [listed], 'what is no entry is not')
  const said = new GuardedStore(slow(memoryStore()), TIMEOUT, new TestClock(), { failed () {}, rejected () {}, answered () {} })
  t.equal(said.entries(), undefined)
  t.end()
})

t.test('what is counted keeps up with a time of day that leaps ahead, and never goes back with it', t => {
  let wall = 0
  const clock = Object.assign(new TestClock(), { wall: () => wall })
  const shelf = new GuardedStore(memoryStore({ clock }), TIMEOUT, clock, { failed () {}, rejected () {}, answered () {} })
  const start = wall = shelf.now()
  shelf.keep(entryOf(shelf), KEEP)
  wall += 999
  t.equal(shelf.now(), start, 'a little is nothing')
  wall = start + 3_600_000
  t.equal(shelf.now(), wall)
  t.match(shelf.lookUp(KEY), { resident: 3_600_000 })
  wall = start
  clock.advance(5)
  t.equal(shelf.now(), start + 3_600_005)
  t.end()
})

/** Two shelves of one store; what the other one's process counts is ahead by so many milliseconds. */
function shared (ahead: number): { readonly own: Opened, readonly other: Opened } {
  const entries = new Map<string, Entry>()
  const store = (): Store => ({
    get: key => entries.get(key), set: entry => { entries.set(entry.key, entry) }, delete: key => { entries.delete(key) }
  })
  const both = { own: open(store()), other: open(store()) }
  both.other.clock.advance(ahead)
  return both
}

for (const ahead of [0, 30_000, 59_000]) {
  t.test(`a purge holds for what a process kept before it whose clock is ${ahead} ms ahead, now and later`, t => {
    for (const softly of [false, true]) {
      const { own, other } = shared(ahead)
      other.shelf.keep(entryOf(other.shelf, { labels: ['tag'] }), KEEP)
      own.clock.advance(100)
      t.match(own.shelf.lookUp(KEY), { outdated: false })
      own.shelf.purge(['tag'], softly)
      const isOver = (): boolean => {
        const found = own.shelf.lookUp(KEY) as Found | undefined
        return softly ? found?.outdated === true : found === undefined
      }
      t.equal(isOver(), true)
      for (const later of [1000, 28_800, 200, 29_500, 200_000]) {
        own.clock.advance(later)
        t.equal(isOver(), true, `${later}`)
      }
    }
    t.end()
  })
}

t.test('after a purge what this process keeps itself is served at once, and what others keep after a minute', t => {
  const { own, other } = shared(0)
  const both = (milliseconds: number): void => { for (const { clock } of [own, other]) clock.advance(milliseconds) }
  own.shelf.purge(['tag'], false)
  both(1)
  other.shelf.keep(entryOf(other.shelf, { labels: ['tag'], value: 'other' }), KEEP)
  t.equal(own.shelf.lookUp(KEY), undefined, 'it may be older than it says')
  t.equal(own.shelf.keep(entryOf(own.shelf, { labels: ['tag'], value: 'own' }), KEEP), true)
  t.equal(valueOf(own.shelf.lookUp(KEY) as Found), 'own')
  own.shelf.purge(['tag'], false)
  t.equal(own.shelf.lookUp(KEY), undefined, 'it was purged itself')
  both(60_001)
  other.shelf.keep(entryOf(other.shelf, { labels: ['tag'], value: 'other' }), KEEP)
  t.equal(valueOf(own.shelf.lookUp(KEY) as Found), 'other')
  t.end()
})

t.test('what says that it began later than now keeps nothing newer from being kept', t => {
  const { own, other } = shared(30_000)
  other.shelf.keep(entryOf(other.shelf, { value: 'other' }), KEEP)
  t.equal(own.shelf.keep(entryOf(own.shelf, { value: 'own' }), KEEP), true)
  t.equal(valueOf(own.shelf.lookUp(KEY) as Found), 'own')
  t.end()
})

interface SharedDouble extends Store {
  user: StoreUser | undefined
  readonly entries: undefined
  /** What is found for any key. */
  answer: (() => Partial<Entry>) | undefined
  readonly told: string[]
  fails: boolean
}

/** A store that other processes use as well. */
function sharedStore (): SharedDouble {
  const fail = (): never => { throw new Error('not this one') }
  const double: SharedDouble = {
    user: undefined,
    answer: undefined,
    told: [],
    fails: false,
    get: fail,
    set: fail,
    delete: fail,
    entries: undefined,
    open (user) {
      double.user = user
      const note = (what: string) => async (): Promise<void> => {
        double.told.push(what)
        if (double.fails) throw new Error(what)
      }
      return {
        get: async key => {
          const since = user.stamp()
          return double.answer === undefined ? undefined : entryWith(key, 'value', { since, storedAt: since, labels: ['tag'], ...double.answer() })
        },
        set: note('set'),
        delete: note('delete'),
        purge: async (labels, soft) => await note(`purge ${labels.join()} ${soft}`)(),
        ready: note('ready'),
        close: note('close')
      }
    }
  }
  return double
}

t.test('a store that others use is opened, told of purges, and asked whether it is ready', async t => {
  const store = sharedStore()
  const said: string[] = []
  const shelf = new GuardedStore(store, TIMEOUT, new TestClock(), {
    failed: (operation, reason) => { said.push(`${operation} ${reason}`) }, rejected () {}, answered () {}
  })
  t.equal(shelf.isShared, true)
  await shelf.ready()
  shelf.purge(['tag', 'other'], true)
  shelf.drop(KEY)
  shelf.keep(entryOf(shelf), KEEP)
  await shelf.close()
  t.strictSame(store.told, ['ready', 'purge tag,other true', `purge ${KEY} false`, 'delete', 'set', 'close'])
  store.fails = true
  shelf.purge(['tag'], false)
  await until(() => said.length > 0)
  t.strictSame(said, ['purge error'])

  const own = open()
  t.equal(own.shelf.isShared, false)
  await own.shelf.ready()
  await own.shelf.close()
})

t.test('what another process purges holds here, is told on, and is not told to the store again', async t => {
  const store = sharedStore()
  const told: unknown[] = []
  const shelf = new GuardedStore(store, TIMEOUT, new TestClock(), { failed () {}, rejected () {}, answered () {} }, labels => { told.push(labels) })
  const inTheAir = entryOf(shelf, { labels: ['tag'] })
  store.user?.purged(['tag'], false)
  t.equal(shelf.keep(inTheAir, KEEP), false)
  store.user?.missedPurges()
  t.strictSame(told, [['tag'], undefined])
  t.strictSame(store.told, [])
  t.equal(store.user?.log.warn({}, 'nowhere to go'), undefined)
})

t.test('a store that others use knows itself which purges its entries are behind: after one, what others store is served at once', async t => {
  const store = sharedStore()
  const shelf = new GuardedStore(store, TIMEOUT, new TestClock(), { failed () {}, rejected () {}, answered () {} })
  store.answer = () => ({})
  const asked = shelf.lookUp(KEY)
  shelf.purge(['tag'], false)
  t.equal(await asked, undefined, 'it was asked before the purge')
  t.match(await shelf.lookUp(KEY), { outdated: false, entry: { value: 'value' } })
  store.answer = () => ({ outdated: true })
  t.match(await shelf.lookUp(KEY), { outdated: true })
})

t.test('where purges may have been missed, what is stored is a miss, but for a store that knows of them itself', async t => {
  const { shelf, clock } = open()
  shelf.keep(entryOf(shelf), KEEP)
  const inTheAir = entryOf(shelf)
  shelf.missedPurges()
  t.equal(shelf.lookUp(KEY), undefined)
  t.equal(shelf.keep(inTheAir, KEEP), false)
  clock.advance(1)
  t.equal(shelf.keep(entryOf(shelf), KEEP), true)
  t.equal(valueOf(shelf.lookUp(KEY) as Found), 'value')

  const store = sharedStore()
  const other = new GuardedStore(store, TIMEOUT, new TestClock(), { failed () {}, rejected () {}, answered () {} })
  other.keep(entryOf(other), KEEP)
  t.equal(valueOf(await other.lookUp(KEY)), 'value')
  const alsoInTheAir = entryOf(other)
  other.missedPurges()
  t.equal(await other.lookUp(KEY), undefined, 'it asks the store')
  t.equal(other.keep(alsoInTheAir, KEEP), true)
})

t.test('a store that is opened may be used by somebody who is not told of purges', async t => {
  let user: StoreUser | undefined
  const store = memoryStore()
  const shelf = new GuardedStore({
    ...store,
    get: store.get,
    set: store.set,
    delete: store.delete,
    open (given) {
      user = given
      return { get: store.get, set: store.set, delete: store.delete, purge () {}, async ready () {}, async close () {} }
    }
  }, TIMEOUT, new TestClock(), { failed () {}, rejected () {}, answered () {} })
  user?.purged(['tag:a'], false)
  user?.missedPurges()
  shelf.drop('k')
  t.equal(shelf.lookUp('k'), undefined)
})
