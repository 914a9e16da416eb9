/**
 * Streams are shared while they flow, over real sockets.
 */
import { createHash } from 'node:crypto'
import { connect } from 'node:net'
import { PassThrough } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyRequest } from 'fastify'
import t from 'tap'
import { distinct, queue, times } from '../fixtures/crowd.js'
import { grounded, leave, outcomes } from '../fixtures/endings.js'
import { until } from '../fixtures/gate.js'
import { reading } from '../fixtures/readers.js'
import { metric, serve, type TestServer } from '../fixtures/server.js'
import type { CoalesceRouteOptions } from '../../types/index.js'

/** A route that answers its runs with streams that the test writes to. */
async function streaming (test: Parameters<typeof serve>[0], config: CoalesceRouteOptions = {}, headers: Record<string, string> = {}) {
  const sources: PassThrough[] = []
  const server = await serve(test, app => {
    app.get('/', { config: { coalesce: config } }, async (_request, reply) => {
      const source = new PassThrough({ highWaterMark: 100_000_000 })
      sources.push(source)
      return await reply.headers(headers).type('text/plain').send(source)
    })
  })
  return { server, sources }
}

/** Resolves with the first bytes of an answer. */
const firstByte = (pending: ReturnType<TestServer['get']>): Promise<void> => new Promise(resolve => {
  pending.request.once('response', response => { response.once('data', () => { resolve() }) })
})

const ending = (pending: Promise<{ body: string }>): Promise<string> => pending.then(({ body }) => body, () => 'cut off')

t.test('followers get bytes while the stream flows, and a late one gets them from the first on', async t => {
  const { server, sources } = await streaming(t)
  const early = await queue(server, times(3, server, '/'))
  const begun = early.map(firstByte)
  sources[0]?.write('first ')
  await Promise.all(begun)
  const late = server.get('/')
  await firstByte(late)
  sources[0]?.end('last')
  t.same((await Promise.all([...early, late])).map(({ body }) => body), Array(4).fill('first last'))
  t.equal(sources.length, 1)
  t.same(await outcomes(server.app), { 'leader shared': 1, 'follower shared': 3 })
  await grounded(server.app)
})

t.test('a stream that fails after its first byte is cut off for everybody, and nobody joins it any more', async t => {
  const { server, sources } = await streaming(t)
  const answers = await queue(server, times(3, server, '/'))
  const ends = answers.map(ending)
  const begun = answers.map(firstByte)
  sources[0]?.write('first')
  await Promise.all(begun)
  sources[0]?.destroy(new Error('broken'))
  t.same(await Promise.all(ends), Array(3).fill('cut off'))
  t.equal(await metric(server.app, 'coalesce_cut_off_total', { reason: 'cut-off' }), 3)
  const [next] = await queue(server, times(1, server, '/'))
  sources[1]?.end('whole')
  t.equal((await next)?.body, 'whole')
  await grounded(server.app)
})

t.test('a stream that fails before its first byte promotes one', async t => {
  const { server, sources } = await streaming(t)
  const [leader, ...others] = await queue(server, times(3, server, '/'))
  sources[0]?.destroy(new Error('broken'))
  t.equal((await leader)?.status, 500)
  await until(() => sources.length === 2)
  sources[1]?.end('whole')
  t.same((await Promise.all(others)).map(({ body }) => body), ['whole', 'whole'])
})

t.test('the leader\'s client leaves and the stream flows on; the last client that leaves ends it', async t => {
  const { server, sources } = await streaming(t)
  const answers = await queue(server, times(3, server, '/'))
  const begun = answers.map(firstByte)
  sources[0]?.write('first ')
  await Promise.all(begun)
  await leave(answers[0] as NonNullable<typeof answers[0]>)
  sources[0]?.write('second')
  await leave(answers[1] as NonNullable<typeof answers[1]>)
  t.notOk(sources[0]?.destroyed)
  await leave(answers[2] as NonNullable<typeof answers[2]>)
  await until(() => sources[0]?.destroyed === true, 'the end of the source')
  await grounded(server.app)
})

t.test('past maxBodyBytes nobody joins, and those who are there get all', async t => {
  const { server, sources } = await streaming(t, { maxBodyBytes: 100_000 })
  const answers = await queue(server, times(3, server, '/'))
  const begun = answers.map(firstByte)
  sources[0]?.write('x'.repeat(50_000))
  await Promise.all(begun)
  sources[0]?.write('y'.repeat(90_000))
  await until(() => sources[0]?.readableLength === 0)
  const [newcomer] = await queue(server, times(1, server, '/'))
  t.equal(sources.length, 2)
  sources[0]?.end('z')
  sources[1]?.end('own')
  t.same(distinct((await Promise.all(answers)).map(({ body }) => body.length)), [140_001])
  t.equal((await newcomer)?.body, 'own')
  await grounded(server.app)
})

t.test('a client that falls out of what is held is cut off and counted', async t => {
  const { server, sources } = await streaming(t, { maxBodyBytes: 1_000_000 })
  const [leader] = await queue(server, times(1, server, '/'))
  const slow = connect(server.port, '127.0.0.1').pause()
  slow.write('GET / HTTP/1.1\r\nHost: 127.0.0.1:' + String(server.port) + '\r\n\r\n')
  await server.arrived(2)
  slow.on('error', () => {})
  for (let i = 0; i < 300; i++) {
    sources[0]?.write(Buffer.alloc(100_000, 'x'))
    await until(() => sources[0]?.readableLength === 0)
  }
  sources[0]?.end()
  t.equal((await leader)?.body.length, 30_000_000)
  t.equal(await metric(server.app, 'coalesce_cut_off_total', { reason: 'fell-behind' }), 1)
  t.equal(sources.length, 1)
  slow.destroy()
})

for (const what of ['whose key was unshareable before', 'that is an error, whose followers have another run'] as const) {
  t.test(`of a stream that nobody can join, ${what}, no more is held than its client has not had`, async t => {
    const sources: PassThrough[] = []
    const isError = what.startsWith('that')
    let runs = 0
    const server = await serve(t, app => {
      app.get('/', { config: { coalesce: { onError: 'promote' } } }, async (_request, reply) => {
        if (!isError && ++runs === 1) return await reply.header('set-cookie', 'sid=1').send('own')
        const source = new PassThrough()
        sources.push(source)
        if (isError && sources.length === 1) reply.code(500)
        return await reply.type('text/plain').send(source)
      })
    })
    if (!isError) await server.get('/')
    const [answer, follower] = await queue(server, times(isError ? 2 : 1, server, '/'))
    let had = 0
    answer?.request.once('response', response => { response.on('data', (chunk: Buffer) => { had += chunk.length }) })
    for (let sent = 50_000; sent <= 800_000; sent += 50_000) {
      sources[0]?.write(Buffer.alloc(50_000, 'x'))
      await until(() => had === sent, `the arrival of ${sent} bytes`)
    }
    t.ok(await metric(server.app, 'coalesce_recorded_bytes') <= 100_000)
    for (const source of sources) source.end('end')
    t.match(await answer, { status: isError ? 500 : 200, body: /^x+end$/ })
    t.equal((await follower)?.body, isError ? 'end' : undefined)
    await grounded(server.app)
  })
}

t.test('a wrong Content-Length is an error, not a hang', async t => {
  const { server, sources } = await streaming(t, {}, { 'content-length': '10' })
  const answers = await queue(server, times(2, server, '/'))
  const ends = answers.map(ending)
  const begun = answers.map(firstByte)
  sources[0]?.write('12345')
  await Promise.all(begun)
  sources[0]?.end()
  t.same(await Promise.all(ends), ['cut off', 'cut off'])
})

t.test('a header that a stream reads after its first byte ends it for those whose value is another', async t => {
  const sources: PassThrough[] = []
  const requests: Array<{ headers: Record<string, unknown> }> = []
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async (request, reply) => {
      requests.push(request)
      sources.push(new PassThrough())
      return await reply.type('text/plain').send(sources.at(-1))
    })
  })
  const as = (tenant: string) => () => server.get('/', { headers: { 'x-tenant': tenant } })
  const answers = await queue(server, [as('a'), as('b'), as('a')])
  const ends = answers.map(ending)
  const begun = answers.map(firstByte)
  sources[0]?.write('data of ')
  await Promise.all(begun)
  sources[0]?.end(requests[0]?.headers['x-tenant'])
  t.same(await Promise.all(ends), ['data of a', 'cut off', 'data of a'])
  t.equal(await metric(server.app, 'coalesce_cut_off_total', { reason: 'vary' }), 1)

  const next = await queue(server, [as('a'), as('b'), as('a')])
  t.equal(sources.length, 3, 'the next ones are told apart at once')
  sources[1]?.end('data of a')
  sources[2]?.end('data of b')
  t.same((await Promise.all(next)).map(({ body }) => body), ['data of a', 'data of b', 'data of a'])
})

for (const learnVary of [true, false]) {
  t.test(`what a stream declares after its first byte ends it for who differs in it (learnVary: ${learnVary})`, async t => {
    const sources: PassThrough[] = []
    const requests: FastifyRequest[] = []
    const server = await serve(t, app => {
      app.get('/', { config: { coalesce: { learnVary } } }, async (request, reply) => {
        requests.push(request)
        sources.push(new PassThrough())
        return await reply.type('text/plain').send(sources.at(-1))
      })
    })
    const answers = await queue(server, ['a', 'b', 'a'].map(tenant => () => server.get('/', { headers: { 'x-tenant': tenant } })))
    const ends = answers.map(ending)
    const begun = answers.map(firstByte)
    sources[0]?.write('data of ')
    await Promise.all(begun)
    requests[0]?.coalesce?.varyOn('x-tenant')
    sources[0]?.write('a')
    t.equal(await ends[1], 'cut off')
    requests[0]?.coalesce?.varyOn('*')
    sources[0]?.end(' alone')
    t.same(await Promise.all(ends), ['data of a alone', 'cut off', 'cut off'])
    requests[0]?.coalesce?.varyOn('x-tenant')
  })
}

t.test('a stream that says after its first byte that nobody else may have it ends for all others, and is not kept', async t => {
  const sources: PassThrough[] = []
  const requests: FastifyRequest[] = []
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: { ttl: '60s' } } }, async (request, reply) => {
      requests.push(request)
      sources.push(new PassThrough())
      return await reply.type('text/plain').send(sources.at(-1))
    })
  })
  const answers = await queue(server, times(2, server, '/'))
  const ends = answers.map(ending)
  const begun = answers.map(firstByte)
  sources[0]?.write('for ')
  await Promise.all(begun)
  requests[0]?.coalesce?.varyOn('*')
  t.equal(await ends[1], 'cut off')
  const next = server.get('/')
  await until(() => sources.length === 2)
  sources[0]?.end('one')
  t.equal(await ends[0], 'for one')
  t.strictSame(server.app.coalesce.entries(), [])
  sources[1]?.end('next')
  t.match(await next, { body: 'next' })
})

for (const [what, says] of [['its Vary', true], ['what its handler read', false]] as const) {
  t.test(`newcomers who match a stream that varies, by ${what}, join the very first`, async t => {
    const sources: PassThrough[] = []
    const server = await serve(t, app => {
      app.get('/', { config: { coalesce: says ? { learnVary: false } : true } }, async ({ headers: { 'x-tenant': tenant } }, reply) => {
        const source = new PassThrough()
        sources.push(source)
        source.write(tenant)
        if (says) reply.header('vary', 'x-tenant')
        return await reply.type('text/plain').send(source)
      })
      app.put('/', async () => 'written')
    })
    const answers: Array<ReturnType<TestServer['get']>> = []
    const begin = async (tenant: string): Promise<void> => {
      const answer = server.get('/', { headers: { 'x-tenant': tenant } })
      answers.push(answer)
      await firstByte(answer)
    }
    for (const tenant of ['a', 'a', 'b', 'a', 'b']) await begin(tenant)
    t.equal(sources.length, 2)
    await server.get('/', { method: 'PUT' })
    await begin('a')
    t.equal(sources.length, 3, 'a write keeps newcomers from a stream that varies as well')
    for (const source of sources) source.end()
    t.same((await Promise.all(answers)).map(({ body }) => body), ['a', 'a', 'b', 'a', 'b', 'a'])
    t.same(await outcomes(server.app), { 'leader shared': 3, 'follower shared': 3 })
    await grounded(server.app)
  })
}

const MB = 1_000_000
const PAIRS = 9
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] as number
const shown = (values: readonly number[]): string => values.map(value => value.toFixed(1)).join(', ')

t.test('twenty clients of 20 MB cost one run, little memory, and one that takes 100 KB/s delays nobody', async t => {
  const { server, sources } = await streaming(t, { maxBodyBytes: 32 * MB })
  const chunk = Buffer.alloc(100_000)
  for (let i = 0; i < chunk.length; i++) chunk[i] = i % 251
  const hash = createHash('sha1')
  hash.update('first')
  for (let i = 0; i < 200; i++) hash.update(chunk)
  const digest = hash.digest('hex')
  const round = async (slow: number): Promise<{ spread: number, took: number, grew: number }> => {
    const run = sources.length
    const { reads, grew } = await reading(server, 20, async () => {
      sources[run]?.write('first')
      // Time for the first bytes to get there before the others are in the way.
      await delay(50)
      for (let i = 0; i < 200; i++) sources[run]?.write(chunk)
      sources[run]?.end()
    }, { slow })
    t.equal(sources.length, run + 1, 'one run')
    t.same(distinct(reads.map(({ digest }) => digest)), [digest], 'every byte is right')
    const [leader, ...followers] = reads.map(({ first }) => first) as [number, ...number[]]
    return { spread: Math.max(...followers) - leader, took: Math.max(...reads.map(({ end }) => end)) - leader, grew: grew / MB }
  }
  // The machine is not ours alone, and by turns slower and faster: rounds with and without are compared in pairs, as many as it takes,
  // and so are the best of each, for who is delayed always is so in those as well.
  const spreads: number[] = []
  const without: number[] = []
  const withSlow: number[] = []
  const grown: number[] = []
  const comesAtOnce = (): boolean => Math.min(...spreads) < 10
  const delaysNobody = (): boolean => Math.min(...withSlow) < 1.1 * Math.min(...without) ||
    median(withSlow.map((took, pair) => took / (without[pair] as number))) < 1.1
  for (let pair = 0; pair < PAIRS && !(pair > 2 && comesAtOnce() && delaysNobody()); pair++) {
    const rounds = [[-1, without], [1, withSlow]] as const
    for (const [slow, took] of pair % 2 === 0 ? rounds : [...rounds].reverse()) {
      const each = await round(slow)
      spreads.push(each.spread)
      grown.push(each.grew)
      took.push(each.took)
    }
  }
  t.comment(`followers' first bytes after the leader's, ms: ${shown(spreads)}`)
  t.comment(`ms without a slow reader: ${shown(without)}; with one: ${shown(withSlow)}`)
  t.comment(`grew by MB: ${shown(grown)}`)
  t.ok(comesAtOnce(), 'first bytes come within 10 ms')
  t.ok(delaysNobody(), 'the others take less than 1.1 times as long')
  t.ok(Math.max(...grown) < 3 * 20, 'memory grows by less than three times the body')
})

t.test('a thousand followers of 1 MB of unknown length cost one run and less than 100 MB', async t => {
  const { server, sources } = await streaming(t)
  const { reads, grew } = await reading(server, 1000, async () => {
    for (let i = 0; i < 16; i++) {
      sources[0]?.write(Buffer.alloc(65_536, 'x'))
      await delay(20)
    }
    sources[0]?.end()
  })
  t.equal(sources.length, 1)
  t.same(distinct(reads.map(({ bytes, digest }) => [bytes, digest])), [[1_048_576, createHash('sha1').update('x'.repeat(1_048_576)).digest('hex')]])
  t.equal(reads.length, 1000)
  t.comment(`grew by ${(grew / MB).toFixed(0)} MB`)
  t.ok(grew < 100 * MB)
})
