// @ts-check
/** Calls a function in a process of its own: `node caller.js <what it is called through>`. It answers each message with the time of a call. */
import { record } from '../work.js'
import { settleNextTick } from './announce.js'
import { wrapped } from './functions.js'

/**
 * `unique`: nobody else calls with its key. `join`: one of a hundred calls with the same key at the same time. `hit`: its result is cached.
 *
 * @typedef {'unique' | 'join' | 'hit'} Kind
 */

const JOINING = 100

await settleNextTick()
const name = /** @type {import('./functions.js').Name} */ (process.argv[2])
/** @param {string} id */
const work = async id => ({ id, record })
const once = await wrapped(name, work)
const kept = await wrapped(name, work, true)
let serial = 0

/** @type {Record<Kind, (calls: number) => Promise<void>>} */
const kinds = {
  async unique (calls) {
    for (let call = 0; call < calls; call++) await once(`key ${++serial}`)
  },
  async join (calls) {
    for (let call = 0; call < calls; call += JOINING) {
      const key = `key ${++serial}`
      await Promise.all(Array.from({ length: JOINING }, () => once(key)))
    }
  },
  async hit (calls) {
    for (let call = 0; call < calls; call++) await kept('hot')
  }
}

process.on('disconnect', () => process.exit())
process.on('message', async message => {
  const { kind, calls } = /** @type {{ kind: Kind, calls: number }} */ (message)
  const start = performance.now()
  await kinds[kind](calls)
  process.send?.({ microseconds: (performance.now() - start) * 1000 / calls })
})
process.send?.({})
