import { request as httpRequest } from 'node:http'
import { networkInterfaces } from 'node:os'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import { act, DEED } from '../fixtures/page.js'
import { serve } from '../fixtures/server.js'

const outer = Object.values(networkInterfaces()).flat().find(found => found?.family === 'IPv4' && !found.internal)?.address

t.test('a public page answers this machine, and refuses whoever may be asked for by somebody else', async t => {
  const { get, port } = await serve(t, () => {}, { dashboard: { public: true } })
  for (const path of ['/coalesce', '/coalesce/', '/coalesce/page.js', '/coalesce/page.css', '/coalesce/state']) {
    t.equal((await get(path)).status, 200, path)
    const proxied = await get(path, { headers: { 'x-forwarded-for': '127.0.0.1' } })
    t.match([proxied.status, JSON.parse(proxied.body)], [403, { statusCode: 403, code: 'FST_COALESCE_PAGE_REFUSED', error: 'Forbidden', message: /this machine/ }], path)
    t.match(proxied.headers, { 'content-security-policy': /^default-src 'none'/, 'cache-control': 'no-store' })
    t.equal((await get(path, { headers: { host: `evil.example:${port}` } })).status, 403, `${path} by a name that was made to lead here`)
  }
})

t.test('a public page refuses clients of other machines', { skip: outer === undefined && 'this machine has no address but loopback' }, async t => {
  const app = Fastify({ trustProxy: true })
  await app.register(coalesce, { dashboard: { public: true } })
  await app.listen({ port: 0, host: '0.0.0.0' })
  t.teardown(async () => { await app.close() })
  const { port } = app.server.address() as AddressInfo
  const status = async (host: string): Promise<number | undefined> => await new Promise((resolve, reject) => {
    httpRequest({ host, port, path: '/coalesce/', agent: false, headers: { host: 'localhost' } }, response => {
      response.resume()
      resolve(response.statusCode)
    }).on('error', reject).end()
  })
  t.equal(await status(outer as string), 403)
  t.equal(await status('127.0.0.1'), 200)
})

t.test('what is posted from elsewhere changes nothing', async t => {
  const server = await serve(t, app => { app.get('/', { config: { coalesce: true } }, async () => 'body') }, { dashboard: { public: true, actions: true } })
  const { app, get, port } = server
  const isOff = () => app.coalesce.explain('/').then(({ cause, reason }) => String([reason, cause]).includes('disabled'))
  const refused: Array<Record<string, string>> = [
    { 'x-coalesce-page': '1' },
    { 'x-coalesce-page': '1', 'content-type': 'text/plain' },
    { 'content-type': 'application/x-www-form-urlencoded' },
    { 'content-type': 'application/json' },
    { ...DEED, origin: 'https://evil.example' },
    { ...DEED, origin: 'null' },
    { ...DEED, origin: `http://127.0.0.1:${port + 1}` },
    { ...DEED, 'sec-fetch-site': 'cross-site' },
    { ...DEED, 'sec-fetch-site': 'same-site', origin: `http://127.0.0.1:${port}` },
    { ...DEED, host: 'evil.example', origin: 'http://evil.example' }
  ]
  for (const headers of refused) {
    const { body, status } = await act(server, { action: 'disable' }, headers)
    t.match([status, JSON.parse(body).code], [403, 'FST_COALESCE_PAGE_REFUSED'], JSON.stringify(headers))
  }
  for (const method of ['GET', 'PUT', 'DELETE', 'PATCH']) t.not((await get('/coalesce/actions?action=disable', { method, headers: DEED })).status, 200, method)
  t.notOk(await isOff())
  t.equal((await act(server, { action: 'disable' }, { ...DEED, 'sec-fetch-site': 'same-origin', origin: `http://127.0.0.1:${port}` })).status, 200)
  t.ok(await isOff())
})

t.test('another site can neither read what the page tells nor have it explain', async t => {
  const { get } = await serve(t, () => {}, { dashboard: { public: true } })
  t.equal((await get('/coalesce/state', { headers: { origin: 'https://evil.example' } })).status, 403)
  t.equal((await get('/coalesce/state', { headers: { 'sec-fetch-site': 'cross-site' } })).status, 403)
  t.equal((await get('/coalesce/', { headers: { 'sec-fetch-site': 'cross-site' } })).status, 200, 'but link to it')
  t.equal((await get('/coalesce/explain', { method: 'POST', headers: { ...DEED, origin: 'https://evil.example' }, body: '{"url":"/"}' })).status, 403)
})

t.test('a guarded page that lists names answers by these only', async t => {
  const dashboard = { hosts: ['admin.example.com'], routeOptions: { onRequest: async () => {} } }
  const { get } = await serve(t, () => {}, { dashboard })
  t.equal((await get('/coalesce/')).status, 403)
  t.equal((await get('/coalesce/', { headers: { host: 'admin.example.com:3000', 'x-forwarded-for': '10.0.0.1' } })).status, 200)
})

t.test('a page that a proxy gave another name gets its script and style, and without hosts posts nothing', async t => {
  const guard = { routeOptions: { onRequest: async () => {} }, actions: true }
  const post = { method: 'POST', headers: { ...DEED, origin: 'http://admin.example.com' }, body: '{"action":"enable"}' }
  const { get } = await serve(t, () => {}, { dashboard: guard })
  for (const path of ['/coalesce/page.js', '/coalesce/page.css']) t.equal((await get(path, { headers: { origin: 'http://admin.example.com' } })).status, 200, path)
  t.equal((await get('/coalesce/state')).status, 200)
  const refused = await get('/coalesce/actions', post)
  t.match([refused.status, JSON.parse(refused.body).message], [403, /dashboard\.hosts/])
  const listed = await serve(t, () => {}, { dashboard: { ...guard, hosts: ['admin.example.com', '127.0.0.1'] } })
  t.equal((await listed.get('/coalesce/actions', post)).status, 200)
})

t.test('a name that was made to lead here gets past no guard by network address', async t => {
  const byNetwork = async (request: FastifyRequest, reply: FastifyReply) => { if (!request.ip.startsWith('127.')) await reply.code(403).send() }
  const { get } = await serve(t, () => {}, { dashboard: { routeOptions: { onRequest: byNetwork }, actions: true } })
  const rebound = { host: 'evil.example:3000' }
  t.equal((await get('/coalesce/state', { headers: rebound })).status, 403)
  for (const path of ['explain', 'actions']) {
    const { body, status } = await get(`/coalesce/${path}`, { method: 'POST', headers: { ...DEED, ...rebound, origin: 'http://evil.example:3000' }, body: '{}' })
    t.match([status, JSON.parse(body).message], [403, /dashboard\.hosts/], path)
  }
  t.equal((await get('/coalesce/state', { headers: { ...rebound, 'sec-fetch-site': 'same-origin' } })).status, 200)
})
