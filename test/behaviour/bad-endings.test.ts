import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import t from 'tap'
import { grounded, leave } from '../fixtures/endings.js'
import { gate, TestClock } from '../fixtures/gate.js'
import { serve, type Pending } from '../fixtures/server.js'

const KEYS = 100
const CLIENTS = 4
const FLIGHT_TIMEOUT = 1000

type First = (request: FastifyRequest, reply: FastifyReply) => unknown

/** How the first run of each key ends; the second one does well. */
const endings: Record<string, { readonly first: First, readonly onError?: 'promote', readonly hangs?: boolean }> = {
  'a stream that fails before its first byte': { first: () => new Readable({ read () { this.destroy(new Error('broken')) } }) },
  'an error, with onError: promote': { first: () => { throw new Error('broken') }, onError: 'promote' },
  'a connection that the handler destroys': {
    first: async (_request, reply) => {
      reply.raw.destroy()
      return await new Promise<never>(() => {})
    },
    hangs: true
  },
  'a run that takes too long': { first: async () => await new Promise<never>(() => {}), hangs: true }
}

for (const [name, { first, onError = 'share', hangs = false }] of Object.entries(endings)) {
  t.test(`${KEYS} flights that end at once in ${name} cost one further run each, and nobody who waits fails`, async t => {
    const clock = new TestClock()
    const begin = gate()
    const runs = new Map<string, number>()
    const server = await serve(t, app => {
      app.get('/:key', { config: { coalesce: { onError, flightTimeout: FLIGHT_TIMEOUT } } }, async (request, reply) => {
        const run = (runs.get(request.url) ?? 0) + 1
        runs.set(request.url, run)
        if (run > 1) return `second run of ${request.url}`
        await begin.promise
        return await first(request, reply)
      })
    }, { clock })
    const leaders: Pending[] = []
    const followers: Array<Promise<{ body: string }>> = []
    for (let key = 0; key < KEYS; key++) {
      const leader = server.get(`/${key}`)
      leader.then(() => {}, () => {})
      leaders.push(leader)
    }
    await server.arrived(KEYS)
    for (let key = 0; key < KEYS; key++) {
      for (let client = 1; client < CLIENTS; client++) followers.push(server.get(`/${key}`))
    }
    await server.arrived(KEYS * CLIENTS)
    begin.open()
    if (hangs) {
      await new Promise(resolve => setImmediate(resolve))
      clock.advance(FLIGHT_TIMEOUT)
    }
    const bodies = (await Promise.all(followers)).map(({ body }) => body)
    t.strictSame(bodies, Array.from({ length: KEYS }, (_, key) => Array<string>(CLIENTS - 1).fill(`second run of /${key}`)).flat())
    t.strictSame([...new Set(runs.values())], [2], 'runs per key')
    await grounded(server.app)
    await Promise.all(leaders.map(leave))
  })
}
