import { validateHeaderValue } from 'node:http'
import { connect } from 'node:http2'
import { Duplex } from 'node:stream'
import fc from 'fast-check'
import t from 'tap'
import { ENCODINGS } from '../../lib/http/accept-encoding.js'
import { HOP_BY_HOP } from '../../lib/http/headers.js'
import { readKeptResponse, readVaryMarker, type KeptResponse } from '../../lib/http/kept-response.js'
import { CLIENT_ADDRESS } from '../../lib/http/reads.js'
import { NO_VARIANT } from '../../lib/variant.js'
import { anyText } from './arbitraries.js'

const KEPT: KeptResponse = {
  status: 200,
  headers: [['content-type', 'text/plain'], ['x-list', ['a', 'b']]],
  removed: ['x-powered-by'],
  body: 'body',
  age: 1500.5,
  date: 1_764_000_000_000,
  variant: { names: ['accept', CLIENT_ADDRESS, ENCODINGS], values: ['text/html', null, ''] }
}

const reads = (members: object): boolean => readKeptResponse({ ...KEPT, ...members }) !== undefined
const readsHeader = (name: unknown, value: unknown, body: unknown = 'body'): boolean => reads({ headers: [[name, value]], body })

/** The paths of all objects in a value that are not frozen. */
function unfrozen (value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return []
  return [...Object.isFrozen(value) ? [] : [path], ...Object.entries(value).flatMap(([name, member]) => unfrozen(member, `${path}.${name}`))]
}

t.test('a kept response is read whole, fresh and frozen, and nothing else of it', async t => {
  const read = readKeptResponse({ ...KEPT, more: 1 })
  t.strictSame(read, KEPT)
  t.strictSame(unfrozen(read), [])
  t.not(read?.headers, KEPT.headers)
  t.not(read?.variant, KEPT.variant)
  const bytes = Buffer.from([0, 255])
  for (const body of [null, '', 'ä😀', bytes, bytes.subarray(1), Buffer.alloc(0)]) t.strictSame(readKeptResponse({ ...KEPT, body })?.body, body)
  t.equal((readKeptResponse({ ...KEPT, body: bytes })?.body as Buffer).buffer, bytes.buffer, 'the bytes themselves are not copied')
  t.ok(reads({ headers: [], removed: [], variant: NO_VARIANT, age: 0, date: 0 }))
})

t.test('the status is one that may be kept', async t => {
  for (const status of [200, 203, 204, 301, 404, 410, 500, 503, 599]) t.ok(reads({ status }), String(status))
  for (const status of [100, 199, 206, 304, 412, 416, 600, 0, -200, 200.5, NaN, '200', null, undefined, [200]]) t.notOk(reads({ status }), String(status))
})

t.test('a header has a name in lower case that is a token', async t => {
  for (const name of ['x', 'x-1', "!#$%&'*+-.^_`|~", 'constructor', 'toString'.toLowerCase()]) t.ok(readsHeader(name, 'a'), name)
  for (const name of ['', ' ', 'X', 'Content-Type', 'x y', 'x:', ':status', 'x\r\ny', 'é', 'ſ', '\u212a', '(ip)', '__proto__', 5, null, ['x']]) {
    t.notOk(readsHeader(name, 'a'), String(name))
    t.notOk(reads({ removed: [name] }), String(name))
  }
})

t.test('a header has a value that Node would send', async t => {
  for (const value of ['', 'a', 'a b\tc', '\xe9\xff', ['a'], ['a', ''], []]) t.ok(readsHeader('x', value), String(value))
  for (const value of ['a\rb', 'a\nb', 'a\r\nset-cookie: b', 'a\0', '\x1f', '\x7f', '\u0100', '€', '\u010d\u010a']) {
    t.notOk(readsHeader('x', value), JSON.stringify(value))
    t.notOk(readsHeader('x', ['a', value]), JSON.stringify(value))
  }
  for (const value of [5, null, undefined, true, {}, [5], [null], [['a']], { 0: 'a', length: 1 }, Object('a')]) t.notOk(readsHeader('x', value), JSON.stringify(value))
})

t.test("no header is one client's, one connection's or one message's", async t => {
  for (const name of ['set-cookie', ...HOP_BY_HOP]) {
    t.notOk(readsHeader(name, 'a'), name)
    t.notOk(readsHeader(name, ['a']), name)
  }
  t.ok(reads({ removed: ['set-cookie'] }), 'a cookie may be taken away')
  for (const name of HOP_BY_HOP) t.notOk(reads({ removed: [name] }), name)
})

t.test('a header stands there once, as a pair', async t => {
  t.notOk(reads({ headers: [['x', 'a'], ['y', 'b'], ['x', 'c']] }))
  for (const line of [[], ['x'], ['x', 'a', 'b'], 'xa', { 0: 'x', 1: 'a', length: 2 }, null]) t.notOk(reads({ headers: [line] }), JSON.stringify(line))
  for (const headers of [undefined, null, {}, 'x', new Map([['x', 'a']]), [,]]) t.notOk(reads({ headers }), String(headers)) // eslint-disable-line no-sparse-arrays
  for (const removed of [undefined, null, {}, 'x', new Set(['x']), [['x']]]) t.notOk(reads({ removed }), String(removed))
})

t.test('no header has more lines than HTTP/2 would send', async t => {
  const names = [
    'access-control-allow-credentials', 'access-control-allow-origin', 'access-control-expose-headers', 'access-control-max-age', 'access-control-request-method', 'age', 'allow', 'authorization',
    'cache-control', 'content-disposition', 'content-encoding', 'content-language', 'content-length', 'content-location', 'content-md5', 'content-range', 'content-security-policy', 'content-type', 'date',
    'dnt', 'etag', 'expires', 'from', 'host', 'http2-settings', 'if-match', 'if-modified-since', 'if-none-match', 'if-range', 'if-unmodified-since', 'last-modified', 'link', 'location', 'max-forwards',
    'pragma', 'range', 'referer', 'retry-after', 'server', 'strict-transport-security', 'tk', 'upgrade-insecure-requests', 'user-agent', 'vary', 'via', 'warning', 'www-authenticate', 'x-any',
    'x-content-type-options', 'x-frame-options'
  ]
  const session = connect('http://localhost', { createConnection: () => new Duplex({ read () {}, write: (_chunk, _encoding, done) => { done() } }) })
  t.teardown(() => { session.destroy() })
  session.on('error', () => {})
  const isSent = (name: string, value: string | string[]): boolean => {
    try {
      session.request({ [name]: value }).on('error', () => {}).close()
      return true
    } catch {
      return false
    }
  }
  for (const name of names) {
    for (const value of ['1', ['1'], ['1', '2']]) {
      const isRead = readsHeader(name, value, null)
      t.ok(isSent(name, value) ? isRead : !isRead, `${name}: ${String(value)}`)
    }
  }
})

t.test('Content-Length is the length of the body', async t => {
  t.ok(readsHeader('content-length', '3', 'aä'))
  t.ok(readsHeader('content-length', '2', Buffer.from([0, 255])))
  t.ok(readsHeader('content-length', '0', ''))
  t.ok(readsHeader('content-length', '512', null), 'of a body that is not there it may be any')
  for (const value of ['2', '4', '', ' 3', '03', '3.0', '+3', '3, 3', ['3'], ['3', '3']]) t.notOk(readsHeader('content-length', value, 'aä'), String(value))
  t.notOk(readsHeader('content-length', '9', Buffer.alloc(8)), 'cut off')
})

t.test('the body is text, bytes or none', async t => {
  for (const body of [undefined, 5, true, {}, [], ['body'], new Uint8Array(1), new ArrayBuffer(1), Object('body'), Object.create(Buffer.prototype), { type: 'Buffer', data: [1] }]) {
    t.notOk(reads({ body }), Object.prototype.toString.call(body))
  }
})

t.test('the bytes of a body are what they are, whatever they say of themselves', async t => {
  const trap = { get: () => { throw new Error('trap') } }
  class Odd extends Buffer {}
  const odd = Object.setPrototypeOf(Object.defineProperties(Buffer.from('body'), {
    length: trap, byteLength: trap, byteOffset: trap, buffer: trap, toString: trap, slice: trap
  }), Odd.prototype) as Buffer
  const body = readKeptResponse({ ...KEPT, headers: [['content-length', '4']], body: odd })?.body as Buffer
  t.equal(body.length, 4)
  t.equal(body.toString(), 'body')
  t.equal(Object.getPrototypeOf(body), Buffer.prototype)
})

t.test('times are times', async t => {
  for (const wrong of [-1, NaN, Infinity, '5', null, undefined, 5n, new Date()]) {
    t.notOk(reads({ age: wrong }), String(wrong))
    t.notOk(reads({ date: wrong }), String(wrong))
  }
  t.ok(reads({ date: 8.64e15 }))
  t.notOk(reads({ date: 8.64e15 + 2 }), 'no Date holds it')
})

t.test('a variant has a value for each name', async t => {
  const variant = (names: unknown, values: unknown): boolean => reads({ variant: { names, values } })
  t.ok(variant(['a'], ['b']))
  t.ok(variant([], []))
  for (const [names, values] of [[['a'], []], [[], ['b']], [['a', 'b'], ['c']], [['A'], ['b']], [['*'], ['b']], [['(other)'], ['b']], [['__proto__'], ['b']], [[''], ['b']], [[5], ['b']], ['a', 'b'],
    [['a'], [5]], [['a'], [undefined]], [['a'], [['b']]], [{ length: 0 }, []], [undefined, undefined]]) t.notOk(variant(names, values), JSON.stringify([names, values]))
  for (const wrong of [undefined, null, 'a', [], {}]) t.notOk(reads({ variant: wrong }))
})

t.test('what says how variants are told apart is read as strictly', async t => {
  const vary = ['accept', CLIENT_ADDRESS, ENCODINGS]
  const marker = readVaryMarker({ vary, more: 1 })
  t.strictSame(marker, { vary })
  t.strictSame(unfrozen(marker), [])
  t.not(marker?.vary, vary)
  for (const wrong of [{}, { vary: undefined }, { vary: 'accept' }, { vary: ['Accept'] }, { vary: ['*'] }, { vary: ['__proto__'] }, { vary: ['a b'] }, { vary: [5] }, { vary: [['a']] }, { vary: [] }, ['accept'], null, undefined, 'vary']) {
    t.equal(readVaryMarker(wrong), undefined, JSON.stringify(wrong))
  }
  t.equal(readVaryMarker(KEPT), undefined)
  t.equal(readKeptResponse(marker), undefined)
})

t.test('neither inherited members nor getters count, and none is run', async t => {
  t.equal(readKeptResponse(Object.create(KEPT)), undefined)
  t.equal(readKeptResponse(JSON.parse(JSON.stringify({ a: KEPT }).replace('"a"', '"__proto__"'))), undefined)
  let runs = 0
  const getter = (name: string): object => Object.defineProperty({ ...KEPT }, name, { enumerable: true, get: () => { runs++; return KEPT[name as keyof KeptResponse] } })
  for (const name of Object.keys(KEPT)) t.equal(readKeptResponse(getter(name)), undefined, name)
  const line = Object.defineProperty(['x', ''], '1', { get: () => { runs++; return 'a' } })
  t.notOk(reads({ headers: [line] }))
  t.equal(readVaryMarker({ get vary () { runs++; return ['accept'] } }), undefined)
  t.equal(runs, 0)
})

/** As much like a kept response as can be, with anything in any place. */
const almost = (() => {
  const name = fc.oneof(anyText, fc.constantFrom('content-length', 'set-cookie', 'Set-Cookie', 'connection', 'x-a', 'x-b', '__proto__', 'transfer-encoding', CLIENT_ADDRESS))
  const value = fc.oneof(anyText, fc.constantFrom('a', '4', 'b\r\nc', 'd\0'), fc.array(anyText, { maxLength: 2 }), fc.constantFrom(5, null))
  const any = fc.anything({ withNullPrototype: true, withBigInt: true, withTypedArray: true })
  const or = <T>(likely: fc.Arbitrary<T>): fc.Arbitrary<unknown> => fc.oneof({ weight: 30, arbitrary: likely }, { weight: 1, arbitrary: any })
  return fc.record({
    status: or(fc.integer({ min: 190, max: 610 })),
    headers: or(fc.array(fc.tuple(name, value), { maxLength: 2 })),
    removed: or(fc.array(name, { maxLength: 1 })),
    body: or(fc.oneof(fc.constantFrom(null, 'body'), anyText, fc.uint8Array().map(bytes => Buffer.from(bytes)))),
    age: or(fc.nat()),
    date: or(fc.nat()),
    variant: or(fc.array(fc.tuple(name, fc.oneof(anyText, fc.constant(null))), { maxLength: 1 }).map(pairs => ({ names: pairs.map(([each]) => each), values: pairs.map(([, each]) => each) })))
  }, { noNullPrototype: true })
})()

t.test('reading never throws, and what was read can be sent', async t => {
  let read = 0
  fc.assert(fc.property(almost, given => {
    const response = readKeptResponse(given)
    if (response === undefined) return true
    read++
    for (const [name, value] of response.headers) {
      if (!/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(name) || HOP_BY_HOP.has(name) || ['set-cookie', '__proto__'].includes(name)) return false
      for (const line of typeof value === 'string' ? [value] : value) {
        validateHeaderValue(name, line)
        if (/[\r\n\0]/.test(line)) return false
      }
      if (name === 'content-length' && response.body !== null && Number(value) !== Buffer.byteLength(response.body)) return false
    }
    return response.status >= 200 && response.status <= 599 && ![206, 304].includes(response.status) && unfrozen(response).length === 0
  }), { numRuns: 20_000 })
  t.ok(read > 1000, `${read} were read`)
  fc.assert(fc.property(fc.anything({ withNullPrototype: true, withBigInt: true }), given => readKeptResponse(given) === undefined && readVaryMarker(given) === undefined), { numRuns: 5000 })
  const trap = new Proxy({}, { getOwnPropertyDescriptor: () => { throw new Error('trap') } })
  t.strictSame([readKeptResponse(trap), readVaryMarker(trap)], [undefined, undefined])
})
