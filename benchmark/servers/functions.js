// @ts-check
/** The ways to call a function once for many callers that are compared. */
import { deduplicate } from 'fastify-coalesce'
import { peerFunction } from '../peers/functions.js'

/** @typedef {'nothing' | 'promise map' | 'deduplicate' | import('../peers/functions.js').Name} Name */

/** @typedef {(id: string) => Promise<unknown>} Work */

/**
 * @param {Work} work
 * @param {boolean} keeps
 * @returns {Work}
 */
function mapped (work, keeps) {
  /** @type {Map<string, Promise<unknown>>} */
  const promises = new Map()
  return id => {
    let promise = promises.get(id)
    if (promise === undefined) {
      promise = keeps ? work(id) : work(id).finally(() => { promises.delete(id) })
      promises.set(id, promise)
    }
    return promise
  }
}

/**
 * @param {Name} name
 * @param {Work} work
 * @param {boolean} [keeps] its results are cached for an hour
 * @returns {Promise<Work>}
 */
export async function wrapped (name, work, keeps = false) {
  switch (name) {
    case 'nothing': return work
    case 'promise map': return mapped(work, keeps)
    case 'deduplicate': return deduplicate(work, { key: id => id, ...(keeps ? { ttl: '1h' } : {}) })
    default: return await peerFunction(name, work, keeps)
  }
}
