import t from 'tap'
import { deduplicate } from '../../lib/index.js'
import { held } from '../fixtures/crowd.js'
import { serve } from '../fixtures/server.js'
import type { Entry, Store, StoreUser } from '../../types/index.js'

interface SharedStore extends Store {
  readonly users: StoreUser[]
  readonly told: string[]
}

/** A store that other processes use as well, as far as the engine can tell. */
function sharedStore (fails?: Error): SharedStore {
  const entries = new Map<string, Entry>()
  const users: StoreUser[] = []
  const told: string[] = []
  const methods = {
    get: (key: string) => entries.get(key),
    set: (entry: Entry) => { entries.set(entry.key, entry) },
    delete: (key: string) => { entries.delete(key) }
  }
  return {
    ...methods,
    users,
    told,
    open (user) {
      users.push(user)
      return {
        ...methods,
        purge (labels, soft) { told.push(`purge ${labels.join()} ${soft}`) },
        async ready () {
          told.push('ready')
          if (fails !== undefined) throw fails
        },
        async close () { told.push('close') }
      }
    }
  }
}

const CACHED = { config: { coalesce: { ttl: '1m' } } }

t.test('an app waits at its start for a store that others use, and closes it at its end', async t => {
  const store = sharedStore()
  const { app } = await serve(t, app => { app.get('/', CACHED, async () => 'x') }, { store })
  t.strictSame(store.told, ['ready'])
  await app.close()
  t.strictSame(store.told, ['ready', 'close'])
  await t.rejects(serve(t, app => { app.get('/', CACHED, async () => 'x') }, { store: sharedStore(new Error('no such server')) }), { message: 'no such server' })
})

t.test('a store of a function is opened and closed with its app', async t => {
  const store = sharedStore()
  const { app } = await serve(t, app => {
    app.coalesce.deduplicate(async (id: string) => id, { key: id => id, ttl: '1m', name: 'f', store })
  })
  await app.close()
  t.strictSame(store.told, ['ready', 'close'])
})

t.test('purges and writes are told to a store that others use, by an app that caches nothing itself as well', async t => {
  const store = sharedStore()
  const { app, get } = await serve(t, app => {
    app.get('/thing', { config: { coalesce: true } }, async () => 'x')
    app.post('/thing', async () => 'written')
  }, { store })
  app.coalesce.invalidate({ tags: ['a'], soft: true })
  await app.inject({ method: 'POST', url: '/thing' })
  await get('/thing')
  t.strictSame(store.told, ['ready', 'purge tag:a true', 'purge path:/thing false'])
})

for (const [what, labels, joins] of [
  ['a tag', ['tag:a'], false], ['its path', ['path:/thing'], false], ['another path', ['path:/other'], true], ['a path and a tag', ['path:/other', 'tag:a'], false],
  ['one other entry', ['["GET"]'], true],
  ['something that was missed', undefined, false]
] as const) {
  t.test(`who asks after another process has purged ${what} ${joins ? 'joins' : 'does not join'} the run that began before`, async t => {
    const store = sharedStore()
    const handler = held()
    const server = await serve(t, app => { app.get('/thing', CACHED, handler) }, { store })
    const first = server.get('/thing')
    await server.arrived(1)
    for (const user of store.users) {
      if (labels === undefined) user.missedPurges()
      else user.purged(labels, false)
    }
    const second = server.get('/thing')
    await server.arrived(2)
    t.equal(handler.runs, joins ? 1 : 2)
    handler.gate.open()
    await Promise.all([first, second])
  })
}

for (const [what, labels, joins] of [['a tag', ['tag:a'], false], ['one other result', ['"g":"":"b"'], true], ['something', undefined, false]] as const) {
  t.test(`who calls after another process has purged ${what} from a function's store ${joins ? 'joins' : 'does not join'} the run that began before`, async t => {
    for (const own of [false, true]) {
      const store = sharedStore()
      const release: Array<() => void> = []
      let runs = 0
      const fn = async (id: string): Promise<string> => {
        runs++
        await new Promise<void>(resolve => { release.push(resolve) })
        return id
      }
      const options = { key: (id: string) => id, ttl: '1m', name: 'f', store }
      const { app } = await serve(t, () => {})
      const f = own ? deduplicate(fn, options) : app.coalesce.deduplicate(fn, options)
      const calls = [f('a')]
      for (const user of store.users) {
        if (labels === undefined) user.missedPurges()
        else user.purged(labels, false)
      }
      calls.push(f('a'))
      t.equal(runs, joins ? 1 : 2)
      for (const each of release) each()
      await Promise.all(calls)
    }
  })
}
