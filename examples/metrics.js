// @ts-check
/**
 * Metrics: in a registry of your own, behind a guard, with the deduplication ratio ready to read.
 *
 * Run it: node examples/metrics.js
 */
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import coalesce from 'fastify-coalesce'
import { Counter, Registry } from 'prom-client'

const SCRAPER = 'Bearer token-of-the-scraper'

export async function build () {
  const registry = new Registry()
  const lookUps = new Counter({ name: 'look_ups_total', help: 'Words looked up', registers: [registry] })

  const app = Fastify()
  await app.register(coalesce, {
    metrics: {
      registry,
      path: '/internal/metrics',
      prefix: 'dictionary_',
      routeOptions: {
        onRequest: async (request, reply) => {
          if (request.headers.authorization !== SCRAPER) return await reply.code(401).send({ error: 'the scraper only' })
        }
      }
    }
  })

  app.get('/word/:word', { config: { coalesce: true } }, async request => {
    lookUps.inc()
    await sleep(100) // a slow query
    return request.params
  })

  return app
}

if (process.argv[1] === import.meta.filename) {
  const app = await build()
  await Promise.all(Array.from({ length: 100 }, () => app.inject('/word/serendipity')))

  console.log(`without the token: ${(await app.inject('/internal/metrics')).statusCode}`)
  const scrape = await app.inject({ url: '/internal/metrics', headers: { authorization: SCRAPER } })
  console.log(`with it: ${scrape.statusCode}`)
  const shown = /^(look_ups_total|dictionary_coalesce_(requests_total|handler_runs_total|deduplication_ratio))\b.* /
  console.log(scrape.body.split('\n').filter(line => shown.test(line)).join('\n'))

  const ratio = await app.coalesce.registry?.getSingleMetric('dictionary_coalesce_deduplication_ratio')?.get()
  console.log(`the ratio: ${ratio?.values[0]?.value}`)
  await app.close()
}
