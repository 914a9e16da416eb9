/**
 * "Kept before its flight is gone: there is no moment at which neither is there."
 */
import t from 'tap'
import type { Store } from '../../types/index.js'
import { KeptConnection } from '../fixtures/kept-connection.js'
import { keeping, mapStore } from '../fixtures/kept.js'

const REQUESTS = 300
const CLIENTS = 6

/** A store that takes its time for everything. */
function lazy (): Store {
  const inner = mapStore()
  const later = async <T>(action: () => T): Promise<T> => {
    await new Promise(resolve => setTimeout(resolve, 2))
    return action()
  }
  return {
    get: async key => await later(() => inner.get(key)),
    set: async (entry, keepFor) => { await later(() => inner.set(entry, keepFor)) },
    delete: async key => { await later(() => inner.delete(key)) }
  }
}

for (const [name, store] of [['memory', undefined], ['a store that takes its time', lazy]] as const) {
  t.test(`${name}: ${REQUESTS} requests, back to back, from ${CLIENTS} clients around the landing cost one run`, async t => {
    for (let round = 0; round < 3; round++) {
      const server = await keeping(t, {
        options: { ...store && { store: store() } },
        handler: async run => {
          await new Promise(resolve => setTimeout(resolve, 5))
          return { run }
        }
      })
      let sent = 0
      const answers: string[] = []
      await Promise.all(Array.from({ length: CLIENTS }, async () => {
        const connection = new KeptConnection(server.port)
        while (sent++ < REQUESTS) answers.push(await connection.request('GET', '/thing/1', {}))
        connection.close()
      }))
      t.equal(answers.length, REQUESTS)
      t.equal(answers.filter(answer => answer.endsWith('{"run":1}')).length, REQUESTS)
      t.equal(server.runs(), 1)
      await server.close()
    }
  })
}
