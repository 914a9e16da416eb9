/**
 * Estimates how many bytes a value takes.
 *
 * Invariant: never throws, runs no code of the value's, and measures a bounded number of its parts. The rest is taken to be like those.
 */

/** The most parts that are looked at. */
const MOST_PARTS = 10_000
/** So many members of an object stand for all of them. */
const SAMPLE = 100
/** The bytes of an object and of a member, without their contents. */
const OBJECT = 56
const MEMBER = 16

export function sizeOf (value: unknown): number {
  try {
    return measure(value, new Set())
  } catch {
    return OBJECT
  }
}

function measure (value: unknown, seen: Set<object>): number {
  if (typeof value === 'string') return 2 * value.length + MEMBER
  if (typeof value !== 'object' || value === null) return MEMBER
  if (seen.has(value) || seen.size >= MOST_PARTS) return MEMBER
  seen.add(value)
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return OBJECT + value.byteLength
  if (value instanceof Map || value instanceof Set) {
    const names = value instanceof Map ? [...first(value.keys())] : []
    return OBJECT + sampled([...first(value.values())], value.size, seen) + sampled(names, value.size, seen)
  }
  if (Array.isArray(value)) {
    // To name all members of a long list takes longer than to measure some.
    const looked = Math.min(value.length, SAMPLE)
    const own = Array.from({ length: looked }, (_, index) => String(index)).filter(name => Object.hasOwn(value, name))
    return OBJECT + sampled(membersOf(value, own), own.length / looked * value.length, seen)
  }
  const names = Object.keys(value)
  const some = names.slice(0, SAMPLE)
  return OBJECT + sampled(membersOf(value, some), names.length, seen) + sampled(some, names.length, seen)
}

function membersOf (value: object, names: readonly string[]): unknown[] {
  return names.map(name => Object.getOwnPropertyDescriptor(value, name)?.value as unknown)
}

function * first<T> (members: Iterator<T>): Generator<T> {
  for (let count = 0, next = members.next(); count < SAMPLE && next.done !== true; count++, next = members.next()) yield next.value
}

function sampled (members: readonly unknown[], count: number, seen: Set<object>): number {
  if (members.length === 0) return 0
  return members.reduce<number>((sum, member) => sum + measure(member, seen), 0) / members.length * count
}
