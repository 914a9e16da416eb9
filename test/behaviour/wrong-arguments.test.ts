/**
 * A mistake is told to who made it: the stack points at their line, and a wrong argument of `tag` or `varyOn` throws.
 */
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import coalesce, { deduplicate, deduplicated, errors } from '../../lib/index.js'
import { errorOf } from '../fixtures/crowd.js'
import { lines } from '../fixtures/lines.js'
import { serve } from '../fixtures/server.js'

/** The functions of this file that are in the stack of what is thrown, the innermost first, and how deep the first is. */
async function whereThrown (action: () => unknown): Promise<readonly [first: string | undefined, depth: number]> {
  const { stack = '' } = await errorOf(action)
  const frames = stack.split('\n').filter(line => line.startsWith('    at '))
  const depth = frames.findIndex(frame => frame.includes('wrong-arguments.test.'))
  return [/at (?:\w+\.)?(\w+)/.exec(frames[depth] ?? '')?.[1], depth]
}

t.test('the stack of a wrong option of a route has the line that declares the route', async t => {
  const app = Fastify() as unknown as FastifyInstance
  t.teardown(() => app.close())
  await app.register(coalesce)
  const wrong = { config: { coalesce: { headers: [5] } } } as object
  const [first, depth] = await whereThrown(function declares () { app.get('/x', wrong, async () => 'ok') })
  t.equal(first, 'declares')
  t.ok(depth < 8, 'and none of ours')
  await app.register(async child => {
    t.equal((await whereThrown(function declaresInPlugin () { child.route({ method: 'GET', url: '/', ...wrong, handler: async () => 'ok' }) }))[0], 'declaresInPlugin')
  }, { prefix: '/deep' })
})

t.test('the stack of a wrong option of a function begins with the line that deduplicates it', async t => {
  const app = Fastify() as unknown as FastifyInstance
  t.teardown(() => app.close())
  await app.register(coalesce)
  const wrong = { key: 5 } as never
  t.same(await whereThrown(function wraps () { deduplicate(async () => 1, wrong) }), ['wraps', 0])
  t.same(await whereThrown(function wrapsInApp () { app.coalesce.deduplicate(async () => 1, wrong) }), ['wrapsInApp', 0])
  t.same(await whereThrown(function decorates () { deduplicated(wrong)(async () => 1, { name: 'one' } as never) }), ['decorates', 0])
  await t.rejects(async () => { deduplicate(5 as never, wrong) }, { message: 'deduplicate wants a function' })
})

t.test('a wrong argument of tag or varyOn throws, whether or not the request is coalesced', async t => {
  const said: string[] = []
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async (request, reply) => {
      for (const call of [
        () => reply.coalesce.tag(5 as never), () => reply.coalesce.tag('a', ''), () => request.coalesce?.varyOn(undefined as never),
        () => request.coalesce?.varyOn('accept', null as never)
      ]) {
        const error = await errorOf(call)
        t.ok(error instanceof errors.InvalidOptionError && error instanceof TypeError)
        said.push(error.message)
      }
      reply.coalesce.tag()
      reply.coalesce.tag('a')
      request.coalesce?.varyOn()
      request.coalesce?.varyOn('accept')
      return 'ok'
    })
  })
  const all = [
    'reply.coalesce.tag must be called with tags, which are texts and not empty, got 5', 'reply.coalesce.tag must be called with tags, which are texts and not empty, got ""',
    "request.coalesce.varyOn must be called with header names, or '*', got undefined", "request.coalesce.varyOn must be called with header names, or '*', got null"
  ]
  t.equal((await server.get('/')).status, 200)
  t.same(said.splice(0), all, 'of a leader')
  t.equal((await server.get('/', { headers: { authorization: 'Bearer x' } })).status, 200)
  t.same(said, all, 'of a bypass')
})

t.test('a promise as an identity or a key is warned of once a route, in these words', async t => {
  const log = lines()
  const server = await serve(t, app => {
    app.get('/identity', { config: { coalesce: { identity: (async () => 'ada') as never } } }, async () => 'ok')
    app.get('/key', { config: { coalesce: { key: (async () => 'k') as never } } }, async () => 'ok')
  }, {}, { logger: log.logger })
  for (const path of ['/identity', '/key', '/identity', '/key']) await server.get(path)
  t.same(log.all.filter(({ level }) => level >= 40).map(({ msg }) => msg), ['identity', 'key'].map(name =>
    `coalesce: what the ${name} function of the route answers is a promise and so no key, and its requests run by themselves; give a string, number, bigint or boolean`))
})
