import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import httpProxy from '@fastify/http-proxy'
import replyFrom from '@fastify/reply-from'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { distinct, queue, times } from '../fixtures/crowd.js'
import { leave, outcomes } from '../fixtures/endings.js'
import { gate, until, type Gate } from '../fixtures/gate.js'
import { serve, type TestServer } from '../fixtures/server.js'

type Test = Parameters<typeof serve>[0]
type Answering = (request: IncomingMessage, response: ServerResponse) => void

interface Upstream {
  readonly base: string
  readonly gate: Gate
  readonly asked: IncomingMessage[]
  /** How many of its answers were cut off. */
  cut: number
}

/** A server that answers once its gate is open. */
async function upstream (t: Test, answer: Answering): Promise<Upstream> {
  const opening = gate()
  const found: Upstream = { base: '', gate: opening, asked: [], cut: 0 }
  const server = createServer((request, response) => {
    found.asked.push(request)
    response.on('close', () => { if (!response.writableFinished) found.cut++ })
    opening.promise.then(() => { answer(request, response) }, () => {})
  })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return Object.assign(found, { base: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
}

interface Proxying {
  readonly coalesce?: CoalesceRouteOptions | true
  readonly options?: Record<string, unknown>
}

const proxies: Record<string, (app: FastifyInstance, base: string, proxying: Proxying) => Promise<void>> = {
  '@fastify/http-proxy': async (app, base, { coalesce = true, options = {} }) => {
    await app.register(httpProxy, { upstream: base, config: { coalesce }, replyOptions: options })
  },
  '@fastify/reply-from': async (app, base, { coalesce = true, options = {} }) => {
    await app.register(replyFrom, { base })
    app.get('/*', { config: { coalesce } }, (request, reply) => reply.from(request.url, options))
  }
}

function ask (server: TestServer, headers: ReadonlyArray<Record<string, string>>) {
  return queue(server, headers.map(each => () => server.get('/thing', { headers: each })))
}

for (const [name, proxy] of Object.entries(proxies)) {
  const start = async (t: Test, answer: Answering, proxying: Proxying = {}): Promise<{ server: TestServer, origin: Upstream }> => {
    const origin = await upstream(t, answer)
    const server = await serve(t, async app => { await proxy(app, origin.base, proxying) })
    return { server, origin }
  }
  /** How often the upstream is asked for clients with these headers, all of whom are there before it answers. */
  const asked = async (t: Test, answer: Answering, headers: ReadonlyArray<Record<string, string>>, proxying: Proxying = {}) => {
    const { server, origin } = await start(t, answer, proxying)
    const answers = await ask(server, headers)
    origin.gate.open()
    const bodies = (await Promise.all(answers)).map(({ body }) => body)
    return { count: origin.asked.length, bodies, outcomes: await outcomes(server.app) }
  }

  t.test(`${name}: the upstream is asked once, and hop-by-hop fields stay with its own connection`, async t => {
    const { server, origin } = await start(t, (_request, response) => {
      response.setHeader('connection', 'x-hop, keep-alive')
      response.setHeader('x-hop', 'for the proxy')
      response.setHeader('x-end', 'for the client')
      response.setHeader('keep-alive', 'timeout=77')
      response.write('from ')
      response.end('upstream')
    })
    const answers = await queue(server, times(5, server, '/thing'))
    origin.gate.open()
    const [, ...followers] = await Promise.all(answers)
    t.equal(origin.asked.length, 1)
    t.same(distinct(followers.map(({ status, body, headers }) => [status, body, headers['x-end'], headers['x-hop'], headers['keep-alive']])),
      [[200, 'from upstream', 'for the client', undefined, followers[0]?.headers['keep-alive']]])
    t.not(followers[0]?.headers['keep-alive'], 'timeout=77')
  })

  for (const directive of ['private', 'no-store', 'Private="x"']) {
    t.test(`${name}: what the upstream calls ${directive} is shared with nobody, whatever the options say`, async t => {
      const { count } = await asked(t, (_request, response) => { response.setHeader('cache-control', directive).end() },
        [{}, {}, {}], { coalesce: { learnVary: false, statuses: [200], credentials: [] } })
      t.equal(count, 3)
    })
  }

  t.test(`${name}: the upstream's Vary tells clients apart, and nothing else does`, async t => {
    const { count, bodies } = await asked(t, (request, response) => {
      response.setHeader('vary', 'x-tenant').end(request.headers['x-tenant'])
    }, ['a', 'b', 'a', 'b'].map((tenant, index) => ({ 'x-tenant': tenant, 'user-agent': `browser ${index}` })))
    t.same([bodies, count], [['a', 'b', 'a', 'b'], 2])
  })

  for (const [cacheControl, count] of [['max-age=60', 3], ['public', 1], ['s-maxage=60', 1], ['must-revalidate', 1]] as const) {
    t.test(`${name}: with Authorization and Cache-Control: ${cacheControl} the upstream is asked ${count} times, whatever the options say`, async t => {
      for (const coalesce of [{ credentials: [] }, { headers: ['authorization'] }, { identity: () => 'somebody' }, { credentials: [], learnVary: false }]) {
        const found = await asked(t, (_request, response) => { response.setHeader('cache-control', cacheControl).end() },
          Array.from({ length: 3 }, () => ({ authorization: 'Bearer x' })), { coalesce })
        t.equal(found.count, count, JSON.stringify(coalesce))
        if (count > 1) t.equal(found.outcomes['leader authorization'], 1)
      }
    })
  }

  t.test(`${name}: where the app rewrites the request, all headers count as read`, async t => {
    const { count, bodies } = await asked(t, (request, response) => { response.setHeader('vary', 'x-inner').end(request.headers['x-inner']) },
      ['a', 'b', 'a'].map(tenant => ({ 'x-tenant': tenant })),
      { options: { rewriteRequestHeaders: (_request: unknown, headers: Record<string, string>) => ({ ...headers, 'x-inner': headers['x-tenant'] }) } })
    t.same([bodies, count], [['a', 'b', 'a'], 3])
  })

  t.test(`${name}: headers by which the app chooses the upstream count as read`, async t => {
    const origins = await Promise.all(['a', 'b'].map(async body => await upstream(t, (_request, response) => { response.end(body) })))
    const choose = (request: { headers: Record<string, string> }): string => (request.headers['x-tenant'] === 'a' ? origins[0] : origins[1])?.base ?? ''
    const server = await serve(t, async app => { await proxy(app, '', { options: { getUpstream: choose } }) })
    const answers = await ask(server, ['a', 'b', 'a', 'b'].map(tenant => ({ 'x-tenant': tenant })))
    for (const origin of origins) origin.gate.open()
    t.same((await Promise.all(answers)).map(({ body }) => body), ['a', 'b', 'a', 'b'])
    t.same(origins.map(origin => origin.asked.length), [1, 1])
  })

  t.test(`${name}: what a hook puts among the headers counts as read`, async t => {
    const origin = await upstream(t, (request, response) => { response.end(request.headers['x-user']) })
    const server = await serve(t, async app => {
      app.addHook('onRequest', async request => { request.headers['x-user'] = `user of ${String(request.headers['x-session'])}` })
      await proxy(app, origin.base, {})
    })
    // The second one claims to be somebody else.
    const answers = await ask(server, [{ 'x-session': 'a' }, { 'x-session': 'b', 'x-user': 'user of a' }, { 'x-session': 'a' }])
    origin.gate.open()
    t.same((await Promise.all(answers)).map(({ body }) => body), ['user of a', 'user of b', 'user of a'])
    t.equal(origin.asked.length, 2)
  })

  t.test(`${name}: the first client leaving does not cut the upstream while others wait`, async t => {
    const { server, origin } = await start(t, (_request, response) => { response.end('whole') })
    const [first, ...others] = await queue(server, times(3, server, '/thing'))
    await until(() => origin.asked.length === 1)
    const gone = new Promise(resolve => server.app.server.once('request', resolve))
    if (first !== undefined) await leave(first)
    // The server has noticed by the time that it has heard of a later request.
    const late = server.get('/thing')
    await gone
    await server.arrived(4)
    origin.gate.open()
    t.same((await Promise.all([...others, late])).map(({ body }) => body), ['whole', 'whole', 'whole'])
    t.same([origin.asked.length, origin.cut], [1, 0], JSON.stringify(await outcomes(server.app)))
  })
}
