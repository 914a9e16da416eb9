/**
 * "Of the runs that wait for a slot the most urgent comes first, and a run is as urgent as the most urgent of those who wait for it."
 */
import t from 'tap'
import { waiting } from '../fixtures/endings.js'
import { until } from '../fixtures/gate.js'
import { protectedServer, type Protected } from '../fixtures/protected.js'

/** Ends the run of a name, each time that one has begun. */
async function endAll ({ runs }: Protected, count: number): Promise<void> {
  for (let run = runs.names.length - 1; run < count; run++) {
    await until(() => runs.names.length > run, `run ${run + 1} of ${count}`)
    runs.end(runs.names[run] as string)
  }
}

t.test('a run has the priority of its request, or call, or that of its route; without one, the middle one', async t => {
  const server = await protectedServer(t, {
    routes (app, { queue, runs }) {
      app.get('/low', { config: { coalesce: { queue, priority: 'low' } } }, async () => await runs.run('route-low'))
      app.get('/none', { config: { coalesce: { queue } } }, async () => await runs.run('none'))
    }
  })
  const { app, queue, runs } = server
  const call = app.coalesce.deduplicate(async (name: string, _level: string) => await runs.run(name), { name: 'call', queue, key: name => name, priority: (_name, level) => level })
  const { answer: other } = await server.begins('/run/other')
  const answers = []
  for (const path of ['/low', '/none', '/run/normal', '/run/low?p=low', '/run/high?p=high']) {
    answers.push((await server.waits(answers.length + 1, path)).answer)
  }
  const alone = await server.waits(6, '/run/alone?p=high', { headers: { authorization: 'Bearer a' } })
  const calls = [call('call-low', 'low'), call('call-high', 'high')]
  await endAll(server, 9)
  t.strictSame(runs.names, ['other', 'high', 'alone', 'call-high', 'none', 'normal', 'route-low', 'low', 'call-low'])
  await Promise.all([other, alone.answer, ...answers, ...calls])
  await server.quiet()
})

t.test('a low leader that a high client joins runs next, and when that client has left it is last again', async t => {
  for (const leaves of [false, true]) {
    const server = await protectedServer(t, { queue: { aging: false } })
    const { queue, runs } = server
    const { answer: other } = await server.begins('/run/other')
    const { answer: low } = await server.waits(1, '/run/low?p=low')
    const normals = []
    for (let count = 1; count <= 3; count++) normals.push((await server.waits(1 + count, `/run/normal-${count}`)).answer)
    const high = server.get('/run/low?p=high')
    await server.arrived(6)
    if (leaves) {
      await server.leaves(high)
      await waiting(server.app, 0)
    }
    await endAll(server, 5)
    t.strictSame(runs.names, leaves ? ['other', 'normal-1', 'normal-2', 'normal-3', 'low'] : ['other', 'low', 'normal-1', 'normal-2', 'normal-3'])
    t.equal(queue.figures().raised, 1)
    await Promise.all([other, low, ...normals, leaves ? undefined : high])
    await server.quiet()
  }
})

t.test('a high leader that has left makes its run no more urgent than those who are left', async t => {
  const server = await protectedServer(t, { queue: { aging: false } })
  const { runs } = server
  const { answer: other } = await server.begins('/run/other')
  const { answer: high } = await server.waits(1, '/run/a?p=high')
  const low = server.get('/run/a?p=low')
  await server.arrived(3)
  const { answer: normal } = await server.waits(2, '/run/normal')
  await server.leaves(high)
  await until(() => server.queue.figures().levels[2]?.waiting === 1)
  await endAll(server, 3)
  t.strictSame(runs.names, ['other', 'normal', 'a'])
  t.equal((await low).body, 'a')
  await Promise.all([other, normal])
  await server.quiet()
})

t.test('those who are let go wait by their own priority, and their leader by its own', async t => {
  const server = await protectedServer(t, { queue: { aging: false } })
  const { app, queue, runs } = server
  const { answer: other } = await server.begins('/run/other')
  const { answer: low } = await server.waits(1, '/run/a?p=low')
  const high = server.get('/run/a?p=high')
  await server.arrived(3)
  t.strictSame(queue.figures().levels.map(level => level.waiting), [1, 0, 0])
  app.coalesce.disable()
  t.strictSame(queue.figures().levels.map(level => level.waiting), [1, 0, 1])
  await endAll(server, 3)
  t.strictSame(runs.names, ['other', 'a', 'a'])
  await Promise.all([other, low, high])
  await server.quiet()
})

t.test('nobody waits for ever: a run that came a level earlier by ageing comes first', async t => {
  for (const aging of ['1s', false] as const) {
    const server = await protectedServer(t, { queue: { aging, queueTimeout: '1m' }, route: { flightTimeout: '1m' } })
    const { clock, runs } = server
    const { answer: other } = await server.begins('/run/other')
    const { answer: low } = await server.waits(1, '/run/low?p=low')
    clock.advance(2100)
    const { answer: high } = await server.waits(2, '/run/high?p=high')
    await endAll(server, 3)
    t.strictSame(runs.names, aging === false ? ['other', 'high', 'low'] : ['other', 'low', 'high'])
    await Promise.all([other, low, high])
    await server.quiet()
  }
})

t.test('a priority function that throws, or answers no level, stands for the middle one, and is warned of once', async t => {
  for (const [event, priority] of [
    ['priority-threw', () => { throw new Error('no priority') }],
    ['priority-unknown', () => 'urgent']
  ] as const) {
    const warnings: Array<Record<string, unknown>> = []
    const logged = new Proxy({}, { get: (_target, name) => name === 'child' ? () => logged : name === 'warn' ? (fields: { coalesce: Record<string, unknown> }) => { warnings.push(fields.coalesce) } : () => {} })
    const server = await protectedServer(t, {
      fastify: { loggerInstance: logged as never },
      queue: { aging: false },
      routes (app, { queue, runs }) { app.get('/odd', { config: { coalesce: { queue, priority } } }, async () => await runs.run('odd')) }
    })
    const { answer: other } = await server.begins('/run/other')
    const low = await server.waits(1, '/run/low?p=low')
    const odd = await server.waits(2, '/odd')
    const again = await server.waits(3, '/odd', { headers: { authorization: 'Bearer a' } })
    const high = await server.waits(4, '/run/high?p=high')
    await endAll(server, 5)
    t.strictSame(server.runs.names, ['other', 'high', 'odd', 'odd', 'low'])
    t.match(warnings, [{ event, route: 'GET /odd' }])
    t.equal(warnings.length, 1)
    await Promise.all([other, low.answer, odd.answer, again.answer, high.answer])
    await server.quiet()
  }
})

t.test('what a priority function reads is no part of the key, and responses do not vary by it', async t => {
  const server = await protectedServer(t, {
    route: {
      ttl: '60s',
      priority: request => request.headers['user-agent']?.startsWith('browser') === true && request.ip !== '' ? 'high' : 'low'
    }
  })
  const { runs } = server
  const { answer: other } = await server.begins('/run/other')
  const answers = []
  answers.push((await server.waits(1, '/run/a', { headers: { 'user-agent': 'job' } })).answer)
  answers.push(server.get('/run/a', { headers: { 'user-agent': 'browser' } }))
  await server.arrived(3)
  t.strictSame(server.queue.figures().levels.map(level => level.waiting), [1, 0, 0])
  await endAll(server, 2)
  t.strictSame((await Promise.all(answers)).map(({ body, headers: { vary } }) => [body, vary]), [['a', undefined], ['a', undefined]])
  t.equal((await server.get('/run/a', { headers: { 'user-agent': 'another' } })).body, 'a')
  t.strictSame(runs.names, ['other', 'a'])
  await other
  await server.quiet()
})
