/**
 * A key is remembered as unshareable for what its response says, and for nothing that happened to its leader.
 */
import { once } from 'node:events'
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import t from 'tap'
import { held, meet, times } from '../fixtures/crowd.js'
import { grounded, leave, outcomes } from '../fixtures/endings.js'
import { until } from '../fixtures/gate.js'
import { serve, type Pending } from '../fixtures/server.js'

type First = (request: FastifyRequest, reply: FastifyReply) => unknown

const endings: Record<string, First> = {
  'an error': () => { throw new Error('broken') },
  'a destroyed connection': async (_request, reply) => {
    reply.raw.destroy()
    await once(reply.raw, 'close')
  },
  'a stream that fails': () => new Readable({ read () { this.destroy(new Error('broken')) } }),
  'a client that leaves': async request => {
    request.raw.socket.destroy()
    await once(request.signal, 'abort')
    throw new Error('gone')
  },
  'the time limit of its handler': async () => await new Promise<never>(() => {}),
  'a 304 that answers its own condition': (_request, reply) => reply.code(304).send(),
  'a hook that fails': () => 'hook'
}

for (const [name, first] of Object.entries(endings)) {
  t.test(`${name} is not remembered: the next burst shares one run`, async t => {
    let ended = false
    const handler = held(() => 'landed')
    const server = await serve(t, app => {
      app.addHook('onSend', async (_request, _reply, payload) => {
        if (payload === 'hook') throw new Error('hook broken')
        return payload
      })
      app.get('/', { config: { coalesce: true }, handlerTimeout: 1000 }, async (request, reply) => {
        if (ended) return await handler(request, reply)
        ended = true
        return await first(request, reply)
      })
    })
    await server.get('/').catch(() => {})
    const answers = await meet(server, handler, times(3, server, '/'))
    t.strictSame(answers.map(({ body }) => body), ['landed', 'landed', 'landed'])
    t.equal(handler.runs, 1)
    t.match(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 2 })
    await grounded(server.app)
  })
}

t.test('that nobody waits for a run is not remembered', async t => {
  const handler = held(() => 'landed')
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async (request, reply) => {
      request.signal.addEventListener('abort', () => {})
      return await handler(request, reply)
    })
  })
  const leader: Pending = server.get('/')
  await server.arrived(1)
  await leave(leader)
  await grounded(server.app)
  await meet(server, handler, times(3, server, '/'))
  await until(() => handler.runs === 2)
  t.match(await outcomes(server.app), { 'leader client-left': 1, 'leader shared': 1, 'follower shared': 2 })
})
