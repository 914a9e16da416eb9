import { connect } from 'node:http2'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'

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
