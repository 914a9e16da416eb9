/** The proxy of these tests does to connections what networks do, and nothing worse. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { until } from '../fixtures/gate.js'
import { tcpProxy, type TcpProxy } from '../fixtures/redis/proxy.js'

/** A client at a proxy, in front of a server that has heard of it. */
async function connected (t: Test): Promise<{ way: TcpProxy, client: Socket, served: Socket }> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  const way = await tcpProxy(t, { host: '127.0.0.1', port: (server.address() as AddressInfo).port })
  const client = connect(way.port, way.host).on('error', () => {})
  const [served] = await once(server, 'connection') as [Socket]
  served.on('error', () => {}).resume()
  t.teardown(() => { served.destroy() })
  return { way, client, served }
}

t.test('a server does not learn that a client has gone while nothing passes, and does once all passes again', async t => {
  const { way, client, served } = await connected(t)
  way.blackHole()
  client.destroy()
  await until(() => way.connections === 0, 'the end of the client')
  t.notOk(served.closed)
  way.pass()
  await once(served, 'close')
})

t.test('a connection that is reset in the moment in which it is ended is closed', async t => {
  const { way, client, served } = await connected(t)
  way.halfClose()
  way.reset()
  await Promise.all([once(client, 'close'), once(served, 'close')])
  // Waits for all of its connections.
  await way.close()
})
