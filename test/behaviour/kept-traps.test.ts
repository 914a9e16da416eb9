/**
 * "A store never fails a request, whatever becomes of what it answered with."
 */
import t from 'tap'
import { keeping } from '../fixtures/kept.js'
import { until } from '../fixtures/gate.js'
import { trapping } from '../stores/trapping.js'

const MOST = 200

for (const [age, paused] of [['fresh', false], ['stale', false], ['stands in for errors', false], ['stands in for errors at once', true]] as const) {
  t.test(`each request is answered, however often an entry can be looked at before that throws: ${age}`, async t => {
    const store = trapping()
    let fails = false
    const server = await keeping(t, {
      options: { store },
      route: { ttl: '10s', staleWhileRevalidate: age === 'stale' ? '10m' : 0, staleIfError: '10m', headers: ['x-key'] },
      handler: (run, request, reply) => {
        if (fails && request.headers['x-key'] !== 'warm') throw new Error('down')
        reply.header('x-list', ['a', 'b']).header('etag', '"v1"').header('vary', 'accept-language')
        return { run }
      }
    })
    let needed = 0
    let looks = 0
    for (; looks < MOST && needed < 20; looks++) {
      fails = false
      const path = `/thing/${looks}`
      const headers = { 'x-key': 'k', 'accept-language': 'de' }
      store.looks = Infinity
      const first = await server.get(path, { headers })
      if (age !== 'fresh') server.clock.advance(11_000)
      fails = age.startsWith('stands')
      if (paused) t.equal((await server.get(path, { headers })).body, first.body)
      store.looks = looks
      const { status, body } = await server.get(path, { headers })
      t.ok(status === 200 || (fails && status === 500 && body.includes('down')), `${looks} looks: ${status} ${body}`)
      if (status === 200) t.match(body, /^\{"run":\d+\}$/)
      if (store.looked <= looks && body === first.body) needed++
      if (age === 'stale') await until(() => server.runs() === 2 * (looks + 1), 'its run, or a refresh')
    }
    t.ok(looks < MOST, 'all looks were counted')
  })
}

t.test('what was found once stays what it was, whatever is looked at later: a slow run whose answer it stands in for', async t => {
  const store = trapping()
  const server = await keeping(t, {
    options: { store },
    route: { ttl: '10s', staleIfError: '10m' },
    handler: run => {
      store.looks = 0
      if (run > 1) throw new Error('down')
      return { run }
    }
  })
  await server.get('/thing/1')
  server.clock.advance(11_000)
  store.looks = Infinity
  t.match(await server.get('/thing/1'), { status: 200, body: '{"run":1}' })
})

t.test('each call of a function is answered, however often an entry can be looked at before that throws', async t => {
  const store = trapping()
  const { app, clock } = await keeping(t)
  for (const state of ['fresh', 'stale', 'stands in']) {
    let runs = 0
    let fails = false
    const lookUp = app.coalesce.deduplicate(async (word: string) => {
      if (fails) throw new Error('down')
      return { word, run: ++runs }
    }, { key: word => word, name: state, ttl: '10s', staleWhileRevalidate: state === 'stale' ? '10m' : 0, staleIfError: '10m', store, clone: result => ({ ...result }) })
    let needed = 0
    let looks = 0
    for (; looks < MOST && needed < 20; looks++) {
      fails = false
      store.looks = Infinity
      const first = await lookUp(`word ${looks}`)
      if (state !== 'fresh') clock.advance(11_000)
      fails = state === 'stands in'
      store.looks = looks
      const answer = await lookUp(`word ${looks}`).catch((error: unknown) => error as Error)
      if (answer instanceof Error) t.ok(fails && answer.message === 'down', `${state}, ${looks} looks: ${answer.message}`)
      else t.match(answer, { word: `word ${looks}`, run: Number })
      if (store.looked <= looks && !(answer instanceof Error) && answer.run === first.run) needed++
      if (state === 'stale') await until(() => runs === 2 * (looks + 1), 'its run, or a refresh')
    }
    t.ok(looks < MOST, `${state}: all looks were counted`)
  }
})

t.test('what is kept is listed without what cannot be looked at', async t => {
  const store = trapping()
  const { app, get } = await keeping(t, { options: { store } })
  await get('/thing/1')
  let looks = 0
  for (; looks < MOST; looks++) {
    store.looks = looks
    if (app.coalesce.entries().length === 1) break
  }
  t.ok(looks > 0 && looks < MOST)
  store.entries = () => { throw new Error('down') }
  t.throws(() => app.coalesce.entries(), { code: 'FST_COALESCE_NOT_LISTABLE' })
})

t.test('what a store throws may be looked at no more than what it answers with', async t => {
  const odd = new Proxy(new Error('odd'), { get: () => { throw new Error('trap') }, getPrototypeOf: () => { throw new Error('trap') } })
  for (const failing of [() => { throw odd }, async () => { throw odd }]) {
    const written: string[] = []
    const server = await keeping(t, {
      fastify: { logger: { level: 'warn', stream: { write: (line: string) => { written.push(line) } } } },
      options: { store: { get: failing, set: failing, delete: failing } }
    })
    t.match(await server.get('/thing/1'), { status: 200, body: '{"run":1}' })
    t.match(await server.get('/thing/1'), { status: 200, body: '{"run":2}' })
    t.match(written.join(''), /the store failed/)
  }
})
