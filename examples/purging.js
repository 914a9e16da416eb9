// @ts-check
/**
 * What is kept is purged by tag, by route or by URL; and a write purges its own path by itself.
 *
 * Run it: node examples/purging.js
 */
import Fastify from 'fastify'
import coalesce from 'fastify-coalesce'

export async function build () {
  const app = Fastify()
  await app.register(coalesce, { ttl: '1h' })
  const words = new Map([['1', 'luck'], ['2', 'chance']])

  // All have the route's tag, and each one of its own.
  app.get('/words/:id', { config: { coalesce: { tags: ['words'], staleWhileRevalidate: '1m' } } }, async (request, reply) => {
    const { id } = /** @type {{ id: string }} */ (request.params)
    reply.coalesce.tag(`word:${id}`)
    return words.get(id)
  })

  // The path is the same: nothing else is to be done.
  app.put('/words/:id', async request => {
    const { id } = /** @type {{ id: string }} */ (request.params)
    words.set(id, String(request.body))
    return 'written'
  })
  return { app, words }
}

if (process.argv[1] === import.meta.filename) {
  const { app, words } = await build()
  /** @param {string} what */
  const show = async what => {
    console.log(`${what}: ${(await app.inject('/words/1')).body}, ${(await app.inject('/words/2')).body}`)
  }

  await show('first')
  await show('kept')
  await app.inject({ method: 'PUT', url: '/words/1', payload: 'fortune', headers: { 'content-type': 'text/plain' } })
  await show('after a write to /words/1')

  // The database changes behind the app's back.
  words.set('2', 'accident')
  await show('a change that nobody told of')
  app.coalesce.invalidate({ tags: ['word:2'] })
  await show('after a purge of word:2')

  words.set('1', 'fluke').set('2', 'hazard')
  app.coalesce.invalidate({ tags: ['words'] })
  await show('after a purge of words')

  // Softly: stale, so that nobody waits, and one request refreshes it in the background.
  words.set('1', 'luck').set('2', 'chance')
  app.coalesce.invalidate({ route: '/words/:id', soft: true })
  await show('after a soft purge')
  while (app.coalesce.entries().some(({ fresh }) => fresh <= 0)) await new Promise(setImmediate)
  await show('a moment later')
  const { totalRequests, actualExecutions } = app.coalesce.stats()
  console.log(`${totalRequests} requests, ${actualExecutions} runs`)
  await app.close()
}
