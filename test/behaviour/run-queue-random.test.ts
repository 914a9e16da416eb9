/**
 * "Whatever comes, and however it ends: never more runs than the queue lets, nothing is left, and everybody is answered."
 */
import { PassThrough, Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import t from 'tap'
import { runQueue } from '../../lib/index.js'
import { until } from '../fixtures/gate.js'
import { serve, type GetOptions } from '../fixtures/server.js'

const REQUESTS = 2000
const AT_A_TIME = 60
const MAX_RUNS = 3

/** Numbers that are the same each time. */
function numbers (seed: number): (below: number) => number {
  return below => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return Math.floor(seed / 2 ** 32 * below)
  }
}

const KINDS: ReadonlyArray<GetOptions> = [
  {}, {}, {}, {}, { headers: { authorization: 'Bearer a' } }, { method: 'POST' }, { method: 'HEAD' }, { headers: { range: 'bytes=0-0' } }
]
const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise(resolve => setImmediate(resolve))
}

t.test('2,000 requests and calls of all kinds', async t => {
  const random = numbers(17)
  const queue = runQueue({ maxRuns: MAX_RUNS, maxQueued: 40, queueTimeout: '2s', name: 'database' })
  let underWay = 0
  let most = 0
  let began = 0
  let refused = 0
  let hung = 0
  const measured = async <T>(work: () => Promise<T>): Promise<T> => {
    began++
    most = Math.max(most, ++underWay)
    try {
      await turns(1 + random(6))
      return await work()
    } finally {
      underWay--
    }
  }
  const stream = (source = new PassThrough()): PassThrough => {
    // Counted until its last byte.
    most = Math.max(most, ++underWay)
    let flows = true
    const over = (): void => {
      if (flows) underWay--
      flows = false
    }
    source.once('end', over).once('close', over)
    source.write('one ')
    turns(random(8)).then(() => source.end('two'), () => {})
    return source
  }
  const endings: ReadonlyArray<(request: FastifyRequest, reply: FastifyReply) => unknown> = [
    async () => await measured(async () => 'value'),
    async () => await measured(async () => 'value'),
    async () => await measured(async () => { throw new Error('thrown') }),
    async (_request, reply) => await reply.code(500).send(await measured(async () => 'failed')),
    async (_request, reply) => await reply.header('set-cookie', 'a=b').send(await measured(async () => 'unshareable')),
    async () => stream(),
    async (_request, reply) => reply.header('set-cookie', 'a=b').send(stream()),
    async () => Readable.toWeb(Readable.from(['one ', 'two'])),
    async () => new Response('response'),
    async () => {
      const source = new PassThrough()
      source.write('one ')
      turns(3).then(() => source.destroy(new Error('cut off')), () => {})
      return source
    },
    async (_request, reply) => {
      reply.hijack()
      await turns(2)
      reply.raw.end('hijacked')
    },
    (_request, reply) => {
      turns(2).then(() => { reply.raw.end('by hand') }, () => {})
      return reply
    },
    (_request, reply) => { turns(3).then(() => reply.send('later'), () => {}) }
  ]
  const server = await serve(t, app => {
    app.route({
      method: ['GET', 'POST', 'HEAD'],
      url: '/:key',
      config: {
        coalesce: {
          queue,
          flightTimeout: 1000,
          waitTimeout: 500,
          onWaitTimeout: 'run',
          onError: 'promote',
          unshareableTtl: 20,
          priority: request => ['high', 'normal', 'low'][Number((request.query as { p: string }).p)],
          query: { ignore: ['p'] }
        }
      },
      async handler (request, reply) {
        // One that never answers.
        if (random(200) === 0) return await new Promise(() => { hung++ })
        return await endings[random(endings.length)]?.(request, reply)
      }
    })
  }, { warnings: false })
  const call = server.app.coalesce.deduplicate(async (key: string) => await measured(async () => {
    if (random(4) === 0) throw new Error('thrown')
    return key
  }), { name: 'call', key: key => key, queue })
  let answered = 0
  let left = 0
  let impatient = 0
  let sent = 0
  const client = async (): Promise<void> => {
    while (sent < REQUESTS) {
      const key = `key-${random(12)}`
      if (sent++ % 8 === 0) {
        await call(key).then(() => {}, (error: { code?: string }) => { if (error.code?.includes('QUEUE') === true) refused++ })
        answered++
        continue
      }
      const answer = server.get(`/${key}?p=${random(3)}`, KINDS[random(KINDS.length)])
      if (random(6) === 0) {
        left++
        turns(random(12)).then(() => { answer.request.destroy() }, () => {})
      }
      // Who is cut off is answered as well. Only one whose own handler never answers waits for ever.
      const patience = setTimeout(() => {
        impatient++
        answer.request.destroy()
      }, 6_000)
      await answer.then(({ status }) => { if (status === 503) refused++ }, () => {})
      clearTimeout(patience)
      answered++
    }
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, client))
  t.equal(answered, sent)
  t.ok(impatient <= hung, `${impatient} waited for ever, and ${hung} handlers never answered`)
  await until(() => queue.running === 0 && queue.waiting === 0, `quiet; ${queue.running} run, ${queue.waiting} wait`)
  t.equal(most, MAX_RUNS)
  t.ok(began > 100 && left > 100 && refused > 0, `${began} runs began, ${left} left, ${refused} were refused`)
  const { levels } = queue.figures()
  t.comment({ most, began, left, refused, sent, hung, impatient, figures: JSON.stringify(levels.map(({ runs, shed }) => ({ runs, shed }))) })
})
