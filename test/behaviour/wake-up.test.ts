/**
 * How those who wait come to hear that their leader has ended: at once, from the leader itself, with no timer and no turn between.
 */
import type { Socket } from 'node:net'
import t from 'tap'
import { ask, connections } from '../fixtures/clients.js'
import { distinct, held } from '../fixtures/crowd.js'
import { gate, TestClock } from '../fixtures/gate.js'
import { serve } from '../fixtures/server.js'

const WAITERS = 1000

t.test('the first bytes for a thousand who wait are written in the turn of the event loop in which their leader ends', async t => {
  let turn = 0
  let timer: NodeJS.Immediate
  const count = (): void => {
    turn++
    timer = setImmediate(count)
  }
  count()
  t.teardown(() => { clearImmediate(timer) })
  const writtenIn: number[] = []
  let endedIn = -1
  const handler = held(() => {
    endedIn = turn
    return { hello: 'world' }
  })
  const server = await serve(t, app => {
    app.addHook('onRequest', (request, _reply, done) => {
      const { socket } = request.raw
      const write = socket.write as (...args: unknown[]) => boolean
      let first = true
      socket.write = function (this: Socket, ...args: unknown[]) {
        if (first) writtenIn.push(turn)
        first = false
        return write.apply(this, args)
      }
      done()
    })
    app.get('/', { config: { coalesce: true } }, handler)
  }, { clock: new TestClock() })
  const sockets = await connections(server.port, WAITERS + 1)
  const answers = sockets.map(socket => ask(socket, '/'))
  await server.arrived(WAITERS + 1)
  handler.gate.open()
  t.equal(distinct((await Promise.all(answers)).map(answer => answer.slice(-17))).length, 1)
  t.equal(handler.runs, 1)
  t.same([writtenIn.length, [...new Set(writtenIn)]], [WAITERS + 1, [endedIn]])
})

t.test('to answer a thousand who wait takes less than twice what a thousand runs of a handler that does nothing take', async t => {
  let written: number[] = []
  let ended = 0
  const openings = { '/coalesced': gate(), '/bare': gate() }
  const answerOf = (path: keyof typeof openings) => async () => {
    await openings[path].promise
    ended ||= performance.now()
    return { hello: 'world' }
  }
  const { app } = await serve(t, app => {
    app.addHook('onRequest', (_request, reply, done) => {
      const { raw } = reply
      const writeHead = raw.writeHead as (...args: unknown[]) => typeof raw
      raw.writeHead = (...args: unknown[]) => {
        written.push(performance.now())
        return writeHead.apply(raw, args)
      }
      done()
    })
    app.get('/coalesced', { config: { coalesce: true } }, answerOf('/coalesced'))
    app.get('/bare', answerOf('/bare'))
  }, { metrics: false })
  /** From the end of the first run until the last one's head is written, in milliseconds. */
  const last = async (path: keyof typeof openings): Promise<number> => {
    written = []
    ended = 0
    openings[path] = gate()
    const answers = Array.from({ length: WAITERS }, () => new Promise((resolve, reject) => {
      app.inject(path).then(resolve, reject)
    }))
    for (let turns = 0; turns < 20; turns++) await new Promise(resolve => setImmediate(resolve))
    openings[path].open()
    await Promise.all(answers)
    if (written.length !== WAITERS) throw new Error(`${written.length} were answered`)
    return Math.max(...written) - ended
  }
  const best = { coalesced: Infinity, bare: Infinity }
  // Between turns other requests go on, which bare runs need not wait for. What else this machine does can slow down any round, but not all.
  for (let round = 0; round < 4 || (round < 40 && best.coalesced >= 2 * best.bare); round++) {
    best.coalesced = Math.min(best.coalesced, await last('/coalesced'))
    best.bare = Math.min(best.bare, await last('/bare'))
  }
  t.comment(`the last of ${WAITERS} after ${best.coalesced.toFixed(1)} ms, without coalescing ${best.bare.toFixed(1)} ms`)
  t.ok(best.coalesced < 2 * best.bare, `${best.coalesced.toFixed(1)} and ${best.bare.toFixed(1)} ms`)
})
