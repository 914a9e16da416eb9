/**
 * The store that stores nothing.
 */
import type { MemoryStore } from './memory.js'

const NOTHING = Object.freeze([])
const EMPTY = Object.freeze({ entries: 0, bytes: 0, evictions: 0 })

export const nullStore: MemoryStore = Object.freeze({
  get: () => undefined,
  set: () => {},
  delete: () => {},
  size: EMPTY,
  entries: () => NOTHING
})
