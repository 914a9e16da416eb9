// @ts-check
/**
 * A handler that fails on demand, and clients that do not notice: what was kept is served while it is refreshed, and in the
 * place of errors.
 *
 * Run it: node examples/outage.js
 */
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import coalesce from 'fastify-coalesce'

export async function build () {
  const app = Fastify()
  const database = { down: false, version: 1, asked: 0 }
  await app.register(coalesce)

  const look = async () => {
    database.asked++
    await sleep(20)
    if (database.down) throw new Error('the database is down')
    return `version ${database.version}`
  }
  app.get('/kept', { config: { coalesce: { ttl: '300ms', staleWhileRevalidate: '1s', staleIfError: '1h' } } }, look)
  app.get('/not-kept', { config: { coalesce: true } }, look)
  return { app, database }
}

if (process.argv[1] === import.meta.filename) {
  const { app, database } = await build()
  /**
   * @param {string} what
   * @param {string} url
   */
  const crowd = async (what, url, count = 1_000) => {
    const before = database.asked
    const replies = []
    for (let sent = 0; sent < count; sent += 100) replies.push(...await Promise.all(Array.from({ length: 100 }, () => app.inject(url))))
    const failed = replies.filter(({ statusCode }) => statusCode >= 500).length
    const bodies = [...new Set(replies.filter(({ statusCode }) => statusCode === 200).map(({ body }) => body))]
    console.log(`${what}: ${count} requests, ${failed} failed: ${bodies.join(', ') || 'nothing'}`)
    return database.asked - before
  }

  await crowd('up', '/kept', 100)

  // Stale, and nobody waits: one run refreshes it in the background.
  await sleep(350)
  database.version = 2
  await crowd('stale, refreshed in the background', '/kept', 100)
  while ((await app.inject('/kept')).body !== 'version 2') await sleep(5)
  await crowd('a moment later', '/kept', 100)

  // Past all that, and the database is down: what was kept takes the place of the errors.
  await sleep(1_400)
  database.down = true
  const tries = await crowd('down', '/kept', 2_000)
  console.log(`and the database was asked ${tries < 10 ? 'fewer than 10 times' : `${tries} times`}`)
  await crowd('down, nothing kept', '/not-kept')

  // After a failure the handler is left alone: for 1 s, then 2 s, up to a minute.
  database.down = false
  database.version = 3
  while ((await app.inject('/kept')).body !== 'version 3') await sleep(50)
  await crowd('up again', '/kept', 100)
  await app.close()
}
