import { once } from 'node:events'
import { Agent, request, type Dispatcher } from 'undici'
import t from 'tap'
import { gate } from '../fixtures/gate.js'
import { outcomes } from '../fixtures/endings.js'
import { serve } from '../fixtures/server.js'

t.test('an event stream that is written past reply lets its followers go with its headers', async t => {
  const begin = gate()
  let runs = 0
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async (_request, reply) => {
      const run = ++runs
      await begin.promise
      reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
      reply.raw.write(`data: ${run}\n\n`)
      return await new Promise<never>(() => {})
    })
  })
  const dispatcher = new Agent()
  t.teardown(() => dispatcher.destroy())
  const open = async (): Promise<Dispatcher.ResponseData> => await request(`http://127.0.0.1:${server.port}/`, { dispatcher })
  const answers = [open(), open(), open()]
  await server.arrived(3)
  t.equal(runs, 1)
  begin.open()
  const events = await Promise.all(answers.map(async answer => String((await once((await answer).body, 'data'))[0])))
  t.strictSame(events.sort(), ['data: 1\n\n', 'data: 2\n\n', 'data: 3\n\n'])
  t.strictSame(await outcomes(server.app), { 'leader unrecorded': 1, 'alone unrecorded': 2 })
})

t.test('who comes when such a stream has begun does not wait for its end', async t => {
  const written = gate()
  let runs = 0
  const server = await serve(t, app => {
    app.get('/', { config: { coalesce: true } }, async (_request, reply) => {
      if (++runs > 1) return 'a run of its own'
      reply.raw.writeHead(200)
      reply.raw.write('an endless beginning')
      written.open()
      return await new Promise<never>(() => {})
    })
  })
  const dispatcher = new Agent()
  t.teardown(() => dispatcher.destroy())
  const first = request(`http://127.0.0.1:${server.port}/`, { dispatcher })
  await written.promise
  t.equal((await server.get('/')).body, 'a run of its own')
  t.equal((await first).statusCode, 200)
  t.strictSame(await outcomes(server.app), { 'leader unrecorded': 1, 'alone unrecorded': 1 })
})
