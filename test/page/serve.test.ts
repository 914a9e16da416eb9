import Fastify from 'fastify'
import t from 'tap'
import { dashboard, type DashboardSettings } from '../../lib/options/dashboard-options.js'
import { PAGE_CSS, PAGE_HTML, PAGE_JS } from '../../lib/page/assets.js'
import { servePage } from '../../lib/page/serve.js'
import type { PageSource } from '../../lib/page/source.js'
import { DEED } from '../fixtures/page.js'

t.test('what fails for no reason of the client is an error like any other', async t => {
  const app = Fastify()
  const source = { explain: async () => { throw new Error('broken') } } as unknown as PageSource
  servePage(app, dashboard({ public: true }, 'dashboard') as DashboardSettings, source, undefined as never)
  const { statusCode, body } = await app.inject({ method: 'POST', url: '/coalesce/explain', headers: { host: 'localhost', ...DEED }, payload: '{"url":"/"}' })
  t.match([statusCode, JSON.parse(body).message], [500, 'broken'])
  await app.close()
})

t.test('hooks of the user come between ours, one or several', async t => {
  const seen: string[] = []
  const hook = (name: string) => async () => { seen.push(name) }
  const app = Fastify()
  const routeOptions = { onRequest: [hook('first'), hook('second')], onSend: async (_request: unknown, reply: { header (name: string, value: string): unknown }) => { reply.header('cache-control', 'public') } }
  servePage(app, dashboard({ routeOptions }, 'dashboard') as DashboardSettings, {} as PageSource, undefined as never)
  const { headers, body } = await app.inject('/coalesce/page.css')
  t.strictSame([headers['cache-control'], body, seen], ['no-store', PAGE_CSS, ['first', 'second']])
  t.equal((await app.inject({ url: '/coalesce/state', headers: { origin: 'https://evil.example' } })).statusCode, 403)
  t.equal(seen.length, 2, 'whom the page refuses no guard is asked about')
  await app.close()
})

t.test('the page has nothing inline, and asks for its own files only, by their names', async t => {
  t.strictSame([...PAGE_HTML.matchAll(/(?:href|src)="([^"]*)"/g)].map(([, url]) => url).sort(), ['page.css', 'page.js'])
  t.notMatch(PAGE_HTML, /<style|style=|<script(?![^>]*src=)|\bon\w+=/i)
  t.notMatch(PAGE_JS, /innerHTML|insertAdjacentHTML|document\.write|\beval\(/)
})
