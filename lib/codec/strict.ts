/**
 * What strict readers of values from elsewhere are made of.
 *
 * Invariant: none of it runs code of the value, such as getters. What does not fit is thrown out of, and `attempt` catches all there is.
 */

/** Thrown and caught here only. */
const UNFIT = new TypeError('not what was asked for')

/** What a reading comes to; undefined if it throws. */
export function attempt<T> (reading: () => T): T | undefined {
  try {
    return reading()
  } catch {
    return undefined
  }
}

export function unfit (): never {
  throw UNFIT
}

export function wanted<T> (is: (value: unknown) => value is T, value: unknown): T {
  return is(value) ? value : unfit()
}

/** The value of an own property; undefined if the property is a getter. */
export function member (value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return unfit()
  return Object.getOwnPropertyDescriptor(value, name)?.value
}

/** A frozen list of what the members of an array are read as. */
export function listOf<T> (value: unknown, read: (each: unknown) => T): readonly T[] {
  if (!Array.isArray(value)) return unfit()
  return Object.freeze(Array.from({ length: value.length }, (_, index) => read(member(value, String(index)))))
}

export function isText (value: unknown): value is string {
  return typeof value === 'string'
}

export function isTextOrNull (value: unknown): value is string | null {
  return value === null || typeof value === 'string'
}

export function isSwitch (value: unknown): value is boolean {
  return typeof value === 'boolean'
}

export function isFiniteNumber (value: unknown): value is number {
  return Number.isFinite(value)
}

/** A number that is not negative, and finite. */
export function isAmount (value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value < Infinity
}

/** A time that a Date can hold, in milliseconds since 1970. */
export function isMoment (value: unknown): value is number {
  return isAmount(value) && value <= 8.64e15
}
