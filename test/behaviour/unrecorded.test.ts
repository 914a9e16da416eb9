/**
 * What is answered past `reply` while nobody waits, and what a registration cannot be built on.
 */
import { once } from 'node:events'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import { errorOf, held, meet, queue, times } from '../fixtures/crowd.js'

import { grounded, outcomes } from '../fixtures/endings.js'
import { serve } from '../fixtures/server.js'

t.test('a handler that has read its signal and writes raw while nobody waits is known to be its client\'s own from then on', async t => {
  let runs = 0
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async (request, reply) => {
      t.equal(request.signal.aborted, false)
      reply.raw.end(`raw ${++runs}`)
      await once(reply.raw, 'close')
    })
  })
  t.equal((await server.get('/')).body, 'raw 1')
  await grounded(server.app)
  const later = await Promise.all(await queue(server, times(2, server, '/')))
  t.same(later.map(({ body }) => body), ['raw 2', 'raw 3'])
  t.same(await outcomes(server.app), { 'leader unrecorded': 1, 'bypass unshareable': 2 })
})

for (const name of ['signal', 'socket']) {
  t.test(`an app that decorates requests with a ${name} of its own cannot register, and is told why`, async t => {
    const app = Fastify() as unknown as FastifyInstance
    t.teardown(async () => { await app.close() })
    app.decorateRequest(name, null)
    t.match(await errorOf(async () => { await app.register(coalesce) }), { code: 'FST_ERR_DEC_ALREADY_PRESENT' })
  })
}

t.test('routes that are told apart by constraints that look alike are apart', async t => {
  const strategy = {
    name: 'tier',
    storage () {
      const handlers = new Map<unknown, unknown>()
      return {
        get: (value: unknown) => [...handlers].find(([tier]) => (tier as { name: string }).name === value)?.[1] ?? null,
        set: (value: unknown, handler: unknown) => { handlers.set(value, handler) }
      }
    },
    validate () {},
    deriveConstraint: (request: { headers: Record<string, unknown> }) => request.headers['x-tier'],
    mustMatchWhenDerived: true
  }
  const [gold, lead] = [held(() => 'gold'), held(() => 'lead')]
  const server = await serve(t, app => {
    for (const [name, handler] of [['gold', gold], ['lead', lead]] as const) {
      app.route({ method: 'GET', url: '/', config: { coalesce: { learnVary: false } }, constraints: { tier: { name } }, handler })
    }
  }, {}, { constraints: { tier: strategy } } as never)
  lead.gate.open()
  const answers = await meet(server, gold, ['gold', 'lead', 'gold', 'lead'].map(tier => () => server.get('/', { headers: { 'x-tier': tier } })))
  t.same(answers.map(({ body }) => body), ['gold', 'lead', 'gold', 'lead'])
  t.equal(gold.runs, 1)
})
