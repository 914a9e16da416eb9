import { AsyncLocalStorage } from 'node:async_hooks'
import { IncomingMessage, type ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { ask, type OwnRequest } from '../../../lib/fastify/cache/own-request.js'

const OWN: OwnRequest = { method: 'GET', url: '/', headers: {}, body: undefined, peer: { address: '0.0.0.0', encrypted: false, servername: undefined } }

const TARGET = '/%e9?q=it\'s|"{\\}#fragment'

async function received (own: Partial<OwnRequest>): Promise<IncomingMessage> {
  return await new Promise((resolve, reject) => {
    const { answer } = ask({ ...OWN, ...own }, (request, response) => {
      resolve(request)
      request.resume().once('end', () => { response.end() })
    })
    answer.then(({ error, status }) => { reject(error ?? new Error(`answered ${String(status)}`)) }, reject)
  })
}

t.test('it is what Node makes of a client\'s', async t => {
  const request = await received({ url: TARGET, headers: { host: 'h', 'x-one': 'a', 'x-two': ['b', 'c'], 'x-none': undefined, 'x-latin': '\xe9' } })
  t.ok(request instanceof IncomingMessage && request.socket instanceof Socket)
  t.equal(request.url, TARGET)
  t.strictSame(request.headers, { host: 'h', 'x-one': 'a', 'x-two': 'b, c', 'x-latin': '\xe9' })
  t.strictSame(request.rawHeaders, ['host', 'h', 'x-one', 'a', 'x-two', 'b', 'x-two', 'c', 'x-latin', '\xe9'])
  t.strictSame(request.headersDistinct['x-two'], ['b', 'c'])
  t.match(request, { method: 'GET', httpVersion: '1.1', aborted: false })
})

t.test('however much there is of its headers', async t => {
  const many = Object.fromEntries(Array.from({ length: 3000 }, (_, index) => [`x-${index}`, 'v'.repeat(100)]))
  t.strictSame((await received({ headers: many })).headers, many)
})

t.test('its body is as long as it is, whatever its headers say', async t => {
  for (const body of ['', 'text é', Buffer.from([0, 255])]) {
    const got = await new Promise<{ headers: unknown, body: string }>((resolve, reject) => {
      ask({ ...OWN, method: 'POST', headers: { 'content-length': '1', 'transfer-encoding': 'chunked' }, body }, (request, response) => {
        text(request).then(body => { resolve({ headers: request.headers, body }) }, reject).finally(() => response.end())
      })
    })
    t.strictSame(got, { headers: { 'content-length': String(Buffer.byteLength(body)) }, body: body.toString() })
  }
})

t.test('its connection says what it was told of who is at its other end', async t => {
  for (const [address, family] of [['203.0.113.7', 'IPv4'], ['2001:db8::1', 'IPv6']]) {
    const { socket } = await received({ peer: { address: String(address), encrypted: false, servername: undefined } })
    t.match(socket, { remoteAddress: address, remoteFamily: family, remotePort: 0 })
    t.notOk('encrypted' in socket)
  }
  const { socket } = await received({ peer: { address: '0.0.0.0', encrypted: true, servername: 'a.example' } })
  t.match(socket, { encrypted: true, authorized: false, servername: 'a.example' })
  t.strictSame((socket as unknown as { getPeerCertificate (): unknown }).getPeerCertificate(), {})
  t.equal(socket.setTimeout(0), socket, 'what handlers do to a connection can be done to it')
  t.equal(socket.setNoDelay(true), socket)
})

t.test('the answer tells its status, and whether it came to its end', async t => {
  const answered = async (receive: (request: IncomingMessage, response: ServerResponse) => void, own: Partial<OwnRequest> = {}): Promise<unknown> =>
    await ask({ ...OWN, ...own }, receive).answer
  t.match(await answered((_request, response) => {
    response.statusCode = 404
    response.write('a'.repeat(300_000))
    response.end('b'.repeat(300_000))
  }), { status: 404, complete: true, error: null })
  t.match(await answered((_request, response) => {
    response.write('a')
    response.destroy()
  }), { status: 200, complete: false, error: null })
  t.match(await answered(() => { throw new Error('cannot') }), { complete: false, error: { message: 'cannot' } })
  t.match(await answered(() => {}, { method: 'NO METHOD' }), { status: undefined, complete: false, error: { code: 'HPE_INVALID_METHOD' } })
  const asked = ask(OWN, () => { asked.destroy() })
  t.match(await asked.answer, { complete: false, error: null })
})

t.test('a target that HTTP/1 cannot have is that of the request all the same, and of nothing else of it', async t => {
  for (const url of ['/a HTTP/1.1\r\nx: y', '/a b', '/\xe9', '/\u20ac', 'http://a.example/b', '*']) {
    const request = await received({ url })
    t.equal(request.url, url)
    t.strictSame(request.headers, {})
  }
})

t.test('a header that would be more than one line is refused', async t => {
  for (const value of ['a\r\nx: y', 'a\n', '\u20ac']) t.throws(() => ask({ ...OWN, headers: { a: value } }, () => {}), { code: 'ERR_INVALID_CHAR' })
  t.throws(() => ask({ ...OWN, headers: { 'a b': 'c' } }, () => {}), { code: 'ERR_INVALID_HTTP_TOKEN' })
})

t.test('it is in nobody\'s context', async t => {
  const context = new AsyncLocalStorage<string>()
  const found = await context.run('a client\'s', async () => await new Promise<unknown>(resolve => {
    ask({ ...OWN, method: 'POST', body: 'body' }, (request, response) => {
      request.on('data', () => {
        resolve(context.getStore())
        response.end()
      })
    })
  }))
  t.equal(found, undefined)
})
