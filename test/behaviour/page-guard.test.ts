import basicAuth from '@fastify/basic-auth'
import bearerAuth from '@fastify/bearer-auth'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import type { CoalesceOptions, DashboardOptions } from '../../types/index.js'
import { listen, serve } from '../fixtures/server.js'

const ADMIN = { headers: { authorization: 'Bearer admin' } }
const ALL = ['/coalesce', '/coalesce/', '/coalesce/page.js', '/coalesce/page.css', '/coalesce/state']
const DEED = { 'content-type': 'application/json', 'x-coalesce-page': '1' }

async function checkAdmin (request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  return request.headers.authorization === ADMIN.headers.authorization ? undefined : await reply.code(401).send({ error: 'who are you?' })
}

/** What booting with a page says. */
async function boot (dashboard: unknown, before: (app: FastifyInstance) => void = () => {}): Promise<string> {
  const app: FastifyInstance = Fastify()
  before(app)
  app.register(coalesce, { dashboard } as CoalesceOptions)
  try {
    await app.ready()
    return 'started'
  } catch (error) {
    return (error as { code: string }).code
  } finally {
    await app.close()
  }
}

t.test('an app whose page nothing guards does not start, and says what to write', async t => {
  const app = Fastify()
  await t.rejects(async () => { await app.register(coalesce, { dashboard: {} }) }, {
    code: 'FST_COALESCE_UNGUARDED_PAGE',
    message: 'coalesce options.dashboard.routeOptions must hold a hook that lets only those see the live page who may, such as { onRequest: checkAdmin }, ' +
      'even if the instance has it as well; or write public: true for clients on this machine only'
  })
  const unguarded = 'FST_COALESCE_UNGUARDED_PAGE'
  t.equal(await boot(true), unguarded)
  t.equal(await boot({ hosts: ['localhost'], actions: true, public: false }), unguarded)
  t.equal(await boot({ routeOptions: { onRequest: [], preHandler: undefined, onSend: checkAdmin, onResponse: checkAdmin } }), unguarded, 'a hook after the handler guards nothing')
  t.equal(await boot({}, app => { app.addHook('onRequest', async (_request, reply) => { reply.header('x-frame-options', 'DENY') }) }), unguarded, 'a hook of the instance may be there for anything')
  t.equal(await boot(false), 'started')
  t.equal(await boot({ public: true }), 'started')
})

t.test('without the option there is no page', async t => {
  const { get } = await serve(t, () => {})
  for (const path of ALL) t.equal((await get(path)).status, 404, path)
})

for (const hook of ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const) {
  t.test(`a guard in ${hook} is asked about all that the page answers`, async t => {
    const guard = hook === 'preParsing' ? async (request: FastifyRequest, reply: FastifyReply) => { await checkAdmin(request, reply) } : [checkAdmin]
    const { get } = await serve(t, () => {}, { dashboard: { actions: true, routeOptions: { [hook]: guard } } as DashboardOptions })
    for (const path of ALL) {
      t.equal((await get(path)).status, 401, path)
      t.equal((await get(path, { method: 'HEAD' })).status, 401, `HEAD ${path}`)
      t.equal((await get(path, ADMIN)).status, 200, path)
    }
    for (const path of ['/coalesce/explain', '/coalesce/actions']) {
      const post = { method: 'POST', headers: DEED, body: path.endsWith('explain') ? '{"url":"/"}' : '{"action":"enable"}' }
      t.equal((await get(path, post)).status, 401, path)
      t.equal((await get(path, { ...post, headers: { ...post.headers, ...ADMIN.headers } })).status, 200, path)
    }
  })
}

t.test('@fastify/basic-auth and @fastify/bearer-auth guard the page', async t => {
  const app = Fastify()
  await app.register(basicAuth, {
    validate: async (name, password) => { if (name !== 'admin' || password !== 'secret') throw new Error('no') },
    authenticate: true
  })
  await app.register(coalesce, { dashboard: { routeOptions: { onRequest: app.basicAuth } } })
  await app.register(async inner => {
    await inner.register(bearerAuth, { keys: new Set(['admin']), addHook: false })
    await inner.register(coalesce, { dashboard: { routeOptions: { onRequest: inner.verifyBearerAuth as never } } })
  }, { prefix: '/inner' })
  const { get } = await listen(t, app)

  const asked = await get('/coalesce/')
  t.match([asked.status, asked.headers['www-authenticate']], [401, /^Basic/], 'a browser asks for name and password')
  t.equal((await get('/coalesce/', { headers: { authorization: `Basic ${btoa('admin:secret')}` } })).status, 200)
  t.equal((await get('/inner/coalesce/')).status, 401)
  t.equal((await get('/inner/coalesce/', ADMIN)).status, 200)
})

t.test('what the app makes of errors is for those of its guard', async t => {
  const app = Fastify()
  app.setErrorHandler(async (_error, _request, reply) => await reply.redirect('/login', 302))
  await app.register(coalesce, { dashboard: { routeOptions: { onRequest: async () => { throw new Error('who are you?') } } } })
  const { get } = await listen(t, app)
  const { status, headers } = await get('/coalesce/')
  t.match([status, headers.location], [302, '/login'])
})
