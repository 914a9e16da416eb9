import { validateHeaderName, validateHeaderValue } from 'node:http'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { decodeValue, encodeValue } from '../../../lib/codec/value.js'
import type { PeerResult } from '../../../lib/engine/coordinators/codec.js'
import { MessageCodec } from '../../../lib/engine/coordinators/message-codec.js'
import { recordingFormat } from '../../../lib/fastify/cache/recording-codec.js'
import { ENCODINGS } from '../../../lib/http/accept-encoding.js'
import { Broadcast } from '../../../lib/http/broadcast.js'
import { HOP_BY_HOP } from '../../../lib/http/headers.js'
import { CLIENT_ADDRESS } from '../../../lib/http/reads.js'
import type { Recording } from '../../../lib/http/recording.js'
import { cpuTime } from '../../fixtures/cpu-time.js'
import { anyText } from '../../codec/arbitraries.js'

const RECORDING: Recording = {
  status: 200,
  headers: { set: [['content-type', 'text/plain'], ['x-list', ['a', 'b']]], removed: ['x-powered-by'] },
  body: 'body',
  bytes: 4,
  leaderId: 'req-1',
  variant: { names: ['accept', CLIENT_ADDRESS, ENCODINGS], values: ['text/html', null, ''] }
}
const SHARED: PeerResult<Recording> = { type: 'shared', recording: RECORDING, leaderId: 'req-1', names: ['accept', CLIENT_ADDRESS, ENCODINGS] }
const UNSHAREABLE: PeerResult<Recording> = {
  type: 'unshareable', reason: 'set-cookie', variant: { names: ['accept'], values: [null] }, leaderId: 'req-2', remember: true
}

const VARIES: PeerResult<Recording> = { type: 'varies', names: ['accept', CLIENT_ADDRESS] }

const codec = new MessageCodec(recordingFormat(() => 5000))
const again = (result: PeerResult<Recording>): PeerResult<Recording> | undefined => codec.decode(codec.encode(result) as Uint8Array)
const shared = (members: object): PeerResult<Recording> => ({ ...SHARED, recording: { ...RECORDING, ...members } })
const travels = (members: object): boolean => codec.encode(shared(members)) !== undefined
/** What a program of somebody else's may send in the place of an encoded result. */
const message = (value: unknown): Uint8Array => Buffer.concat(encodeValue(value) as Uint8Array[])
const plain = (result: PeerResult<Recording>): any => decodeValue(codec.encode(result) as Uint8Array)

const headerName = fc.constantFrom('content-type', 'etag', 'x-a', 'x-b', 'vary', 'cache-control', 'link')
const headerValue = fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map(code => String.fromCharCode(code)) })
const anyBody = fc.oneof(anyText, fc.constant(null), fc.uint8Array({ maxLength: 300 }).map(bytes => Buffer.from(bytes)), headerValue.map(text => text.repeat(50)))
const dimension = fc.constantFrom('accept', 'accept-language', CLIENT_ADDRESS, ENCODINGS)
const anyVariant = fc.uniqueArray(dimension).chain(names =>
  fc.record({ names: fc.constant(names), values: fc.array(fc.option(anyText), { minLength: names.length, maxLength: names.length }) }, { noNullPrototype: true }))
const anyRecording: fc.Arbitrary<Recording> = fc.record({
  status: fc.constantFrom(200, 203, 204, 301, 404, 410, 451, 500, 503),
  headers: fc.record({
    set: fc.uniqueArray(fc.tuple(headerName, headerValue), { selector: ([name]) => name }),
    removed: fc.array(headerName, { maxLength: 2 })
  }, { noNullPrototype: true }),
  body: anyBody,
  leaderId: fc.option(anyText, { nil: undefined }),
  variant: anyVariant
}, { noNullPrototype: true }).map(recording => ({ ...recording, bytes: recording.body === null ? 0 : Buffer.byteLength(recording.body) }))
const anyResult: fc.Arbitrary<PeerResult<Recording>> = fc.oneof(
  fc.record({ type: fc.constantFrom('shared' as const, 'failed' as const), recording: anyRecording, leaderId: anyText, names: fc.array(dimension) }, { noNullPrototype: true }),
  fc.record({
    type: fc.constant('unshareable' as const), reason: fc.constantFrom('private' as const, 'too-large' as const), variant: anyVariant, leaderId: anyText, remember: fc.boolean()
  }, { noNullPrototype: true }),
  fc.record({ type: fc.constant('varies' as const), names: fc.array(dimension) }, { noNullPrototype: true }))

/** Whether a result can be given to clients, whoever sent it. */
function isSafe (result: PeerResult<Recording>): boolean {
  if (result.type !== 'shared' && result.type !== 'failed') return true
  const { recording: { status, headers: { set } } } = result
  for (const [name, value] of set) {
    validateHeaderName(name)
    for (const each of [value].flat()) validateHeaderValue(name, each as string)
    if (name === 'set-cookie' || HOP_BY_HOP.has(name)) return false
  }
  return status >= 200 && status <= 599 && ![206, 304, 412, 416].includes(status)
}

t.test('what is decoded is what was encoded', async t => {
  for (const result of [SHARED, { ...SHARED, type: 'failed' as const }, UNSHAREABLE, VARIES]) t.strictSame(again(result), result)
  fc.assert(fc.property(anyResult, result => isDeepStrictEqual(again(result), result)), { numRuns: 5000 })
})

t.test('ids of requests that are numbers travel as texts', async t => {
  const numbered = again({ ...SHARED, leaderId: 7, recording: { ...RECORDING, leaderId: 7 } } as never)
  t.match(numbered, { leaderId: '7', recording: { leaderId: '7' } })
})

t.test('a body that is still being made does not travel', async t => {
  const broadcast = Object.create(Broadcast.prototype) as Broadcast
  t.notOk(travels({ body: broadcast, bytes: undefined }))
})

t.test('a response from the cache travels with the age it has now, and what is left of its freshness, whatever time it is elsewhere', async t => {
  const kept = { storedAt: 4000, freshFor: 60_000, age: 2500, date: 'Thu, 01 Jan 2026 00:00:00 GMT', labels: ['tag:a'] }
  const bytes = codec.encode(shared({ leaderId: undefined, kept })) as Uint8Array
  const elsewhere = new MessageCodec(recordingFormat(() => 1e12)).decode(bytes) as typeof SHARED
  t.strictSame(elsewhere.recording, { ...RECORDING, leaderId: undefined, kept: { ...kept, storedAt: 1e12, freshFor: 59_000, age: 3500 } })

  const stale = again(shared({ kept: { ...kept, freshFor: 500 } })) as typeof SHARED
  t.equal(stale.recording.kept?.freshFor, -500)
  const early = again(shared({ kept: { ...kept, storedAt: 6000 } })) as typeof SHARED
  t.match(early.recording.kept, { age: 2500, freshFor: 60_000 })
  for (const wrong of [{ age: -1e6 }, { age: NaN }, { freshFor: Infinity }, { date: 'soon' }, { labels: undefined }]) {
    const bytes = codec.encode(shared({ kept: { ...kept, ...wrong } }))
    t.equal(bytes === undefined ? undefined : codec.decode(bytes), undefined)
  }
})

t.test('what no client may be given neither travels nor arrives', async t => {
  const { recording } = plain(SHARED)
  const wrong = [
    ...[100, 101, 103, 199, 206, 304, 412, 416, 600, 200.5, '200', null].map(status => ({ status })),
    ...[['set-cookie', 'a=1'], ['Set-Cookie', 'a=1'], ['connection', 'close'], ['transfer-encoding', 'chunked'], ['a b', 'x'], ['', 'x'], ['x', 'a\r\nset-cookie: a=1'],
      ['x', '\u0100'], ['x', 5], ['x', ['a', null]], ['content-length', '5'], ['etag', ['"a"', '"b"']], ['__proto__', 'x'], ['x'], 'x'].map(line => ({ headers: [line] })),
    { headers: [['x', 'a'], ['x', 'b']] }, { headers: {} }, { removed: ['connection'] }, { removed: 'x' }, { body: 5 }, { body: { type: 'Buffer', data: [] } }, { leaderId: 5 },
    { variant: { names: ['*'], values: [null] } }, { variant: { names: ['accept'], values: [] } }, { variant: { names: ['accept'], values: [5] } }, { variant: null },
    { kept: { age: -1, freshFor: 0, date: 0, labels: [] } }, { kept: { age: 0, freshFor: 'x', date: 0, labels: [] } }, { kept: { age: 0, freshFor: 0, date: 1e300, labels: [] } },
    { kept: { age: 0, freshFor: 0, date: 0, labels: [5] } }, { kept: 5 }
  ]
  const sent = (members: object): Uint8Array => message({ ...plain(SHARED), recording: { ...recording, ...members } })
  t.ok(codec.decode(sent({})))
  for (const members of wrong) t.equal(codec.decode(sent(members)), undefined, JSON.stringify(members))
  for (const set of [[['set-cookie', 'a=1']], [['connection', 'close']], [['x', 'a\nb']]]) t.notOk(travels({ headers: { set, removed: [] } }))
  for (const status of [101, 206, 304]) t.notOk(travels({ status }))
})

t.test('a message is read as strictly as what it carries', async t => {
  const good = plain(SHARED)
  for (const wrong of [{ version: 2 }, { version: '1' }, { kind: 'call' }, { type: 'cached' }, { type: 'peer' }, { leaderId: null }, { names: ['*'] }, { names: null }, { recording: undefined }]) {
    const { ...members } = { ...good, ...wrong }
    if ('recording' in wrong) delete members.recording
    t.equal(codec.decode(message(members)), undefined, JSON.stringify(wrong))
  }
  const refused = plain(UNSHAREABLE)
  t.ok(codec.decode(message(refused)))
  for (const wrong of [{ reason: 'shared' }, { reason: '__proto__' }, { reason: null }, { remember: 1 }, { variant: { names: ['accept'], values: [] } }, { variant: null }, { leaderId: 5 }]) {
    t.equal(codec.decode(message({ ...refused, ...wrong })), undefined, JSON.stringify(wrong))
  }
  for (const names of [['*'], [5], null]) t.equal(codec.decode(message({ ...plain(VARIES), names })), undefined)
  for (const wrong of [null, 5, 'text', [], [good], {}]) t.equal(codec.decode(message(wrong)), undefined)
  for (const wrong of [undefined, null, {}, 'text', Buffer.alloc(0)]) t.equal(codec.decode(wrong as never), undefined)
  const thrower = new Proxy(RECORDING, { get () { throw new Error('trap') } })
  t.equal(codec.encode({ ...SHARED, recording: thrower }), undefined)
})

t.test('cut or with something added, a message is nothing; altered, it is nothing or safe', async () => {
  fc.assert(fc.property(anyResult, fc.nat(), fc.integer({ min: 1, max: 255 }), (result, at, change) => {
    const bytes = codec.encode(result) as Buffer
    const altered = Buffer.from(bytes)
    altered[at % bytes.length]! ^= change
    const found = codec.decode(altered)
    return codec.decode(bytes.subarray(0, at % bytes.length)) === undefined && codec.decode(Buffer.concat([bytes, bytes])) === undefined &&
      codec.decode(Buffer.concat([bytes, Buffer.from([change])])) === undefined && (found === undefined || isSafe(found))
  }), { numRuns: 10_000 })
})

t.test('a body that nobody changed is carried as it is, and arrives without a copy', async t => {
  const body = Buffer.alloc(2 ** 20, 7)
  const bytes = codec.encode(shared({ body, bytes: body.length })) as Buffer
  t.ok(bytes.length < body.length + 600)
  const found = codec.decode(bytes) as typeof SHARED
  t.equal((found.recording.body as Buffer).buffer, bytes.buffer)
})

t.test('reading takes no more than the length demands', async t => {
  const time = (bytes: Uint8Array): number => {
    let least = Infinity
    for (let tries = 0; tries < 5; tries++) least = Math.min(least, cpuTime(() => codec.decode(bytes)))
    return least
  }
  const { recording, ...head } = plain(SHARED)
  const many = (count: number, make: (index: number) => unknown): unknown[] => Array.from({ length: count }, (_, index) => make(index))
  const hostile: Record<string, (count: number) => object> = {
    headers: count => ({ headers: many(count, index => [`x-${index}`, 'a']) }),
    values: count => ({ headers: [['x', many(count, () => 'a')]] }),
    text: count => ({ headers: [['x', ' '.repeat(count * 20)]] }),
    removed: count => ({ removed: many(count, index => `x-${index}`) }),
    variant: count => ({ variant: { names: many(count, index => `x-${index}`), values: many(count, () => null) } }),
    ignored: count => ({ more: many(count, () => [[[[]]]]) })
  }
  for (const [name, make] of Object.entries(hostile)) {
    const [short, long] = [2000, 16_000].map(count => time(message({ ...head, recording: { ...recording, ...make(count) } }))) as [number, number]
    t.ok(long < Math.max(short, 8) * 27, `${name}: ${short} ms, and ${long} ms for eight times as much`)
  }
})
