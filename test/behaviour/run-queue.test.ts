/**
 * "Of the runs of a route no more are under way than its queue lets, and the most urgent ones come first."
 */
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import fastifyCoalesce, { runQueue } from '../../lib/index.js'

function gated () {
  const runs: string[] = []
  const gates = new Map<string, (value: unknown) => void>()
  return {
    runs,
    open: (word: string, value: unknown = word) => { gates.get(word)?.(value) },
    handler: async (request: { params: unknown, query: unknown }) => {
      const { word } = request.params as { word: string }
      runs.push(word)
      return { word: await new Promise(resolve => gates.set(word, resolve)) }
    }
  }
}
const turn = async (): Promise<void> => { await new Promise(resolve => setTimeout(resolve, 5)) }

t.test('two runs at a time', async t => {
  const app: FastifyInstance = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(fastifyCoalesce)
  const { runs, open, handler } = gated()
  const queue = runQueue({ maxRuns: 2, maxQueued: 2 })
  app.get('/word/:word', { config: { coalesce: { queue, priority: request => (request.query as { p?: string }).p } } }, handler)
  const ask = async (word: string, p = 'normal') => await app.inject(`/word/${word}?p=${p}`)
  const all = ['a', 'b', 'c', 'd'].map(async word => await ask(word))
  await turn()
  t.strictSame(runs, ['a', 'b'])
  t.strictSame([queue.running, queue.waiting], [2, 2])
  const shed = await ask('e')
  t.equal(shed.statusCode, 503)
  t.match(shed.json(), { code: 'FST_COALESCE_QUEUE_FULL' })
  t.equal(shed.headers['retry-after'], '1')
  const high = ask('f', 'high')
  await turn()
  open('a')
  await turn()
  t.strictSame(runs, ['a', 'b', 'f'])
  const evicted = await all[3]
  t.equal(evicted?.statusCode, 503)
  for (const word of ['b', 'f']) open(word)
  await turn()
  open('c')
  t.equal((await high).statusCode, 200)
  t.equal((await all[2])?.statusCode, 200)
  await Promise.all(all)
  t.strictSame([queue.running, queue.waiting], [0, 0])
  t.match(app.coalesce.stats().routes[0]?.reasons, [{}, {}, {}])
})
