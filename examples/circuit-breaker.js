// @ts-check
/**
 * A database that dies and comes back. With a circuit breaker it is left alone while it is down, its clients do not wait for it in vain,
 * and one run finds out that it is back.
 *
 * Run it: node examples/circuit-breaker.js
 */
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import coalesce, { circuitBreaker } from 'fastify-coalesce'

export async function build () {
  const app = Fastify()
  const database = { down: false, asked: 0 }
  const breaker = circuitBreaker({ name: 'database', consecutive: 10, openFor: '2s', maxOpenFor: '2s' })
  await app.register(coalesce)

  /** @param {import('fastify').FastifyRequest} request */
  async function look (request) {
    database.asked++
    // To fail takes longer: nobody answers, and that takes a while to tell.
    await sleep(database.down ? 100 : 10)
    if (database.down) throw new Error('the database is down')
    return `the meaning of ${/** @type {{ word: string }} */ (request.params).word}`
  }
  app.get('/unprotected/:word', { config: { coalesce: true } }, look)
  app.get('/kept/:word', { config: { coalesce: { breaker, ttl: '200ms', staleIfError: '1h' } } }, look)
  app.get('/fallback/:word', { config: { coalesce: { breaker, fallback: async () => 'come back later' } } }, look)
  app.get('/neither/:word', { config: { coalesce: { breaker } } }, look)
  return { app, breaker, database }
}

if (process.argv[1] === import.meta.filename) {
  const { app, breaker, database } = await build()

  /**
   * Clients that ask for a different word each, so many of them at once.
   *
   * @param {string} what
   * @param {string} path
   */
  const crowd = async (what, path, clients = 100, atOnce = 20) => {
    const before = database.asked
    const replies = /** @type {import('fastify').LightMyRequestResponse[]} */ ([])
    for (let sent = 0; sent < clients; sent += atOnce) {
      replies.push(...await Promise.all(Array.from({ length: atOnce }, (_, index) => app.inject(`${path}/word-${sent + index}`))))
    }
    const statuses = [200, 500, 503].map(status => [replies.filter(({ statusCode }) => statusCode === status).length, status])
    const got = statuses.filter(([count]) => count !== 0).map(([count, status]) => `${count} × ${status}`).join(', ')
    console.log(`${what}: ${clients} clients, ${got}; queries: ${database.asked - before}`)
  }
  /** @param {string} state */
  const until = async state => { while (breaker.state !== state) await sleep(5) }

  await crowd('up', '/kept')
  database.down = true
  await crowd('down, without a breaker', '/unprotected')
  await crowd('down, with one', '/neither')

  console.log(`the breaker is ${breaker.state}. Meanwhile clients get:`)
  const kept = await app.inject('/kept/word-1')
  console.log(`  what is kept: ${kept.statusCode} ${kept.body}`)
  const fallback = await app.inject('/fallback/word-1')
  console.log(`  or a fallback: ${fallback.statusCode} ${fallback.body}`)
  const neither = await app.inject('/neither/word-1')
  console.log(`  or: ${neither.statusCode} ${neither.json().code}, retry after ${neither.headers['retry-after']} s`)

  // One run at a time may try. It fails, so the breaker is open once more; without maxOpenFor for twice as long.
  await until('half-open')
  await crowd('still down, and half open', '/neither', 50, 50)

  // It is tried by a refresh in the background, where there is something that clients can have meanwhile.
  database.down = false
  await until('half-open')
  const before = database.asked
  const replies = await Promise.all(Array.from({ length: 50 }, (_, index) => app.inject(`/kept/word-${index}`)))
  const served = replies.filter(({ statusCode }) => statusCode === 200).length
  await until('closed')
  console.log(`up, and half open: 50 clients, ${served} × 200; queries: ${database.asked - before}, and the breaker is ${breaker.state}`)
  await crowd('closed', '/neither')

  const { runs, shed } = breaker.figures()
  console.log(`in all: ${runs.good} good runs, ${runs.failed} failed ones, ${shed.open + shed.probing} that were not made`)
  await app.close()
}
