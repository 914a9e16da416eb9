// @ts-check
/**
 * Responses that are kept: for as long as the route says, or for as long as they say themselves. What is kept answers HEAD,
 * conditions and ranges by itself, and `cacheControl` tells the caches of clients what they may do.
 *
 * Run it: node examples/caching.js
 */
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import coalesce from 'fastify-coalesce'

export async function build () {
  const app = Fastify()
  await app.register(coalesce, { cacheControl: { privacy: 'public', expiresIn: '1m' } })

  app.get('/word', { config: { coalesce: { ttl: '1m' } } }, async (_request, reply) => {
    reply.header('etag', '"1"').type('text/plain')
    return 'serendipity'
  })

  // It says itself how long it is fresh: ten minutes, or not at all.
  app.get('/rates/:kind', { config: { coalesce: { ttl: 'headers' } } }, async (request, reply) => {
    const { kind } = /** @type {{ kind: string }} */ (request.params)
    reply.header('cache-control', kind === 'daily' ? 'max-age=600' : 'no-store')
    return { kind, rate: 1.1 }
  })
  return app
}

if (process.argv[1] === import.meta.filename) {
  const app = await build()
  const runs = () => app.coalesce.stats().actualExecutions

  await app.inject('/word')
  await sleep(1_100)
  const hit = await app.inject('/word')
  console.log(`a hit: ${hit.statusCode} ${hit.body}, age ${hit.headers.age}, ${hit.headers['cache-control']}`)
  const head = await app.inject({ method: 'HEAD', url: '/word' })
  console.log(`HEAD: ${head.statusCode}, ${head.headers['content-length']} bytes to come, ${head.body.length} came`)
  const same = await app.inject({ url: '/word', headers: { 'if-none-match': '"1"' } })
  console.log(`If-None-Match: ${same.statusCode}`)
  const part = await app.inject({ url: '/word', headers: { range: 'bytes=0-4' } })
  console.log(`Range: ${part.statusCode} ${part.headers['content-range']}: ${part.body}`)
  console.log(`5 requests, ${runs()} run`)

  for (const kind of ['daily', 'live']) {
    const before = runs()
    for (let request = 0; request < 5; request++) await app.inject(`/rates/${kind}`)
    console.log(`${kind} rates: 5 requests, ${runs() - before} ${runs() - before === 1 ? 'run' : 'runs'}`)
  }

  for (const { path, age, fresh } of app.coalesce.entries()) {
    console.log(`kept: ${path}, ${Math.round(age / 1000)} s old, fresh for ${Math.round(fresh / 1000)} s`)
  }
  await app.close()
}
