// @ts-check
/**
 * The smallest example: 100 clients ask for the same word at once, and it is looked up once.
 *
 * Run it: node examples/basic.js
 */
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import coalesce from 'fastify-coalesce'

export async function build () {
  const app = Fastify()
  await app.register(coalesce)

  app.get('/word/:word', { config: { coalesce: true } }, async request => {
    const { word } = /** @type {{ word: string }} */ (request.params)
    return await lookUp(word)
  })

  return app
}

/** @param {string} word */
async function lookUp (word) {
  await sleep(100) // a slow query
  return { word, definition: 'the luck of finding what one did not look for' }
}

if (process.argv[1] === import.meta.filename) {
  const app = await build()
  const replies = await Promise.all(Array.from({ length: 100 }, () => app.inject('/word/serendipity')))
  const { totalRequests, actualExecutions } = app.coalesce.stats()
  console.log(`${totalRequests} requests, ${actualExecutions} run`)
  console.log(`${replies.filter(reply => reply.statusCode === 200).length} replies, ${new Set(replies.map(reply => reply.body)).size} body`)
  await app.close()
}
