import { request as httpRequest } from 'node:http'
import t from 'tap'
import { held } from '../fixtures/crowd.js'
import { serve } from '../fixtures/server.js'

for (const [what, remote] of [['127.0.0.2', '127.0.0.2'], ['the same address', '127.0.0.1']] as const) {
  t.test(`what a handler made of request.socket's address for one client, a client at ${what} ${remote === '127.0.0.1' ? 'shares' : 'does not get'}`, async t => {
    const handler = held(request => request.socket.remoteAddress)
    const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
    const first = server.get('/')
    await server.arrived(1)
    const second = new Promise<string>((resolve, reject) => {
      httpRequest({ host: '127.0.0.1', port: server.port, path: '/', localAddress: remote, agent: false }, response => {
        let body = ''
        response.on('data', chunk => { body += String(chunk) })
        response.on('end', () => { resolve(body) })
      }).on('error', reject).end()
    })
    await server.arrived(2)
    handler.gate.open()
    t.equal((await first).body, '127.0.0.1')
    t.equal(await second, remote)
    t.equal(handler.runs, remote === '127.0.0.1' ? 1 : 2)
  })
}

t.test('a handler that looks at no more than the protocol shares across addresses', async t => {
  const handler = held(request => request.protocol)
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const first = server.get('/')
  await server.arrived(1)
  const second = new Promise<void>((resolve, reject) => {
    httpRequest({ host: '127.0.0.1', port: server.port, path: '/', localAddress: '127.0.0.2', agent: false }, response => {
      response.resume().on('end', resolve)
    }).on('error', reject).end()
  })
  await server.arrived(2)
  handler.gate.open()
  await Promise.all([first, second])
  t.equal(handler.runs, 1)
})
