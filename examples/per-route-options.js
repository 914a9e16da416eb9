// @ts-check
/**
 * Options: defaults for all routes at registration, and each route's own in `config.coalesce`.
 *
 * Run it: node examples/per-route-options.js
 */
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import coalesce from 'fastify-coalesce'

export async function build () {
  const app = Fastify()

  // Every GET route, with these defaults.
  await app.register(coalesce, { global: true, waitTimeout: '5s' })

  // The defaults: path and whole query tell requests apart.
  app.get('/words/:word', async request => await slow(request.url))

  // Not this one: each request gets a number of its own.
  let tickets = 0
  app.get('/ticket', { config: { coalesce: false } }, async () => await slow(++tickets))

  // These names of the query only; whatever else a client sends neither splits requests nor reaches the handler.
  app.get('/search', { config: { coalesce: { query: ['q', 'limit'] } } }, async request => await slow(request.query))

  // All of the query but these.
  app.get('/offers', { config: { coalesce: { query: { ignore: ['utm_*', 'gclid'] } } } }, async request => await slow(request.query))

  // One run for each language.
  app.get('/greeting', { config: { coalesce: { headers: ['accept-language'] } } }, async request =>
    await slow(request.headers['accept-language'] === 'de' ? 'Guten Tag' : 'Good day'))

  // One run for each theme. A request with any other cookie carries credentials, and runs by itself.
  app.get('/style', { config: { coalesce: { cookies: ['theme'] } } }, async request => await slow(request.headers.cookie))

  // A POST that only reads: the body is part of the key.
  app.post('/translate', { config: { coalesce: { body: true } } }, async request => await slow(request.body))

  // Followers wait for 50 ms at most, and then get 503 with Retry-After.
  app.get('/report', { config: { coalesce: { waitTimeout: 50, onWaitTimeout: 'error' } } }, async () => await slow('report', 500))

  return app
}

/**
 * Stands for a slow query.
 *
 * @param {unknown} answer
 */
async function slow (answer, milliseconds = 100) {
  await sleep(milliseconds)
  return { answer }
}

/**
 * Sends 10 times each of these requests at once, and prints how often the handler ran.
 *
 * @param {import('fastify').FastifyInstance} app
 * @param {string} what
 * @param {import('fastify').InjectOptions[]} requests
 */
async function demonstrate (app, what, requests) {
  const before = app.coalesce.stats().actualExecutions
  const replies = await Promise.all(Array.from({ length: 10 }, () => requests).flat().map(request => app.inject(request)))
  const runs = app.coalesce.stats().actualExecutions - before
  const statuses = [...new Set(replies.map(reply => reply.statusCode))].sort().map(status =>
    `${replies.filter(reply => reply.statusCode === status).length} × ${status}`)
  console.log(`${what.padEnd(40)} ${replies.length} requests, ${runs} ${runs === 1 ? 'run' : 'runs'}: ${statuses.join(', ')}`)
}

if (process.argv[1] === import.meta.filename) {
  const app = await build()
  await demonstrate(app, 'the defaults, two words', [{ url: '/words/luck' }, { url: '/words/chance' }])
  await demonstrate(app, 'query: two names of three', [{ url: '/search?q=luck&limit=5&trace=1' }, { url: '/search?limit=5&trace=2&q=luck' }])
  await demonstrate(app, 'query: all but tracking', [{ url: '/offers?page=1&utm_source=a' }, { url: '/offers?page=1&gclid=b' }])
  await demonstrate(app, 'headers: two languages', [
    { url: '/greeting', headers: { 'accept-language': 'en' } },
    { url: '/greeting', headers: { 'accept-language': 'de' } }
  ])
  await demonstrate(app, 'cookies: two themes', [
    { url: '/style', headers: { cookie: 'theme=dark' } },
    { url: '/style', headers: { cookie: 'theme=light' } }
  ])
  await demonstrate(app, 'body: the same members in another order', [
    { method: 'POST', url: '/translate', payload: { word: 'luck', to: 'de' } },
    { method: 'POST', url: '/translate', payload: { to: 'de', word: 'luck' } }
  ])
  await demonstrate(app, 'onWaitTimeout: error', [{ url: '/report' }])

  const tickets = await Promise.all(Array.from({ length: 10 }, () => app.inject('/ticket')))
  console.log(`${'coalesce: false'.padEnd(40)} 10 requests, ${new Set(tickets.map(reply => reply.body)).size} tickets`)
  await app.close()
}
