/**
 * Texts for values that nothing can be compared with, as parts of keys and variants.
 *
 * Invariant: no two are the same, in whichever processes they were made: keys and variants travel, and are stored.
 */
import { randomUUID } from 'node:crypto'

const PROCESS = randomUUID()

let values = 0

export function incomparable (): string {
  return `(${PROCESS}/${++values})`
}
