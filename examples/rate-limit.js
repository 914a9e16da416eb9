// @ts-check
/**
 * With @fastify/rate-limit: only the handler is shared, so every client spends its own quota, whether it leads or follows.
 *
 * Run it: node examples/rate-limit.js
 */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import rateLimit from '@fastify/rate-limit'
import Fastify from 'fastify'
import coalesce from 'fastify-coalesce'

export async function build () {
  const app = Fastify()
  await app.register(rateLimit, { max: 5, timeWindow: '1 minute' })
  await app.register(coalesce)

  app.get('/word', { config: { coalesce: true } }, async () => {
    await sleep(500) // a slow query
    return { word: 'serendipity' }
  })

  return app
}

if (process.argv[1] === import.meta.filename) {
  const app = await build()
  const clients = ['192.0.2.1', '192.0.2.2', '192.0.2.3']
  const sent = []
  for (let round = 0; round < 10; round++) {
    for (const remoteAddress of clients) {
      sent.push(app.inject({ url: '/word', remoteAddress }).then(reply => ({ remoteAddress, reply })))
      // As over the network: the rate limiter's own store counts too much when requests arrive in the same turn.
      await nextTurn()
    }
  }

  const replies = await Promise.all(sent)
  const served = replies.filter(({ reply }) => reply.statusCode === 200)
  const limited = replies.filter(({ reply }) => reply.statusCode === 429)
  console.log(`3 clients, 10 requests each, 5 allowed: ${served.length} served, ${limited.length} limited`)
  console.log(`the handler: ${app.coalesce.stats().actualExecutions} run`)
  for (const client of clients) {
    const left = served.filter(({ remoteAddress }) => remoteAddress === client).map(({ reply }) => reply.headers['x-ratelimit-remaining'])
    console.log(`${client} was told it had left: ${left.join(', ')}`)
  }
  await app.close()
}
