import { Agent, get } from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import t from 'tap'
import coalesce from '../../lib/index.js'
import { TestClock, until } from '../fixtures/gate.js'

const PAGE = { dashboard: { public: true } } as const

t.test('an app with ten open pages closes within 100 ms', async t => {
  const app = Fastify()
  await app.register(coalesce, PAGE)
  app.get('/', { config: { coalesce: true } }, async () => 'body')
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  let answers = 0
  let open = true
  const agents = Array.from({ length: 10 }, () => new Agent({ keepAlive: true, maxSockets: 1 }))
  for (const agent of agents) {
    const poll = (): void => {
      get({ host: '127.0.0.1', port, path: '/coalesce/state', agent }, response => {
        response.resume().on('end', () => {
          answers++
          if (open) setImmediate(poll)
        })
      }).on('error', () => {})
    }
    poll()
  }
  await until(() => answers >= 100, '100 polls')
  const began = performance.now()
  await app.close()
  const took = performance.now() - began
  open = false
  for (const agent of agents) agent.destroy()
  t.ok(took < 100, `${took} ms`)
})

t.test('the page has one timer from when the app is ready until it is closed, and none without the option', async t => {
  for (const [options, timers] of [[PAGE, 1], [{}, 0]] as const) {
    const clock = new TestClock()
    const app = Fastify()
    await app.register(coalesce, { ...options, clock })
    t.equal(clock.timers, 0)
    await app.ready()
    t.equal(clock.timers, timers)
    clock.advance(60_000)
    t.equal(clock.timers, timers)
    await app.close()
    t.equal(clock.timers, 0)
  }
})
