// @ts-check
/** Packages of others that do what `deduplicate` does. They are no dependencies: `npm ci --prefix benchmark/peers` installs them. */

/** @typedef {'async-cache-dedupe' | 'bentocache' | 'ocache'} Name */

/**
 * @param {Name} name
 * @param {import('../servers/functions.js').Work} work
 * @param {boolean} keeps its results are cached for an hour, else not at all, or as short as the package can
 * @returns {Promise<import('../servers/functions.js').Work>}
 */
export async function peerFunction (name, work, keeps) {
  // They may be missing, so TypeScript is not to look for them.
  const peer = await import(name)
  switch (name) {
    case 'async-cache-dedupe': {
      const cache = peer.createCache({ ttl: keeps ? 3600 : 0, storage: { type: 'memory' } }).define('work', work)
      return id => cache.work(id)
    }
    case 'bentocache': {
      const { memoryDriver } = await import(`${name}/drivers/memory`)
      const store = peer.bentostore().useL1Layer(memoryDriver({ maxItems: 20_000 }))
      const bento = new peer.BentoCache({ default: 'memory', stores: { memory: store } })
      // Those that wait look in the cache when the run has ended, and run again if they find nothing.
      return id => bento.getOrSet({ key: id, ttl: keeps ? '1h' : '10ms', factory: async () => await work(id) })
    }
    case 'ocache':
      return peer.defineCachedFunction(work, { maxAge: keeps ? 3600 : 0, swr: false, name: 'work', getKey: (/** @type {string} */ id) => id })
  }
}
