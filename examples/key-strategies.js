// @ts-check
/**
 * Four ways to say which requests are identical: a simple key, a composite one, one of selected parameters, a normalized one.
 *
 * A handler must depend on nothing but what its key covers: all who wait get what was made for the first one.
 *
 * Run it: node examples/key-strategies.js
 */
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import coalesce from 'fastify-coalesce'

/** @typedef {import('fastify').FastifyRequest} FastifyRequest */

export async function build () {
  const app = Fastify()
  await app.register(coalesce)

  // Simple: one parameter. A route's params are part of its path, and so of the default key.
  app.get('/users/:user', { config: { coalesce: true } }, async request => await slow(request.params))

  // Composite: several values. An array never mixes them up, as 'a:b' + ':' + 'c' and 'a' + ':' + 'b:c' would.
  app.get('/resource', { config: { coalesce: { key: request => [queryOf(request).user ?? '', queryOf(request).resource ?? ''] } } },
    async request => {
      const { user, resource } = queryOf(request)
      return await slow({ user, resource })
    })

  // Selective: `debug` is not part of the key, and the handler does not see it.
  app.get('/words/:word', { config: { coalesce: { query: ['etymology'] } } }, async request => await slow(request.query))

  // Normalized: key and handler read the query through one function.
  app.get('/search', { config: { coalesce: { key: request => Object.values(normalized(request)) } } },
    async request => await slow(normalized(request)))

  return app
}

/** @param {FastifyRequest} request */
function queryOf (request) {
  return /** @type {Record<string, string | undefined>} */ (request.query)
}

/** @param {FastifyRequest} request */
function normalized (request) {
  const { q = '', limit = '10' } = queryOf(request)
  return { q: q.trim().toLowerCase(), limit: String(Math.min(Number(limit) || 10, 100)) }
}

/**
 * Stands for a slow query.
 *
 * @param {unknown} answer
 */
async function slow (answer) {
  await sleep(100)
  return answer
}

/**
 * @param {import('fastify').FastifyInstance} app
 * @param {string} strategy
 * @param {string[]} urls
 */
async function demonstrate (app, strategy, urls) {
  const before = app.coalesce.stats().actualExecutions
  await Promise.all(Array.from({ length: 25 }, () => urls).flat().map(url => app.inject(url)))
  const runs = app.coalesce.stats().actualExecutions - before
  console.log(`${strategy.padEnd(10)} ${urls.length * 25} requests, ${runs} ${runs === 1 ? 'run' : 'runs'}: ${urls.join('  ')}`)
}

if (process.argv[1] === import.meta.filename) {
  const app = await build()
  await demonstrate(app, 'simple', ['/users/ada', '/users/grace'])
  await demonstrate(app, 'composite', ['/resource?user=ada&resource=posts', '/resource?resource=posts&user=ada&page=1', '/resource?user=ada&resource=likes'])
  await demonstrate(app, 'selective', ['/words/luck?etymology=true', '/words/luck?etymology=true&debug=1', '/words/luck'])
  await demonstrate(app, 'normalized', ['/search?q=Luck&limit=500', '/search?q=luck&limit=100', '/search?q=LUCK&limit=1000'])
  await app.close()
}
