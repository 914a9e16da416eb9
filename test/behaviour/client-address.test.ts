import { request as httpRequest } from 'node:http'
import { connect as connectHttp2, constants } from 'node:http2'
import { connect, Socket, type AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import { unwatchSocket, watchSocket, type SocketObserver } from '../../lib/fastify/dependencies/socket-reads.js'
import { arrivedAt, held } from '../fixtures/crowd.js'
import { getFrom, waiting } from '../fixtures/endings.js'
import { until } from '../fixtures/gate.js'
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

const looks: Record<string, (request: FastifyRequest, reply: FastifyReply) => unknown> = {
  'request.raw.socket.remoteAddress': request => request.raw.socket.remoteAddress,
  'request.raw.connection.remoteAddress': request => (request.raw as unknown as { connection: Socket }).connection.remoteAddress,
  'reply.raw.socket.remoteAddress': (_request, reply) => reply.raw.socket?.remoteAddress,
  'request.raw.socket.address()': ({ raw: { socket } }) => Object.keys(socket.address()).length > 0 && socket.remoteAddress,
  destructuring: ({ raw: { socket: { remoteAddress } } }) => remoteAddress,
  'Reflect.get': ({ raw }) => Reflect.get(raw.socket, 'remoteAddress') as unknown,
  'what it does after a wait': async ({ raw }) => {
    await new Promise(resolve => setImmediate(resolve))
    return raw.socket.remoteAddress
  }
}

for (const [name, look] of Object.entries(looks)) {
  t.test(`a handler that looks at the client's address by ${name} answers clients at that address`, async t => {
    const handler = held(async (request, reply) => String(await look(request, reply)))
    const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
    for (const burst of [1, 2]) {
      const asked = ['127.0.0.1', '127.0.0.2', '127.0.0.1'].map(address => getFrom(server, address, '/'))
      if (burst === 1) {
        await server.arrived(3)
        handler.gate.open()
      }
      t.same(await Promise.all(asked), ['127.0.0.1', '127.0.0.2', '127.0.0.1'])
    }
  })
}

const TOLD: Record<string, (address: string) => PropertyDescriptor> = {
  'as a property': value => ({ value, configurable: true, writable: true, enumerable: true }),
  'with a getter': address => ({ get: () => address, configurable: true })
}

for (const [how, told] of Object.entries(TOLD)) {
  t.test(`where a connection was given the address that its proxy tells, ${how}, a handler that looks at it answers clients at that address`, async t => {
    const handler = held(({ raw }) => raw.socket.remoteAddress)
    const addresses = ['10.0.0.1', '10.0.0.2', '10.0.0.1']
    let connections = 0
    const server = await serve(t, app => {
      app.server.prependListener('connection', socket => {
        Object.defineProperty(socket, 'remoteAddress', told(addresses[connections++ % 3] as string))
      })
      app.get('/', { config: { coalesce: true } }, handler)
    })
    for (const burst of [1, 2]) {
      const asked: Array<Promise<string>> = []
      for (let count = 1; count <= 3; count++) {
        asked.push(getFrom(server, '127.0.0.1', '/'))
        await server.arrived(3 * (burst - 1) + count)
      }
      handler.gate.open()
      t.strictSame(await Promise.all(asked), addresses)
    }
    t.ok(handler.runs < 6, `${handler.runs} runs for 6 requests`)
  })
}

t.test('an address that cannot be changed is left alone', async t => {
  const socket = Object.defineProperty(new Socket(), 'remoteAddress', { value: '10.0.0.1' })
  const looking = { readAddress () {} }
  unwatchSocket(watchSocket({ socket, httpVersionMajor: 1 }, looking), looking)
  t.equal(socket.remoteAddress, '10.0.0.1')
})

t.test('what hooks and the log make of request.raw.socket keeps nobody from sharing', async t => {
  const look = async ({ raw }: FastifyRequest): Promise<void> => { raw.socket.address() }
  const handler = held(() => 'shared')
  const server = await serve(t, app => {
    app.addHook('onRequest', look)
    app.addHook('preHandler', look)
    app.addHook('onSend', look)
    app.get('/', { config: { coalesce: true } }, handler)
  }, {}, { logger: { level: 'trace', stream: { write () {} } } })
  const asked = ['127.0.0.1', '127.0.0.2', '127.0.0.3'].map(address => getFrom(server, address, '/'))
  await server.arrived(3)
  handler.gate.open()
  t.same([await Promise.all(asked), handler.runs], [['shared', 'shared', 'shared'], 1])
})

t.test('the runs of one connection are told of a look one after the other, and those in a pipeline together', async t => {
  const told: string[] = []
  const looking = (name: string): SocketObserver => ({ readAddress () { told.push(name) } })
  const socket = new Socket()
  const raw = { socket, httpVersionMajor: 1 }
  const [first, second] = [looking('first'), looking('second')]
  const lookers = watchSocket(raw, first)
  t.equal(watchSocket(raw, second), lookers)
  t.equal(socket.remoteAddress, undefined)
  unwatchSocket(lookers, first)
  unwatchSocket(lookers, first)
  t.same(socket.address(), {})
  unwatchSocket(lookers, second)
  t.equal(socket.remotePort, undefined)
  t.same(told, ['first', 'second', 'second'])
  t.ok(socket instanceof Socket)
  Object.assign(socket, { remoteAddress: 'a proxy has said so' })
  t.equal(socket.remoteAddress, 'a proxy has said so')
  const other = { remoteAddress: 'injected' }
  unwatchSocket(watchSocket({ socket: other, httpVersionMajor: 1 }, second), second)
  t.equal(Object.getPrototypeOf(other), Object.prototype)
})

t.test('a run over HTTP/2 puts nothing on its stream or on its session, for which the socket stands in', async t => {
  interface Http2 { stream: { session: object, address?: () => unknown } }
  const names = ({ raw }: FastifyRequest): PropertyKey[] => {
    const { stream } = raw as unknown as Http2
    return [...Reflect.ownKeys(stream), ...Reflect.ownKeys(stream.session)]
  }
  const before = new WeakMap<FastifyRequest, PropertyKey[]>()
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  await app.register(coalesce)
  app.addHook('onRequest', async request => { before.set(request, names(request)) })
  app.get('/', { config: { coalesce: true } }, async request => {
    const here = before.get(request) ?? []
    return names(request).filter(name => !here.includes(name)).map(String)
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connectHttp2(`http://127.0.0.1:${(app.server.address() as { port: number }).port}`)
  t.teardown(async () => {
    session.close()
    await app.close()
  })
  for (let count = 0; count < 2; count++) {
    let body = ''
    for await (const chunk of session.request({ ':path': '/' }).setEncoding('utf8')) body += String(chunk)
    t.equal(body, '[]')
  }
})

for (const [what, look] of [
  ['request.ip', (request: FastifyRequest) => request.ip],
  ['request.socket', (request: FastifyRequest) => request.socket.remoteAddress]
] as const) {
  t.test(`with HTTP/2, and where requests are injected, a handler that looks at ${what} answers clients at that address`, async t => {
    const handler = held(look)
    const app = Fastify({ http2: true }) as unknown as FastifyInstance
    await app.register(coalesce)
    app.get('/', { config: { coalesce: true } }, handler)
    await app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = app.server.address() as { port: number }
    const sessions = ['127.0.0.1', '127.0.0.2'].map(localAddress =>
      connectHttp2('http://127.0.0.1', { createConnection: () => connect({ port, host: '127.0.0.1', localAddress }) }))
    t.teardown(async () => {
      for (const session of sessions) session.close()
      await app.close()
    })
    const asked = [...sessions, ...sessions].map(async session => {
      let body = ''
      for await (const chunk of session.request({ ':path': '/' }).setEncoding('utf8')) body += String(chunk)
      return body
    })
    const injected = ['10.0.0.1', '10.0.0.2'].map(async remoteAddress =>
      (await app.inject({ url: '/', remoteAddress, headers: { host: '127.0.0.1' } })).body)
    await arrivedAt(() => app.coalesce.stats(), 6)
    handler.gate.open()
    t.strictSame(await Promise.all([...asked, ...injected]), ['127.0.0.1', '127.0.0.2', '127.0.0.1', '127.0.0.2', '10.0.0.1', '10.0.0.2'])
  })
}

const BEHIND: Record<string, (request: FastifyRequest) => unknown> = {
  'request.socket': request => request.socket.remoteAddress,
  'request.raw.socket': request => request.raw.socket.remoteAddress,
  'request.ip': request => request.ip
}

for (const [what, look] of Object.entries(BEHIND)) {
  t.test(`where a proxy is trusted, a client that says it comes from another's address has not what a handler made of that one's ${what}`, async t => {
    const handler = held(request => `${String(look(request))} from ${String(request.raw.socket.remoteAddress)}`)
    const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) }, {}, { trustProxy: true })
    for (const burst of [1, 2]) {
      const asked = [getFrom(server, '127.0.0.1', '/'), getFrom(server, '127.0.0.2', '/', { 'x-forwarded-for': '127.0.0.1' }), getFrom(server, '127.0.0.1', '/')]
      if (burst === 1) {
        await server.arrived(3)
        handler.gate.open()
      }
      const other = what === 'request.ip' ? '127.0.0.1' : '127.0.0.2'
      t.same(await Promise.all(asked), ['127.0.0.1 from 127.0.0.1', `${other} from 127.0.0.2`, '127.0.0.1 from 127.0.0.1'])
    }
  })
}

const FAILURES: Record<string, (error: Error, request: FastifyRequest, reply: FastifyReply) => unknown> = {
  'answers with the address': async (_error, request, reply) => await reply.code(500).send({ message: request.ip }),
  'puts the address into the error': async (error, request, reply) => await reply.send(Object.assign(error, { message: request.ip })),
  'returns an error with the address': (_error, request) => new Error(request.raw.socket.remoteAddress)
}

for (const [what, answer] of Object.entries(FAILURES)) {
  t.test(`a handler of errors that ${what} answers clients at that address`, async t => {
    const handler = held(() => { throw new Error('failed') })
    const server = await serve(t, app => {
      app.setErrorHandler(answer)
      app.get('/', { config: { coalesce: true } }, handler)
    }, {}, { logger: { level: 'trace', stream: { write () {} } } })
    const addresses = ['127.0.0.1', '127.0.0.2', '127.0.0.1']
    const asked = addresses.map(address => getFrom(server, address, '/'))
    await server.arrived(3)
    handler.gate.open()
    t.same((await Promise.all(asked)).map(body => (JSON.parse(body) as Error).message), addresses)
    t.equal(handler.runs, 2)
  })
}

t.test('what a hook and the log make of the address once a handler has failed keeps nobody from sharing the failure', async t => {
  const handler = held(() => { throw new Error('failed') })
  const seen: string[] = []
  const server = await serve(t, app => {
    app.addHook('onError', async request => { seen.push(request.ip) })
    app.get('/', { config: { coalesce: true } }, handler)
  }, {}, { logger: { level: 'trace', stream: { write () {} } } })
  const asked = ['127.0.0.1', '127.0.0.2', '127.0.0.3'].map(address => getFrom(server, address, '/'))
  await server.arrived(3)
  handler.gate.open()
  t.same((await Promise.all(asked)).map(body => (JSON.parse(body) as Error).message), ['failed', 'failed', 'failed'])
  t.same([seen, handler.runs], [['127.0.0.1'], 1])
})

t.test('over HTTP/2, what a handler made of the address of a client that left meanwhile goes to those at that address, and is kept for them', async t => {
  const handler = held()
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  await app.register(coalesce, { metrics: true })
  let led: FastifyRequest | undefined
  app.get('/', { config: { coalesce: { ttl: '1m' } } }, async (request, reply) => {
    led ??= request
    const { ip } = request
    await handler(request, reply)
    return ip
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connectHttp2(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  t.teardown(async () => {
    session.close()
    await app.close()
  })
  const ask = async (stream = session.request({ ':path': '/' })): Promise<string> => {
    let body = ''
    for await (const chunk of stream.setEncoding('utf8')) body += String(chunk)
    return body
  }
  const first = session.request({ ':path': '/' })
  await arrivedAt(app.coalesce.stats, 1)
  const others = [ask(), ask()]
  await waiting(app, 2)
  first.close(constants.NGHTTP2_CANCEL)
  await until(() => led?.raw.socket.destroyed === true, 'the end of its stream')
  handler.gate.open()
  t.strictSame(await Promise.all(others), ['127.0.0.1', '127.0.0.1'])
  t.equal(await ask(), '127.0.0.1')
  t.equal(handler.runs, 1)
})
