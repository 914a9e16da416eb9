/**
 * Options of `fastify.coalesce.explain` in; settings out.
 *
 * Invariant: as for all options: a wrong one throws with its name.
 */
import type { ExplainOptions } from '../../types/index.js'
import { boolean, fail, isObject, read } from './parsers.js'

export function readExplain (options: ExplainOptions): Required<ExplainOptions> {
  if (!isObject(options)) return fail('explain options', 'an object', options)
  return read<Required<ExplainOptions>>({ values: boolean }, options, { values: false }, 'explain options')
}
