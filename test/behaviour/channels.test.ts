import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyRequest } from 'fastify'
import t from 'tap'
import { held, meet, queue, times } from '../fixtures/crowd.js'
import { grounded, leave } from '../fixtures/endings.js'
import { gate, until } from '../fixtures/gate.js'
import { serve } from '../fixtures/server.js'

interface Message {
  readonly id: string
  readonly leaderId: string
  readonly role?: string
  readonly landing?: string
  readonly outcome?: string
  readonly reason?: string
  readonly waited?: number
  readonly gone?: true
  readonly request: FastifyRequest | undefined
  readonly leaderRequest: FastifyRequest | undefined
}

function hear (t: { teardown (fn: () => unknown): unknown }, names: readonly string[], listen: (message: Message, name: string) => void): void {
  const hearing = (message: unknown, name: string | symbol): void => { listen(message as Message, String(name).replace('fastify-coalesce:', '')) }
  for (const name of names) subscribe(`fastify-coalesce:${name}`, hearing)
  t.teardown(() => { for (const name of names) unsubscribe(`fastify-coalesce:${name}`, hearing) })
}

t.test('a tracer hears who boarded, what the flight came to, and how each request ended, with the ids of the requests', async t => {
  const heard: Array<[string, Message]> = []
  hear(t, ['board', 'land', 'settle'], (message, name) => { heard.push([name, message]) })
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
  t.notMatch(JSON.stringify(heard.map(([, { request, leaderRequest, ...own }]) => own)), /hidden|secret\/word/, 'no URL is told but by the request itself')
})

t.test('a request that something failed for is traced as well', async t => {
  const heard: Message[] = []
  hear(t, ['land'], message => { heard.push(message) })
  const handler = held(() => { throw new Error('broken') })
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  await meet(server, handler, times(2, server, '/'))
  t.match(heard, [{ landing: 'failed', reason: 'failed' }])
})

t.test('requests whose ids are the same are told apart: a message has the request itself, and that which runs for it', async t => {
  const heard: Array<[string, Message]> = []
  hear(t, ['board', 'land', 'settle'], (message, name) => { heard.push([name, message]) })
  const handler = held()
  const requests: FastifyRequest[] = []
  const server = await serve(t, app => {
    app.addHook('onRequest', async request => { requests.push(request) })
    app.get('/', { config: { coalesce: true } }, handler)
  }, {}, { genReqId: () => 'the same' })
  const [leader, follower, bypass] = await queue(server, [...times(2, server, '/'), () => server.get('/', { headers: { cookie: 'a=1' } })])
  handler.gate.open()
  await Promise.all([leader, follower, bypass])
  await grounded(server.app)
  const numbered = (request: FastifyRequest | undefined): number => requests.indexOf(request as FastifyRequest)
  t.strictSame(heard.map(([name, { outcome, request, leaderRequest }]) => [name, outcome, numbered(request), numbered(leaderRequest)]), [
    ['board', undefined, 0, 0],
    ['board', undefined, 1, 0],
    ['settle', 'bypass', 2, 2],
    ['land', undefined, 0, 0],
    ['settle', 'leader', 0, 0],
    ['settle', 'follower', 1, 0]
  ])
})

t.test('a call has no request', async t => {
  const heard: Message[] = []
  hear(t, ['board', 'settle'], message => { heard.push(message) })
  const opening = gate()
  const server = await serve(t, app => {
    const lookUp = app.coalesce.deduplicate(async () => { await opening.promise }, { key: () => 'a', name: 'look up' })
    app.get('/', async () => {
      const both = Promise.all([lookUp(), lookUp()])
      opening.open()
      await both
      return 'ok'
    })
  })
  await server.get('/')
  t.match(heard.map(({ id, leaderId }) => id === leaderId), [true, false, true, false])
  t.ok(heard.every(({ id, request, leaderRequest }) => /^call-/.test(id) && request === undefined && leaderRequest === undefined))
})

t.test('who waits before its run, and for nobody else\'s, is told of in its own asynchronous context, and its settlement says that its client has left', async t => {
  const heard: Array<[string, Message]> = []
  const scope = new AsyncLocalStorage<string>()
  const within: unknown[] = []
  hear(t, ['hold', 'board', 'settle'], (message, name) => {
    heard.push([name, message])
    if (name === 'hold') within.push(scope.getStore())
  })
  const handler = held()
  const server = await serve(t, app => {
    app.addHook('onRequest', (request, _reply, done) => { scope.run(request.id, done) })
    app.get('/:word', { config: { coalesce: { queue: { maxRuns: 1 } } } }, handler)
  })
  const first = server.get('/a')
  await server.arrived(1)
  const leader = server.get('/b')
  await server.arrived(2)
  const follower = server.get('/b')
  await server.arrived(3)
  const gone = server.get('/c', { headers: { cookie: 'a=1' } })
  await server.arrived(4)
  await leave(gone)
  await until(() => heard.some(([, { outcome }]) => outcome === 'bypass'))
  handler.gate.open()
  await Promise.all([first, leader, follower])
  await grounded(server.app)
  const ids = [...new Set(heard.map(([, { id }]) => id))]
  t.strictSame(heard.map(([name, { id, leaderId, role, outcome, gone }]) => [name, ids.indexOf(id), ids.indexOf(leaderId), role ?? outcome, gone]), [
    ['board', 0, 0, 'leader', undefined],
    ['hold', 1, 1, undefined, undefined],
    ['board', 2, 1, 'follower', undefined],
    ['hold', 3, 3, undefined, undefined],
    ['settle', 3, 3, 'bypass', true],
    ['settle', 0, 0, 'leader', undefined],
    ['board', 1, 1, 'leader', undefined],
    ['settle', 1, 1, 'leader', undefined],
    ['settle', 2, 1, 'follower', undefined]
  ])
  t.strictSame(within, [ids[1], ids[3]])
})

t.test('a tracer hears of a cached response that is given at once, as its own hooks see it', async t => {
  const heard: Message[] = []
  hear(t, ['settle'], message => { heard.push(message) })
  const seen: unknown[] = []
  const requests: FastifyRequest[] = []
  const server = await serve(t, app => {
    app.addHook('onResponse', async request => {
      requests.push(request)
      const { cause, leaderId, outcome, reason, refresh, signal } = request.coalesce ?? {}
      seen.push({ outcome, reason, cause, refresh, isLeader: leaderId === request.id, aborted: signal?.aborted })
    })
    app.get('/', { config: { coalesce: { ttl: '1m' } } }, async () => 'cached')
  })
  await server.get('/')
  await server.get('/')
  await until(() => seen.length === 2, 'both')
  t.strictSame(seen, [
    { outcome: 'leader', reason: 'shared', cause: undefined, refresh: false, isLeader: true, aborted: false },
    { outcome: 'hit', reason: 'fresh', cause: undefined, refresh: false, isLeader: false, aborted: false }
  ])
  t.match(heard.map(({ id, leaderId, outcome, reason, waited }) => ({ id, leaderId, outcome, reason, waited })), [
    { id: 'req-1', leaderId: 'req-1', outcome: 'leader', reason: 'shared', waited: 0 },
    { id: 'req-2', leaderId: undefined, outcome: 'hit', reason: 'fresh', waited: 0 }
  ])
  t.equal(heard[1]?.request, requests[1])
})
