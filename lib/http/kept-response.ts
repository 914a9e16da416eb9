/**
 * A cached response, and strict readers of values from stores that other programs can write to.
 *
 * Invariant: the readers never throw, and run no code of the value, such as getters. Their result is a new object, deeply frozen except
 * for the bytes of a body.
 */
import { attempt, isAmount, isMoment, member, unfit, wanted } from '../codec/strict.js'
import { namesFrom, responseFrom, type ResponseParts } from './response-reader.js'

export interface KeptResponse extends ResponseParts {
  /** The age of the response when it came, in milliseconds. */
  readonly age: number
  /** When the response was made, in milliseconds since 1970. */
  readonly date: number
}

/** The value that is cached under a key with variants: the names of the request headers that the variants depend on. */
export interface VaryMarker {
  readonly vary: readonly string[]
}

export function readKeptResponse (value: unknown): KeptResponse | undefined {
  return attempt(() => {
    const parts = responseFrom(value)
    const age = wanted(isAmount, member(value, 'age'))
    const date = wanted(isMoment, member(value, 'date'))
    return Object.freeze({ ...parts, age, date })
  })
}

export function readVaryMarker (value: unknown): VaryMarker | undefined {
  return attempt(() => {
    const vary = namesFrom(member(value, 'vary'))
    return vary.length === 0 ? unfit() : Object.freeze({ vary })
  })
}
