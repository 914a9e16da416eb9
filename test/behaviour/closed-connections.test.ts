/**
 * What can no longer be asked of a client's connection is not taken for what it says of others: such a request runs by itself.
 */
import { connect, constants } from 'node:http2'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import Fastify, { type FastifyInstance, type FastifyRequest, type FastifyServerOptions } from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { certificate } from '../fixtures/certificate.js'
import { outcomes } from '../fixtures/endings.js'
import { gate, until, type Gate } from '../fixtures/gate.js'

interface Client {
  readonly body: Promise<string>
  leave (): void
  /** Of HTTP/2: it leaves the connection open. */
  reset (): void
}

interface AsyncServer {
  readonly app: FastifyInstance
  /** What each run of the handler was given by the hook, in order. */
  readonly runs: string[]
  /** Sends a request whose hook waits at this gate, and resolves once it does. */
  ask (who: 'first' | 'nobody', headers?: Record<string, string>): Promise<Client & { readonly hook: Gate }>
  /** Its client leaves while its hook waits, which goes on once the connection is closed. */
  losesIts (client: Client & { readonly hook: Gate }, how?: 'leave' | 'reset'): Promise<void>
}

interface Teardown { teardown (fn: () => unknown): unknown }

type Kind = 'HTTP' | 'HTTPS' | 'HTTP/2'

const TLS = { ...certificate('server'), requestCert: true, rejectUnauthorized: false }
const SERVERS: Record<Kind, object> = { HTTP: {}, HTTPS: { https: TLS }, 'HTTP/2': { http2: true, https: TLS } }

/** An app whose hook remembers what it was told of a request, and then waits for something. */
async function serve (
  t: Teardown, kind: Kind, route: CoalesceRouteOptions, told: (request: FastifyRequest) => string, options: FastifyServerOptions = {}
): Promise<AsyncServer> {
  const app = Fastify({ ...SERVERS[kind], ...options }) as unknown as FastifyInstance
  await app.register(coalesce, { metrics: true })
  const waiting: Array<{ readonly request: FastifyRequest, readonly hook: Gate }> = []
  const runs: string[] = []
  app.decorateRequest('user', '')
  app.addHook('onRequest', async request => {
    request.setDecorator('user', told(request))
    const hook = gate()
    waiting.push({ request, hook })
    await hook.promise
  })
  app.get('/', { config: { coalesce: route } }, async request => {
    const user = request.getDecorator<string>('user')
    runs.push(user)
    return user
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(async () => { await app.close() })
  const { port } = app.server.address() as AddressInfo

  const send = (who: 'first' | 'nobody', headers: Record<string, string>): Client => {
    const own = who === 'nobody' ? {} : certificate('first-client')
    if (kind === 'HTTP/2') {
      const session = connect(`https://127.0.0.1:${port}`, { ...own, rejectUnauthorized: false })
      session.on('error', () => {})
      const stream = session.request({ ':path': '/', ...headers })
      const body = (async () => {
        let body = ''
        for await (const chunk of stream.setEncoding('utf8')) body += String(chunk)
        session.close()
        return body
      })()
      return { body, leave: () => { session.destroy() }, reset: () => { stream.close(constants.NGHTTP2_CANCEL) } }
    }
    let leave!: () => void
    const body = new Promise<string>((resolve, reject) => {
      const options = { host: '127.0.0.1', port, path: '/', agent: false, headers, ...own, rejectUnauthorized: false }
      const request = (kind === 'HTTP' ? httpRequest : httpsRequest)(options, response => {
        let body = ''
        response.setEncoding('utf8').on('data', (chunk: string) => { body += chunk }).on('end', () => { resolve(body) }).on('error', reject)
      }).on('error', reject)
      request.end()
      leave = () => { request.destroy() }
    })
    return { body, leave, reset: leave }
  }

  return {
    app,
    runs,
    async ask (who, headers = {}) {
      const before = waiting.length
      const client = send(who, headers)
      await until(() => waiting.length > before, 'the hook')
      return { ...client, hook: (waiting[before] as { hook: Gate }).hook }
    },
    async losesIts (client, how = 'leave') {
      const { request } = waiting.find(({ hook }) => hook === client.hook) as { request: FastifyRequest }
      const ran = runs.length
      client.body.catch(() => {})
      client[how]()
      await until(() => request.raw.socket.destroyed, 'the end of the connection')
      client.hook.open()
      await until(() => runs.length > ran, 'its run')
    }
  }
}

const nameOf = ({ raw }: FastifyRequest): string => {
  const certificate = (raw.socket as TLSSocket).getPeerCertificate() as { subject?: { CN?: string } } | null
  return certificate?.subject?.CN ?? 'nobody'
}

for (const kind of ['HTTPS', 'HTTP/2'] as const) {
  t.test(`over ${kind}, a response made for a certificate whose owner left while a hook waited reaches nobody else`, async t => {
    const server = await serve(t, kind, { ttl: '1m' }, nameOf)
    const first = await server.ask('first')
    await server.losesIts(first)
    t.strictSame(server.runs, ['first'])
    const second = await server.ask('nobody')
    second.hook.open()
    t.equal(await second.body, 'nobody')
    t.same(await outcomes(server.app), { 'bypass connection-closed': 1, 'leader shared': 1 })
  })

  t.test(`over ${kind}, an identity that is read from a certificate tells nobody's apart once its connection is closed`, async t => {
    const server = await serve(t, kind, { identity: nameOf }, nameOf)
    await server.losesIts(await server.ask('first'))
    t.same(await outcomes(server.app), { 'bypass connection-closed': 1 })
  })
}

t.test('over HTTP/2, a request that was reset while its hook waited runs by itself, although its connection is open', async t => {
  const server = await serve(t, 'HTTP/2', { ttl: '1m' }, nameOf)
  await server.losesIts(await server.ask('first'), 'reset')
  t.same(await outcomes(server.app), { 'bypass connection-closed': 1 })
})

for (const [what, route] of Object.entries<CoalesceRouteOptions>({
  identity: { identity: ({ ip }) => ip === '127.0.0.1' ? 'internal' : 'public' },
  key: { key: ({ ip }) => ip === '127.0.0.1' ? 'internal' : 'public' }
})) {
  t.test(`an ${what} that is made of the client's address runs by itself once the connection is closed`.replace('an key', 'a key'), async t => {
    const server = await serve(t, 'HTTP', route, ({ ip }) => ip)
    await server.losesIts(await server.ask('nobody'))
    t.same(await outcomes(server.app), { 'bypass connection-closed': 1 })
  })
}

for (const [name, trustProxy, expected] of [
  ['a proxy that is trusted for its address', '127.0.0.1', 'bypass connection-closed'],
  ['any proxy', true, 'leader shared']
] as const) {
  t.test(`once the connection is closed, the host that ${name} names ${trustProxy === true ? 'is told all the same' : 'cannot be told'}`, async t => {
    const server = await serve(t, 'HTTP', { learnVary: { ignore: ['x-forwarded-host'] } }, ({ host }) => host, { trustProxy })
    await server.losesIts(await server.ask('nobody', { host: 'one.example', 'x-forwarded-host': 'two.example' }))
    t.strictSame(server.runs, ['two.example'])
    t.same(await outcomes(server.app), { [expected]: 1 })
  })
}

t.test('a client that left before its request boarded leads for those of the same key where nothing is asked of its connection', async t => {
  const server = await serve(t, 'HTTP', { ttl: '1m' }, () => 'everybody')
  await server.losesIts(await server.ask('nobody'))
  const second = await server.ask('nobody')
  second.hook.open()
  t.equal(await second.body, 'everybody')
  t.same(await outcomes(server.app), { 'leader shared': 1, 'hit fresh': 1 })
})
