// @ts-check
/** Responses from the cache. */
import { contestOf } from '../contest.js'
import { atLeast } from '../rows.js'

const asked = { path: '/instant/', keys: /** @type {const} */ ('hot'), clients: 64 }

export const hit = contestOf({
  name: 'hit',
  what: 'a hit: 700 bytes of JSON, one hot key, 64 clients',
  contestants: {
    cached: { options: { plugin: 'kept' } },
    'raw node:http': { module: 'servers/raw.js' },
    'bare Fastify': { options: { plugin: 'none' } },
    Varnish: { module: 'peers/proxy.js', options: { proxy: 'varnishd' }, needs: 'varnishd' },
    nginx: { module: 'peers/proxy.js', options: { proxy: 'nginx' }, needs: 'nginx' }
  },
  asked,
  rounds: 12,
  rows: [
    { name: 'hit, against raw node:http', ours: 'cached', base: 'raw node:http', target: atLeast(0.92) },
    { name: 'hit, against bare Fastify', ours: 'cached', base: 'bare Fastify', target: atLeast(1.2) },
    { name: 'hit, against Varnish', ours: 'cached', base: 'Varnish', target: atLeast(1) },
    { name: 'hit, against nginx', ours: 'cached', base: 'nginx' }
  ]
})

export const hooks = contestOf({
  name: 'hooks',
  what: 'a hit in an app with @fastify/helmet, @fastify/cors and @fastify/etag',
  contestants: {
    cached: { options: { plugin: 'kept', hooks: true } },
    'the same app, uncached': { options: { plugin: 'none', hooks: true } }
  },
  asked,
  rows: [{ name: 'hit with helmet, cors and etag, against the same app, uncached', ours: 'cached', base: 'the same app, uncached', target: atLeast(1.15) }]
})
