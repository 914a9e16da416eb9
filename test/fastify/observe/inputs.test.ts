/**
 * What comparing is told of a request is bounded, whatever its client sends, and clients are told apart by what is theirs.
 */
import Fastify, { type FastifyRequest } from 'fastify'
import t from 'tap'
import { clientOf, outsideOf, partsOf, type Compared } from '../../../lib/fastify/observe/inputs.js'
import { buildKey, KeyHead } from '../../../lib/http/key.js'
import { readOptions } from '../../../lib/options/options.js'
import { readRouteOptions } from '../../../lib/options/route-options.js'
import type { CoalesceRouteOptions } from '../../../types/index.js'

/** A request as it comes to a handler. */
async function compared (url: string, headers: Record<string, string>, options: CoalesceRouteOptions = {}): Promise<Compared> {
  const router = { semicolonDelimits: false, parsesItself: false, trustsByAddress: false }
  const settings = readRouteOptions(options, readOptions({}, router).routes, 'GET /:id')
  const app = Fastify()
  let request!: FastifyRequest
  app.get('/:id', async each => { request = each })
  app.get('/*', async each => { request = each })
  await app.inject({ url, headers })
  const value = (name: string): string => name === '(ip)' ? '192.0.2.1' : `value of ${name}`
  return { request, route: { settings }, key: buildKey(new KeyHead('["GET","/:id"]'), request as never, settings as never) as string, value }
}

t.test('parts of a key and what it leaves out have names', async t => {
  const options = { query: { ignore: ['seen'] }, headers: ['x-shop'], cookies: ['theme'], identity: () => 'ada' }
  const of = await compared('/7?q=tea&q=too&seen=1&%71=encoded', { 'x-shop': 'a', cookie: 'theme=dark; ab=a', 'accept-language': 'de', 'x-other': '1', connection: 'close' }, options)
  const parts = partsOf(of, ['accept-language', '?sig', '(ip)'])
  t.same([...parts.keys()].sort(), ['?q', '?sig', 'address', 'cookie theme', 'header accept-language', 'header x-shop', 'identity', 'param id'])
  t.match(parts.get('?q'), /tea.*too/)
  const outside = outsideOf(of, ['accept-language'])
  t.same([...outside.keys()].filter(name => name !== 'header user-agent').sort(), ['?seen', 'address', 'cookie ab', 'header x-other'])
  t.notOk(outsideOf(of, ['cookie', '(ip)']).has('cookie ab'), 'what tells variants apart is in the key')
  const ignoring = await compared('/7', { cookie: 'theme=dark; ab=a; lang=de' }, { cookies: { key: ['theme'], ignore: ['ab'] } })
  t.same([...outsideOf(ignoring, ['cookie']).keys()].filter(name => name.startsWith('cookie')), ['cookie ab'], 'ignored cookies tell no variants apart')
})

t.test('names are at most 64, and long names and values are shortened, without making values the same', async t => {
  const query = Array.from({ length: 500 }, (_, n) => `${'n'.repeat(200)}${n}=1&p${n}=${'v'.repeat(100)}${n}`).join('&')
  const cookie = Array.from({ length: 200 }, (_, n) => `c${n}=${'v'.repeat(50)}`).join('; ')
  const of = await compared(`/7?${query}`, { cookie })
  for (const inputs of [partsOf(of, []), outsideOf(of, [])]) {
    t.ok(inputs.size <= 64)
    for (const [name, value] of inputs) t.ok(name.length <= 80 && value.length <= 64, name)
  }
  const other = await compared(`/7?${query.replace('499=1', '499=2')}`, { cookie })
  t.not(JSON.stringify([...partsOf(of, [])]), JSON.stringify([...partsOf(other, [])]), 'what is past the bound counts as well')
  const long = async (end: string): Promise<string | undefined> => partsOf(await compared(`/7?q=${'v'.repeat(300)}${end}`, {}), []).get('?q')
  t.not(await long('a'), await long('b'))
})

t.test('a client is known by what is its own, if all else is the same', async t => {
  const sid = 'sid=0123456789abcdef'
  const client = async (headers: Record<string, string>, options: CoalesceRouteOptions = {}, url = '/7'): Promise<string | undefined> => clientOf(await compared(url, headers, options))
  t.equal(await client({}), undefined)
  t.equal(await client({ cookie: 'theme=dark; _ga=GA1.1.123456789.123456789' }), undefined, 'no short cookie, and none of analytics')
  t.equal(await client({ 'x-user': 'ada' }), undefined, 'a header of the app may say anything')
  t.equal(await client({ cookie: sid }), await client({ cookie: `${sid}; _ga=GA1.1.123456789.123456789` }))
  t.not(await client({ cookie: sid }), await client({ cookie: `${sid}; uid=7` }), 'however short it is')
  t.not(await client({ cookie: sid }), await client({ cookie: sid, 'x-user': 'ada' }))
  t.not(await client({ cookie: `${sid}; uid=7` }, { cookies: { key: ['sid'], ignore: ['uid'] } }), await client({ cookie: `${sid}; uid=8` }, { cookies: { key: ['sid'], ignore: ['uid'] } }))
  const ofOneRequest = { traceparent: '00-1', 'x-request-id': '1', 'if-none-match': '"a"', 'cache-control': 'no-cache', connection: 'close', priority: 'u=1' }
  t.equal(await client({ cookie: sid }), await client({ cookie: sid, ...ofOneRequest }))
  const forwarded = async (by: string): Promise<string | undefined> => await client({ cookie: sid, 'x-forwarded-for': by })
  t.equal(await forwarded('192.0.2.1, 10.0.0.1'), await forwarded('192.0.2.1, 10.0.0.2'), 'by another way')
  t.not(await forwarded('192.0.2.1, 10.0.0.1'), await forwarded('192.0.2.2, 10.0.0.1'))
  t.not(await client({ 'x-role': 'a', 'x-user': '1' }, { identity: () => 'a' }), await client({ 'x-role': 'a', 'x-user': '2' }, { identity: () => 'a' }), 'an identity may be of a group')
  t.not(await client({ cookie: sid }), await client({ cookie: sid.replace('f', 'e') }))
  t.not(await client({ cookie: sid, 'user-agent': 'a' }), await client({ cookie: sid, 'user-agent': 'b' }))
  t.not(await client({ authorization: 'a' }), await client({ authorization: 'b' }))
  t.equal(await client({}, { identity: () => 'ada' }), await client({}, { identity: () => 'ada' }))
  t.not(await client({ cookie: sid }, { query: ['q'] }, '/7?x=1'), await client({ cookie: sid }, { query: ['q'] }, '/7?x=2'))
  t.not(await client({ cookie: sid }, { key: () => 'a' }, '/7'), await client({ cookie: sid }, { key: () => 'a' }, '/8'))
  t.notMatch(await client({ authorization: 'secret' }), /secret/)
})

t.test('a route without params, and a key of its own, have their parts', async t => {
  const of = await compared('/a/b?q=1', {}, { key: () => ['one', 2], body: true })
  Object.defineProperty(of.request, 'params', { value: null })
  t.same([...partsOf(of, [])], [['key', '["one",2]']])
  t.ok(outsideOf(of, []).has('?q'))
})
