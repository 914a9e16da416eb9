/**
 * What is counted of a store in Redis: numbers only, of fixed size. What they mean is said where they are given (`types/store.ts`).
 */
import type { StoreFigures } from '../../../types/index.js'

type Counts = { -readonly [Name in Exclude<keyof StoreFigures, 'link'>]: number }

export class StoreCounts implements Counts {
  frontHits = 0
  hits = 0
  misses = 0
  skipped = 0
  errors = 0
  rejected = 0
  stored = 0
  fenced = 0
  outrun = 0
  unstorable = 0
  bytesRead = 0
  bytesWritten = 0
}
