import { isDeepStrictEqual } from 'node:util'
import { deserialize, serialize } from 'node:v8'
import fc from 'fast-check'
import t from 'tap'
import { encodeValue } from '../../lib/codec/value.js'
import type { LandingCodec, PeerResult } from '../../lib/engine/coordinators/codec.js'
import { resultCodec } from '../../lib/functions/result-codec.js'
import type { CallResult } from '../../lib/functions/results.js'
import { NO_VARIANT } from '../../lib/variant.js'
import type { ResultCodec } from '../../types/index.js'
import { anyPlainValue, anyText, refusedValues } from '../codec/arbitraries.js'

interface Line { readonly err?: Error, readonly coalesce: object, readonly message: string }

interface Sender {
  readonly codec: LandingCodec<CallResult>
  readonly warnings: readonly Line[]
}

function sender (codec?: Partial<ResultCodec<any, any>>): Sender {
  const warnings: Line[] = []
  const log = { debug () {}, error () {}, warn (fields: Omit<Line, 'message'>, message: string) { warnings.push({ ...fields, message }) } }
  return { codec: resultCodec(codec as ResultCodec<never> | undefined, 'look up', log as never), warnings }
}

const came = (recording: CallResult): PeerResult<CallResult> =>
  ({ type: 'error' in recording ? 'failed' : 'shared', recording, leaderId: 'call-1', names: [] })
const again = ({ codec }: Sender, recording: CallResult, other = codec): CallResult => {
  const decoded = other.decode(codec.encode(came(recording)) as Uint8Array) as PeerResult<CallResult> & { recording: CallResult }
  return decoded.recording
}
const errorOf = (error: unknown): Error & Record<string, unknown> => (again(sender(), { error }) as { error: Error & Record<string, unknown> }).error
const message = (value: unknown): Uint8Array => Buffer.concat(encodeValue(value) as Uint8Array[])
/** What a program of somebody else's may send. */
const foreign = (recording: unknown, type = 'shared'): Uint8Array => message({ version: 1, kind: 'call', type, leaderId: 'call-1', names: [], recording })

t.test('results travel as JSON, with Buffers as they are, and nothing as nothing', async t => {
  const { codec, warnings } = sender()
  for (const value of [undefined, null, 0, 'text', { list: [1, { a: true }], bytes: Buffer.from('bytes') }, Buffer.alloc(0)]) {
    const result = came({ value })
    t.strictSame(codec.decode(codec.encode(result) as Uint8Array), result)
  }
  fc.assert(fc.property(anyPlainValue, anyText, (value, leaderId) => {
    const result = { ...came({ value }), leaderId }
    return isDeepStrictEqual(codec.decode(codec.encode(result) as Uint8Array), result)
  }), { numRuns: 3000 })
  t.strictSame(warnings, [])
})

t.test('what else a run came to travels as well', async t => {
  const { codec } = sender()
  for (const result of [
    { type: 'unshareable', reason: 'too-large', variant: NO_VARIANT, leaderId: 'call-1', remember: false }, { type: 'varies', names: [] }, { type: 'stays' }
  ] as Array<PeerResult<CallResult>>) t.strictSame(codec.decode(codec.encode(result) as Uint8Array), result)
})

t.test('a result that JSON would change does not travel, which is told once', async t => {
  const { codec, warnings } = sender()
  for (const value of refusedValues().filter(value => value !== undefined)) t.equal(codec.encode(came({ value })), undefined)
  for (const value of [{ a: undefined }, [new Date()], new Map([[1, 2]])]) t.equal(codec.encode(came({ value })), undefined)
  t.strictSame(warnings.map(({ coalesce }) => coalesce), [{ event: 'does-not-travel', route: 'look up' }])
  t.match(warnings[0]?.message, /look up .* give it the option codec/)
  t.match(warnings[0]?.err, { message: 'JSON would change it, or it is too large' })
})

t.test("a result travels by the function's own codec, as text or as bytes", async t => {
  const value = { since: new Date(5), words: new Map([['a', new Float64Array([0.5])]]) }
  t.strictSame(again(sender({ encode: serialize, decode: deserialize }), { value }), { value })
  t.strictSame(again(sender({ encode: (date: Date) => date.toISOString(), decode: (text: string) => new Date(text) }), { value: new Date(5) }), { value: new Date(5) })
  const given: unknown[] = []
  const bytes = sender({ encode: () => new Uint8Array(Buffer.from('-bytes-')).subarray(1, 6), decode: (encoded: unknown) => { given.push(encoded) } })
  t.strictSame(again(bytes, { value: 5 }), { value: undefined })
  t.strictSame(given, [Buffer.from('bytes')])
  t.strictSame(bytes.warnings, [])
})

t.test('a codec that throws, or answers what is no result, costs no more than a run, and is told of once', async t => {
  const oops = (): never => { throw new Error('oops') }
  const late = async (): Promise<never> => { throw new Error('late') }
  for (const encode of [oops, late, () => undefined, () => 5, () => ({ length: 1 }), () => new ArrayBuffer(1), () => 'x'.repeat(2 ** 26)]) {
    const { codec, warnings } = sender({ encode, decode: () => 1 })
    t.strictSame([1, 2].map(() => codec.encode(came({ value: 1 }))), [undefined, undefined])
    t.equal(warnings.length, 1)
    t.type(warnings[0]?.err, Error)
  }
  for (const decode of [oops, late, () => ({ then () {} })]) {
    const { codec, warnings } = sender({ encode: () => 'text', decode })
    const bytes = codec.encode(came({ value: 1 })) as Uint8Array
    t.strictSame([1, 2].map(() => codec.decode(bytes)), [undefined, undefined])
    t.equal(warnings.length, 1)
  }
  const broken = { debug () {}, error () {}, warn () { throw new Error('the log is full') } }
  t.equal(resultCodec({ encode: oops, decode: oops }, 'look up', broken).encode(came({ value: 1 })), undefined)
  t.equal(resultCodec({ encode: () => '', decode: oops }, 'look up', broken).decode(foreign(['encoded', ''])), undefined)
})

t.test('one process with a codec and one without it do not understand each other', async t => {
  const plain = sender().codec
  const own = sender({ encode: JSON.stringify, decode: JSON.parse }).codec
  for (const value of [1, undefined]) t.equal(own.decode(plain.encode(came({ value })) as Uint8Array), undefined)
  t.equal(plain.decode(own.encode(came({ value: 1 })) as Uint8Array), undefined)
})

t.test('an error arrives as a plain one with its name, message, code and status, and a stack of its own', async t => {
  class Gone extends Error {
    override readonly name = 'Gone'
    readonly code = 'E_GONE'
    readonly statusCode = 410
    readonly secret = 'not for others'
  }
  const whereItWasThrown = (): Error => new Gone('it is gone', { cause: new Error('why') })
  const thrown = whereItWasThrown()
  t.match(String(thrown.stack), /whereItWasThrown/)
  const found = errorOf(thrown)
  t.strictSame([Object.getPrototypeOf(found), found.name, found.message, Object.keys(found)], [Error.prototype, 'Gone', 'it is gone', ['code', 'statusCode']])
  t.match(found, { code: 'E_GONE', statusCode: 410 })
  t.match(String(found.stack), /^Gone: it is gone\n/)
  t.notMatch(String(found.stack), /whereItWasThrown/)
  t.equal(found.cause, undefined)

  const simple = errorOf(new Error('simple'))
  t.strictSame([simple.name, Object.getOwnPropertyNames(simple).sort()], ['Error', ['message', 'stack']])
  t.match(errorOf(new TypeError('x')), { name: 'TypeError', message: 'x' })
  t.match(errorOf(new DOMException('stopped', 'AbortError')), { name: 'AbortError', message: 'stopped', code: 20 })
})

t.test('what an error says is bounded, and is a text or a number', async t => {
  const long = 'x'.repeat(2 ** 20)
  const odd = Object.assign(new Error(long), { name: long, code: long, statusCode: '500' })
  const found = errorOf(odd)
  t.strictSame([found.name, found.message.length, Object.keys(found)], ['Error', 4096, []])
  for (const [code, statusCode] of [[{}, 99], [null, 1000], [5n, NaN], [0.5, 500.5], [Symbol('s'), [500]]]) {
    t.strictSame(Object.keys(errorOf(Object.assign(new Error('x'), { code, statusCode }))), [])
  }
  t.match(errorOf(Object.assign(new Error('x'), { code: -5, statusCode: 599 })), { code: -5, statusCode: 599 })
  fc.assert(fc.property(anyText, anyText, fc.oneof(anyText, fc.maxSafeInteger()), (name, text, code) => {
    const error = errorOf(Object.assign(new Error(text), { name, code }))
    return error.name === name && error.message === text && Object.is(error.code, code)
  }), { numRuns: 1000 })
})

t.test('what is thrown and is no error does not travel, which is told', async t => {
  const thrower = Object.defineProperty(new Error('x'), 'code', { get () { throw new Error('trap') } })
  for (const error of ['text', undefined, null, { message: 'x' }, Object.create(null), thrower]) {
    const { codec, warnings } = sender()
    t.equal(codec.encode(came({ error })), undefined)
    t.equal(warnings.length, 1)
  }
})

t.test('a message is read strictly, whoever sent it', async t => {
  const { codec } = sender()
  const own = sender({ encode: JSON.stringify, decode: JSON.parse }).codec
  t.ok(codec.decode(foreign(['value', 1])))
  t.ok(codec.decode(foreign(['error', 'Error', 'x', null, null], 'failed')))
  for (const recording of [null, 5, 'value', [], {}, ['other', 1], ['error', 'Error', 'x', null, null], ['encoded', 'x'], { 0: 'other' }]) t.equal(codec.decode(foreign(recording)), undefined)
  for (const recording of [
    ['value', 1], ['nothing'], ['error'], ['error', 5, 'x', null, null], ['error', 'x'.repeat(129), 'x', null, null], ['error', 'Error', null, null, null],
    ['error', 'Error', 'x'.repeat(4097), null, null], ['error', 'Error', 'x', {}, null], ['error', 'Error', 'x', 'x'.repeat(129), null], ['error', 'Error', 'x', 0.5, null],
    ['error', 'Error', 'x', null, 99], ['error', 'Error', 'x', null, '500'], ['error', 'Error', 'x', true, null], ['error', 'Error', 'x']
  ]) t.equal(codec.decode(foreign(recording, 'failed')), undefined, JSON.stringify(recording))
  for (const recording of [['encoded', 5], ['encoded', null], ['encoded', {}], ['encoded'], ['encoded', '{']]) t.equal(own.decode(foreign(recording)), undefined)
  t.equal(codec.decode(message({ version: 1, kind: 'response', type: 'shared', leaderId: 'a', names: [], recording: ['value', 1] })), undefined)
  for (const names of [['accept'], null, 5, {}]) t.equal(codec.decode(message({ version: 1, kind: 'call', type: 'shared', leaderId: 'a', names, recording: ['value', 1] })), undefined)
})

t.test('cut or with something added, a message is nothing; altered, it is nothing or a result without code', async () => {
  const { codec } = sender()
  const anyResult = fc.oneof(anyPlainValue.map(value => came({ value })), fc.tuple(anyText, anyText).map(([text, code]) => came({ error: Object.assign(new Error(text), { code }) })))
  fc.assert(fc.property(anyResult, fc.nat(), fc.integer({ min: 1, max: 255 }), (result, at, change) => {
    const bytes = codec.encode(result) as Buffer
    const altered = Buffer.from(bytes)
    altered[at % bytes.length]! ^= change
    const found = codec.decode(altered)
    const recording = found !== undefined && 'recording' in found ? found.recording : { value: 1 }
    return codec.decode(bytes.subarray(0, at % bytes.length)) === undefined && codec.decode(Buffer.concat([bytes, bytes])) === undefined &&
      ('error' in recording ? Object.getPrototypeOf(recording.error) === Error.prototype : isDeepStrictEqual(again(sender(), recording), recording))
  }), { numRuns: 5000 })
})
