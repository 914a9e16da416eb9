import { connect, type ClientHttp2Stream, type Http2ServerRequest } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import { gate, TestClock, until } from '../fixtures/gate.js'
import { metric } from '../fixtures/server.js'

t.test('an HTTP/2 GET with a body of untold length bypasses, and one without leads', async t => {
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  await app.register(coalesce)
  app.get('/', { config: { coalesce: true } }, async request => request.coalesce?.outcome ?? 'leads')
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  t.teardown(async () => {
    session.destroy()
    await app.close()
  })
  const ask = async (body?: string): Promise<string> => {
    const stream = session.request({ ':method': 'GET', ':path': '/' }, { endStream: body === undefined })
    if (body !== undefined) stream.end(body)
    let text = ''
    for await (const chunk of stream) text += String(chunk)
    return text
  }
  t.not(await ask(), 'bypass')
  t.equal(await ask('body'), 'bypass')
})

t.test('an HTTP/2 handler that looks at the authority or the scheme itself answers none of another one', async t => {
  for (const name of ['authority', 'scheme'] as const) {
    const app = Fastify({ http2: true }) as unknown as FastifyInstance
    const opening = gate()
    await app.register(coalesce)
    app.get('/', { config: { coalesce: true } }, async request => {
      await opening.promise
      return (request.raw as unknown as Http2ServerRequest)[name]
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    const session = connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
    t.teardown(async () => {
      session.destroy()
      await app.close()
    })
    const answers = ['http', 'https'].map(async scheme => {
      const stream = session.request({ ':path': '/', ':scheme': scheme, ':authority': scheme, host: 'example.org' })
      let text = ''
      for await (const chunk of stream) text += String(chunk)
      return text
    })
    await until(() => app.coalesce.stats().totalRequests === 2, 'both requests')
    opening.open()
    t.strictSame(await Promise.all(answers), ['http', 'https'])
  }
})

t.test('an HTTP/2 POST with a body that the handler reads itself is never answered with what was made of another one', async t => {
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  const opening = gate()
  await app.register(coalesce)
  app.post('/', { config: { coalesce: { body: true } } }, async request => {
    await opening.promise
    let text = ''
    for await (const chunk of request.raw) text += String(chunk)
    return `made of ${text}`
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  t.teardown(async () => {
    session.destroy()
    await app.close()
  })
  const answers = ['one', 'another'].map(async body => {
    const stream = session.request({ ':method': 'POST', ':path': '/' })
    stream.end(body)
    let text = ''
    for await (const chunk of stream) text += String(chunk)
    return text
  })
  await until(() => app.coalesce.stats().totalRequests === 2, 'both requests')
  opening.open()
  t.strictSame(await Promise.all(answers), ['made of one', 'made of another'])
})

t.test('what is kept of HTTP/2 requests is refreshed, where a hook looks for the host as well', async t => {
  const clock = new TestClock()
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  await app.register(coalesce, { clock })
  let runs = 0
  app.addHook('onRequest', async request => { request.log.debug(request.host) })
  app.get('/', { config: { coalesce: { ttl: '10s', staleWhileRevalidate: '10m' } } }, async () => String(++runs))
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  t.teardown(async () => {
    session.destroy()
    await app.close()
  })
  const ask = async (): Promise<string> => {
    let text = ''
    for await (const chunk of session.request({ ':path': '/' })) text += String(chunk)
    return text
  }
  t.equal(await ask(), '1')
  clock.advance(11_000)
  t.equal(await ask(), '1')
  await until(() => runs === 2, 'the refresh')
  // What it brought is kept some turns later.
  let text = await ask()
  for (let turn = 0; turn < 100 && text === '1'; turn++) text = await ask()
  t.strictSame([text, runs], ['2', 2])
})

t.test('an HTTP/2 response that is cut off does not end as one that is complete, whyever', async t => {
  for (const late of [false, true]) {
    const app = Fastify({ http2: true }) as unknown as FastifyInstance
    const [opening, rest] = [gate(), gate()]
    await app.register(coalesce)
    app.get('/', { config: { coalesce: true } }, async request => {
      await opening.promise
      return Readable.from((async function * () {
        yield 'a part '
        await rest.promise
        if (!late) throw new Error('cut off')
        yield `for ${String(request.headers['x-tenant'])}`
      })())
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    const session = connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
    t.teardown(async () => {
      session.destroy()
      await app.close()
    })
    let begun = 0
    const answers = ['first', 'second', 'first'].map(async (tenant, index) => {
      await until(() => app.coalesce.stats().totalRequests === index, 'those before')
      const stream = session.request({ ':path': '/', 'x-tenant': tenant })
      let text = ''
      try {
        for await (const chunk of stream) {
          if (text === '') begun++
          text += String(chunk)
        }
      } catch (error) {
        return (error as { code?: string }).code
      }
      return text
    })
    await until(() => app.coalesce.stats().totalRequests === 3, 'all requests')
    opening.open()
    await until(() => begun === 3, 'the beginnings')
    rest.open()
    t.strictSame(await Promise.all(answers), late
      ? ['a part for first', 'ERR_HTTP2_STREAM_ERROR', 'a part for first']
      : ['ERR_HTTP2_STREAM_ERROR', 'ERR_HTTP2_STREAM_ERROR', 'ERR_HTTP2_STREAM_ERROR'])
  }
})

t.test('an HTTP/2 client that leaves before its answer, or before it waits for one, is not waited for', async t => {
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  const [hook, opening] = [gate(), gate()]
  const source = new Readable({ read () {} })
  let hooked = 0
  const closed: boolean[] = []
  await app.register(coalesce, { metrics: true })
  app.addHook('onRequest', async request => {
    request.raw.once('close', () => { closed.push(true) })
    if (request.url !== '/held' || ++hooked === 1) return
    await hook.promise
  })
  app.get('/stream', { config: { coalesce: true } }, async () => {
    await opening.promise
    return source
  })
  app.get('/held', { config: { coalesce: true } }, async () => {
    await opening.promise
    return 'held'
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  t.teardown(async () => {
    session.destroy()
    await app.close()
  })
  const ask = (path: string): ClientHttp2Stream => session.request({ ':path': path }).on('error', () => {})
  const stays = ask('/held').setEncoding('utf8')
  await until(() => app.coalesce.stats().totalRequests === 1, 'the leader')
  const leave = [ask('/held'), ask('/stream')]
  await until(() => app.coalesce.stats().totalRequests === 2 && hooked === 2, 'the others')
  for (const each of leave) each.close(8)
  await until(() => closed.length === 2, 'their leaving')
  hook.open()
  await until(() => app.coalesce.stats().totalRequests === 3, 'the one with the hook')
  t.equal(await metric(app, 'coalesce_waiters'), 0)
  source.push('a beginning')
  opening.open()
  await until(() => source.destroyed, 'the end of the stream')
  t.equal(await metric(app, 'coalesce_recorded_bytes'), 0)
  let text = ''
  for await (const chunk of stays) text += String(chunk)
  t.equal(text, 'held')
})
