// @ts-check
/**
 * The same for plain async functions, in an app or without one.
 *
 * With TypeScript, methods have `@deduplicated({ key })`.
 *
 * Run it: node examples/functions.js
 */
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import coalesce, { deduplicate } from 'fastify-coalesce'

let runs = 0

/**
 * A slow query that can be cancelled.
 *
 * @param {string} word
 * @param {{ signal?: AbortSignal }} [options]
 */
async function query (word, { signal } = {}) {
  runs++
  await sleep(100, undefined, { signal })
  return { word, synonyms: ['luck', 'chance'] }
}

/**
 * All callers get the same object.
 *
 * @type {typeof query}
 */
export const lookUp = deduplicate(query, { key: word => word })

/**
 * Each caller gets an object of its own.
 *
 * @type {typeof query}
 */
export const lookUpOwn = deduplicate(query, { key: word => word, clone: structuredClone })

/** An app's `deduplicate` counts calls in the app's stats and metrics, and logs with its log. */
export async function build () {
  const app = Fastify()
  await app.register(coalesce)
  const counted = app.coalesce.deduplicate(query, { key: word => word, name: 'lookUp' })

  // Two routes, one query.
  app.get('/synonyms/:word', async request => (await counted(wordOf(request))).synonyms)
  app.get('/first-synonym/:word', async request => (await counted(wordOf(request))).synonyms[0])
  return app
}

/** @param {import('fastify').FastifyRequest} request */
function wordOf (request) {
  return /** @type {{ word: string }} */ (request.params).word
}

if (process.argv[1] === import.meta.filename) {
  const shared = await Promise.all(Array.from({ length: 100 }, () => lookUp('serendipity')))
  console.log(`100 calls, ${runs} run, ${new Set(shared).size} object`)

  runs = 0
  const own = await Promise.all(Array.from({ length: 100 }, () => lookUpOwn('serendipity')))
  console.log(`100 calls with clone, ${runs} run, ${new Set(own).size} objects`)

  // One caller gives up, the first one even, and the others get their answer.
  runs = 0
  const impatient = new AbortController()
  const calls = [lookUp('serendipity', { signal: impatient.signal }), lookUp('serendipity'), lookUp('serendipity')]
  impatient.abort()
  const ends = await Promise.allSettled(calls)
  console.log(`3 callers, 1 gives up, ${runs} run: ${ends.map(end => end.status).join(', ')}`)

  // Once nobody waits any more, the query is cancelled: the run's signal is not one caller's.
  const abortable = deduplicate(async (/** @type {string} */ word, /** @type {AbortSignal} */ signal) => {
    signal.addEventListener('abort', () => { console.log('all callers gave up: the query is cancelled') })
    return await query(word, { signal })
  }, { key: word => word })
  const all = new AbortController()
  const given = Promise.allSettled([abortable('serendipity', all.signal), abortable('serendipity', all.signal)])
  all.abort()
  await given

  const app = await build()
  await Promise.all(Array.from({ length: 50 }, () => [app.inject('/synonyms/luck'), app.inject('/first-synonym/luck')]).flat())
  const { totalRequests, actualExecutions } = app.coalesce.stats()
  console.log(`in an app: 2 routes, ${totalRequests} calls, ${actualExecutions} run`)
  await app.close()
}
