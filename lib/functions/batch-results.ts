/**
 * What a batched function answers, as a result for each key.
 *
 * Invariant: pure. A key has its own result or none of all: an array of another length gives nobody anything.
 */
import { types } from 'node:util'
import { BatchResultError } from '../errors.js'

/**
 * The results of keys, in their order. An error among them is that of its key.
 *
 * @param name the function's
 * @throws FST_COALESCE_BATCH_RESULT
 */
export function resultsOf (name: string, keys: readonly unknown[], answer: unknown): readonly unknown[] {
  if (types.isMap(answer)) return keys.map(key => answer.get(key))
  if (!Array.isArray(answer)) throw new BatchResultError(`${name} must answer an array or a Map, and answered ${described(answer)}`)
  if (answer.length === keys.length) return answer
  throw new BatchResultError(`${name} must answer one result a key, and answered ${answer.length} for ${keys.length} keys; ` +
    'give undefined, an Error or null for what there is none of, or answer a Map')
}

function described (answer: unknown): string {
  if (answer === undefined || answer === null) return String(answer)
  return typeof answer === 'object' ? 'an object' : `a ${typeof answer}`
}

/** Whether a result is an error, of whichever realm. */
export function isError (result: unknown): result is Error {
  return result instanceof Error || types.isNativeError(result)
}
