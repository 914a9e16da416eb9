import type { RouteShorthandOptions } from 'fastify'
import t from 'tap'
import { held, queue, times, type HeldHandler } from '../fixtures/crowd.js'
import { TestClock } from '../fixtures/gate.js'
import { lines, DEBUG, WARN, type Lines } from '../fixtures/lines.js'
import { serve } from '../fixtures/server.js'

const ROUTE = { method: 'GET', route: '/word/:word' }
const EVENTS = new Set(['started', 'joined', 'completed', 'failed', 'unshareable', 'abandoned', 'cleaned up'])

/** The life of a flight, in order: event, request, leader, and what else is said. */
function story (log: Lines): unknown[] {
  return log.coalesce().filter(({ coalesce }) => EVENTS.has(String(coalesce?.event))).map(({ reqId, coalesce }) => {
    const { event, method, route, leaderId, ...rest } = coalesce ?? {}
    return [event, reqId, leaderId, rest]
  })
}

/** As many clients as `count` meet in one flight, and are all answered. */
async function fly (t: Parameters<typeof serve>[0], log: Lines, count: number, handler: HeldHandler, route: RouteShorthandOptions = {}): Promise<void> {
  const server = await serve(t, app => { app.get('/word/:word', { ...route, config: { coalesce: true } }, handler) }, {}, { logger: log.logger })
  const answers = await queue(server, times(count, server, '/word/secret'))
  handler.gate.open()
  await Promise.all(answers)
}

t.test('a flight tells its life at debug level, with its leader\'s id in its followers\' lines', async t => {
  const log = lines()
  await fly(t, log, 3, held())

  t.strictSame(story(log), [
    ['started', 'req-1', 'req-1', {}],
    ['joined', 'req-2', 'req-1', { waiters: 1 }],
    ['joined', 'req-3', 'req-1', { waiters: 2 }],
    ['completed', 'req-1', 'req-1', { reason: 'shared', followers: 2 }]
  ])
  t.match(log.event('started')[0], { level: DEBUG, msg: 'coalesce started', coalesce: ROUTE })
  t.strictSame(log.event('settled').map(({ reqId, coalesce }) => [reqId, coalesce?.leaderId, coalesce?.outcome, coalesce?.reason]), [
    ['req-1', 'req-1', 'leader', 'shared'], ['req-2', 'req-1', 'follower', 'shared'], ['req-3', 'req-1', 'follower', 'shared']
  ])
  t.notMatch(JSON.stringify(log.coalesce()), /secret/, 'no key and no URL')
})

t.test('a failure is told as one', async t => {
  const log = lines()
  await fly(t, log, 2, held(() => { throw new Error('boom') }))
  t.strictSame(story(log), [
    ['started', 'req-1', 'req-1', {}],
    ['joined', 'req-2', 'req-1', { waiters: 1 }],
    ['failed', 'req-1', 'req-1', { reason: 'failed', followers: 1 }]
  ])
})

t.test('a flight that took too long is cleaned up, and its successor starts', async t => {
  const log = lines()
  const clock = new TestClock()
  const handler = held()
  const server = await serve(t, app => { app.get('/word/:word', { config: { coalesce: { flightTimeout: 1000 } } }, handler) },
    { clock }, { logger: log.logger })
  const answers = await queue(server, times(3, server, '/word/a'))
  clock.advance(1000)
  handler.gate.open()
  await Promise.all(answers)
  t.strictSame(story(log), [
    ['started', 'req-1', 'req-1', {}],
    ['joined', 'req-2', 'req-1', { waiters: 1 }],
    ['joined', 'req-3', 'req-1', { waiters: 2 }],
    ['started', 'req-2', 'req-2', {}],
    ['cleaned up', 'req-1', 'req-1', {}],
    ['completed', 'req-2', 'req-2', { reason: 'shared', followers: 1 }]
  ])
  t.strictSame(log.event('settled').map(({ reqId, coalesce }) => [reqId, coalesce?.leaderId, coalesce?.outcome, coalesce?.reason]), [
    ['req-1', 'req-1', 'leader', 'flight-timeout'], ['req-2', 'req-2', 'leader', 'shared'], ['req-3', 'req-2', 'follower', 'shared']
  ])
})

t.test('a request that bypasses says why', async t => {
  const log = lines()
  const server = await serve(t, app => { app.get('/word/:word', { config: { coalesce: true } }, async () => 'body') }, {}, { logger: log.logger })
  await server.get('/word/a', { headers: { cookie: 'session=abc' } })
  t.strictSame(story(log), [])
  t.strictSame(log.event('settled').map(({ coalesce }) => coalesce),
    [{ event: 'settled', ...ROUTE, leaderId: 'req-1', outcome: 'bypass', reason: 'credentials', cause: 'cookie', names: ['cookie'], waited: 0 }])
})

t.test('a key or identity that throws is warned of once a route, with its error', async t => {
  const log = lines()
  const server = await serve(t, app => {
    app.get('/key', { config: { coalesce: { key: () => { throw new Error('which?') } } } }, async () => 'body')
    app.get('/identity', { config: { coalesce: { identity: () => { throw new Error('who?') } } } }, async () => 'body')
  }, {}, { logger: log.logger })
  for (const path of ['/key', '/identity', '/key', '/identity']) await server.get(path)
  const warnings = log.coalesce().filter(({ level }) => level === WARN)
  t.strictSame(warnings.map(({ coalesce, err }) => [coalesce, err?.message]), [
    [{ event: 'key-threw', route: '/key' }, 'which?'], [{ event: 'identity-threw', route: '/identity' }, 'who?']
  ])
})

t.test('nothing is written above debug level when all goes well', async t => {
  const log = lines('info')
  await fly(t, log, 2, held())
  t.strictSame(log.coalesce(), [])
})

t.test('a route\'s own log level holds for its events', async t => {
  const log = lines()
  await fly(t, log, 2, held(), { logLevel: 'warn' })
  t.strictSame(story(log), [])
})
