/**
 * What comparing is told of a request and its response.
 *
 * Invariant: what takes time to find out is found out only when it is asked for, so that it is part of what comparing may cost.
 */
import type { FastifyReply } from 'fastify'
import type { Sighting } from '../../observe/sighting.js'
import { marksOf } from '../replies/one-reply.js'
import { clientOf, outsideOf, partsOf, type Compared } from './inputs.js'
import type { Taken } from './taken.js'

/** A request that has been answered. */
export interface Answered extends Compared {
  readonly reply: FastifyReply
}

/** @param names what is known to tell variants of its key apart */
export function sightingOf (
  compared: Answered, taken: Taken, names: readonly string[], { at, key }: Pick<Sighting, 'at' | 'key'>
): Sighting {
  return {
    ...taken,
    at,
    key,
    parts: () => partsOf(compared, names),
    outside: () => outsideOf(compared, names),
    get client () { return clientOf(compared) },
    get own () { return marksOf(compared.reply) }
  }
}
