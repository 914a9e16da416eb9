/**
 * To answer very many who wait takes more than one turn of the event loop, so that everybody else has theirs.
 */
import type { Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import t from 'tap'
import type { CoalesceOptions, CoalesceRouteOptions } from '../../types/index.js'
import { held, queue, times } from '../fixtures/crowd.js'
import { grounded, outcomes, waiting } from '../fixtures/endings.js'
import { gate, TestClock, until } from '../fixtures/gate.js'
import { serve, type GetOptions, type Pending } from '../fixtures/server.js'

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown

/** Those who wait, one letter each. */
const CROWD = 'abcdefghijklmnop'

/** A route whose answers take three milliseconds each to be sent: two fit in a turn of the event loop. */
async function slowly (test: Parameters<typeof serve>[0], handler: Handler, config: CoalesceRouteOptions = {}, options: CoalesceOptions = {}) {
  const clock = new TestClock()
  const sockets: Record<string, Socket> = {}
  const replies: FastifyReply[] = []
  const answered: string[] = []
  /** In which turn each was. */
  const turns: number[] = []
  let turn = 0
  let counting: NodeJS.Immediate | undefined
  /** Called when the event loop turns between answers. */
  const between: Array<() => void> = []
  const count = (): void => {
    turn++
    between.shift()?.()
    counting = setImmediate(count)
  }
  test.teardown(() => { clearImmediate(counting) })
  const server = await serve(test, app => {
    app.addHook('onRequest', (request, reply, done) => {
      replies.push(reply)
      sockets[String(request.headers['x-name'])] = request.raw.socket
      done()
    })
    app.addHook('onSend', (request, _reply, payload, done) => {
      const name = String(request.headers['x-name'])
      if (CROWD.includes(name)) {
        counting ??= setImmediate(count)
        answered.push(name)
        turns.push(turn)
        clock.advance(3)
      }
      done(null, payload)
    })
    app.get('/', { config: { coalesce: { learnVary: { ignore: ['x-name'] }, ...config } } }, handler as never)
  }, { clock, ...options })
  const get = (name: string, headers: GetOptions['headers'] = {}): Pending => server.get('/', { headers: { 'x-name': name, ...headers } })
  const crowd = async (names: string, headers?: GetOptions['headers']): Promise<Pending[]> =>
    await queue(server, [...names].map(name => () => get(name, headers)))
  /** Asks in the same turn, past the network. */
  const come = async (): Promise<string> =>
    (await server.app.inject({ url: '/', headers: { 'x-name': 'new', host: `127.0.0.1:${server.port}` } })).body
  return { server, clock, sockets, replies, answered, turns, between, come, crowd }
}

const bodies = async (answers: Pending[]): Promise<string[]> => [...new Set((await Promise.all(answers)).map(({ body }) => body))]

t.test('those who wait are answered in order of boarding, in as many turns as that takes, each once', async t => {
  const handler = held()
  const { server, crowd, answered, turns } = await slowly(t, handler)
  const answers = await crowd(`L${CROWD}`)
  handler.gate.open()

  t.same(await bodies(answers), ['{"hello":"world"}'])

  t.equal(answered.join(''), CROWD)
  t.equal(new Set(turns).size, CROWD.length / 2, turns.join())
  t.equal(handler.runs, 1)
  t.same(await outcomes(server.app), { 'leader shared': 1, 'follower shared': CROWD.length })
  await grounded(server.app)
})

t.test('whose client leaves before its turn is not answered, and all others are', async t => {
  const handler = held()
  const { server, crowd, sockets, answered, between } = await slowly(t, handler)
  const answers = await crowd(`L${CROWD}`)
  const [left] = answers.splice(CROWD.indexOf('n') + 1, 1) as [Pending]
  between.push(() => { sockets.n?.destroy() })
  handler.gate.open()

  await t.rejects(left)
  t.same(await bodies(answers), ['{"hello":"world"}'])
  t.equal(answered.join(''), CROWD.replace('n', ''))
  t.same(await outcomes(server.app), { 'leader shared': 1, 'follower shared': CROWD.length - 1, 'follower client-left': 1 })
  await grounded(server.app)
})

t.test('whoever comes meanwhile leads a run of its own, or is given what is kept', async t => {
  for (const ttl of [undefined, '60s'] as const) {
    const handler = held()
    const { server, crowd, come, answered, between } = await slowly(t, handler, ttl === undefined ? {} : { ttl })
    const answers = await crowd(`L${CROWD}`)
    let newcomer: Promise<string> | undefined
    let waited = ''
    between.push(() => {
      newcomer = come()
      newcomer.then(() => { waited = answered.join('') }, () => {})
    })
    handler.gate.open()

    t.same(await bodies(answers), ['{"hello":"world"}'])
    t.equal(await newcomer, '{"hello":"world"}')
    t.ok(waited.length < CROWD.length, `answered after ${waited}`)
    t.equal(handler.runs, ttl === undefined ? 2 : 1)
    t.equal(answered.join(''), CROWD)
    await grounded(server.app)
  }
})

t.test('nobody\'s patience ends before its turn', async t => {
  const handler = held()
  const { server, crowd, clock, between } = await slowly(t, handler, { waitTimeout: '1s', onWaitTimeout: 'error' })
  const answers = await crowd(`L${CROWD}`)
  between.push(() => { clock.advance(5000) })
  handler.gate.open()

  t.same(await bodies(answers), ['{"hello":"world"}'])
  t.same(await outcomes(server.app), { 'leader shared': 1, 'follower shared': CROWD.length })
})

t.test('very many whose patience ends at once are told so in as many turns as that takes', async t => {
  const handler = held()
  const { server, crowd, answered, clock } = await slowly(t, handler, { waitTimeout: '1s', onWaitTimeout: 'error' })
  const [leader, ...answers] = await crowd(`L${CROWD}`)
  clock.advance(1000)
  t.equal(answered.join(''), 'ab')
  await until(() => {
    clock.advance(2)
    return answered.length === CROWD.length
  })

  t.same(new Set((await Promise.all(answers)).map(({ status }) => status)), new Set([503]))
  t.equal(answered.join(''), CROWD)
  handler.gate.open()
  await leader
  await grounded(server.app)
})

t.test('very many whose patience ends at once share one more run, however long that takes to begin', async t => {
  const [first, second] = [gate(), gate()]
  let runs = 0
  const { server, crowd, clock } = await slowly(t, async () => {
    if (++runs === 1) {
      await first.promise
    } else {
      clock.advance(10)
      await second.promise
    }
    return `run ${runs}`
  }, { waitTimeout: '1s' })
  const [leader, ...answers] = await crowd(`L${CROWD}`)
  clock.advance(1000)
  t.equal(runs, 2)
  second.open()

  t.same(await bodies(answers), ['run 2'])
  t.equal(runs, 2)
  first.open()
  await leader
  await grounded(server.app)
})

t.test('very many callers whose patience ends at once share one more run, however long that takes to begin', async t => {
  const clock = new TestClock()
  const server = await serve(t, () => {}, { clock })
  const [first, second] = [gate(), gate()]
  let runs = 0
  const lookUp = server.app.coalesce.deduplicate(async () => {
    if (++runs === 1) {
      await first.promise
    } else {
      clock.advance(10)
      await second.promise
    }
    return runs
  }, { key: () => 'key', waitTimeout: '1s' })
  const [leader, ...calls] = Array.from({ length: 6 }, async () => await lookUp())
  clock.advance(1000)
  t.equal(runs, 2)
  second.open()

  t.same(await Promise.all(calls), [2, 2, 2, 2, 2])
  first.open()
  t.equal(await leader, 2)
  t.equal(runs, 2)
})

t.test('to close the app meanwhile leaves nobody without an answer', async t => {
  const handler = held()
  const { server, crowd, answered, between } = await slowly(t, handler)
  const answers = await crowd(`L${CROWD}`, { connection: 'close' })
  let closed: Promise<void> | undefined
  between.push(() => { closed = server.app.close() })
  handler.gate.open()

  t.same(await bodies(answers), ['{"hello":"world"}'])
  await closed
  t.equal(answered.join(''), CROWD)
})

t.test('those of another variant share one run, however many turns it takes to answer the others', async t => {
  const opening = gate()
  let runs = 0
  const { server, crowd, answered } = await slowly(t, async request => {
    runs++
    if (runs === 1) await opening.promise
    return request.headers['accept-language']
  })
  const answers = await crowd('L', { 'accept-language': 'en' })
  for (const [index, name] of [...CROWD].entries()) {
    answers.push(...await crowd(name, { 'accept-language': index % 2 === 0 ? 'en' : 'de' }))
  }
  opening.open()

  t.same((await Promise.all(answers)).map(({ body }) => body).join(), ['en', ...Array(CROWD.length / 2).fill(['en', 'de']).flat()].join())
  t.equal(runs, 2)
  t.equal([...answered].sort().join(''), CROWD)
  await grounded(server.app)
})

t.test('those who are let go run by themselves in order, in as many turns as that takes', async t => {
  const opening = gate()
  let runs = 0
  const { server, crowd, answered, turns } = await slowly(t, (_request, reply) => {
    const run = ++runs
    reply.header('cache-control', 'no-store')
    if (run > 1) reply.send(`own ${run}`)
    else opening.promise.then(() => { reply.send('own 1') }, () => {})
  }, { releaseConcurrency: 2 })
  const answers = await crowd(`L${CROWD}`)
  opening.open()

  t.equal((await bodies(answers)).length, CROWD.length + 1)
  t.equal(answered.join(''), CROWD)
  t.ok(new Set(turns).size >= CROWD.length / 2, turns.join())
  t.same(await outcomes(server.app), { 'leader no-store': 1, 'alone no-store': CROWD.length })
  await grounded(server.app)
})

t.test('to disable coalescing lets everybody go in as many turns as that takes', async t => {
  const handler = held()
  const clock = new TestClock()
  const turns: number[] = []
  let turn = 0
  const server = await serve(t, app => {
    app.get('/:id', { config: { coalesce: true } }, async (request, reply) => {
      if (server.app.coalesce.stats().actualExecutions <= 6) return await handler(request, reply)
      turns.push(turn)
      clock.advance(3)
      return 'own'
    })
  }, { clock })
  const answers: Pending[] = []
  for (const id of 'abcdef') answers.push(...await queue(server, times(1, server, `/${id}`)))
  for (const id of 'abcdef') answers.push(...await queue(server, times(1, server, `/${id}`)))
  const counting = setInterval(() => {}, 1)
  setImmediate(function count () { if (turn++ < 100) setImmediate(count) })
  server.app.coalesce.disable()
  t.same(turns, [0, 0])
  t.same((await Promise.all(answers.slice(6))).map(({ body }) => body), Array(6).fill('own'))
  clearInterval(counting)
  t.equal(new Set(turns).size, 3, turns.join())
  handler.gate.open()
  await Promise.all(answers)
  await grounded(server.app)
})

/** A route that answers with streams that the test writes to. */
async function streaming (test: Parameters<typeof serve>[0], config: CoalesceRouteOptions = {}) {
  const sources: PassThrough[] = []
  const route = await slowly(test, async (_request, reply) => {
    const source = new PassThrough()
    sources.push(source)
    return await reply.type('text/plain').send(source)
  }, config)
  return { ...route, sources }
}

t.test('those who wait for a stream join it in order, in as many turns as that takes, and a newcomer after them', async t => {
  const { server, crowd, come, answered, turns, between, sources } = await streaming(t)
  const answers = await crowd(`L${CROWD}`)
  let newcomer: Promise<string> | undefined
  between.push(() => { newcomer = come() })
  sources[0]?.write('first ')
  await until(() => answered.length === CROWD.length)
  sources[0]?.end('last')

  t.same(await bodies(answers), ['first last'])
  t.equal(await newcomer, 'first last')
  t.equal(answered.join(''), CROWD)
  t.equal(new Set(turns).size, CROWD.length / 2, turns.join())
  t.equal(sources.length, 1)
  await grounded(server.app)
})

t.test('a chunk of a stream is handed to those who have joined in as many turns as that takes', async t => {
  const { clock, crowd, sources, between, replies, server } = await streaming(t)
  const answers = await crowd(`L${CROWD}`)
  let turn = 0
  const turns: number[] = []
  sources[0]?.write('first ')
  const begun = answers.map(answer => new Promise<void>(resolve => {
    answer.request.once('response', response => { response.once('data', () => { resolve() }) })
  }))
  await Promise.all(begun)
  between.push(...Array.from({ length: 1000 }, () => () => { turn++ }))
  for (const reply of replies) {
    const { raw } = reply
    const write = raw.write.bind(raw) as (...args: unknown[]) => boolean
    Object.assign(raw, {
      write (...args: unknown[]) {
        turns.push(turn)
        clock.advance(3)
        return write(...args)
      }
    })
  }
  sources[0]?.write('second ')
  await until(() => turns.length === 1 + CROWD.length)
  sources[0]?.end('last')

  t.same(await bodies(answers), ['first second last'])
  t.ok(new Set(turns.slice(0, 1 + CROWD.length)).size >= CROWD.length / 2, turns.join())
  await grounded(server.app)
})

t.test('whose turn to join a stream comes when that has ended is given all of it', async t => {
  const { server, crowd, answered, between, sources } = await streaming(t)
  const answers = await crowd(`L${CROWD}`)
  let ended = ''
  between.push(() => { sources[0]?.end('last') }, () => {}, () => { ended = answered.join('') })
  sources[0]?.write('first ')

  t.same(await bodies(answers), ['first last'])
  t.ok(ended.length < CROWD.length, ended)
  t.equal(answered.join(''), CROWD)
  t.equal(sources.length, 1)
  await grounded(server.app)
})

t.test('whose turn to join a stream comes when that is cut off shares one further run', async t => {
  const { server, crowd, between, sources } = await streaming(t)
  const answers = await crowd(`L${CROWD}`)
  between.push(() => { sources[0]?.destroy(new Error('cut off')) })
  const ends = answers.map(answer => answer.then(({ body }) => body, () => 'cut off'))
  sources[0]?.write('first ')
  await until(() => sources.length === 2)
  sources[1]?.end('second')

  const got = await Promise.all(ends)
  t.same([...new Set(got)], ['cut off', 'second'])
  t.equal(got.at(-1), 'second')
  t.equal(sources.length, 2)
  await grounded(server.app)
})

t.test('whose turn to join a stream has not come when it grows too large joins it at once', async t => {
  const { server, crowd, answered, between, sources } = await streaming(t, { maxBodyBytes: 1000 })
  const answers = await crowd(`L${CROWD}`)
  const rest = 'x'.repeat(2000)
  between.push(() => { sources[0]?.end(rest) })
  sources[0]?.write('first ')

  t.same(await bodies(answers), [`first ${rest}`])
  t.equal(answered.join(''), CROWD)
  t.equal(sources.length, 1)
  await grounded(server.app)
})

t.test('whose turn to join a stream has not come when it turns out to depend on a header boards again', async t => {
  const sources: PassThrough[] = []
  let look = (): void => {}
  const { server, crowd, between } = await slowly(t, async (request, reply) => {
    const source = new PassThrough()
    sources.push(source)
    if (sources.length === 1) {
      look = () => { source.end(request.headers['accept-language']) }
    } else {
      source.end(`only ${request.headers['accept-language']}`)
    }
    return await reply.type('text/plain').send(source)
  })
  const answers = await crowd('L', { 'accept-language': 'en' })
  answers.push(...await crowd(CROWD, { 'accept-language': 'de' }))
  const ends = answers.map(answer => answer.then(({ body }) => body, () => 'cut off'))
  between.push(() => { look() })
  sources[0]?.write('first ')

  const got = await Promise.all(ends)
  t.equal(got[0], 'first en')
  t.same([...new Set(got.slice(1))], ['cut off', 'only de'])
  t.equal(got.at(-1), 'only de')
  t.equal(sources.length, 2)
  await grounded(server.app)
})

t.test('calls of a function are answered in order, in as many turns as that takes', async t => {
  const clock = new TestClock()
  const server = await serve(t, () => {}, { clock })
  const opening = gate()
  let turn = 0
  let counting: NodeJS.Immediate = setImmediate(function count () {
    turn++
    counting = setImmediate(count)
  })
  t.teardown(() => { clearImmediate(counting) })
  const turns: number[] = []
  const lookUp = server.app.coalesce.deduplicate(async () => {
    await opening.promise
    return { word: 'luck' }
  }, {
    key: () => 'key',
    clone (value) {
      turns.push(turn)
      clock.advance(3)
      return { ...value }
    }
  })
  const order: number[] = []
  const call = async (index: number, ...args: unknown[]): Promise<unknown> => {
    const result = await lookUp(...args as [])
    order.push(index)
    return result
  }
  const controller = new AbortController()
  const calls = Array.from({ length: 9 }, async (_, index) => await call(index))
  const last = call(9, controller.signal)
  opening.open()
  await until(() => turns.length >= 2)
  controller.abort()

  await t.rejects(last)
  t.same(await Promise.all(calls), Array(9).fill({ word: 'luck' }))
  t.same(order.filter(index => index > 0), [1, 2, 3, 4, 5, 6, 7, 8])
  t.equal(new Set(turns).size, 4, turns.join())
  t.equal(turns.length, 8)
  await waiting(server.app, 0)
})
