/**
 * "Threads are processes in this sense: they have one run as well."
 */
import { once } from 'node:events'
import { get } from 'node:http'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { until } from '../fixtures/gate.js'
import { redisServer, withServer } from '../fixtures/redis/server.js'

async function ask (port: number): Promise<string> {
  const [response] = await once(get({ port, host: '127.0.0.1', headers: { host: 'app.test' } }), 'response')
  return (await response.toArray()).join('')
}

t.test('two threads that meet over a Unix socket run a handler once', withServer, async t => {
  const { path } = await redisServer(t)
  const told: unknown[] = []
  const threads = await Promise.all([1, 2].map(async () => {
    const worker = new Worker(new URL('../fixtures/redis/thread.js', import.meta.url), { workerData: { path } })
    t.teardown(async () => await worker.terminate())
    // What loads tests in threads sends messages of its own.
    worker.on('message', message => { if (typeof message === 'string') told.push(message) })
    const port = await new Promise<number>(resolve => { worker.on('message', message => { if (typeof message === 'number') resolve(message) }) })
    return { worker, port }
  }))
  const first = ask(threads[0]?.port as number)
  await until(() => told.includes('runs'), 'the run')
  const second = ask(threads[1]?.port as number)
  await until(() => told.length === 2, 'the second request')
  for (const { worker } of threads) worker.postMessage('end')
  t.strictSame(await Promise.all([first, second]), ['one for all', 'one for all'])
  t.strictSame(told, ['runs', 'waits'])
})
