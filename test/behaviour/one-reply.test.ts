/**
 * What belongs to one reply, a nonce or the id of a request, reaches no other.
 */
import helmet from '@fastify/helmet'
import t from 'tap'
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { held, meet, times, type HeldHandler } from '../fixtures/crowd.js'
import { outcomes } from '../fixtures/endings.js'
import { keeping } from '../fixtures/kept.js'
import { lines, type Lines } from '../fixtures/lines.js'
import { serve, type Answer, type GetOptions, type TestServer } from '../fixtures/server.js'

type Answering = (request: FastifyRequest, reply: FastifyReply) => unknown

interface Served {
  readonly server: TestServer
  readonly handler: HeldHandler
  readonly log: Lines
  /** What three clients are answered with. */
  ask (options?: GetOptions): Promise<Answer[]>
}

async function served (
  test: Parameters<typeof serve>[0], answer: Answering, coalesce: CoalesceRouteOptions = {}, before: (app: FastifyInstance) => unknown = () => {}
): Promise<Served> {
  const handler = held(answer)
  const log = lines('warn')
  const server = await serve(test, async app => {
    await before(app)
    app.get('/', { config: { coalesce } }, handler)
  }, {}, { logger: log.logger, requestIdHeader: 'x-request-id' })
  return { server, handler, log, ask: async options => await meet(server, handler, times(3, server, '/', options)) }
}

const nonces = (app: FastifyInstance): unknown => app.register(helmet, { enableCSPNonces: true })
const page = (nonce: string): string => `<script nonce="${nonce}">run()</script>`
const html = (reply: FastifyReply): FastifyReply => reply.type('text/html; charset=utf-8')

/** Whether each page has a nonce that its own header names. */
function fit (answers: readonly Answer[]): boolean[] {
  return answers.map(({ headers, body }) =>
    String(headers['content-security-policy']).includes(`'nonce-${/nonce="(\w+)"/.exec(body)?.[1] ?? 'none'}'`))
}

const pages: Record<string, Answering> = {
  'text with its nonce': (_request, reply) => html(reply).send(page(reply.cspNonce.script)),
  'bytes with its nonce': (_request, reply) => html(reply).send(Buffer.from(page(reply.cspNonce.style))),
  'a stream of HTML with its nonce': (_request, reply) => html(reply).send(Readable.from([page(reply.cspNonce.script)])),
  'what a hook made of its nonce': (request, reply) => html(reply).send((request as unknown as { page: string }).page),
  'JSON with its nonce': (_request, reply) => ({ page: `nonce="${reply.cspNonce.script}"` })
}

for (const [what, answer] of Object.entries(pages)) {
  t.test(`${what} is its own client's, and a warning says so once`, async t => {
    const { ask, handler, log, server } = await served(t, answer, {}, async app => {
      await nonces(app)
      app.addHook('preHandler', async (request, reply) => { Object.assign(request, { page: page(reply.cspNonce.style) }) })
    })
    t.strictSame(fit((await ask()).map(each => ({ ...each, body: each.body.replaceAll('\\"', '"') }))), [true, true, true])
    t.equal(handler.runs, 3)
    t.match(await outcomes(server.app), { 'leader csp-nonce': 1, 'alone csp-nonce': 2 })
    await ask()
    t.strictSame(log.event('csp-nonce').map(({ coalesce }) => coalesce), [{ event: 'csp-nonce', route: '/' }])
    t.match(await outcomes(server.app), { 'bypass unshareable': 3 }, 'and nobody waits for it again')
  })
}

const shared: Record<string, Answering> = {
  JSON: () => ({ hello: 'world' }),
  'HTML without scripts': (_request, reply) => html(reply).send('<p>hello</p>'),
  'a stream of something else': (_request, reply) => reply.type('text/csv').send(Readable.from(['1,2']))
}

for (const [what, answer] of Object.entries(shared)) {
  t.test(`${what} is shared, though its policy has nonces`, async t => {
    const { ask, handler, log, server } = await served(t, answer, {}, nonces)
    await ask()
    t.equal(handler.runs, 1)
    t.match(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 2 })
    t.strictSame(log.event('csp-nonce'), [])
  })
}

for (const name of ['content-security-policy', 'content-security-policy-report-only']) {
  t.test(`a nonce that an app's own hook puts in ${name} is one as well`, async t => {
    let count = 0
    const { ask, handler } = await served(t, (request, reply) => html(reply).send(page((request as unknown as { nonce: string }).nonce)), {}, app => {
      app.addHook('onRequest', async (request, reply) => {
        Object.assign(request, { nonce: `own${++count}` })
        reply.header(name, `script-src 'nonce-own${count}'`)
      })
    })
    await ask()
    t.equal(handler.runs, 3)
  })
}

t.test('an error that holds a nonce is its own client\'s as well', async t => {
  const { ask, handler } = await served(t, (_request, reply) => html(reply.code(500)).send(page(reply.cspNonce.script)), {}, nonces)
  t.strictSame(fit(await ask()), [true, true, true])
  t.equal(handler.runs, 3)
})

t.test('a body that holds the id of its request is its own client\'s, and a warning says so once', async t => {
  const { ask, handler, log, server } = await served(t, request => ({ requestId: request.id }))
  t.equal(new Set((await ask()).map(({ body }) => body)).size, 3)
  t.equal(handler.runs, 3)
  await ask()
  t.match(await outcomes(server.app), { 'leader request-id': 1, 'alone request-id': 2, 'bypass unshareable': 3 })
  t.strictSame(log.event('request-id').map(({ coalesce }) => coalesce), [{ event: 'request-id', route: '/' }])
})

t.test('a handler that logs its request\'s id, or forwards it, shares', async t => {
  const { ask, handler } = await served(t, request => {
    request.log.info({ id: request.id }, 'asked')
    return { sent: { 'x-request-id': request.id }['x-request-id'].length > 0 }
  })
  await ask()
  t.equal(handler.runs, 1)
})

t.test('an error names the run that failed, for all who wait for it', async t => {
  const { ask, handler } = await served(t, request => { throw new Error(`broken in ${request.id}`) })
  const answers = await ask()
  t.equal(new Set(answers.map(({ body }) => body)).size, 1)
  t.match(answers[0]?.body, /broken in req-1/)
  t.equal(handler.runs, 1)
})

t.test('a client that chooses its id so that it is in the body spoils nobody else\'s', async t => {
  const { handler, log, server } = await served(t, () => ({ hello: 'world' }))
  const answers = await meet(server, handler, [...times(1, server, '/', { headers: { 'x-request-id': 'hello' } }), ...times(10, server, '/')])
  t.equal(new Set(answers.map(({ body }) => body)).size, 1)
  t.equal(handler.runs, 2)
  t.equal(log.event('request-id').length, 1)
  await Promise.all(times(5, server, '/').map(send => send()))
  t.notOk('bypass unshareable' in await outcomes(server.app))
})

for (const [answer, ignored] of [[(request: FastifyRequest) => ({ id: request.id }), 'request.id'], [pages['JSON with its nonce'], 'reply.cspNonce']] as const) {
  t.test(`it is shared all the same where the route ignores ${ignored}, or trusts what responses say`, async t => {
    for (const learnVary of [{ ignore: [ignored] }, false] as const) {
      const { ask, handler } = await served(t, answer as Answering, { learnVary }, nonces)
      await ask()
      t.equal(handler.runs, 1)
    }
  })
}

t.test('what holds the id of its request is not kept', async t => {
  const server = await keeping(t, { handler: (run, request) => ({ run, id: request.id }) })
  for (const run of [1, 2, 3]) t.match((await server.get('/thing/1')).body, `{"run":${run},`)
  t.equal(server.hits(), 0)
})
