// @ts-check
/**
 * In front of another server: what many clients ask for at once, the upstream is asked once. Its headers say who may share.
 *
 * Run it: node examples/proxy.js
 */
import { setTimeout as sleep } from 'node:timers/promises'
import httpProxy from '@fastify/http-proxy'
import Fastify from 'fastify'
import coalesce from 'fastify-coalesce'

/** @param {string} upstream */
export async function build (upstream) {
  const app = Fastify()
  await app.register(coalesce)
  await app.register(httpProxy, { upstream, config: { coalesce: true } })
  return app
}

/** Counts how often each path is asked for. */
function buildUpstream () {
  const app = Fastify()
  /** @type {Map<string, number>} */
  const asked = new Map()
  app.addHook('onRequest', async ({ url }) => {
    asked.set(url, (asked.get(url) ?? 0) + 1)
    await sleep(500) // a slow server
  })
  app.get('/word', async () => 'serendipity')
  app.get('/greeting', async (request, reply) => {
    reply.header('vary', 'accept-language')
    return request.headers['accept-language'] === 'de' ? 'Guten Tag' : 'Good day'
  })
  app.get('/basket', async (_request, reply) => {
    reply.header('cache-control', 'private')
    return 'your basket'
  })
  return { app, asked }
}

if (process.argv[1] === import.meta.filename) {
  const upstream = buildUpstream()
  const app = await build(await upstream.app.listen({ port: 0, host: '127.0.0.1' }))
  for (const url of ['/word', '/greeting', '/basket']) {
    const replies = await Promise.all(Array.from({ length: 20 }, (_, index) =>
      app.inject({ url, headers: { 'accept-language': index % 2 === 0 ? 'en' : 'de' } })))
    const bodies = [...new Set(replies.map(reply => reply.body))]
    console.log(`${url}: 20 clients, the upstream was asked ${upstream.asked.get(url)} times: ${bodies.join(', ')}`)
  }
  await app.close()
  await upstream.app.close()
}
