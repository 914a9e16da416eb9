import { connect } from 'node:http2'
import { Agent, request as httpsRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import Fastify, { type FastifyInstance, type FastifyRequest, type FastifyServerOptions } from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { certificate } from '../fixtures/certificate.js'
import { arrivedAt, held, type HeldHandler } from '../fixtures/crowd.js'
import { outcomes } from '../fixtures/endings.js'
import { TestClock, until } from '../fixtures/gate.js'

type Who = 'first' | 'second' | 'nobody'

interface SecureServer {
  readonly app: FastifyInstance
  get (who: Who, localAddress?: string): Promise<string>
}

interface Teardown { teardown (fn: () => unknown): unknown }

/** Serves a route to clients with a certificate of their own, or none, each on one connection that it keeps. */
async function secure (t: Teardown, route: CoalesceRouteOptions | true, handler: HeldHandler): Promise<SecureServer> {
  const app = Fastify({ https: { ...certificate('server'), requestCert: true, rejectUnauthorized: false } }) as unknown as FastifyInstance
  await app.register(coalesce, { metrics: true })
  app.get('/', { config: { coalesce: route } }, handler)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const agents = new Map<string, Agent>()
  t.teardown(async () => {
    for (const agent of agents.values()) agent.destroy()
    await app.close()
  })
  const get = async (who: Who, localAddress = '127.0.0.1'): Promise<string> => await new Promise((resolve, reject) => {
    const name = `${who} ${localAddress}`
    const own = who === 'nobody' ? {} : certificate(`${who}-client`)
    const agent = agents.get(name) ?? new Agent({ ...own, rejectUnauthorized: false, keepAlive: true })
    agents.set(name, agent)
    httpsRequest({ host: '127.0.0.1', port, path: '/', localAddress, agent }, response => {
      let body = ''
      response.setEncoding('utf8').on('data', (chunk: string) => { body += chunk }).on('end', () => { resolve(body) }).on('error', reject)
    }).on('error', reject).end()
  })
  return { app, get }
}

/** Without a certificate there is an empty object. */
function nameOf ({ subject }: { subject?: { CN?: string | string[] } }): string | undefined {
  return subject === undefined ? undefined : String(subject.CN)
}

const looks: Record<string, (socket: TLSSocket) => string | undefined> = {
  getPeerCertificate: socket => nameOf(socket.getPeerCertificate()),
  'getPeerCertificate with a chain': socket => nameOf(socket.getPeerCertificate(true)),
  getPeerX509Certificate: socket => socket.getPeerX509Certificate()?.subject.replace('CN=', '')
}

for (const [name, look] of Object.entries(looks)) {
  const certified = ({ raw }: FastifyRequest): string => look(raw.socket as TLSSocket) ?? 'nobody'

  t.test(`clients with certificates are each answered by ${name}, and those without share`, async t => {
    const handler = held(certified)
    const { app, get } = await secure(t, true, handler)
    const clients: Who[] = ['first', 'second', 'nobody', 'nobody', 'first', 'second']
    for (const burst of [1, 2]) {
      const asked = clients.map(who => get(who))
      if (burst === 1) {
        await arrivedAt(app.coalesce.stats, clients.length)
        handler.gate.open()
      }
      t.strictSame(await Promise.all(asked), clients)
      if (burst === 1) t.equal(handler.runs, 5)
    }
    t.match(await outcomes(app), { 'bypass credentials': 8 })
  })

  t.test(`where an identity lets certified clients share, a look by ${name} tells their addresses apart`, async t => {
    const handler = held(certified)
    const { app, get } = await secure(t, { identity: () => 'a member' }, handler)
    const asked: Array<Promise<string>> = []
    for (const [who, localAddress] of [['first', '127.0.0.1'], ['second', '127.0.0.2'], ['first', '127.0.0.1']] as const) {
      asked.push(get(who, localAddress))
      await arrivedAt(app.coalesce.stats, asked.length)
    }
    handler.gate.open()
    t.strictSame(await Promise.all(asked), ['first', 'second', 'first'])
    t.equal(handler.runs, 2)
  })
}

t.test('where an identity lets certified clients share, a handler that does not look at the connection answers them with one run', async t => {
  const handler = held(() => 'shared')
  const { app, get } = await secure(t, { identity: () => 'a member' }, handler)
  const asked = [get('first'), get('second', '127.0.0.2')]
  await arrivedAt(app.coalesce.stats, 2)
  handler.gate.open()
  t.strictSame([await Promise.all(asked), handler.runs], [['shared', 'shared'], 1])
})

t.test('over HTTP/2, too, clients with certificates are each answered by their own', async t => {
  const handler = held(({ raw }) => looks.getPeerCertificate?.(raw.socket as TLSSocket) ?? 'nobody')
  const app = Fastify({
    http2: true, https: { ...certificate('server'), requestCert: true, rejectUnauthorized: false }
  }) as unknown as FastifyInstance
  await app.register(coalesce, { metrics: true })
  app.get('/', { config: { coalesce: true } }, handler)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const origin = `https://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  const sessions = [certificate('first-client'), certificate('second-client'), {}, {}]
    .map(own => connect(origin, { ...own, rejectUnauthorized: false }))
  t.teardown(async () => {
    for (const session of sessions) session.close()
    await app.close()
  })
  const asked = sessions.map(async session => {
    let body = ''
    for await (const chunk of session.request({ ':path': '/' }).setEncoding('utf8')) body += String(chunk)
    return body
  })
  await arrivedAt(app.coalesce.stats, 4)
  handler.gate.open()
  t.strictSame(await Promise.all(asked), ['first', 'second', 'nobody', 'nobody'])
  t.same(await outcomes(app), { 'bypass credentials': 2, 'leader shared': 1, 'follower shared': 1 })
})

for (const http2 of [false, true]) {
  t.test(`clients of one host that began TLS with other names, or none,${http2 ? ' over HTTP/2' : ''} are each answered by their own, kept and refreshed as well`, async t => {
    const clock = new TestClock()
    const runs: string[] = []
    const app = Fastify({ http2, https: certificate('server') } as unknown as FastifyServerOptions) as unknown as FastifyInstance
    await app.register(coalesce, { clock })
    app.get('/', { config: { coalesce: { ttl: '10s', staleWhileRevalidate: '10m' } } }, async ({ raw }) => {
      const name = String((raw.socket as unknown as { servername: unknown }).servername)
      runs.push(name)
      return name
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    t.teardown(async () => { await app.close() })
    const { port } = app.server.address() as AddressInfo
    const get = async (servername: string): Promise<string> => {
      // Without a name: as for an address.
      const own = { servername: servername === 'false' ? '' : servername, rejectUnauthorized: false }
      let body = ''
      if (http2) {
        const session = connect(`https://127.0.0.1:${port}`, own)
        for await (const chunk of session.request({ ':path': '/', ':authority': 'one.example:1' }).setEncoding('utf8')) body += String(chunk)
        session.close()
        return body
      }
      return await new Promise((resolve, reject) => {
        httpsRequest({ host: '127.0.0.1', port, path: '/', agent: false, headers: { host: 'one.example:1' }, ...own }, response => {
          response.setEncoding('utf8').on('data', (chunk: string) => { body += chunk }).on('end', () => { resolve(body) })
        }).on('error', reject).end()
      })
    }
    const names = ['one.example', 'two.example', 'false', 'one.exampl', 'one.example', 'two.example', 'false']
    for (const name of names) t.equal(await get(name), name)
    t.strictSame(runs, ['one.example', 'two.example', 'false', 'one.exampl'])
    clock.advance(11_000)
    for (const name of ['one.example', 'two.example', 'false']) t.equal(await get(name), name)
    await until(() => runs.length === 7, 'the refreshes')
    t.strictSame(runs.slice(4), ['one.example', 'two.example', 'false'])
    for (const name of ['one.example', 'two.example', 'false']) t.equal(await get(name), name)
  })
}
