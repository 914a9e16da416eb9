/**
 * The kinds of route that comparing is tried with, over real sockets and with the whole plugin: what is found, is right.
 *
 * With `OBSERVE_SEEDS=25` all 300 trials (150,000 requests); fewer without it, because that takes more than a minute.
 */
import { randomUUID } from 'node:crypto'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import coalesce from '../../lib/index.js'
import { TestClock } from '../fixtures/gate.js'
import { KeptConnection } from '../fixtures/kept-connection.js'
import { observedRoute } from '../fixtures/observed.js'
import { Dice, KINDS, mistakes } from '../observe/routes.js'

const SEEDS = Number(process.env.OBSERVE_SEEDS ?? 1)
const REQUESTS = 500
/** Trials that may be judged wrongly, of all that there are. */
const MOST_WRONG = 2

t.setTimeout(600_000)

class WallClock extends TestClock {
  readonly wall = (): number => 1_760_000_000_000 + this.now()
}

interface Served {
  readonly app: FastifyInstance
  readonly contexts: readonly FastifyInstance[]
  readonly port: number
}

/** A route of each kind, in a registration of its own. What a handler knows of its client is nothing that the plugin can see. */
async function served (clock: WallClock, bodies: ReadonlyArray<(request: FastifyRequest) => unknown>): Promise<Served> {
  const app = Fastify({ trustProxy: true, genReqId: () => randomUUID() })
  const contexts: FastifyInstance[] = []
  for (const [place, kind] of KINDS.entries()) {
    await app.register(async context => {
      await context.register(coalesce, { clock, observe: { budget: 1 }, cookies: { ignore: ['*'] }, learnVary: { ignore: ['request.id'] } })
      context.get(`/${place}`, { config: { coalesce: true } }, (request, reply) => {
        const body = (bodies[place] as (request: FastifyRequest) => unknown)(request)
        reply.type(kind.type ?? 'application/json').send(typeof body === 'string' ? body : JSON.stringify(body))
      })
      contexts.push(context)
    })
  }
  await app.listen({ port: 0, host: '127.0.0.1' })
  return { app, contexts, port: (app.server.address() as AddressInfo).port }
}

/** One seed: so many requests to each route. Returns what is wrong with what was found. */
async function tried (seed: number): Promise<Array<ReturnType<typeof mistakes> & { readonly name: string }>> {
  const clock = new WallClock()
  const trials = KINDS.map((kind, place) => {
    const dice = new Dice(seed * KINDS.length + place)
    return { kind, dice, countries: Array.from({ length: 200 }, () => dice.pick('DE', 'FR', 'US')), body: (_request: FastifyRequest): unknown => undefined }
  })
  const { app, contexts, port } = await served(clock, trials.map(trial => request => trial.body(request)))
  const connections = KINDS.map(() => new KeptConnection(port))
  for (let count = 0; count < REQUESTS; count++) {
    clock.advance(count % 20)
    await Promise.all(trials.map(async (trial, place) => {
      const { kind, dice, countries } = trial
      const number = kind.isOnce === true ? count : dice.few(200)
      const client = { id: number, session: `session-of-client-${number}`, ab: number % 2 === 0 ? 'a' : 'b', country: countries[number % 200] as string }
      const key = new Map(Object.entries(kind.key(dice)).filter((part): part is [string, string] => part[1] !== undefined))
      trial.body = ({ id }) => kind.body({ dice, client, key, at: clock.now(), id })
      const query = [...key].map(([name, value]) => `${name.slice(1)}=${value}`).join('&')
      await (connections[place] as KeptConnection).request('GET', `/${place}${query === '' ? '' : `?${query}`}`, {
        cookie: `session=${client.session}; ab=${client.ab}`,
        'x-forwarded-for': `10.0.${number >> 8}.${number & 255}`,
        'user-agent': ['chrome', 'firefox', 'safari'][number % 3] as string,
        'accept-language': (['de', 'en'][number % 2] as string) + number % 5
      })
    }))
  }
  const found = trials.map(({ kind }, place) => ({ name: `${kind.name}, seed ${seed}`, ...mistakes(kind, observedRoute(contexts[place] as FastifyInstance, `/${place}`).comparison.findings()) }))
  for (const connection of connections) connection.close()
  await app.close()
  return found
}

t.test('of twelve kinds of route nearly each is judged right, no part that matters is called inert, and no leak harmless', async t => {
  const all = []
  for (let seed = 1; seed <= SEEDS; seed++) all.push(...await tried(seed))
  const wrong = all.flatMap(({ name, wrong }) => wrong.map(mistake => `${name}: ${mistake}`))
  t.comment(`${all.length} trials, wrong:`, wrong)
  t.equal(all.length, SEEDS * KINDS.length)
  t.ok(all.filter(({ wrong }) => wrong.length > 0).length <= MOST_WRONG, wrong.join('; '))
  t.strictSame(all.flatMap(({ name, falseInert }) => falseInert.map(each => `${name}: ${each}`)), [])
  t.strictSame(all.filter(({ isHarmlessLeak }) => isHarmlessLeak).map(({ name }) => name), [])
})
