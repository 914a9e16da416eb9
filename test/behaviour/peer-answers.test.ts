/**
 * "What another process answers with from its cache is a cached response here as well."
 */
import t from 'tap'
import { MessageCodec } from '../../lib/engine/coordinators/message-codec.js'
import { recordingFormat } from '../../lib/fastify/cache/recording-codec.js'
import { NO_VARIANT } from '../../lib/variant.js'
import type { Coordinator } from '../../types/index.js'
import { serve } from '../fixtures/server.js'

/** Another process leads whatever is asked for first, and comes to this. */
function leading (message: Uint8Array): Coordinator {
  let asked = 0
  return {
    open: () => ({
      ready: async () => {},
      join () {
        if (asked++ > 0) return undefined
        return Promise.resolve({ type: 'follows', run: { follow (listener) { setImmediate(() => { listener.landed(message) }) }, leave () {} } })
      },
      purge () {},
      close: async () => {}
    })
  }
}

const codec = new MessageCodec(recordingFormat(Date.now))
const KEPT = codec.encode({
  type: 'shared',
  names: [],
  leaderId: 'elsewhere',
  recording: {
    status: 200,
    headers: { set: [['content-type', 'text/plain']], removed: [] },
    body: 'stale, of another process',
    bytes: 25,
    leaderId: 'elsewhere',
    variant: NO_VARIANT,
    kept: { storedAt: Date.now() - 60_000, freshFor: 1000, age: 0, date: new Date().toUTCString(), labels: [] }
  }
}) as Uint8Array

for (const [directive, body] of [[undefined, 'stale, of another process'], ['max-age=0', 'fresh'], ['no-cache', 'fresh']] as const) {
  t.test(`who asks ${directive === undefined ? 'for anything' : `with ${directive}`} is given what is ${body}`, async t => {
    const server = await serve(t, app => {
      app.get('/', { config: { coalesce: { respectRequestCacheControl: true, ttl: '1m' } } }, async () => 'fresh')
    }, { coordinator: leading(KEPT) })
    const answer = await server.get('/', { headers: directive === undefined ? {} : { 'cache-control': directive } })
    t.equal(answer.body, body)
  })
}
