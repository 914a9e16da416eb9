/**
 * "A stream is live in the other processes too, if that is wanted."
 */
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { redisCoordinator } from '../../lib/redis/coordinator.js'
import type { RedisCoordinatorOptions } from '../../lib/redis/options.js'
import type { CoalesceOptions, CoalesceRouteOptions, Coordination, CoordinationFigures, CoordinationMember } from '../../types/index.js'
import { grounded as landed } from '../fixtures/endings.js'
import { PATIENCE, until } from '../fixtures/gate.js'
import { leftIn } from '../fixtures/redis/peers.js'
import { tcpProxy } from '../fixtures/redis/proxy.js'
import { redisServer, withServer, type RedisServer } from '../fixtures/redis/server.js'
import { metric, serve, type TestServer } from '../fixtures/server.js'

interface AppOptions {
  readonly at?: { readonly host: string, readonly port: number }
  readonly coordinator?: Partial<RedisCoordinatorOptions>
  readonly route?: CoalesceRouteOptions
  readonly options?: CoalesceOptions
  readonly head?: (reply: FastifyReply) => unknown
}

interface App extends TestServer {
  figures (): CoordinationFigures
  /** What its runs write to. */
  readonly sources: PassThrough[]
  /** Opens a request. */
  open (path?: string, options?: { readonly method?: string, readonly headers?: Record<string, string> }): Promise<Download>
  ask (path?: string, headers?: Record<string, string>): Promise<Download>
}

/** A response that is on its way. */
interface Download {
  readonly response: IncomingMessage
  readonly text: () => string
  /** How it ended. */
  readonly end: Promise<'whole' | 'broken off'>
  has (text: string): Promise<void>
}

function download (response: IncomingMessage): Download {
  let text = ''
  response.on('data', (chunk: Buffer) => { text += chunk.toString() })
  response.on('error', () => {})
  const end = new Promise<'whole' | 'broken off'>(resolve => {
    response.once('close', () => { resolve(response.complete ? 'whole' : 'broken off') })
  })
  return {
    response,
    end,
    text: () => text,
    has: async wanted => { await until(() => text === wanted, `the text ${wanted.slice(0, 50)} instead of ${text.slice(0, 50)}`) }
  }
}

/** An app whose streams the test writes, with connections of its own, as if it were a process. */
async function appOf (t: Test, server: RedisServer, {
  at = server, coordinator: more = {}, route = {}, options = {}, head = () => {}
}: AppOptions = {}): Promise<App> {
  const client = new Redis({ host: at.host, port: at.port, lazyConnect: true })
  const redis = redisCoordinator({ client, namespace: 'test', secret: 'a secret for tests', relay: true, opTimeout: 1_000, ...more })
  let coordination: Coordination | undefined
  const coordinator = { open: (member: CoordinationMember) => (coordination = redis.open(member)) }
  const sources: PassThrough[] = []
  const app = await serve(t, async fastify => {
    fastify.get('/', { config: { coalesce: route } }, async (_request, reply) => {
      head(reply)
      const source = new PassThrough({ highWaterMark: 100_000_000 })
      sources.push(source)
      return await reply.type('text/plain').send(source)
    })
  }, { coordinator, ...options })
  t.teardown(() => { for (const source of sources) source.destroy() })
  const ask: App['open'] = async (path = '/', { method = 'GET', headers = {} } = {}) => await new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port: app.port, path, method, headers: { host: 'app.test', ...headers }, agent: false })
    request.on('response', response => { resolve(download(response)) })
    request.on('error', reject)
    request.end()
  })
  return { ...app, figures: () => coordination?.figures?.() as CoordinationFigures, sources, open: ask, ask: async (path, headers = {}) => await ask(path, { headers }) }
}

async function appsOf (t: Test, server: RedisServer, count: number, options?: AppOptions): Promise<App[]> {
  return await Promise.all(Array.from({ length: count }, async () => await appOf(t, server, options)))
}

/** A stream of the first app has begun, and the second follows it. */
async function begun (a: App, b: App, text = 'first '): Promise<{ first: Download, second: Download }> {
  const runs = a.sources.length
  const first = a.ask()
  await until(() => a.sources.length > runs, 'the run')
  const source = a.sources[runs] as PassThrough
  const arrived = b.figures().joins.follows
  const second = b.ask()
  await until(() => b.figures().joins.follows > arrived, 'the follower')
  source.write(text)
  const both = { first: await first, second: await second }
  await both.first.has(text)
  await both.second.has(text)
  return both
}

let late: FastifyReply | undefined

/** Notes for newcomers last for a while. */
const keysOf = async (server: RedisServer): Promise<string[]> => (await leftIn(server)).keys.filter(key => !key.includes(':n:'))

/** Nothing is left in Redis, and no bytes are held. */
async function grounded (server: RedisServer, apps: readonly App[]): Promise<void> {
  let left = ['?']
  const deadline = performance.now() + PATIENCE
  while (left.length > 0) {
    left = await keysOf(server)
    if (performance.now() > deadline) throw new Error(`this is left: ${left.join()}`)
  }
  for (const { app } of apps) {
    await landed(app)
  }
}

/** What is left in Redis ends by itself. */
async function expiring (server: RedisServer): Promise<void> {
  for (const key of await keysOf(server)) if (await server.command('PTTL', key) === -1) throw new Error(`this is left for ever: ${key}`)
  await server.command('FLUSHALL')
}

t.test('streams between processes', withServer, async t => {
  const server = await redisServer(t)

  t.test('a client of another process has the first bytes before the handler has written its last', async t => {
    const [a, b] = await appsOf(t, server, 2) as [App, App]
    const { first, second } = await begun(a, b)
    t.equal(second.response.statusCode, 200)
    t.equal(second.response.headers['content-type'], 'text/plain')

    a.sources[0]?.write('second ')
    await second.has('first second ')
    a.sources[0]?.end('last')

    t.equal(await first.end, 'whole')
    t.equal(await second.end, 'whole')
    t.equal(second.text(), 'first second last')
    t.equal(b.sources.length, 0)
    t.equal(await metric(b.app, 'coalesce_requests_total', { outcome: 'peer' }), 1)
    await grounded(server, [a, b])
  })

  t.test('who comes later, in whatever process, has all from the first byte on', async t => {
    const [a, b, c] = await appsOf(t, server, 3) as [App, App, App]
    const { first, second } = await begun(a, b)
    const late = await b.open()
    await late.has('first ')
    a.sources[0]?.write('second ')
    await second.has('first second ')
    const third = await c.open()
    await third.has('first second ')
    a.sources[0]?.end('last')

    for (const { end, text } of [first, second, late, third]) t.strictSame([await end, text()], ['whole', 'first second last'])
    t.strictSame([b.sources.length, c.sources.length], [0, 0])
    await grounded(server, [a, b, c])
  })

  t.test('who comes before the stream has begun has it as soon as it begins, and large chunks come whole', async t => {
    const [a, b] = await appsOf(t, server, 2) as [App, App]
    const { second } = await begun(a, b, 'x')
    a.sources[0]?.write('y'.repeat(400_000))
    a.sources[0]?.end('z'.repeat(100))

    t.equal(await second.end, 'whole')
    t.equal(second.text(), 'x' + 'y'.repeat(400_000) + 'z'.repeat(100))
    await grounded(server, [a, b])
  })

  t.test('a stream that fails is broken off in all processes, and the next one is a new one', async t => {
    const [a, b] = await appsOf(t, server, 2) as [App, App]
    const { first, second } = await begun(a, b)
    a.sources[0]?.destroy(new Error('broken'))

    t.equal(await first.end, 'broken off')
    t.equal(await second.end, 'broken off')
    t.equal(await metric(b.app, 'coalesce_cut_off_total', { reason: 'cut-off' }), 1)
    await until(() => a.figures().handOffTimes.counts.some(count => count > 0))
    const next = b.open()
    await until(() => b.sources.length === 1)
    b.sources[0]?.end('anew')
    await (await next).has('anew')
    await grounded(server, [a, b])
  })

  t.test('if the process of a stream is gone, the stream is broken off elsewhere', async t => {
    const proxy = await tcpProxy(t, server)
    const a = await appOf(t, server, { at: proxy })
    const b = await appOf(t, server)
    const { second } = await begun(a, b)
    proxy.refuse()

    t.equal(await second.end, 'broken off')
    t.equal(second.text(), 'first ')
    t.equal(b.figures().takeovers, 1)
    await expiring(server)
  })

  t.test('if the process of a stream hangs, the stream is broken off elsewhere when its lease has run out', async t => {
    const proxy = await tcpProxy(t, server)
    const a = await appOf(t, server, { at: proxy, coordinator: { lease: 400 } })
    const b = await appOf(t, server, { coordinator: { lease: 400 } })
    const { second } = await begun(a, b)
    proxy.blackHole()

    t.equal(await second.end, 'broken off')
    t.equal(second.text(), 'first ')
  })

  t.test('a stream that is silent goes on for longer than a lease', async t => {
    const [a, b] = await appsOf(t, server, 2, { coordinator: { lease: 400 }, route: { flightTimeout: 500 } }) as [App, App]
    const { second } = await begun(a, b)
    await new Promise(resolve => setTimeout(resolve, 1_200))
    a.sources[0]?.end('last')

    t.equal(await second.end, 'whole')
    t.equal(second.text(), 'first last')
    await grounded(server, [a, b])
  })

  t.test('if a process cannot reach Redis any more, the streams of others are broken off there', async t => {
    const proxy = await tcpProxy(t, server)
    const a = await appOf(t, server)
    const b = await appOf(t, server, { at: proxy, coordinator: { opTimeout: 150 } })
    const { first, second } = await begun(a, b)
    proxy.refuse()

    t.equal(await second.end, 'broken off')
    a.sources[0]?.end('last')
    t.equal(await first.end, 'whole')
    await expiring(server)
  })

  t.test('a connection that is away for a moment costs nothing', async t => {
    const proxy = await tcpProxy(t, server)
    const [a, b] = await appsOf(t, server, 2, { at: proxy }) as [App, App]
    const { second } = await begun(a, b)
    proxy.reset()
    a.sources[0]?.write('second ')
    await second.has('first second ')
    a.sources[0]?.end('last')

    t.equal(await second.end, 'whole')
    await grounded(server, [a, b])
  })

  t.test('a stream that grows past maxBodyBytes is broken off elsewhere, and goes on at home', async t => {
    const [a, b] = await appsOf(t, server, 2, { route: { maxBodyBytes: 1_000 } }) as [App, App]
    const { first, second } = await begun(a, b)
    a.sources[0]?.end('x'.repeat(2_000))

    t.equal(await second.end, 'broken off')
    t.equal(await first.end, 'whole')
    await grounded(server, [a, b])
  })

  t.test('a stream that is larger than a message may be is broken off elsewhere, and goes on at home', async t => {
    const [a, b] = await appsOf(t, server, 2, { coordinator: { maxMessageBytes: 1_000 } }) as [App, App]
    const { first, second } = await begun(a, b)
    a.sources[0]?.end('x'.repeat(2_000))

    t.equal(await second.end, 'broken off')
    t.equal(await first.end, 'whole')
    t.ok(a.figures().tooLarge > 0)
    await grounded(server, [a, b])
  })

  t.test('a slow client of another process delays nobody, and has all in the end', async t => {
    const [a, b] = await appsOf(t, server, 2, { route: { maxBodyBytes: 20_000_000 } }) as [App, App]
    const { first, second } = await begun(a, b)
    second.response.pause()
    for (let count = 0; count < 30; count++) a.sources[0]?.write('x'.repeat(200_000))
    a.sources[0]?.end()

    t.equal(await first.end, 'whole')
    second.response.resume()
    t.equal(await second.end, 'whole')
    t.equal(second.text().length, 6_000_006)
    await grounded(server, [a, b])
  })

  t.test('while nobody waits elsewhere, nothing is written to Redis', async t => {
    const [a] = await appsOf(t, server, 1) as [App]
    await server.command('CONFIG', 'RESETSTAT')
    const first = a.open()
    await until(() => a.sources.length === 1)
    a.sources[0]?.write('first ')
    await (await first).has('first ')
    a.sources[0]?.end('last')
    t.equal(await (await first).end, 'whole')
    await grounded(server, [a])

    t.notMatch(String(await server.command('INFO', 'commandstats')), /rpush/)
    t.equal(a.figures().sent.bytes, 0)
  })

  t.test('if nobody elsewhere reads any more, nothing more is sent, until somebody comes', async t => {
    const [a, b, c] = await appsOf(t, server, 3) as [App, App, App]
    const { first, second } = await begun(a, b)
    second.response.destroy()
    a.sources[0]?.write('second ')
    await first.has('first second ')
    while ((await keysOf(server)).some(key => key.includes(':l:'))) a.sources[0]?.write('')
    const sent = a.figures().sent.bytes
    a.sources[0]?.write('third ')
    await first.has('first second third ')
    t.equal(a.figures().sent.bytes, sent)
    const third = await c.open()
    await third.has('first second third ')
    a.sources[0]?.end('last')

    t.equal(await third.end, 'whole')
    t.equal(third.text(), 'first second third last')
    await grounded(server, [a, b, c])
  })

  t.test('a length that was declared is told, and kept', async t => {
    const [a, b] = await appsOf(t, server, 2, { head: reply => reply.header('content-length', '10') }) as [App, App]
    const { second } = await begun(a, b)
    t.equal(second.response.headers['content-length'], '10')
    a.sources[0]?.end('last')
    t.equal(await second.end, 'whole')
    t.equal(second.text(), 'first last')
    await grounded(server, [a, b])

    const short = await begun(a, b)
    a.sources[1]?.end()
    t.equal(await short.second.end, 'broken off')
    await grounded(server, [a, b])
  })

  t.test('HEAD and ranges are answered from a stream of another process', async t => {
    const head = (reply: FastifyReply): unknown => reply.headers({ 'content-length': '10', 'accept-ranges': 'bytes', etag: '"one"' })
    const [a, b] = await appsOf(t, server, 2, { head }) as [App, App]
    const { second } = await begun(a, b)
    const only = await b.open('/', { method: 'HEAD' })
    t.equal(only.response.headers['content-length'], '10')
    t.equal(await only.end, 'whole')
    const part = await b.open('/', { headers: { range: 'bytes=2-6' } })
    t.equal(part.response.statusCode, 206)
    a.sources[0]?.end('last')
    t.equal(await part.end, 'whole')
    t.equal(part.text(), 'rst l')
    t.equal(await second.end, 'whole')
    t.equal(b.sources.length, 0)
    await grounded(server, [a, b])
  })

  t.test('without the option others have a stream when it is complete', async t => {
    const [a, b] = await appsOf(t, server, 2, { coordinator: { relay: false } }) as [App, App]
    const first = a.open()
    await until(() => a.sources.length === 1)
    const second = b.open()
    await until(() => b.figures().joins.follows === 1)
    a.sources[0]?.write('first ')
    await (await first).has('first ')
    t.equal(a.figures().sent.bytes, 0)
    a.sources[0]?.end('last')

    t.equal(await (await second).end, 'whole')
    t.equal((await second).text(), 'first last')
    await grounded(server, [a, b])
  })

  t.test('the kill switch breaks a stream off elsewhere', async t => {
    const [a, b] = await appsOf(t, server, 2) as [App, App]
    const { first, second } = await begun(a, b)
    a.app.coalesce.disable()

    t.equal(await second.end, 'broken off')
    a.sources[0]?.end('last')
    t.equal(await first.end, 'whole')
    await grounded(server, [a, b])
  })

  t.test('clients of another process read on when its kill switch is used', async t => {
    const [a, b] = await appsOf(t, server, 2) as [App, App]
    const { second } = await begun(a, b)
    b.app.coalesce.disable()
    a.sources[0]?.end('last')

    t.equal(await second.end, 'whole')
    await grounded(server, [a, b])
  })

  t.test('what a stream turns out to depend on after its first bytes breaks it off elsewhere', async t => {
    const [a, b] = await appsOf(t, server, 2, { head: reply => { late = reply } }) as [App, App]
    const { first, second } = await begun(a, b)
    t.equal(late?.request.headers['x-late'], undefined)

    t.equal(await second.end, 'broken off')
    a.sources[0]?.end('last')
    t.equal(await first.end, 'whole')
    await grounded(server, [a, b])
  })

  for (const relay of [false, true]) {
    for (const [what, read, first] of [
      ['all of its request', ({ headers }) => Object.keys(headers), () => {}],
      ['what their key tells', ({ ip }) => ip, ({ ip }) => ip]
    ] as ReadonlyArray<[string, (request: FastifyRequest) => unknown, (request: FastifyRequest) => unknown]>) {
      t.test(`newcomers do not wait for a stream of their own process that reads ${what} after its first bytes, ${relay ? 'with' : 'without'} a log`, async t => {
        const requests: FastifyRequest[] = []
        const head = ({ request }: FastifyReply): void => { if (requests.push(request) === 1) first(request) }
        const [a] = await appsOf(t, server, 1, { coordinator: { relay }, head }) as [App]
        const before = a.ask()
        await until(() => a.sources.length === 1)
        a.sources[0]?.end('before')
        t.equal(await (await before).end, 'whole')

        const slow = a.ask()
        await until(() => a.sources.length === 2)
        a.sources[1]?.write('first ')
        // It has landed when another one reads it.
        const joined = a.ask()
        await (await joined).has('first ')
        read(requests[1] as FastifyRequest)
        const newcomer = a.ask()
        await until(() => a.sources.length === 3, 'a run for those who come now')
        a.sources[2]?.end('second')
        t.equal(await (await newcomer).end, 'whole')
        t.equal((await newcomer).text(), 'second')
        a.sources[1]?.end('last')
        t.equal(await (await slow).end, 'whole')
        await (await joined).end
        await grounded(server, [a])
      })
    }
  }

  t.test('who has another variant than that of the stream runs', async t => {
    const [a, b] = await appsOf(t, server, 2, { head: reply => reply.header('vary', 'accept-language') }) as [App, App]
    const first = a.ask('/', { 'accept-language': 'de' })
    await until(() => a.sources.length === 1)
    const other = b.ask('/', { 'accept-language': 'fr' })
    const same = b.ask('/', { 'accept-language': 'de' })
    await until(() => b.figures().joins.follows === 1)
    a.sources[0]?.write('deutsch')
    await (await same).has('deutsch')
    await until(() => b.sources.length === 1)
    b.sources[0]?.end('français')
    t.equal(await (await other).end, 'whole')
    a.sources[0]?.end()

    t.equal(await (await same).end, 'whole')
    t.strictSame([(await first).text(), (await same).text(), (await other).text()], ['deutsch', 'deutsch', 'français'])
    await grounded(server, [a, b])
  })
})
