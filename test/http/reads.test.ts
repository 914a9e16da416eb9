import { inspect } from 'node:util'
import t from 'tap'
import { CLIENT_ADDRESS, Reads, type WatchedRequest } from '../../lib/http/reads.js'
import { leastCpuTime } from '../fixtures/cpu-time.js'

function request (): WatchedRequest {
  return {
    headers: { host: 'h', 'x-tenant': 'a', 'x-forwarded-for': '::1' },
    rawHeaders: ['Host', 'h', 'X-Tenant', 'a', 'X-Forwarded-For', '::1'],
    httpVersionMajor: 1
  }
}

/** What one look at a request notes. */
function look (at: (raw: WatchedRequest) => unknown): { names: string[], all: boolean } {
  const raw = request()
  const reads = new Reads(raw)
  at(raw)
  reads.stop()
  return { names: [...reads.names], all: reads.all }
}

t.test('each way to one header is noted, whether the header is there or not', async t => {
  t.same(look(() => {}), { names: [], all: false })
  const one: Array<(raw: WatchedRequest) => unknown> = [
    raw => raw.headers['x-tenant'],
    raw => 'x-tenant' in raw.headers,
    raw => Object.hasOwn(raw.headers, 'x-tenant'),
    raw => Object.getOwnPropertyDescriptor(raw.headers, 'x-tenant'),
    raw => Reflect.get(raw.headers, 'x-tenant'),
    raw => { const { 'x-tenant': tenant } = raw.headers; return tenant },
    raw => Object.create(raw.headers)['x-tenant']
  ]
  t.same(one.map(at => look(at)), one.map(() => ({ names: ['x-tenant'], all: false })))
  t.same(look(raw => raw.headers.absent), { names: ['absent'], all: false })
  t.same(look(raw => [raw.headers.host, raw.headers.host, raw.headers.accept]).names, ['host', 'accept'])
  t.same(look(raw => Reflect.get(raw.headers, Symbol.toStringTag)), { names: [], all: false }, 'no header is called by a symbol')
})

t.test('each way to all headers is noted as such', async t => {
  const ways: Array<(raw: WatchedRequest) => unknown> = [
    raw => Object.keys(raw.headers),
    raw => Object.entries(raw.headers),
    raw => Reflect.ownKeys(raw.headers),
    raw => ({ ...raw.headers }),
    raw => { const { host, ...rest } = raw.headers; return [host, rest] },
    raw => Object.assign({}, raw.headers),
    raw => JSON.stringify(raw.headers),
    raw => new Headers(raw.headers as Record<string, string>),
    raw => { const seen = []; for (const name in raw.headers) seen.push(name); return seen },
    raw => Object.getOwnPropertyDescriptors(raw.headers),
    raw => inspect(raw.headers),
    raw => inspect({ deep: raw.headers }),
    raw => raw.rawHeaders[3],
    raw => raw.rawHeaders.length,
    raw => [...raw.rawHeaders],
    raw => raw.rawHeaders.indexOf('a'),
    raw => Object.getOwnPropertyDescriptor(raw.rawHeaders, '3'),
    raw => Object.values(raw.rawHeaders),
    raw => '3' in raw.rawHeaders,
    raw => JSON.stringify(raw.rawHeaders),
    raw => inspect(raw.rawHeaders),
    raw => raw.rawHeaders.concat([])
  ]
  t.same(ways.map(at => look(at).all).indexOf(false), -1)
})

t.test('who looks sees what is there', async t => {
  const raw = request()
  const { headers, rawHeaders } = request()
  const reads = new Reads(raw)
  t.equal(raw.headers['x-tenant'], 'a')
  t.equal(raw.headers.absent, undefined)
  t.notOk('absent' in raw.headers)
  t.strictSame(Object.entries(raw.headers), Object.entries(headers))
  t.strictSame(JSON.stringify(raw.headers), JSON.stringify(headers))
  t.equal(inspect(raw.headers), inspect(headers))
  t.equal(Object.getPrototypeOf(raw.headers), Object.prototype)
  t.same(Object.getOwnPropertyDescriptor(raw.headers, 'host'), Object.getOwnPropertyDescriptor(headers, 'host'))
  t.equal(Object.getOwnPropertyDescriptor(raw.headers, 'absent'), undefined)

  t.ok(Array.isArray(raw.rawHeaders))
  t.equal(JSON.stringify(raw.rawHeaders), JSON.stringify(rawHeaders))
  t.equal(inspect(raw.rawHeaders), inspect(rawHeaders))
  t.strictSame(([] as string[]).concat(raw.rawHeaders), rawHeaders)
  t.strictSame([...raw.rawHeaders], rawHeaders)
  t.strictSame(raw.rawHeaders.slice(2, 4), rawHeaders.slice(2, 4))
  t.same(Object.getOwnPropertyDescriptor(raw.rawHeaders, 'length')?.value, rawHeaders.length)
  t.strictSame(Object.keys(raw.rawHeaders), Object.keys(rawHeaders))
  reads.stop()
})

t.test('what is written through a watch stays when it is off', async t => {
  const raw = request()
  const { headers } = raw
  const reads = new Reads(raw)
  raw.headers['x-new'] = '1'
  delete raw.headers.host
  Object.defineProperty(raw.headers, 'x-defined', { value: '2', enumerable: true, configurable: true, writable: true })
  t.equal(raw.headers['x-defined'], '2')
  t.notOk(reads.all)
  reads.stop()
  t.equal(raw.headers, headers)
  t.strictSame({ ...headers }, { 'x-tenant': 'a', 'x-forwarded-for': '::1', 'x-new': '1', 'x-defined': '2' })
})

t.test('a header that is changed after it was read counts as a read of all, and one that was not read, or is a condition, does not', async t => {
  const changes: Array<(raw: WatchedRequest, name: string) => unknown> = [
    (raw, name) => { raw.headers[name] = 'b' },
    (raw, name) => Reflect.deleteProperty(raw.headers, name),
    (raw, name) => Object.defineProperty(raw.headers, name, { value: 'b' })
  ]
  for (const change of changes) {
    t.equal(look(raw => [raw.headers['x-tenant'], change(raw, 'x-tenant')]).all, true)
    t.equal(look(raw => [raw.headers['x-tenant'], change(raw, 'host')]).all, false)
    t.equal(look(raw => [raw.headers['if-none-match'], change(raw, 'if-none-match')]).all, false)
  }
})

t.test('what is put in the place of what is watched stays, and is watched when the watch is on again', t => {
  const raw = request()
  const reads = new Reads(raw)
  const watched = raw.headers
  const [headers, rawHeaders] = [{ 'x-new': 'n' }, ['X-New', 'n']]
  Object.assign(raw, { headers, rawHeaders })
  reads.stop()
  t.equal(raw.headers, headers)
  t.equal(raw.rawHeaders, rawHeaders)
  reads.start()
  t.equal(raw.headers['x-new'], 'n')
  t.same([[...reads.names], reads.all], [['x-new'], false])
  t.equal(raw.rawHeaders[1], 'n')
  t.ok(reads.all)
  reads.stop()
  t.equal(raw.headers, headers)
  t.equal(raw.rawHeaders, rawHeaders)

  const second = new Reads(raw)
  const own = raw.headers
  second.stop()
  raw.headers = own
  second.start()
  t.equal(raw.headers, own, 'no watch is put on a watch')
  t.not(own, watched)
  t.end()
})

t.test('the address is noted by itself, and with the header that it may come from', async t => {
  const raw = request()
  const reads = new Reads(raw)
  reads.address()
  t.same([...reads.names], [CLIENT_ADDRESS])
  t.same(look(each => each.headers['x-forwarded-for']).names, ['x-forwarded-for', CLIENT_ADDRESS])
})

t.test('nothing is noted while the watch is off, not even by who kept the headers', async t => {
  const raw = request()
  const { headers, rawHeaders } = raw
  const reads = new Reads(raw)
  const kept = raw.headers
  const keptRaw = raw.rawHeaders
  reads.stop()
  reads.stop()
  t.equal(raw.headers, headers)
  t.equal(raw.rawHeaders, rawHeaders)
  t.equal(kept.host, 'h')
  t.equal(keptRaw[1], 'h')
  Object.keys(kept)
  reads.address()
  t.same([...reads.names], [])
  t.notOk(reads.all)

  reads.start()
  reads.start()
  t.equal(raw.headers, kept, 'put on again, it is the same')
  t.equal(kept.host, 'h')
  t.same([...reads.names], ['host'])
  reads.stop()
  t.equal(raw.headers, headers)
})

t.test('who lists all headers looks at each of them, which says no more', async t => {
  t.same(look(raw => [raw.headers.host, { ...raw.headers }]), { names: ['host'], all: true })
})

t.test('all stays noted once it was', async t => {
  const raw = request()
  const reads = new Reads(raw)
  Object.keys(raw.headers)
  reads.stop()
  reads.start()
  t.ok(reads.all)
  t.equal(raw.headers.host, 'h')
  t.ok(reads.all)
})

t.test('a request with getters without setters is watched as well', async t => {
  const { headers, rawHeaders } = request()
  const raw = Object.create({ get headers () { return headers }, get rawHeaders () { return rawHeaders }, httpVersionMajor: 2 }) as WatchedRequest
  const reads = new Reads(raw)
  t.equal(raw.headers['x-tenant'], 'a')
  t.same([...reads.names], ['x-tenant'])
  t.equal(raw.rawHeaders[1], 'h')
  t.ok(reads.all)
  reads.stop()
  t.equal(raw.headers, headers)
  t.equal(raw.rawHeaders, rawHeaders)
  reads.start()
  reads.stop()
  t.equal(raw.headers, headers)
})

t.test('what an HTTP/2 request says of itself besides its headers is one of them', async t => {
  const headers = { ':authority': 'a', ':scheme': 'https', host: 'h' }
  const prototype = { get headers () { return headers }, get rawHeaders () { return [] }, httpVersionMajor: 2, get authority () { return 'own' }, get scheme () { return 'https' } }
  const raw = Object.create(prototype) as WatchedRequest & { readonly authority: string, readonly scheme: string }
  const reads = new Reads(raw)
  t.same([[...reads.names], raw.scheme, [...reads.names]], [[], 'https', [':scheme']])
  t.equal(raw.authority, 'a')
  t.ok(reads.names.has(':authority'))
  delete (headers as { ':authority'?: string })[':authority']
  t.equal(raw.authority, 'h', 'Node gives the host where there is no authority')
  reads.stop()
  t.same([Object.hasOwn(raw, 'authority'), raw.authority, raw.scheme], [false, 'own', 'https'])
})

t.test('a request without raw headers is watched by its headers', async t => {
  const raw: { headers: WatchedRequest['headers'], rawHeaders?: string[], httpVersionMajor: number } = { headers: { host: 'h' }, httpVersionMajor: 1 }
  const reads = new Reads(raw as WatchedRequest)
  t.equal(raw.headers.host, 'h')
  t.same([...reads.names], ['host'])
  reads.stop()
  t.notOk('rawHeaders' in raw)
})

t.test('what is watched can neither be frozen nor given another prototype, for what stands behind it is shared', async t => {
  const raw = request()
  const reads = new Reads(raw)
  for (const watched of [raw.headers, raw.rawHeaders]) {
    t.throws(() => Object.freeze(watched), TypeError)
    t.throws(() => Object.setPrototypeOf(watched, null), TypeError)
  }
  t.strictSame(look(raw => raw.headers.host), { names: ['host'], all: false }, 'and the next one is watched as ever')
  reads.stop()
  t.strictSame(raw, request())
})

t.test('who wants to know hears of the first look at all headers, and of no other', async t => {
  const raw = request()
  const reads = new Reads(raw)
  let heard = 0
  reads.onRead = () => { heard++ }
  Reflect.ownKeys(raw.headers)
  Reflect.ownKeys(raw.headers)
  t.same([heard, reads.all], [1, true])
})

t.test('headers that are not as the client sent them count as read', async t => {
  const noted = (headers: WatchedRequest['headers'], rawHeaders: string[] | undefined): string[] => {
    const reads = new Reads({ headers, rawHeaders, httpVersionMajor: 1 } as WatchedRequest)
    reads.changed()
    return [...reads.names]
  }
  t.same(noted({ host: 'h', accept: 'a' }, ['Host', 'h', 'Accept', 'a']), [])
  t.same(noted({ host: 'other', 'x-new': '1' }, ['Host', 'h', 'Accept', 'a']), ['host', 'x-new'])
  t.same(noted({ accept: 'a, b' }, ['Accept', 'a', 'Accept', 'b']), ['accept'], 'what came twice cannot be told to be the same')
  t.same(noted({ host: 'h' }, undefined), ['host'], 'nor can anything where there is nothing to compare with')
})

t.test('a watch costs a leader less than two microseconds', async t => {
  const raw = request()
  // Milliseconds of five thousand.
  const best = leastCpuTime(() => { for (let run = 0; run < 5000; run++) new Reads(raw).stop() }, 10) / 5
  t.comment(`${best.toFixed(2)} microseconds`)
  t.ok(best < 2, `${best.toFixed(2)} microseconds`)
})
