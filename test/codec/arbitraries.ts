import fc from 'fast-check'

export const anyText = fc.oneof(
  fc.string({ unit: 'binary' }), fc.array(fc.nat(0xffff)).map(units => String.fromCharCode(...units)),
  fc.constantFrom("'", '#', '#AAAA', "'#", '$1', '__proto__', 'toJSON'))

const bytes = fc.uint8Array({ maxLength: 40 }).map(each => Buffer.from(each))

/** Any value that JSON has, with bytes anywhere in it. */
export const { value: anyPlainValue } = fc.letrec(tie => ({
  value: fc.oneof(
    { depthSize: 'small' }, fc.constant(null), fc.boolean(), fc.double({ noNaN: true, noDefaultInfinity: true }).filter(each => !Object.is(each, -0)),
    fc.integer(), anyText, bytes, fc.array(tie('value'), { maxLength: 4 }), fc.dictionary(anyText, tie('value'), { maxKeys: 4, noNullPrototype: true }))
}))

/** Values that JSON would change, or not have at all. */
export function refusedValues (): unknown[] {
  const hole = [1, 2, 3]
  delete hole[1]
  const named = Object.assign([1], { name: 'x' })
  const symbol = { [Symbol('s')]: 1 }
  const hidden = Object.defineProperty({}, 'a', { value: 1, enumerable: false })
  const getter = { get a () { return 1 } }
  const circle: unknown[] = []
  circle.push(circle, circle)
  class Word { text = 'x' }
  return [
    undefined, NaN, Infinity, -Infinity, -0, 5n, Symbol('s'), () => {}, new Date(0), new Map(), new Set(), /x/, new Error('x'), new Word(), Object.create(null), Object.create({ a: 1 }),
    new Uint8Array(1), new ArrayBuffer(1), new DataView(new ArrayBuffer(1)), Object('x'), Object(1), Object.create(Buffer.prototype), Object.create(Array.prototype, { length: { value: 0 } }), Promise.resolve(), hole, named, symbol, hidden, getter, circle,
    { toJSON: () => 1 }, new (class extends Array {})(), new Proxy({}, { ownKeys: () => { throw new Error('trap') } })
  ]
}
