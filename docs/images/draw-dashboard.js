// @ts-check
/**
 * Draws docs/images/dashboard.png: the panels of grafana/dashboard.json, with their own queries, from what a real Prometheus has scraped of two
 * small apps with some minutes of traffic. Grafana is not needed, and not used: the panels are drawn here, in its manner.
 *
 * Needs prometheus, redis-server and chromium (Debian's), and a build. Takes four minutes.
 *
 * Run it: npm run build && node docs/images/draw-dashboard.js
 *         node docs/images/draw-dashboard.js figures.json   keeps the figures in that file, or draws from it if it is there
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { Agent, get } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { crc32, deflateSync } from 'node:zlib'
import { page } from './dashboard-page.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const SECONDS = 230
const STEP = 2
const WIDTH = 1200
const COLOURS = 96

/** What stands for the dashboard's variables. */
const VARIABLES = [['{prefix}', ''], ['__rate_interval', '12s'], ['__range', `${SECONDS}s`], ['job', '.*'], ['instance', '.*'], ['route', '.*']]

const dashboard = JSON.parse(await readFile(join(ROOT, 'grafana/dashboard.json'), 'utf8'))

/** @returns {Promise<number>} */
async function freePort () {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  server.close()
  return port
}

/**
 * @param {string} command
 * @param {readonly string[]} args
 */
function run (command, ...args) {
  return spawn(command, args, { stdio: 'ignore' })
}

/** What is behind both apps. It can be broken, and mended. */
const database = { isDown: false }

/** @param {number} time */
async function query (time) {
  await sleep(time * (0.7 + 0.6 * Math.random()))
  if (database.isDown) throw new Error('the database is down')
}

/** @param {number} redisPort */
async function shop (redisPort) {
  const { default: Fastify } = await import('fastify')
  const { default: coalesce, circuitBreaker, runQueue } = await import('fastify-coalesce')
  const { redisCoordinator, redisStore } = await import('fastify-coalesce/redis')
  const app = Fastify()
  const meet = { url: `redis://127.0.0.1:${redisPort}`, secret: 'a secret of both shops', namespace: 'shop' }
  await app.register(coalesce, { metrics: true, coordinator: redisCoordinator(meet), store: redisStore(meet) })
  const queue = runQueue({ name: 'database', maxRuns: 3, maxQueued: 12 })
  const protection = { queue, breaker: circuitBreaker({ name: 'database', consecutive: 8, openFor: '4s' }) }
  const prices = { ...protection, ttl: '3s', staleWhileRevalidate: '3s', staleIfError: '1h' }
  /** @param {object} options */
  const coalesced = options => ({ config: { coalesce: options } })

  app.get('/prices/:id', coalesced(prices), async () => {
    await query(120)
    return 'prices'
  })
  app.get('/search', coalesced({ ...protection, query: ['q'], priority: 'low' }), async () => {
    await query(250)
    return 'found'
  })
  app.get('/hot', coalesced({}), async () => {
    await query(400)
    return 'what everybody asks for'
  })
  app.get('/cart', coalesced({}), async () => {
    await query(30)
    return 'of one user'
  })
  app.get('/visit', coalesced({ unshareableTtl: '1s' }), async (_request, reply) => {
    await query(80)
    return await reply.header('set-cookie', 'visit=1').send('counted')
  })
  const meanings = app.coalesce.batched(async (/** @type {readonly string[]} */ words) => {
    await query(40)
    return words
  }, { name: 'meanings', key: (/** @type {string} */ word) => word })
  app.get('/word/:word', async request => await meanings(/** @type {{ word: string }} */ (request.params).word))
  // It is said not to matter, and it does.
  app.get('/offers', coalesced({ observe: true, learnVary: { ignore: ['x-ab'] } }), async request => {
    await query(60)
    return { offers: ['tea', 'coffee'], for: request.headers['x-ab'] }
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app
}

/** @param {readonly string[]} origins */
function traffic (origins) {
  const agent = new Agent({ keepAlive: true, maxSockets: 200 })
  const started = Date.now()
  let turn = 0
  /**
   * @param {string} path
   * @param {number} times at once
   * @param {Record<string, string>} [headers]
   */
  const ask = (path, times, headers = {}) => {
    for (let time = 0; time < times; time++) {
      const request = get(origins[turn++ % origins.length] + path, { agent, headers: { host: 'shop.test', ...headers } }, response => { response.resume() })
      request.on('error', () => {})
    }
  }
  const any = (/** @type {number} */ most) => Math.floor(Math.random() * most)
  const timer = setInterval(() => {
    const at = (Date.now() - started) / 1000
    const rush = at > 50 && at < 80
    ask(`/prices/${any(4)}`, 2 + any(3))
    ask('/hot', rush ? 8 : 1 + any(3))
    if (turn % 3 === 0) ask(`/search?q=${any(rush ? 60 : 12)}&at=${at}`, rush ? 4 : 2)
    if (turn % 2 === 0) ask('/cart', 1 + any(2), { cookie: `session=${any(100)}` })
    if (turn % 5 === 0) ask('/visit', 3)
    for (let words = any(4); words > 0; words--) ask(`/word/${any(50)}`, 1)
    if (turn % 2 === 0) ask('/offers', 2, { 'x-ab': any(20) === 0 ? 'b' : 'a' })
  }, 200)
  return () => {
    clearInterval(timer)
    agent.destroy()
  }
}

/** @param {string} url */
async function json (url) {
  const response = await fetch(url)
  const { status, data, error } = /** @type {{ status: string, data: { result: unknown }, error?: string }} */ (await response.json())
  if (status !== 'success') throw new Error(`${url}: ${error}`)
  return data.result
}

/** All that the panels ask, as Prometheus answers it. */
async function figures () {
  const folder = await mkdtemp(join(tmpdir(), 'dashboard-'))
  const [redisPort, prometheusPort] = [await freePort(), await freePort()]
  const redis = () => run('redis-server', '--port', String(redisPort), '--bind', '127.0.0.1', '--save', '', '--dir', folder)
  /** What has to be ended, the last first. */
  /** @type {Array<() => unknown>} */
  const endings = [async () => { await rm(folder, { recursive: true, force: true }) }]
  try {
    let server = redis()
    endings.push(() => server.kill())
    await sleep(1000)
    const apps = [await shop(redisPort), await shop(redisPort)]
    endings.push(async () => { await Promise.all(apps.map(async app => { await app.close() })) })
    const origins = apps.map(app => `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (app.server.address()).port}`)
    const targets = origins.map((origin, index) => `{ targets: ['${new URL(origin).host}'], labels: { instance: shop-${index + 1} } }`)
    await writeFile(join(folder, 'prometheus.yml'), `global: { scrape_interval: 1s, evaluation_interval: 5s }
rule_files: ['${ROOT}prometheus/rules.yml']
scrape_configs: [{ job_name: shop, static_configs: [${targets.join()}] }]
`)
    const prometheus = run('prometheus', `--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`,
      `--web.listen-address=127.0.0.1:${prometheusPort}`)
    endings.push(async () => {
      prometheus.kill()
      await once(prometheus, 'exit')
    })
    await sleep(5000)
    endings.push(traffic(origins))
    for (let second = 0; second < SECONDS; second++) {
      if (second === 110) database.isDown = true
      if (second === 135) database.isDown = false
      if (second === 170) server.kill('SIGKILL')
      if (second === 190) server = redis()
      await sleep(1000)
    }
    const end = Math.floor(Date.now() / 1000)
    const start = end - SECONDS + 10
    /** @type {Record<string, unknown>} */
    const answers = {}
    for (const { targets = [] } of dashboard.panels) {
      for (const { expr, instant } of targets) {
        const asked = encodeURIComponent(VARIABLES.reduce((text, [name, value]) => text.replaceAll(`$${name}`, value), expr))
        const api = `http://127.0.0.1:${prometheusPort}/api/v1/query`
        answers[expr] = await json(instant ? `${api}?query=${asked}&time=${end}` : `${api}_range?query=${asked}&start=${start}&end=${end}&step=${STEP}`)
      }
    }
    return { start, end, step: STEP, answers }
  } finally {
    for (const end of endings.toReversed()) await end()
  }
}

/**
 * A PNG of few colours: each pixel has the nearest of those that the picture has most of, so that it takes a third of the bytes.
 *
 * @param {number} width
 * @param {number} height
 * @param {Buffer} data four bytes a pixel
 */
function png (width, height, data) {
  /** @type {Map<number, number>} */
  const counts = new Map()
  for (let at = 0; at < data.length; at += 4) counts.set(data.readUIntBE(at, 3), (counts.get(data.readUIntBE(at, 3)) ?? 0) + 1)
  const palette = [...counts].sort(([, a], [, b]) => b - a).slice(0, COLOURS).map(([colour]) => colour)
  const parts = (/** @type {number} */ colour) => [colour >> 16, colour >> 8 & 255, colour & 255]
  /** @type {Map<number, number>} */
  const nearest = new Map()
  for (const colour of counts.keys()) {
    const [red = 0, green = 0, blue = 0] = parts(colour)
    const distances = palette.map(other => {
      const [r = 0, g = 0, b = 0] = parts(other)
      return (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2
    })
    nearest.set(colour, distances.indexOf(Math.min(...distances)))
  }
  const rows = Buffer.alloc((width + 1) * height)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) rows[y * (width + 1) + 1 + x] = nearest.get(data.readUIntBE((y * width + x) * 4, 3)) ?? 0
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, 3], 8)
  const chunk = (/** @type {string} */ name, /** @type {Buffer} */ content) => {
    const all = Buffer.concat([Buffer.alloc(4), Buffer.from(name), content, Buffer.alloc(4)])
    all.writeUInt32BE(content.length, 0)
    all.writeUInt32BE(crc32(all.subarray(4, -4)), all.length - 4)
    return all
  }
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'), chunk('IHDR', header), chunk('PLTE', Buffer.from(palette.flatMap(parts))),
    chunk('IDAT', deflateSync(rows, { level: 9 })), chunk('IEND', Buffer.alloc(0))
  ])
}

const kept = process.argv[2]
const told = kept !== undefined && existsSync(kept) ? JSON.parse(await readFile(kept, 'utf8')) : await figures()
if (kept !== undefined) await writeFile(kept, JSON.stringify(told))

const { chromium } = await import('playwright-core')
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--headless'] })
const tab = await browser.newPage({ viewport: { width: WIDTH, height: 800 } })
await tab.setContent(page(dashboard, told, WIDTH))
const picture = await tab.screenshot({ fullPage: true })
const pixels = await tab.evaluate(`(async () => {
  const image = await createImageBitmap(await (await fetch('data:image/png;base64,${picture.toString('base64')}')).blob())
  const context = new OffscreenCanvas(image.width, image.height).getContext('2d')
  context.drawImage(image, 0, 0)
  const { data } = context.getImageData(0, 0, image.width, image.height)
  let text = ''
  for (let at = 0; at < data.length; at += 32768) text += String.fromCharCode(...data.subarray(at, at + 32768))
  return { width: image.width, height: image.height, data: btoa(text) }
})()`)
const { width, height, data } = /** @type {{ width: number, height: number, data: string }} */ (pixels)
await writeFile(fileURLToPath(new URL('dashboard.png', import.meta.url)), png(width, height, Buffer.from(data, 'base64')))
await browser.close()
