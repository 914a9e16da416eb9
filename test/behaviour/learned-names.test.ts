/**
 * What responses were once seen to depend on is forgotten when none does any more, and takes bounded room.
 */
import t from 'tap'
import { Readable } from 'node:stream'
import { distinct } from '../fixtures/crowd.js'
import { getFrom, outcomes } from '../fixtures/endings.js'
import { gate, TestClock, until, type Gate } from '../fixtures/gate.js'
import { keeping } from '../fixtures/kept.js'
import { lines } from '../fixtures/lines.js'
import { serve, type TestServer } from '../fixtures/server.js'

const from = async (server: TestServer, path: string, headers = {}): Promise<string[]> => {
  const bodies: string[] = []
  for (let host = 2; host < 22; host++) bodies.push(await getFrom(server, `127.0.0.${host}`, path, headers))
  return bodies
}

t.test('one client that has its address looked at does not have each address cost a run from then on', async t => {
  const server = await keeping(t, {
    handler: (run, request) => {
      if (request.headers['x-probe'] !== undefined) request.log.info(request.ip)
      return { run }
    }
  })
  await getFrom(server, '127.0.0.1', '/thing/1', { 'x-probe': '1' })
  const before = server.runs()
  const bodies = await from(server, '/thing/1')
  t.equal(server.runs() - before, 10, 'as many as it takes to forget')
  t.equal(distinct(bodies).length, 10)
  server.clock.advance(60_000)
  t.equal(distinct(await from(server, '/thing/1')).length, 1)
  t.equal(server.runs() - before, 11)
  t.notSame(await getFrom(server, '127.0.0.1', '/thing/1', { 'x-probe': '1' }), await getFrom(server, '127.0.0.1', '/thing/1'), 'the variant is still told apart')
})

t.test('what each run depends on is never forgotten, nor what is looked at now and then', async t => {
  const server = await keeping(t, { handler: (_run, { headers }) => `${headers['x-lang']} ${headers['x-deep'] === undefined ? '' : headers['x-region']}` })
  const ask = async (headers: Record<string, string>): Promise<string> => (await server.get('/thing/1', { headers })).body
  for (let round = 0; round < 8; round++) {
    for (let pass = 0; pass < 2; pass++) {
      for (const lang of ['de', 'fr', 'en', 'pt']) t.equal(await ask({ 'x-lang': lang, 'x-region': 'a' }), `${lang} `)
      t.equal(await ask({ 'x-lang': 'de', 'x-region': 'b', 'x-deep': '1' }), 'de b')
    }
    server.clock.advance(60_001)
  }
  t.equal(server.runs(), 44, 'one run for each variant, and one more for those that came before it was known')
})

t.test('what streams read late once is forgotten when they do not any more', async t => {
  const openings: Gate[] = []
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async request => {
      const opening = gate()
      openings.push(opening)
      return Readable.from((async function * () {
        yield 'first '
        await opening.promise
        yield request.headers['x-probe'] === undefined ? 'last' : `last ${request.ip}`
      })())
    })
  })
  const burst = async (headers: Record<string, string>): Promise<number> => {
    openings.length = 0
    const before = server.app.coalesce.stats().totalRequests
    const answers = [2, 3].map(host => getFrom(server, `127.0.0.${host}`, '/', headers).catch(() => 'cut off'))
    await server.arrived(before + 2)
    await until(() => openings.length > 0)
    await new Promise(resolve => setImmediate(resolve))
    const { length } = openings
    for (const opening of openings) opening.open()
    for (let index = 0; index < 10; index++) {
      await new Promise(resolve => setImmediate(resolve))
      for (const opening of openings) opening.open()
    }
    await Promise.all(answers)
    return length
  }
  await burst({ 'x-probe': '1' })
  t.equal(await burst({}), 2, 'each address has a run of its own')
  for (let round = 0; round < 12; round++) await burst({})
  t.equal(await burst({}), 1)
})

t.test('of a route whose clients say which headers are read nothing is shared after a while, and a warning says so', async t => {
  const clock = new TestClock()
  const log = lines('warn')
  const server = await serve(t, app => {
    const read = { config: { coalesce: { unshareableTtl: '1m' } } } as const
    app.get('/read/:key', read, async ({ headers }) => String(headers['x-which']).split(',').map(name => headers[name] ?? '').join(''))
    app.get('/other', read, async () => 'other')
  }, { clock }, { logger: log.logger })
  let asked = 0
  /** Has eight names read that nobody else has. */
  const ask = async (key: number): Promise<string> => {
    const which = Array.from({ length: 8 }, (_, index) => `x-${asked}-${index}`)
    asked++
    return (await server.get(`/read/${key}`, { headers: { 'x-which': which.join(), [which[0] as string]: 'own' } })).body
  }
  const bypassed = async (): Promise<number> => (await outcomes(server.app))['bypass unshareable'] ?? 0
  for (let round = 0; round < 10; round++) t.equal(await ask(1), 'own')
  t.strictSame(log.event('varies-too-much').map(({ coalesce }) => coalesce), [{ event: 'varies-too-much', route: '/read/:key' }])
  t.strictSame(await outcomes(server.app), { 'leader shared': 7, 'leader varies-too-much': 1, 'bypass unshareable': 2 }, 'nothing of the key is shared')
  await ask(2)
  t.equal(await bypassed(), 2, 'another key')
  for (let key = 3; key < 40; key++) await ask(key)
  t.equal(await bypassed(), 16, 'with four times as many names nothing of the route is shared')
  t.equal(log.event('varies-too-much').length, 1)
  await server.get('/other')
  clock.advance(60_000)
  await ask(40)
  t.equal(await bypassed(), 16, 'which does not last, and is of no other route')
})

t.test('what depends on more names than can be remembered, and may not be shared, is remembered for the whole key', async t => {
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async ({ headers }, reply) => {
      for (let index = 0; index < 65; index++) reply.header('x-seen', String(headers[`x-${index}`]))
      return await reply.header('cache-control', 'private').send('own')
    })
  })
  for (const lang of ['de', 'fr']) await server.get('/', { headers: { 'x-1': lang } })
  t.strictSame(await outcomes(server.app), { 'leader private': 1, 'bypass unshareable': 1 })
})
