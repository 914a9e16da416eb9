/**
 * What is held of observed responses until their clients have read them is bounded, and let go with them.
 */
import { connect } from 'node:net'
import t from 'tap'
import type { CoalesceOptions } from '../../types/index.js'
import { gate, until } from '../fixtures/gate.js'
import { observedRoute, waiting } from '../fixtures/observed.js'
import { serve } from '../fixtures/server.js'

/** Room for four of the largest responses. */
const OPTIONS: CoalesceOptions = { observe: { budget: 1, maxBytes: 8_000_000 } }

for (const [what, body] of [['bytes', Buffer.alloc(900_000, 'x')], ['texts', 'x'.repeat(900_000)]] as const) {
  t.test(`of a client that reads nothing only so many ${what} are held, and none once it has left`, async t => {
    let [sent, most] = [0, 0]
    const server = await serve(t, app => {
      app.addHook('onSend', async () => {
        sent++
        most = Math.max(most, waiting(server.app))
      })
      app.get('/', { config: { coalesce: { observe: true } } }, async () => body)
    }, OPTIONS)
    const { comparison } = observedRoute(server.app, '/')
    const socket = connect(server.port, '127.0.0.1').pause()
    socket.write(Array.from({ length: 30 }, (_, n) => `GET /?${n} HTTP/1.1\r\nHost: h\r\n\r\n`).join(''))
    await server.arrived(30)
    await until(() => sent === 30)
    t.equal(most, 3_600_000)
    socket.destroy()
    await until(() => comparison.skipped.bytes === 26)
    t.equal(waiting(server.app), 0)
  })
}

t.test('what is too large to be compared is not held', async t => {
  const server = await serve(t, app => {
    app.addHook('onSend', async () => { most = Math.max(most, waiting(server.app)) })
    app.get('/', { config: { coalesce: { observe: true } } }, async () => Buffer.alloc(1_000_001))
  }, OPTIONS)
  let most = 0
  await server.get('/')
  await until(() => observedRoute(server.app, '/').comparison.skipped['too-large'] === 1)
  t.equal(most, 0)
})

t.test('nothing is held of what is answered to a client that has left', async t => {
  const [arrived, opening, sent] = [gate(), gate(), gate()]
  const server = await serve(t, app => {
    app.addHook('onSend', async () => { sent.open() })
    app.get('/', { config: { coalesce: { observe: true } } }, async () => {
      arrived.open()
      await opening.promise
      return 'late'
    })
  }, OPTIONS)
  const leaving = server.get('/')
  await arrived.promise
  leaving.request.destroy()
  await t.rejects(leaving)
  await until(() => observedRoute(server.app, '/').comparison.skipped.unfinished === 1)
  opening.open()
  await sent.promise
  t.equal(waiting(server.app), 0)
})
