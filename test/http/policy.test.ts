import t from 'tap'
import { followReason, joinReason, shareReason, type JoinSettings, type RequestFacts, type ResponseFacts } from '../../lib/http/policy.js'

const SETTINGS: JoinSettings = {
  credentials: ['authorization', 'proxy-authorization', 'cookie', 'x-api-key'],
  headers: [],
  cookies: { key: [] },
  identity: undefined,
  key: undefined,
  body: undefined,
  router: { trustsByAddress: false }
}

function join (headers: RequestFacts['headers'], settings: Partial<JoinSettings> = {}, method = 'GET', socket: object | null = {}) {
  return joinReason({ method, headers, raw: { socket } }, { ...SETTINGS, ...settings })
}

t.test('safe methods without a body join, those with one where the route says so', async t => {
  t.same(['GET', 'HEAD'].map(method => join({}, {}, method)), [undefined, undefined])
  t.same(['QUERY', 'POST'].map(method => join({}, {}, method)), ['method', 'method'])
  const body = { body: { maxBytes: 1 } }
  t.same(['QUERY', 'POST', 'GET'].map(method => join({}, body, method)), [undefined, undefined, undefined])
  t.same(['PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'get', ''].filter(method => join({}, body, method) !== 'method'), [])
})

t.test('a body on a method without one keeps a request from joining', async t => {
  t.equal(join({ 'content-length': '1' }), 'request-body')
  t.equal(join({ 'content-length': '00' }), 'request-body', 'what cannot be told counts')
  t.equal(join({ 'transfer-encoding': 'chunked' }, {}, 'HEAD'), 'request-body')
  t.equal(join({ 'content-length': '0' }), undefined)
  t.equal(join({ 'content-length': '1' }, { body: {} }, 'POST'), undefined)
})

t.test('requests that ask for something else than the whole resource do not join', async t => {
  t.strictSame(['POST', 'QUERY'].map(method => join({ range: 'bytes=0-1' }, { body: {} }, method)), ['range', 'range'])
  t.equal(join({ upgrade: 'websocket' }), 'upgrade')
  t.same(['x-http-method-override', 'x-http-method', 'x-method-override'].filter(name => join({ [name]: 'DELETE' }) !== 'method-override'), [])
})

t.test('HEAD and requests with a Range may join, and may not lead', async t => {
  t.strictSame(['GET', 'HEAD'].map(method => join({ range: 'bytes=0-1' }, {}, method)), [undefined, undefined])
  t.equal(followReason({ method: 'GET', headers: { range: 'bytes=0-1' } }), 'range')
  t.equal(followReason({ method: 'GET', headers: { range: '' } }), 'range', 'what is not well formed too')
  t.equal(followReason({ method: 'HEAD', headers: {} }), 'head')
  t.equal(followReason({ method: 'HEAD', headers: { range: 'bytes=0-1' } }), 'head', 'HEAD has no ranges')
  const leading = [{}, { 'if-none-match': '"a"' }, { 'if-match': '"a"' }, { 'if-range': '"a"' }, { 'if-modified-since': 'x', 'if-unmodified-since': 'x' }]
  t.same(leading.filter(headers => followReason({ method: 'GET', headers }) !== undefined), [])
})

t.test('a Connection header that names other fields keeps a request from joining', async t => {
  const plain = ['keep-alive', 'close', 'Keep-Alive', 'close, keep-alive', '', ',']
  t.same(plain.filter(each => join({ connection: each }) !== undefined), [])
  const naming = ['x-tenant', 'keep-alive, x-tenant', 'close;', 'keep-alive=1', 'Upgrade', '"close"', 'keep-alive close']
  t.same(naming.filter(each => join({ connection: each }) !== 'connection-header'), [])
})

t.test('credentials keep a request from joining unless the key covers them', async t => {
  t.same(SETTINGS.credentials.filter(name => join({ [name]: 'x' }) !== 'credentials'), [])
  t.same(SETTINGS.credentials.filter(name => join({ [name]: '' }) !== 'credentials'), [], 'empty ones too')
  t.equal(join({ authorization: 'x' }, { headers: ['authorization'] }), undefined)
  t.equal(join({ authorization: 'x', 'x-api-key': 'y' }, { headers: ['authorization'] }), 'credentials')
  t.equal(join({ authorization: 'x', cookie: 'sid=1' }, { identity: () => 'me' }), undefined)
  t.equal(join({ 'x-token': 'x' }), undefined)
  t.equal(join({ 'x-token': 'x' }, { credentials: ['x-token'] }), 'credentials')
  t.equal(join({ cookie: 'sid=1' }, { credentials: [] }), undefined)
})

t.test('a Cookie header whose every cookie is declared carries no credentials', async t => {
  const cookies = { key: ['theme'] }
  t.equal(join({ cookie: 'theme=a' }, { cookies }), undefined)
  t.equal(join({ cookie: 'theme=a; sid=1' }, { cookies }), 'credentials')
  t.equal(join({ cookie: 'theme' }, { cookies }), 'credentials')
  t.equal(join({ cookie: '' }, { cookies }), undefined)
  t.equal(join({ cookie: 'a=1' }, { headers: ['cookie'] }), undefined)
  t.equal(join({ 'x-api-key': 'theme=a' }, { cookies }), 'credentials', 'only in a Cookie header')
})

t.test('a client certificate keeps a request from joining, unless the route tells identities apart', async t => {
  const tls = (certificate: object | null) => ({ encrypted: true, getPeerCertificate: () => certificate })
  t.equal(join({}, {}, 'GET', tls({ subject: {} })), 'credentials')
  t.equal(join({}, { identity: () => 'me' }, 'GET', tls({ subject: {} })), undefined)
  const without = [tls({}), { encrypted: true }, {}, null, { ...tls({ subject: {} }), encrypted: false }]
  t.same(without.filter(socket => join({}, {}, 'GET', socket) !== undefined), [])
})

t.test('a request joins if nothing is asked of its connection that is closed', async t => {
  const closed = { destroyed: true }
  const reasons = (socket: object, settings: Partial<JoinSettings> = {}, headers = {}, stream?: object) =>
    joinReason({ method: 'GET', headers, raw: { socket, ...stream === undefined ? {} : { stream } } }, { ...SETTINGS, ...settings })
  t.equal(reasons(closed), undefined)
  t.equal(reasons({ destroyed: false }, { identity: () => 'me' }), undefined)
  t.equal(reasons({ ...closed, encrypted: true }), 'connection-closed')
  t.equal(reasons({ encrypted: true, getPeerCertificate: () => null }), 'connection-closed', 'what it should know it does not tell any more')
  t.equal(reasons(closed, {}, {}, {}), 'connection-closed', 'over HTTP/2 there is no telling whether it was encrypted')
  t.equal(reasons({ destroyed: false, readyState: 'closed' }, { identity: () => 'me' }, {}, {}), 'connection-closed')
  t.equal(reasons({ destroyed: false, readyState: 'open' }, { identity: () => 'me' }, {}, {}), undefined)
  t.equal(reasons(closed, { identity: () => 'me' }), 'connection-closed')
  t.equal(reasons(closed, { key: () => 'one' }), 'connection-closed')
  const trusting = { router: { trustsByAddress: true } }
  t.equal(reasons(closed, trusting), undefined)
  for (const name of ['x-forwarded-host', 'x-forwarded-proto']) {
    t.equal(reasons(closed, trusting, { [name]: 'https' }), 'connection-closed')
    t.equal(reasons(closed, {}, { [name]: 'https' }), undefined)
  }
})

function share (headers: ResponseFacts['headers'] = {}, facts: Partial<ResponseFacts> = {}, statuses: readonly number[] = []) {
  return shareReason({ status: 200, trailers: false, failed: false, headers, ...facts }, statuses)
}

t.test('a status is shared if it is heuristically cacheable, declared, explicitly fresh, or a failure', async t => {
  const all = Array.from({ length: 600 }, (_, index) => index + 100)
  const shared = (headers: ResponseFacts['headers'], failed = false, statuses: number[] = []): number[] =>
    all.filter(status => share(headers, { status, failed }, statuses) === undefined)
  const heuristic = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501]
  const failures = all.filter(status => status >= 500 && status < 600)
  const possible = all.filter(status => status >= 200 && status < 600 && ![206, 304, 412, 416].includes(status))
  t.same(shared({}), [...heuristic, ...failures.filter(status => status !== 501)].sort((a, b) => a - b))
  t.same(shared({}, false, [302, 403, 206, 304, 412, 416]), [...shared({}), 302, 403].sort((a, b) => a - b))
  t.same(shared({ 'cache-control': 'max-age=1' }), possible)
  t.same(shared({ 'cache-control': 'public' }), possible)
  t.same(shared({ expires: 'Thu, 01 Dec 1994 16:00:00 GMT' }), possible)
  t.same(shared({}, true), possible)
  t.same(all.filter(status => share({}, { status }) !== undefined && share({}, { status }) !== 'status'), [])
})

t.test('a response that sets a cookie is not shared', async t => {
  t.equal(share({ 'set-cookie': 'a=1' }), 'set-cookie')
  t.equal(share({ 'set-cookie': ['a=1'] }), 'set-cookie')
  t.equal(share({ 'set-cookie': '' }), 'set-cookie')
  t.equal(share({ 'set-cookie': 'a=1' }, { failed: true, status: 500 }), 'set-cookie', 'not even a failure')
})

t.test('a response for its own client only is not shared', async t => {
  t.equal(share({ 'cache-control': 'PRIVATE' }), 'private')
  t.equal(share({ 'cache-control': ['public', 'no-store'] }), 'no-store')
  t.equal(share({ 'cache-control': 'max-age=' }), 'cache-control-malformed')
  t.equal(share({ 'cache-control': 'private' }, { failed: true, status: 500 }), 'private')
  t.equal(share({ 'cache-control': 'no-cache, max-age=0' }), undefined, 'who waits already may have it')
})

t.test('nor is one of which caches like this one are told so', async t => {
  t.equal(share({ 'cdn-cache-control': 'private', 'cache-control': 'public' }), 'private')
  t.equal(share({ 'cdn-cache-control': 'max-age=60, no-store' }), 'no-store')
  t.equal(share({ 'cdn-cache-control': 'Private' }), 'cache-control-malformed')
  t.equal(share({ 'cdn-cache-control': 'max-age=60', 'cache-control': 'private' }), 'private', 'what is forbidden to all is forbidden')
  t.strictSame(['', ' ', 'max-age=60'].map(value => share({ 'cdn-cache-control': value })), [undefined, undefined, undefined])
})

t.test('a response that varies on everything, or on what cannot be told, is not shared', async t => {
  t.equal(share({ vary: 'accept, *' }), 'vary-any')
  t.equal(share({ vary: ['accept', '*'] }), 'vary-any')
  t.equal(share({ vary: 'a b' }), 'vary-malformed')
  t.equal(share({ vary: 'accept' }), undefined)
})

t.test('trailers and event streams are not shared', async t => {
  t.equal(share({}, { trailers: true }), 'trailers')
  const types = ['text/event-stream', 'Text/Event-Stream', ' text/event-stream; charset=utf-8']
  t.same(types.filter(each => share({ 'content-type': each }) !== 'event-stream'), [])
  t.equal(share({ 'x-accel-buffering': 'No' }), 'event-stream')
  t.equal(share({ 'x-accel-buffering': 'yes', 'content-type': 'text/html' }), undefined)
})
