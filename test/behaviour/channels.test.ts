import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import t from 'tap'
import { held, meet, queue, times } from '../fixtures/crowd.js'
import { grounded, leave } from '../fixtures/endings.js'
import { serve } from '../fixtures/server.js'

const NAMES = ['board', 'land', 'settle'].map(name => `fastify-coalesce:${name}`)

interface Message {
  readonly id: string
  readonly leaderId: string
  readonly role?: string
  readonly landing?: string
  readonly outcome?: string
  readonly reason?: string
  readonly waited?: number
}

t.test('a tracer hears who boarded, what the flight came to, and how each request ended, with the ids of the requests', async t => {
  const heard: Array<[string, Message]> = []
  const listen = (message: unknown, name: string | symbol): void => { heard.push([String(name).replace('fastify-coalesce:', ''), message as Message]) }
  for (const name of NAMES) subscribe(name, listen)
  t.teardown(() => { for (const name of NAMES) unsubscribe(name, listen) })
  const handler = held(() => 'landed')
  const ids: string[] = []
  const server = await serve(t, app => {
    app.addHook('onRequest', async request => { ids.push(request.id) })
    app.get('/secret/:word', { config: { coalesce: true } }, handler)
  })
  const [leader, gone, follower] = await queue(server, times(3, server, '/secret/word?q=hidden'))
  await leave(gone as NonNullable<typeof gone>)
  while (!heard.some(([, { reason }]) => reason === 'client-left')) await new Promise(resolve => setImmediate(resolve))
  handler.gate.open()
  await Promise.all([leader, follower])
  await grounded(server.app)
  const [first, second, third] = ids
  t.strictSame(heard.map(([name, { id, leaderId, role, landing, outcome, reason }]) => [name, id, leaderId, role ?? landing ?? outcome, reason]), [
    ['board', first, first, 'leader', undefined],
    ['board', second, first, 'follower', undefined],
    ['board', third, first, 'follower', undefined],
    ['settle', second, first, 'follower', 'client-left'],
    ['land', first, first, 'completed', 'shared'],
    ['settle', first, first, 'leader', 'shared'],
    ['settle', third, first, 'follower', 'shared']
  ])
  t.ok(heard.every(([name, { waited }]) => name !== 'settle' || Number(waited) >= 0))
  t.notMatch(JSON.stringify(heard), /hidden|secret\/word/, 'no URL is told')
})

t.test('a request that something failed for is traced as well', async t => {
  const heard: Message[] = []
  const listen = (message: unknown): void => { heard.push(message as Message) }
  subscribe('fastify-coalesce:land', listen)
  t.teardown(() => { unsubscribe('fastify-coalesce:land', listen) })
  const handler = held(() => { throw new Error('broken') })
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  await meet(server, handler, times(2, server, '/'))
  t.match(heard, [{ landing: 'failed', reason: 'failed' }])
})
