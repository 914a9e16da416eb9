// @ts-check
/**
 * Four workers of one machine (node:cluster), and one run for all of them: they meet in a Redis that listens on a Unix socket.
 *
 * Run it: node examples/cluster.js
 */
import cluster from 'node:cluster'
import { once } from 'node:events'
import { Agent, get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import coalesce from 'fastify-coalesce'
import { redisCoordinator } from 'fastify-coalesce/redis'
import { startRedis } from './redis-server.js'

const WORKERS = 4
const CLIENTS = 100
const QUERY_TIME = Number(process.env.QUERY_TIME ?? 1_000)

/** @param {string} [socket] without it, each worker runs for itself */
export async function build (socket) {
  const app = Fastify()

  await app.register(coalesce, {
    coordinator: socket !== undefined && redisCoordinator({
      client: new Redis({ path: socket, lazyConnect: true }),
      secret: process.env.COALESCE_SECRET ?? 'the same in all workers',
      opTimeout: '1s' // the machine may be busy with the start of the workers
    })
  })

  app.get('/word/:word', { config: { coalesce: true } }, async request => {
    process.send?.('run')
    await sleep(QUERY_TIME)
    const { word } = /** @type {{ word: string }} */ (request.params)
    return { word, definition: 'the luck of finding what one did not look for' }
  })

  return app
}

/** @param {string} [socket] */
async function serve (socket) {
  const workers = Array.from({ length: WORKERS }, () => cluster.fork(socket === undefined ? {} : { REDIS_SOCKET: socket }))
  let runs = 0
  for (const worker of workers) worker.on('message', message => { if (message === 'run') runs++ })
  const [listening] = await Promise.all(workers.map(async worker => await once(worker, 'listening')))
  const port = listening?.[0].port

  const bodies = await Promise.all(Array.from({ length: CLIENTS }, () => ask(`http://127.0.0.1:${port}/word/serendipity`)))

  for (const worker of workers) worker.send('close')
  await Promise.all(workers.map(async worker => await once(worker, 'exit')))
  return `${bodies.length} requests, ${new Set(bodies).size} body, ${runs} ${runs === 1 ? 'run' : 'runs'}`
}

const agent = new Agent() // a connection for each request: the workers get them in turn

/** @param {string} url */
async function ask (url) {
  const [response] = await once(get(url, { agent }), 'response')
  return (await response.setEncoding('utf8').toArray()).join('')
}

if (cluster.isWorker) {
  const app = await build(process.env.REDIS_SOCKET)
  process.on('message', async message => {
    if (message !== 'close') return
    await app.close()
    process.disconnect()
  })
  await app.listen({ host: '127.0.0.1', port: 0 }) // the same port for all workers
} else if (process.argv[1] === import.meta.filename) {
  const redis = await startRedis()
  console.log(`${WORKERS} workers by themselves: ${await serve()}`)
  console.log(`${WORKERS} workers with a coordinator: ${await serve(redis.socket)}`)
  await redis.stop()
}
