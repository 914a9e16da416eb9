// @ts-check
/**
 * Two apps in two processes that share a Redis: one run for both, one cache for both, and a purge in one is a purge in both.
 *
 * Run it: node examples/two-apps.js                          starts a Redis of its own
 *         node examples/two-apps.js redis://localhost:6379   uses that one
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import redis from '@fastify/redis'
import Fastify from 'fastify'
import coalesce from 'fastify-coalesce'
import { redisCoordinator, redisStore } from 'fastify-coalesce/redis'
import { startRedis } from './redis-server.js'

const CLIENTS = 50
const QUERY_TIME = Number(process.env.QUERY_TIME ?? 1_000)

/** @param {string} url of a Redis */
export async function build (url) {
  const app = Fastify()
  await app.register(redis, url.startsWith('/') ? { path: url } : { url })

  const shared = {
    client: app.redis,
    namespace: 'words', // by default the name in package.json: apps with different names are strangers
    secret: process.env.COALESCE_SECRET ?? 'the same in both processes',
    opTimeout: '1s' // the machine may be busy with the start of the apps
  }
  await app.register(coalesce, { coordinator: redisCoordinator(shared), store: redisStore(shared), storeTimeout: '1s' })

  app.get('/word/:word', { config: { coalesce: { ttl: '1m' } } }, async request => {
    process.send?.('run')
    await sleep(QUERY_TIME)
    const { word } = /** @type {{ word: string }} */ (request.params)
    return { word, by: process.pid }
  })
  app.post('/word/:word', async () => 'written') // a successful write purges what is cached for its path

  return app
}

/** @param {string} url */
async function compare (url) {
  const processes = ['one', 'two'].map(() => fork(import.meta.filename, [url, '--serve']))
  let runs = 0
  const ports = await Promise.all(processes.map(async child => await new Promise(resolve => {
    child.on('message', message => {
      if (message === 'run') runs++
      else resolve(message)
    })
  })))
  const tell = (/** @type {string} */ what, /** @type {string[]} */ bodies) => {
    console.log(`${what}: ${bodies.length} requests, ${new Set(bodies).size} body, ${runs} ${runs === 1 ? 'run' : 'runs'}`)
    runs = 0
  }
  const askBoth = async () => await Promise.all(ports.flatMap(port => Array.from({ length: CLIENTS }, () => ask(port))))

  tell('at once, of both', await askBoth())
  tell('a moment later, from the cache', await askBoth())
  await ask(ports[0], 'POST')
  tell('after a write to the first', await askBoth())

  for (const child of processes) child.send('close')
  await Promise.all(processes.map(async child => await once(child, 'exit')))
}

/**
 * The host is part of what makes requests identical. Behind a load balancer it is the same for all processes; here the client says so.
 *
 * @param {number} port
 */
async function ask (port, method = 'GET') {
  const sent = request({ host: '127.0.0.1', port, method, path: '/word/serendipity', headers: { host: 'words.example' } }).end()
  const [response] = await once(sent, 'response')
  return (await response.setEncoding('utf8').toArray()).join('')
}

if (process.argv[1] === import.meta.filename) {
  const [url, serves] = process.argv.slice(2)
  if (serves !== undefined && url !== undefined) {
    const app = await build(url)
    process.on('message', async () => {
      await app.close()
      process.disconnect()
    })
    const origin = await app.listen({ host: '127.0.0.1', port: 0 })
    process.send?.(Number(new URL(origin).port))
  } else if (url !== undefined) {
    await compare(url)
  } else {
    const own = await startRedis()
    await compare(own.socket)
    await own.stop()
  }
}
