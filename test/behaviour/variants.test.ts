import t from 'tap'
import { held, meet, queue, type HeldHandler } from '../fixtures/crowd.js'
import { leave, outcomes, waiting } from '../fixtures/endings.js'
import { gate, TestClock, until, type Gate } from '../fixtures/gate.js'
import { serve } from '../fixtures/server.js'

const languages = (count: number, variants: number): string[] => Array.from({ length: count }, (_, index) => `l${index % variants}`)

const speaking = (language: string): { headers: Record<string, string> } => ({ headers: { 'accept-language': language } })

/** A route whose handler says on what its response varies. */
function translating (): { handler: HeldHandler, config: { coalesce: true } } {
  const handler = held((request, reply) => {
    reply.header('vary', 'Accept-Language')
    return String(request.headers['accept-language'])
  })
  return { handler, config: { coalesce: true } }
}

t.test('k variants in one burst cost k runs', async t => {
  const { handler, config } = translating()
  const server = await serve(t, app => { app.get('/', { config }, handler) })
  const wanted = languages(60, 4)
  const answers = await meet(server, handler, wanted.map(language => () => server.get('/', speaking(language))))
  t.same(answers.map(({ body }) => body), wanted)
  t.equal(handler.runs, 4)
  t.same(await outcomes(server.app), { 'leader shared': 4, 'follower shared': 56 })
})

t.test('the next burst splits at once', async t => {
  let runs = 0
  let answer = gate()
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async (request, reply) => {
      runs++
      await answer.promise
      reply.header('vary', 'accept-language')
      return request.headers['accept-language']
    })
  })
  const first = languages(6, 3).map(language => server.get('/', speaking(language)))
  await server.arrived(6)
  t.equal(runs, 1)
  answer.open()
  await Promise.all(first)
  t.equal(runs, 3)

  runs = 0
  answer = gate()
  const wanted = languages(9, 3)
  const second = wanted.map(language => server.get('/', speaking(language)))
  await server.arrived(15)
  t.equal(runs, 3, 'before any has answered')
  answer.open()
  t.same((await Promise.all(second)).map(({ body }) => body), wanted)
  t.equal(runs, 3)
})

t.test('one client of another variant does not cost those who match their leader a run', async t => {
  const { handler, config } = translating()
  const server = await serve(t, app => { app.get('/', { config }, handler) })
  const wanted = ['gzip', ...Array.from({ length: 10 }, () => 'br')]
  const answers = await meet(server, handler, wanted.map(encoding => () => server.get('/', speaking(encoding))))
  t.same(answers.map(({ body }) => body), wanted)
  t.equal(handler.runs, 2)
})

t.test('an absent header is another variant than an empty one', async t => {
  const handler = held((request, reply) => {
    reply.header('vary', 'x-flag')
    return request.headers['x-flag'] === undefined ? 'absent' : 'empty'
  })
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
  const answers = await meet(server, handler, [undefined, { 'x-flag': '' }, undefined, { 'x-flag': '' }].map(headers => () => server.get('/', { headers })))
  t.same([answers.map(({ body }) => body), handler.runs], [['absent', 'empty', 'absent', 'empty'], 2])
})

t.test('who still matches nobody after two further boardings runs alone', async t => {
  // Each run varies on one header more than the one before it.
  const names = ['x-a', 'x-b', 'x-c', 'x-d']
  let runs = 0
  const opening = gate()
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: { learnVary: false } } }, async (request, reply) => {
      const run = runs++
      await opening.promise
      reply.header('vary', names[Math.min(run, names.length - 1)])
      return request.headers['x-id']
    })
  })
  const clients = Array.from({ length: 6 }, (_, index) => ({
    'x-id': String(index), 'x-a': String(Math.min(index, 1)), 'x-b': String(Math.min(index, 2)), 'x-c': String(Math.min(index, 3)), 'x-d': String(index)
  }))
  const asked = clients.map(headers => server.get('/', { headers }))
  await server.arrived(6)
  opening.open()
  const answers = await Promise.all(asked)
  t.same(answers.map(({ body }) => body), clients.map(client => client['x-id']))
  t.ok(runs <= 6, `at most one run a client, got ${runs}`)
  t.match(await outcomes(server.app), { 'alone vary': Number })
})

t.test('a variant\'s leader that leaves hands over to a follower of the same variant', async t => {
  const gates = new Map<number, Gate>()
  let runs = 0
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async (request, reply) => {
      const run = ++runs
      const opening = gate()
      gates.set(run, opening)
      await opening.promise
      reply.header('vary', 'accept-language')
      return `${String(request.headers['accept-language'])} by run ${run}`
    })
  })
  const en = server.get('/', speaking('en'))
  await server.arrived(1)
  const de = server.get('/', speaking('de'))
  await server.arrived(2)
  const other = server.get('/', speaking('de'))
  await server.arrived(3)
  gates.get(1)?.open()
  t.equal((await en).body, 'en by run 1')
  await until(() => runs === 2)
  await waiting(server.app, 1)
  await leave(de)
  gates.get(2)?.open()
  t.equal((await other).body, 'de by run 2')
  t.equal(runs, 2)
})

t.test('patience is counted from the first boarding', async t => {
  const clock = new TestClock()
  const openings = [gate(), gate()]
  let runs = 0
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: { waitTimeout: 100, onWaitTimeout: 'error' } } }, async request => {
      await openings[runs++]?.promise
      return request.headers['accept-language']
    })
  }, { clock })
  const [en, leader, follower] = await queue(server, ['en', 'de', 'de'].map(language => () => server.get('/', speaking(language))))
  clock.advance(80)
  openings[0]?.open()
  t.equal((await en)?.body, 'en')
  await until(() => runs === 2)
  clock.advance(20)
  t.equal((await follower)?.status, 503)
  openings[1]?.open()
  t.equal((await leader)?.body, 'de')
})

t.test('a handler that encodes by itself is run once for all spellings of an Accept-Encoding', async t => {
  const spellings = ['gzip, br', 'gzip,br', 'GZIP , BR;q=1.0', 'br']
  const encoding = (says: boolean) => held((request, reply) => {
    if (says) reply.header('vary', 'Accept-Encoding')
    return String(request.headers['accept-encoding']).length < 5 ? 'br' : 'gzip'
  })
  for (const [says, runs] of [[true, 2], [false, 4]] as const) {
    const handler = encoding(says)
    const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, handler) })
    const answers = await meet(server, handler, spellings.map(value => () => server.get('/', { headers: { 'accept-encoding': value } })))
    t.same([answers.map(({ body }) => body), handler.runs], [['gzip', 'gzip', 'gzip', 'br'], runs], says ? 'by its Vary' : 'a mere read: to the letter')
  }
})
