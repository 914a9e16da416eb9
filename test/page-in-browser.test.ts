/**
 * "The live page works in a browser: under its policy, by keyboard, on narrow screens, whatever routes are called and whether or not the server is there."
 */
import { createServer, request as ask } from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Browser, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import coalesce from '../lib/index.js'
import type { CoalesceOptions } from '../types/index.js'
import { hasChromium, launch, live, MadeUp, NO_CHROMIUM, open, openTab, violations } from './fixtures/chromium.js'
import { gate, until } from './fixtures/gate.js'
import { broken, busy, HOSTILE, hostile, leaking, many, state } from './fixtures/page-states.js'

const empty = (at: number): ReturnType<typeof busy> => state({ at, routes: [] })

/** An app with the plugin and its page. */
async function start (t: Test, options: CoalesceOptions = {}, prefix = ''): Promise<{ app: FastifyInstance, url: string }> {
  const app: FastifyInstance = Fastify({ forceCloseConnections: true })
  t.teardown(async () => { await app.close() })
  await app.register(async app => {
    await app.register(coalesce, { dashboard: { public: true }, ...options })
    app.get('/word', { config: { coalesce: { ttl: '1h' } } }, async () => 'luck')
    app.get('/name', { config: { coalesce: true } }, async request => ({ ...request.headers }))
  }, { prefix })
  return { app, url: await app.listen({ port: 0 }) }
}

async function madeUp (t: Test, make: (at: number) => ReturnType<typeof busy>): Promise<MadeUp> {
  const server = new MadeUp(make)
  await server.start()
  t.teardown(async () => { await server.stop() })
  return server
}

const row = (page: Page, name: string): ReturnType<Page['locator']> => page.getByRole('button', { name, exact: true })

if (!hasChromium) {
  t.comment(NO_CHROMIUM)
  t.pass(NO_CHROMIUM)
} else {
  const browser: Browser = await launch()
  t.teardown(async () => { await browser.close() })

  t.test('it is live within three seconds, and breaks none of its own rules', async t => {
    const { app, url } = await start(t)
    await app.inject('/word')
    const { page, complaints } = await open(browser, `${url}/coalesce`)
    await live(page)
    await row(page, 'GET /word').waitFor()
    const took = await page.evaluate(() => (globalThis as unknown as { liveAfter: number }).liveAfter)
    t.ok(took < 3000, `${Math.round(took)} ms`)
    await app.inject('/word')
    await page.locator('#tiles').getByText('2 so far').waitFor({ timeout: 5000 })
    t.strictSame(complaints, [])
    await page.close()
  })

  t.test('it is as it should be for those who cannot see well, in both colour schemes, empty, busy and broken', async t => {
    const server = await madeUp(t, empty)
    for (const [name, make] of Object.entries({ empty, busy, broken, leaking })) {
      server.tell(make)
      const { page, complaints } = await open(browser, server.url)
      await live(page)
      if (name !== 'empty') await row(page, 'GET /prices').click()
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme })
        t.strictSame(await violations(page), [], `${name}, ${colorScheme}`)
      }
      t.strictSame(complaints, [])
      await page.close()
    }
  })

  t.test('names of routes are text, whatever they are', async t => {
    const server = await madeUp(t, hostile)
    const { page, complaints } = await open(browser, server.url)
    await live(page)
    await page.getByRole('button', { name: /Show \d+ more/ }).click()
    const names = await page.locator('.open bdi').allTextContents()
    t.strictSame(names.sort(), [...HOSTILE].sort())
    for (const opener of await page.locator('.open').all()) await opener.click()
    t.equal(await page.locator('img, i').count(), 0)
    t.equal(await page.locator('#instance').textContent(), '<i>host</i>')
    t.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth))
    t.strictSame(complaints, [])
    await page.close()
  })

  t.test('neither 360 pixels nor 200 % make it wider than the screen', async t => {
    const server = await madeUp(t, empty)
    const { page } = await open(browser, server.url)
    await live(page)
    for (const [name, make] of Object.entries({ empty, busy, broken, leaking })) {
      server.tell(make)
      const { asked } = server
      await until(() => server.asked > asked + 1, 'the next answer')
      for (const width of [360, 640, 1440]) {
        await page.setViewportSize({ width, height: 800 })
        t.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} at ${width}`)
      }
    }
    await page.close()
  })

  t.test('a sentence says what is wrong, and leads to it', async t => {
    const server = await madeUp(t, busy)
    const { page } = await open(browser, server.url)
    await live(page)
    const problem = page.getByRole('link', { name: /GET \/search.? shares nothing: reads-all-headers, 100 % of \d/ })
    await problem.click()
    t.equal(await row(page, 'GET /search').getAttribute('aria-expanded'), 'true')
    t.ok(await row(page, 'GET /search').evaluate(node => node === document.activeElement))
    t.match(await page.getByRole('status').first().textContent(), /^1 problem\. .GET \/search.? shares nothing/)
    t.equal(await page.title(), '(1) web-1:4711 – fastify-coalesce')
    server.tell(broken)
    await page.getByText(/Breaker .db.? is open, tries again in 4 s/).first().waitFor()
    t.match(await page.locator('#problems').innerText(), /Problem Breaker .db.? is open, tries again in 4 s\s+Problem/)
    server.tell(leaking)
    await page.getByText(/GET \/search.? would leak: .\$\.hero.? differs between clients/).first().waitFor()
    server.tell(empty)
    await page.getByText(/None yet: app\.get/).waitFor()
    await page.close()
  })

  t.test('all is done by keyboard: opening a row, sorting, pausing', async t => {
    const server = await madeUp(t, busy)
    const { page } = await open(browser, server.url)
    await live(page)
    const focused = async (): Promise<string> => await page.evaluate(() => document.activeElement?.textContent ?? '')
    const tabTo = async (name: string): Promise<void> => {
      for (let presses = 0; presses < 60 && await focused() !== name; presses++) await page.keyboard.press('Tab')
      t.equal(await focused(), name)
      t.not(await page.evaluate(() => getComputedStyle(document.activeElement as Element).outlineStyle), 'none', 'the focus is seen')
    }
    const order = async (): Promise<string[]> => await page.locator('.open').allTextContents()
    await tabTo('Pause')
    await page.keyboard.press('Enter')
    await page.getByText(/^paused, \d+ s old$/).waitFor()
    const { asked } = server
    await tabTo('Shared')
    await page.keyboard.press('Enter')
    t.equal(await page.locator('th[aria-sort]').innerText(), 'Shared')
    t.equal((await order())[0], 'FUNCTION lookUp')
    await page.keyboard.press('Enter')
    t.equal(await page.locator('th[aria-sort]').getAttribute('aria-sort'), 'ascending')
    t.equal((await order())[0], 'GET /search')
    await tabTo('GET /search')
    await page.keyboard.press('Enter')
    t.ok(await page.getByText('94 % bypass: reads-all-headers').isVisible())
    t.equal(server.asked, asked, 'paused, it asks nothing')
    await page.keyboard.press('Shift+Tab')
    await page.getByRole('button', { name: 'Resume' }).click()
    await live(page)
    await page.close()
  })

  t.test('what has the focus keeps it, in the same element, while figures change around it', async t => {
    const server = await madeUp(t, at => many(at, 200))
    const { page, complaints } = await open(browser, server.url)
    await live(page)
    await row(page, 'GET /route/7').focus()
    await page.evaluate(() => { (globalThis as { seen?: Element | null }).seen = document.activeElement })
    const { asked } = server
    await until(() => server.asked >= asked + 3)
    t.ok(await page.evaluate(() => document.activeElement === (globalThis as { seen?: Element | null }).seen))
    t.equal(await page.locator('.open').count(), 200)
    await page.getByLabel('Filter').fill('route/19')
    t.equal(await page.locator('.open').filter({ visible: true }).count(), 11)
    t.strictSame(complaints, [])
    await page.close()
  })

  t.test('200 routes are brought up to date with little script, and one layout', async t => {
    const server = await madeUp(t, at => many(at, 200))
    const { page } = await open(browser, server.url)
    await live(page)
    const session = await page.context().newCDPSession(page)
    // Processor time: how many others want the processor makes no difference.
    await session.send('Performance.enable', { timeDomain: 'threadTicks' })
    const spent = async (name: string): Promise<number> => (await session.send('Performance.getMetrics')).metrics.find(metric => metric.name === name)?.value ?? NaN
    const before = { script: await spent('ScriptDuration'), layouts: await spent('LayoutCount') }
    const { asked } = server
    await until(() => server.asked >= asked + 4, 'the fourth answer')
    const script = (await spent('ScriptDuration') - before.script) / 4
    const layouts = (await spent('LayoutCount') - before.layouts) / 4
    t.ok(script < 0.05, `${Math.round(script * 1000)} ms`)
    t.ok(layouts <= 3, `${layouts} layouts`)
    await page.close()
  })

  t.test('a server that goes away and comes back, as another one, is told as such', async t => {
    const server = await madeUp(t, busy)
    const { page } = await open(browser, server.url)
    await live(page)
    await server.stop()
    await page.getByText(/^The server does not answer since \d+ s: what you see is as old$/).waitFor()
    t.match(await page.locator('#age').textContent(), /^not live, \d+ s old$/)
    t.ok(await row(page, 'GET /prices').isVisible(), 'what was known is still there')
    server.tell(at => busy(at, { instance: 'web-2:99' }))
    await server.start()
    await page.getByText(/web-2:99.? answers, and before .web-1:4711/).first().waitFor({ timeout: 15_000 })
    await live(page)
    t.equal(await page.locator('#instance').textContent(), 'web-2:99')
    server.status = 401
    await page.getByText(/The server answers 401: sign in, and load the page anew/).first().waitFor()
    server.status = 200
    await live(page)
    await page.close()
  })

  t.test('it asks one question at a time, and none while nobody looks', async t => {
    const server = await madeUp(t, busy)
    const { page } = await open(browser, server.url)
    await live(page)
    const slow = gate()
    server.delay = slow.promise
    await until(() => server.asking === 1)
    await page.getByRole('button', { name: 'Pause' }).click()
    await page.getByRole('button', { name: 'Resume' }).click()
    await page.evaluate(() => { document.dispatchEvent(new Event('visibilitychange')) })
    slow.open()
    await until(() => server.asking === 0)
    t.equal(server.most, 1)
    await page.evaluate(() => {
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => true })
      document.dispatchEvent(new Event('visibilitychange'))
    })
    await new Promise(resolve => setTimeout(resolve, 1500))
    const { asked } = server
    await new Promise(resolve => setTimeout(resolve, 1500))
    t.equal(server.asked, asked)
    await page.evaluate(() => {
      Object.defineProperty(document, 'hidden', { get: () => false })
      document.dispatchEvent(new Event('visibilitychange'))
    })
    await until(() => server.asked > asked)
    await page.close()
  })

  t.test('ten tabs at once are all live', async t => {
    const { app, url } = await start(t)
    await app.inject('/word')
    const context = await browser.newContext()
    const tabs = await Promise.all(Array.from({ length: 10 }, async () => await openTab(context, `${url}/coalesce`)))
    await Promise.all(tabs.map(async ({ page }) => { await live(page) }))
    t.strictSame(tabs.flatMap(({ complaints }) => complaints), [])
    const began = performance.now()
    await app.close()
    t.ok(performance.now() - began < 1000)
    await context.close()
  })

  t.test('it works under a prefix, and behind a proxy that gives it another path', async t => {
    // Without a guard no proxy may stand before it.
    const { url } = await start(t, { dashboard: { routeOptions: { onRequest: async () => {} } } }, '/api')
    const proxy = createServer((request, response) => {
      const path = request.url?.replace(/^\/tools\/cache/, '/api/coalesce') ?? ''
      request.pipe(ask(new URL(path, url), { method: request.method, headers: { ...request.headers, host: new URL(url).host } }, answer => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
      }))
    })
    await new Promise<void>(resolve => { proxy.listen(0, '127.0.0.1', resolve) })
    t.teardown(() => {
      proxy.closeAllConnections()
      proxy.close()
    })
    for (const address of [`${url}/api/coalesce`, `${url}/api/coalesce/`, `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/tools/cache/`]) {
      const { page, complaints } = await open(browser, address)
      await live(page)
      await row(page, 'GET /api/word').waitFor()
      t.strictSame(complaints, [], address)
      await page.close()
    }
  })

  t.test('a request is explained', async t => {
    const { url } = await start(t)
    const { page, complaints } = await open(browser, `${url}/coalesce`)
    await live(page)
    await page.getByLabel('URL').fill('https://example.com/word')
    await page.getByLabel(/Headers/).fill('cookie: session=1\naccept: */*')
    await page.getByRole('button', { name: 'Explain' }).click()
    await page.getByText(/^bypass\/credentials\/cookie/).waitFor()
    t.match(await page.locator('#explained li.decides').innerText(), /^→ credentials/)
    await page.getByLabel(/Headers/).fill('no header')
    await page.getByRole('button', { name: 'Explain' }).click()
    await page.getByText(/^Not explained: /).waitFor()
    t.strictSame(complaints.filter(text => !text.includes('400')), [])
    t.strictSame(await violations(page), [])
    await page.close()
  })

  t.test('with actions it disables, enables and purges, after a second press; without them there is nothing to press', async t => {
    const { app, url } = await start(t, { dashboard: { public: true, actions: true } })
    await app.inject('/word')
    const { page, complaints } = await open(browser, `${url}/coalesce`)
    await live(page)
    await row(page, 'GET /word').click()
    const details = page.locator('.details').filter({ visible: true })
    await details.getByRole('button', { name: 'Disable' }).click()
    await details.getByRole('button', { name: 'Disable: sure?' }).click()
    await page.getByText('Done: GET /word is disabled.').waitFor()
    await page.getByText(/GET \/word.? is switched off/).first().waitFor()
    await details.getByRole('button', { name: 'Enable' }).click()
    await page.getByText('Done: GET /word is enabled.').waitFor()
    await page.getByRole('button', { name: 'Disable all' }).click()
    await page.getByRole('button', { name: 'Disable all: sure?' }).click()
    await page.getByText('Coalescing is switched off').first().waitFor()
    await page.getByRole('button', { name: 'Enable all' }).click()
    await page.locator('#mode').getByText('sharing').waitFor()
    await page.getByRole('button', { name: 'Purge this route' }).click()
    await page.getByRole('button', { name: 'Purge this route: sure?' }).click()
    await page.getByText('Done: /word is purged.').waitFor()
    await page.locator('#kept').getByRole('table').waitFor({ state: 'hidden' })
    t.equal(await page.evaluate(() => document.activeElement?.textContent), 'Cached', 'the focus is where the row was')
    t.strictSame(complaints, [])
    t.strictSame(await violations(page), [])
    await page.close()

    const reader = await start(t)
    await reader.app.inject('/word')
    const { page: other } = await open(browser, `${reader.url}/coalesce`)
    await live(other)
    await row(other, 'GET /word').click()
    t.equal(await other.getByRole('button', { name: /able|Purge|stale/ }).filter({ visible: true }).count(), 0)
    await other.close()
  })
}
