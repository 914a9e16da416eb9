/**
 * Which values travel as they are, and how they look in JSON: what JSON has, and Buffers anywhere in it.
 *
 * Invariant: a value that JSON would change is refused, by throwing. What is read back is made of plain objects, arrays, primitive values
 * and Buffers only, so that none of it has code. Both directions are linear, and bounded in depth and in room.
 */

/** How what is no JSON, or too long for it, travels. */
export interface Carriage {
  /** A text that stands for the bytes. */
  bytes (bytes: Buffer): string
  /** A text that stands for a text which is carried elsewhere; undefined if it stays where it is. */
  text (text: string): string | undefined
}

/** Finds what was carried. Both throw what is caught by who reads. */
export interface Delivery {
  bytes (mark: string): Buffer
  text (mark: string): string
}

const MAX_DEPTH = 100
/** The most room of a value: its characters and bytes, and `PART` for each of its parts. Bounds the walk as well. */
const MAX_ROOM = 2 ** 26
const PART = 64
/** Put before a text, and before what stands for bytes or a text, so that none is taken for another. */
const TEXT = "'"
const BYTES = '#'
const CARRIED = '$'

/** Whoever calls the functions of this module catches it. */
export const REFUSED = new TypeError('not as JSON has it')

interface Room {
  left: number
}

/** A value as JSON has it. */
export function marked (value: unknown, carriage: Carriage): unknown {
  return markedPart(value, carriage, 0, { left: MAX_ROOM })
}

/** The value that was marked. */
export function unmarked (value: unknown, delivery: Delivery): unknown {
  return unmarkedPart(value, delivery, 0, { left: MAX_ROOM })
}

function markedPart (value: unknown, carriage: Carriage, depth: number, room: Room): unknown {
  take(room, PART)
  if (value === null || typeof value === 'boolean') return value
  if (isPlainNumber(value)) return value
  if (typeof value === 'string') {
    take(room, value.length)
    const mark = carriage.text(value)
    return mark === undefined ? TEXT + value : CARRIED + mark
  }
  if (typeof value !== 'object' || depth === MAX_DEPTH) throw REFUSED
  const kind: unknown = Object.getPrototypeOf(value)
  if (kind === Buffer.prototype) {
    take(room, (value as Buffer).length)
    return BYTES + carriage.bytes(value as Buffer)
  }
  if (kind === Array.prototype && Array.isArray(value)) {
    // Own names are the members and `length`. Fewer: there are holes. More: it has other properties.
    if (Reflect.ownKeys(value).length !== value.length + 1) throw REFUSED
    return Array.from({ length: value.length }, (_, index) => markedPart(member(value, String(index)), carriage, depth + 1, room))
  }
  if (kind !== Object.prototype) throw REFUSED
  return Object.fromEntries(Reflect.ownKeys(value).map(name => {
    take(room, name.toString().length)
    return [name, markedPart(member(value, name), carriage, depth + 1, room)]
  }))
}

/** An enumerable own property; undefined, which JSON refuses, if a getter makes it. */
function member (value: object, name: string | symbol): unknown {
  const property = Object.getOwnPropertyDescriptor(value, name)
  if (typeof name === 'symbol' || property?.enumerable !== true) throw REFUSED
  return property.value
}

function isPlainNumber (value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && !Object.is(value, -0)
}

function take (room: Room, amount: number): void {
  room.left -= amount
  if (room.left < 0) throw REFUSED
}

function unmarkedPart (value: unknown, delivery: Delivery, depth: number, room: Room): unknown {
  take(room, PART)
  if (typeof value === 'string') {
    const found = delivered(value, delivery)
    take(room, found.length)
    return found
  }
  if (value === null || typeof value === 'boolean' || isPlainNumber(value)) return value
  if (typeof value !== 'object' || depth === MAX_DEPTH) throw REFUSED
  if (Array.isArray(value)) return value.map(each => unmarkedPart(each, delivery, depth + 1, room))
  return Object.fromEntries(Object.entries(value).map(([name, each]) => {
    take(room, name.length)
    return [name, unmarkedPart(each, delivery, depth + 1, room)]
  }))
}

function delivered (text: string, delivery: Delivery): string | Buffer {
  const rest = text.slice(1)
  switch (text[0]) {
    case TEXT: return rest
    case BYTES: return delivery.bytes(rest)
    case CARRIED: return delivery.text(rest)
    default: throw REFUSED
  }
}
