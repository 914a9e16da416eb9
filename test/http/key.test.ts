import type { IncomingHttpHeaders } from 'node:http'
import t from 'tap'
import fc from 'fast-check'
import { buildKey, KeyHead, headerOf, sendsBody, type KeyResult, type KeySource, type KeySettings } from '../../lib/http/key.js'
import { coversOnly, normalizeQuery } from '../../lib/http/query.js'
import { textOf } from './arbitraries.js'

const SETTINGS: KeySettings<KeySource> = {
  query: 'sorted',
  headers: [],
  cookies: { key: [] },
  identity: undefined,
  key: undefined,
  body: undefined,
  router: { semicolonDelimits: false, parsesItself: false, trustsByAddress: false }
}

const REQUEST: KeySource = {
  method: 'GET', url: '/word/a?q=1&p=2', protocol: 'http', host: 'example.org:80', headers: {}, body: undefined, raw: {}
}

/** The key of a request that differs from another one in `request`. */
function keyOf (
  request: Partial<KeySource>, settings: Partial<KeySettings<KeySource>> = {}, route = 'r', hidden?: string
): string | undefined {
  const key = buildKey(new KeyHead(JSON.stringify(route)), { ...REQUEST, ...request }, { ...SETTINGS, ...settings }, hidden)
  return typeof key === 'string' ? key : undefined
}

function faultOf (request: Partial<KeySource>, settings: Partial<KeySettings<KeySource>>): KeyResult {
  return buildKey(new KeyHead('"r"'), { ...REQUEST, ...request }, { ...SETTINGS, ...settings })
}

/** How many different keys there are. */
const different = (...keys: Array<string | undefined>): number => new Set(keys.filter(key => key !== undefined)).size

t.test('a key is JSON, whatever its parts contain', async t => {
  const texts = ['plain', 'a"b', 'back\\slash', '\n', 'é', '\u2028', '\ud800', '\x7f', '","', '']
  const settings = { headers: ['x-a'], cookies: { key: ['c'] }, identity: () => 'me' }
  const keys = texts.map(text => keyOf({ host: text, headers: { 'x-a': text } }, settings, text))
  t.same(keys.map(key => JSON.parse(key ?? 'null')), texts.map(text =>
    [text, 'GET', 'http', text, ['/word/a', '?', 'p=2&q=1'], 'me', [text], [[]], null]))
})

t.test('requests that differ in one part have different keys', async t => {
  t.equal(different(
    keyOf({}), keyOf({}, {}, 'R'), keyOf({ method: 'QUERY' }), keyOf({ protocol: 'https' }), keyOf({ host: 'example.org' }),
    keyOf({ host: '' }), keyOf({ url: '/word/b?q=1&p=2' }), keyOf({ url: '/Word/a?q=1&p=2' }), keyOf({ url: '/word/%61?q=1&p=2' }),
    keyOf({ url: '/word/a/?q=1&p=2' }), keyOf({ url: '/word/a?q=1&p=3' }), keyOf({ url: '/word/a' }), keyOf({ url: '/word/a?' }), keyOf({ url: '/word/a#q=1&p=2' }),
    keyOf({ raw: { originalUrl: '/a/word/a' } }), keyOf({ raw: { originalUrl: '' } })
  ), 16)
  t.equal(keyOf({ method: 'HEAD' }), keyOf({}), 'HEAD asks for what GET asks for')
  t.equal(keyOf({ url: '/word/a?p=2&q=1' }), keyOf({}), 'the order of the query\'s names is no part')
  t.equal(keyOf({ headers: { 'x-a': '1', cookie: 'a=1' }, body: 'x' }), keyOf({}), 'nor is what is not declared')
})

t.test('the query counts as the route and the router have it', async t => {
  const urls = ['/a?b=1&a=2', '/a?a=2&b=1']
  const count = (settings: Partial<KeySettings<KeySource>>, of = urls): number => different(...of.map(url => keyOf({ url }, settings)))
  t.equal(count({}), 1)
  t.equal(count({ query: 'raw' }), 2)
  t.equal(count({ query: { covers: coversOnly(['a', 'b']) } }), 1)
  t.equal(count({ router: { semicolonDelimits: false, parsesItself: true, trustsByAddress: false } }), 2, 'an app\'s own parser may see an order')
  const semicolons = ['/a;b=1&a=2', '/a;a=2&b=1']
  t.equal(count({}, semicolons), 2)
  t.equal(count({ router: { semicolonDelimits: true, parsesItself: false, trustsByAddress: false } }, semicolons), 1)
  t.equal(count({ router: { semicolonDelimits: true, parsesItself: false, trustsByAddress: false } }, ['/a;b', '/a?b', '/a#b']), 3)
})

t.test('an absent header differs from an empty one, and each keeps its place', async t => {
  const settings = { headers: ['x-a', 'x-b'] }
  t.equal(different(
    keyOf({}, settings), keyOf({ headers: { 'x-a': '' } }, settings), keyOf({ headers: { 'x-b': '' } }, settings),
    keyOf({ headers: { 'x-a': '1' } }, settings), keyOf({ headers: { 'x-b': '1' } }, settings), keyOf({ headers: { 'x-a': 'null' } }, settings),
    keyOf({ headers: { 'x-a': '1', 'x-b': '' } }, settings), keyOf({ headers: { 'x-a': '1, 2' } }, settings), keyOf({ headers: { 'x-a': ['1', '2'] } }, settings)
  ), 9)
  t.equal(headerOf({}, 'x'), null)
  t.equal(headerOf({}, 'constructor'), null, 'and not what every object has')
  t.equal(headerOf(Object.create({ x: 'y' }) as IncomingHttpHeaders, 'x'), 'y')
  t.equal(headerOf({ x: '' }, 'x'), '')
  t.equal(headerOf({ 'set-cookie': ['a', 'b'] }, 'set-cookie'), '["a","b"]')
})

t.test('what a schema or a hook made of a header is told apart as well, and from what it was', async t => {
  const odd = (value: unknown) => ({ headers: { 'x-a': value } }) as unknown as Partial<KeySource>
  const settings = { headers: ['x-a'] }
  const values = [5, '5', '[5]', [5], ['5'], true, 'true', null, 'null', { a: 1 }, { a: 2 }]
  t.equal(different(keyOf({}, settings), ...values.map(value => keyOf(odd(value), settings))), values.length, 'a list of one is what it holds')
  t.equal(keyOf(odd(5), settings), keyOf(odd(5), settings))
  const map = new Map()
  t.not(keyOf(odd(map), settings), keyOf(odd(map), settings), 'what cannot be compared is like nothing')
  t.match(headerOf({ x: map } as unknown as IncomingHttpHeaders, 'x'), /^\([\da-f-]{36}\/\d+\)$/, 'in whichever process that is')
  t.equal(headerOf({ x: 5 } as unknown as IncomingHttpHeaders, 'x'), '[5]')
})

t.test('declared cookies count raw, each value of a repeated one', async t => {
  const settings = { cookies: { key: ['a', 'b'] } }
  const of = (cookie: string): string | undefined => keyOf({ headers: { cookie } }, settings)
  t.equal(different(
    keyOf({}, settings), of('a='), of('b='), of('a=1'), of('a=1; a=2'), of('a=2; a=1'), of('a=1; b=2'), of('a=%31'), of('a="1"'), of('A=1')
  ), 9, 'an undeclared one is like none')
  t.equal(of('b=2; a=1'), of('a=1;b=2'))
  t.equal(of('a=1; c=3'), of('a=1'))
})

t.test('the identity is part of the key, and a request without one has no key', async t => {
  const as = (answer: unknown) => ({ identity: (() => answer) as () => string })
  t.equal(different(keyOf({}), keyOf({}, as('a')), keyOf({}, as('b')), keyOf({}, as('null'))), 4)
  for (const answer of ['', undefined, null, []]) t.strictSame(faultOf({}, as(answer)), { fault: 'no-identity' })
  for (const [got, answer] of Object.entries({ 'an object': {}, 'an array of other things': ['a'], 'a promise': Promise.resolve('a'), 'a symbol': Symbol('a'), NaN })) {
    t.strictSame(faultOf({}, as(answer)), { fault: 'no-identity', got })
  }
  t.equal(different(...[0, -0, 1, '0', '1', '-0', 0n, 1n, '1n', true, 'true', false, 'null'].map(answer => keyOf({}, as(answer)))), 13)
  const error = new Error('who?')
  t.same(faultOf({}, { identity () { throw error } }), { fault: 'identity-threw', error })
})

t.test('a key function replaces path and query, and only these', async t => {
  const by = (answer: unknown) => ({ key: (() => answer) as () => string })
  t.equal(different(
    keyOf({}), keyOf({}, by('a')), keyOf({}, by(['a'])), keyOf({}, by(['a', 'b'])), keyOf({}, by(['a,b'])), keyOf({}, by(['ab'])), keyOf({}, by(['', 'a'])),
    keyOf({}, by('["a"]')), keyOf({}, by([''])), keyOf({ method: 'QUERY' }, by('a')), keyOf({ host: 'b' }, by('a')), keyOf({ protocol: 'https' }, by('a'))
  ), 12)
  t.equal(keyOf({ url: '/x', raw: { originalUrl: '/y' } }, by('a')), keyOf({ url: '/z' }, by('a')))
  for (const answer of ['', [], null, undefined]) t.strictSame(faultOf({}, by(answer)), { fault: 'no-key' })
  for (const [got, answer] of [
    ['an object', {}], ['an array of other things', ['a', null]], ['an array of other things', [undefined]], ['an array of other things', [['a']]],
    ['an array of other things', [NaN]], ['a promise', Promise.resolve('a')], ['a function', () => 'a'], ['Infinity', Infinity]
  ] as const) t.strictSame(faultOf({}, by(answer)), { fault: 'no-key', got })
  const apart = [1, '1', [1], ['1'], 1n, [1n], '1n', true, 'true', [true], [1, '1'], ['1', 1], [false], -0, 0, [''], ['a', 3], ['a', 3n]]
  t.equal(different(...apart.map(answer => keyOf({}, by(answer)))), apart.length)
  const error = new Error('no')
  t.same(faultOf({}, { key () { throw error } }), { fault: 'key-threw', error })
  t.equal(keyOf({ url: '/a?x=3' }, { key: request => request.url, identity: request => request.host }),
    keyOf({}, { ...by('/a?x=3'), identity: () => 'example.org:80' }), 'both functions are given the request')
})

t.test('the body counts where the route says so, with its type', async t => {
  const settings = { body: { maxBytes: 10 } }
  const post = (body: unknown, type?: string) => keyOf({ method: 'POST', body, headers: type === undefined ? {} : { 'content-type': type } }, settings)
  t.equal(different(post(undefined), post(null), post(''), post('1'), post(1), post(Buffer.from('1')), post('1', ''), post('1', 'text/plain'), post('1', 'text/html')), 9)
  t.equal(post({ a: 1, b: 2 }), undefined, 'it is over the limit')
  t.same(faultOf({ method: 'POST', body: new Date() }, settings), { fault: 'body-unknown' })
  t.equal(keyOf({ body: 'x' }, settings), keyOf({ body: 'y' }, settings), 'a GET has none')
  t.equal(keyOf({ method: 'HEAD', body: 'x' }, settings), keyOf({ method: 'HEAD', body: 'y' }, settings))
  t.equal(different(keyOf({ method: 'QUERY', body: 'x' }, settings), keyOf({ method: 'QUERY', body: 'y' }, settings)), 2)
})

t.test('a body that was sent and is not parsed is unknown', async t => {
  const settings = { body: { maxBytes: 10 } }
  const unknown = { fault: 'body-unknown' }
  t.same(faultOf({ method: 'POST', headers: { 'content-length': '5' } }, settings), unknown)
  t.same(faultOf({ method: 'POST', headers: { 'transfer-encoding': 'chunked' } }, settings), unknown)
  t.type(keyOf({ method: 'POST', headers: { 'content-length': '0' } }, settings), 'string')
  t.same(faultOf({ method: 'POST', body: null, headers: { 'content-length': '5' } }, settings), unknown, 'nor is one that a parser makes nothing of')
  t.same(faultOf({ method: 'POST', raw: { stream: { endAfterHeaders: false } } }, settings), unknown, 'nor one that HTTP/2 frames without a header')
  t.type(keyOf({ method: 'POST', raw: { stream: { endAfterHeaders: true } } }, settings), 'string')
  const sends = (headers: IncomingHttpHeaders): boolean => sendsBody({ headers, raw: {} })
  t.same([{}, { 'content-length': '0' }].map(sends), [false, false])
  t.same([{ 'content-length': '1' }, { 'content-length': '00' }, { 'content-length': '' }, { 'transfer-encoding': '' }].map(sends), [true, true, true, true])
})

/** Texts that would run into one another if anything were joined. */
const nasty = textOf('",[]a\\1 ;=', 0, 4)
const value = fc.option(nasty, { nil: undefined })
const cookieValue = textOf('"a1,', 0, 2)

const tuple = fc.record({
  route: nasty,
  method: fc.constantFrom('GET', 'HEAD', 'POST', 'QUERY'),
  protocol: fc.constantFrom('http', 'https'),
  host: nasty,
  path: textOf('/a"%5', 0, 3).map(rest => `/${rest}`),
  pairs: fc.option(fc.array(fc.tuple(fc.constantFrom('a', 'b', '"'), textOf('=1"', 0, 2)), { maxLength: 4 }), { nil: undefined }),
  identity: fc.option(textOf('",[]a', 1, 3), { nil: undefined }),
  headers: fc.tuple(value, value),
  cookies: fc.tuple(fc.array(cookieValue, { maxLength: 2 }), fc.array(cookieValue, { maxLength: 2 })),
  body: fc.option(
    fc.oneof(nasty, fc.jsonValue({ maxDepth: 1 }).map(each => JSON.parse(JSON.stringify(each)) as unknown)),
    { nil: undefined })
})
type Tuple = typeof tuple extends fc.Arbitrary<infer T> ? T : never

function keyOfTuple ({ route, method, protocol, host, path, pairs, identity, headers, cookies, body }: Tuple): string | undefined {
  const cookie = cookies.flatMap((values, index) => values.map(each => `${'ab'[index]}=${each}`)).join('; ')
  const query = pairs === undefined ? '' : `?${pairs.map(([name, each]) => `${name}=${each}`).join('&')}`
  return keyOf({
    method, protocol, host, url: path + query, body, headers: { 'x-a': headers[0], 'x-b': headers[1], cookie }
  }, {
    headers: ['x-a', 'x-b'],
    cookies: { key: ['a', 'b'] },
    identity: identity === undefined ? undefined : () => identity,
    body: { maxBytes: 1000 }
  }, route)
}

/** What two tuples of one key have in common: the tuple, the names of its query in order. */
function meaning ({ pairs, body, method, ...rest }: Tuple): string {
  const byName = pairs === undefined
    ? null
    : [...new Set(pairs.map(([name]) => name))].sort().map(wanted => pairs.filter(([name]) => name === wanted))
  const counts = method === 'POST' || method === 'QUERY'
  return JSON.stringify({ rest, method: method === 'HEAD' ? 'GET' : method, byName, body: counts && body !== undefined ? [canonical(body)] : 'none' })
}

function canonical (body: unknown): unknown {
  if (typeof body !== 'object' || body === null) return body
  if (Array.isArray(body)) return body.map(canonical)
  const names = Object.keys(body).sort()
  return { object: names.map(name => [name, canonical((body as Record<string, unknown>)[name])]) }
}

t.test('two requests have one key if and only if they mean the same', async t => {
  const keys = new Map<string, string>()
  const meanings = new Map<string, string>()
  fc.assert(fc.property(tuple, each => {
    const key = keyOfTuple(each)
    if (key === undefined) return false
    const own = meaning(each)
    const [known, same] = [keys.get(key), meanings.get(own)]
    keys.set(key, own)
    meanings.set(own, key)
    return (known === undefined || known === own) && (same === undefined || same === key)
  }), { numRuns: 8_000 })
  t.equal(keys.size, meanings.size)
})

t.test('a request and one that differs from it in one part never have one key', async t => {
  fc.assert(fc.property(tuple, tuple, fc.constantFrom('route', 'method', 'protocol', 'host', 'path', 'pairs', 'identity', 'headers', 'cookies', 'body'), (one, other, part) => {
    const near = { ...one, [part]: other[part as keyof Tuple] }
    return (keyOfTuple(one) === keyOfTuple(near)) === (meaning(one) === meaning(near))
  }), { numRuns: 4_000 })
  t.pass()
})

const rare = fc.record({
  method: fc.constantFrom('GET', 'POST'),
  host: textOf('a:,"[]', 0, 3),
  url: textOf('/?a"', 0, 3),
  servername: fc.option(fc.oneof(textOf('a:,"[]', 0, 3), fc.constant(false as const)), { nil: undefined }),
  originalUrl: fc.option(textOf('/?a"', 0, 3), { nil: undefined }),
  hidden: fc.option(textOf('n",[]', 0, 2), { nil: undefined }),
  body: fc.option(textOf('a"', 0, 2), { nil: undefined })
})
type Rare = typeof rare extends fc.Arbitrary<infer T> ? T : never

for (const identity of [undefined, () => 'me']) {
  t.test(`what few requests have keeps keys apart that have ${identity === undefined ? 'nothing' : 'something'} else`, async t => {
    const rareKeyOf = ({ method, host, url, servername, originalUrl, hidden, body }: Rare): string | undefined =>
      keyOf({ method, host, url, body, raw: { originalUrl, socket: { servername } } }, { identity, body: { maxBytes: 1000 } }, 'r', hidden)
    const rareMeaning = ({ method, host, url, servername: name, body, ...rest }: Rare): string => JSON.stringify([
      method, host, url.replace(/\?.*/, query => `?${normalizeQuery(query.slice(1))}`), method === 'POST' ? body ?? null : null,
      name === undefined || host === name || host.startsWith(`${String(name)}:`) ? null : name, rest.originalUrl ?? null, rest.hidden ?? null
    ])
    fc.assert(fc.property(rare, rare, fc.constantFrom('method', 'host', 'url', 'servername', 'originalUrl', 'hidden', 'body'), (one, other, part) => {
      const near = { ...one, [part]: other[part as keyof Rare] }
      return [near, other].every(each => (rareKeyOf(one) === rareKeyOf(each)) === (rareMeaning(one) === rareMeaning(each)))
    }), { numRuns: 4_000 })
    t.pass()
  })
}

t.test('a body that has not come to its end is none that can be compared', async t => {
  const of = (complete: boolean | undefined): KeyResult =>
    faultOf({ method: 'POST', body: 'a', raw: complete === undefined ? {} : { complete } }, { body: { maxBytes: 10 } })
  t.match(of(false), { fault: 'body-unknown' })
  t.type(of(true), 'string')
  t.type(of(undefined), 'string', 'of an injected request')
})
