/**
 * "Several variants of a key are kept, and each is served to whom it is for."
 */
import t from 'tap'
import { Readable } from 'node:stream'
import type { Entry } from '../../types/index.js'
import { keeping, mapStore, STORES, type Handler } from '../fixtures/kept.js'
import { gate, TestClock } from '../fixtures/gate.js'

const learned: Handler = (run, request) => ({ run, tenant: request.headers['x-tenant'] ?? null })
const said: Handler = (run, request, reply) => {
  reply.header('vary', 'X-Tenant')
  return { run, tenant: request.headers['x-tenant'] ?? null }
}
const streamed: Handler = (run, request, reply) => reply.type('application/json').send(Readable.from((async function * () {
  yield `{"run":${run},`
  await new Promise(resolve => setTimeout(resolve, 5))
  yield `"tenant":${JSON.stringify(request.headers['x-tenant'] ?? null)}}`
})()))

for (const [name, handler] of Object.entries({ learned, said, streamed })) {
  for (const [store, open] of Object.entries(STORES)) {
    t.test(`${store}: each variant is kept and served, to whom it is for (${name})`, async t => {
      const server = await keeping(t, { handler, options: { store: open(new TestClock()) } })
      const tenants = ['a', 'b', undefined, 'c']
      const get = async (tenant: string | undefined): Promise<{ run: number, tenant: string | null }> =>
        JSON.parse((await server.get('/thing/1', { headers: tenant === undefined ? {} : { 'x-tenant': tenant } })).body) as never
      for (let round = 0; round < 3; round++) {
        for (const tenant of tenants) t.equal((await get(tenant)).tenant, tenant ?? null)
      }
      // What a stream reads late is learned from its first run, which may be the only one that is not kept.
      t.ok(server.runs() <= tenants.length + 1, `${server.runs()} runs`)
      t.ok(server.hits() >= 7)
    })
  }
}

t.test('Accept-Encoding tells variants apart by what it means', async t => {
  const server = await keeping(t, {
    handler: (run, request, reply) => {
      const gzip = String(request.headers['accept-encoding'] ?? '').includes('gzip')
      return reply.header('vary', 'Accept-Encoding').header('x-coding', gzip ? 'gzip' : 'none').send({ run })
    }
  })
  const codings: unknown[] = []
  for (const encoding of ['gzip', 'gzip ', 'GZIP', 'br', undefined, 'gzip', 'br']) {
    const { headers } = await server.get('/thing/1', { headers: encoding === undefined ? {} : { 'accept-encoding': encoding } })
    codings.push(headers['x-coding'])
  }
  t.equal(codings[0], 'gzip')
  t.equal(codings[3], 'none')
  t.equal(codings[5], 'gzip')
  t.ok(server.runs() <= 4, `${server.runs()} runs`)
})

t.test('a process that begins anew finds the variants that another one kept', async t => {
  const entries = new Map<string, Entry>()
  const get = async (tenant: string): Promise<[number, unknown]> => {
    const server = await keeping(t, { handler: learned, options: { store: mapStore(entries) } })
    const { body } = await server.get('/thing/1', { headers: { 'x-tenant': tenant, host: 'example.org' } })
    const runs = server.runs()
    await server.close()
    return [runs, JSON.parse(body)]
  }
  t.strictSame(await get('a'), [1, { run: 1, tenant: 'a' }])
  t.strictSame(await get('b'), [1, { run: 1, tenant: 'b' }])
  t.strictSame(await get('a'), [0, { run: 1, tenant: 'a' }])
  t.strictSame(await get('b'), [0, { run: 1, tenant: 'b' }])
})

t.test('of many who come at once to a process that begins anew each gets its own variant', async t => {
  const entries = new Map<string, Entry>()
  const first = await keeping(t, { handler: learned, options: { store: mapStore(entries) } })
  for (const tenant of ['a', 'b', 'c']) await first.get('/thing/1', { headers: { 'x-tenant': tenant, host: 'example.org' } })
  const second = await keeping(t, { handler: learned, options: { store: mapStore(entries) } })
  await Promise.all(Array.from({ length: 30 }, async (_, index) => {
    const tenant = 'abc'[index % 3] as string
    const { body } = await second.get('/thing/1', { headers: { 'x-tenant': tenant, host: 'example.org' } })
    t.equal((JSON.parse(body) as { tenant: string }).tenant, tenant)
  }))
  t.equal(second.runs(), 0)
})

t.test('a variant that is found to be still good is one, whatever its handler looked at and whatever has been forgotten', async t => {
  const opening = gate()
  const server = await keeping(t, {
    route: { key: request => (request.params as { id: string }).id.padEnd(request.url === '/thing/1' ? 1 : 2 ** 23) },
    handler: async (_run, request, reply) => {
      reply.header('etag', '"v1"')
      if (request.headers['if-none-match'] === undefined) return { tenant: request.headers['x-tenant'] }
      await opening.promise
      return reply.code(304).send()
    }
  })
  const get = async (path: string, tenant: string): Promise<string> => (await server.get(path, { headers: { 'x-tenant': tenant } })).body
  await get('/thing/1', 'a')
  server.clock.advance(61_000)
  const asked = get('/thing/1', 'a')
  await server.arrived(2)
  // Keys so long that what is known of the first one has to give way.
  for (const path of ['/thing/2', '/thing/3', '/thing/4']) await get(path, 'a')
  opening.open()
  t.equal(await asked, '{"tenant":"a"}')
  t.equal(await get('/thing/1', 'b'), '{"tenant":"b"}')
  t.equal(await get('/thing/1', 'a'), '{"tenant":"a"}')
})

t.test('what tells variants apart is bounded, for what none of the last ten responses depended on is forgotten', async t => {
  const entries = new Map<string, Entry>()
  const server = await keeping(t, {
    options: { store: mapStore(entries) },
    handler: (run, request) => ({ run, value: request.headers[`x-${String(request.headers['x-select'])}`] ?? null })
  })
  const ask = async (select: number): Promise<string> => (await server.get('/thing/1', { headers: { 'x-select': String(select) } })).body
  const most = { vary: 0 }
  for (let run = 1; run <= 100; run++) {
    t.equal(await ask(run), `{"run":${run},"value":null}`)
    t.equal(await ask(run), `{"run":${run},"value":null}`, 'it is kept')
    for (const { value } of entries.values()) most.vary = Math.max(most.vary, (value as { vary?: string[] }).vary?.length ?? 0)
  }
  t.equal(most.vary, 11)
})
