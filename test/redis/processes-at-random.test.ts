/**
 * "However processes die, and connections are cut, each client of a process that lives gets a response to its own question, and nothing is left
 * afterwards." FAULT_FLIGHTS and FAULT_SEED say how many flights, and which faults.
 */
import t from 'tap'
import { PATIENCE } from '../fixtures/gate.js'
import { KeptConnection } from '../fixtures/kept-connection.js'
import { eventually, startApp, type App } from '../fixtures/redis/apps.js'
import { tcpProxy, type TcpProxy } from '../fixtures/redis/proxy.js'
import { redisServer, withServer } from '../fixtures/redis/server.js'

const FLIGHTS = Number(process.env.FAULT_FLIGHTS ?? 1_000)
const SEED = Number(process.env.FAULT_SEED ?? Date.now() % 2 ** 31)
/** At a time. */
const CONCURRENCY = 40
/** So many flights from one fault to the next. */
const CALM = 25
/** Each so many faults a process is killed. */
const KILL = 7
const NAMES = ['a', 'b', 'c'] as const
const USERS = ['ada', 'bob']

t.setTimeout(120_000 + FLIGHTS * 20)

/** mulberry32: small, and the same sequence for a seed. */
function randomFrom (seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

interface Place {
  readonly way: TcpProxy
  app: App
  idle: KeptConnection[]
}

t.test(`${FLIGHTS} flights (seed ${SEED})`, withServer, async t => {
  const random = randomFrom(SEED)
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T
  const server = await redisServer(t)
  const options = { quiet: true, coordinator: { lease: 1_000, handoffTtl: 3_000 } }
  const start = async (name: string, way: TcpProxy): Promise<App> => await startApp(t, name, way.url, options).ready()
  const places: Place[] = await Promise.all(NAMES.map(async name => {
    const way = await tcpProxy(t, server)
    return { way, app: await start(name, way), idle: [] }
  }))
  const wrong: string[] = []
  const counts = { flights: 0, requests: 0, answers: 0, runs: 0, killed: 0, died: 0, faults: 0 }

  const ask = async (place: Place, id: string, user: string): Promise<void> => {
    const { app, idle } = place
    const connection = idle.pop() ?? new KeptConnection(app.port)
    counts.requests++
    try {
      const answer = await connection.request('GET', `/random/${id}`, { host: 'app.test', authorization: user }, PATIENCE)
      const body = answer.slice(answer.indexOf('\r\n\r\n') + 4)
      if (!answer.startsWith('HTTP/1.1 200 ') || !body.startsWith(`${id}:${user}:`) || body.indexOf(';') !== body.lastIndexOf(';')) {
        wrong.push(`${app.name} answers ${id} of ${user}: ${answer.slice(0, 12)} ${body.slice(0, 60)}`)
      }
      counts.answers++
      if (place.app === app) idle.push(connection)
      else connection.close()
    } catch (error) {
      if (app.isDoomed) counts.died++
      else wrong.push(`${app.name} does not answer ${id} of ${user}: ${String(error)}`)
    }
  }

  const living = (): Place[] => places.filter(({ app }) => !app.isDoomed)

  const flight = async (number: number): Promise<void> => {
    const id = `${SEED}-${number}`
    const user = pick(USERS)
    const asked: Array<Promise<void>> = []
    for (const place of living()) for (let clients = Math.floor(random() * 3); clients > 0; clients--) asked.push(ask(place, id, user))
    // Another user asks the same.
    if (random() < 0.2) asked.push(ask(pick(living()), id, user === 'ada' ? 'bob' : 'ada'))
    await Promise.all(asked)
  }

  let reborn: Promise<void> | undefined
  /** A process is killed, and another one takes its place. */
  const kill = (): void => {
    const place = pick(places)
    reborn ??= (async () => {
      const { app, way } = place
      counts.killed++
      await app.kill()
      const next = await start(app.name, way)
      for (const connection of place.idle) connection.close()
      place.app = next
      place.idle = []
      reborn = undefined
    })()
  }
  const faults: ReadonlyArray<() => unknown> = [
    async () => await server.command('CLIENT', 'KILL', 'TYPE', 'pubsub'),
    async () => await server.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'),
    async () => await server.command('SCRIPT', 'FLUSH'),
    () => { pick(places).way.reset() },
    () => { pick(places).way.loseNextReply() },
    () => { pick(places).way.halfClose() },
    async () => {
      const { way } = pick(places)
      way.blackHole()
      await new Promise(resolve => setTimeout(resolve, random() * 300))
      way.refuse()
      way.pass()
    }
  ]

  const begin = performance.now()
  const fly = async (): Promise<void> => {
    while (counts.flights < FLIGHTS && wrong.length < 20) {
      const number = ++counts.flights
      if (number % CALM === 0) {
        if (++counts.faults % KILL === 0) kill()
        // One that cuts connections may cut that of another one.
        else await Promise.resolve(pick(faults)()).catch(() => {})
      }
      await flight(number)
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, fly))
  await reborn
  const seconds = (performance.now() - begin) / 1_000

  const apps = places.map(({ app }) => app)
  for (const app of apps) counts.runs += (await app.state()).runs
  t.comment(`${JSON.stringify(counts)}, ${seconds.toFixed(0)} s; runs are those of the processes that live`)
  t.strictSame(wrong, [], 'each client is answered, with what is its own')

  const idle = JSON.stringify({ flights: 0, waiters: 0, timers: 2 })
  const state = async (app: App): Promise<string> => {
    const { flights, waiters, timers } = await app.state()
    return JSON.stringify({ flights, waiters, timers })
  }
  for (const app of apps) await eventually(async () => await state(app) === idle, `the end of everything in ${app.name}`)
  const keys = async (): Promise<string[]> => (await server.command('KEYS', '*') as string[]).filter(key => !key.endsWith(':purges'))
  await eventually(async () => (await keys()).length === 0, 'the end of all keys')
  const channels = async (): Promise<number> => (await server.command('PUBSUB', 'CHANNELS') as string[]).length
  await eventually(async () => await channels() === 4, 'an inbox for each process, and what is for all, and nothing else,')
  for (const { idle } of places) for (const connection of idle) connection.close()
  for (const app of apps) await app.do('close')
  for (const app of apps) t.equal(await state(app), JSON.stringify({ flights: 0, waiters: 0, timers: 0 }))
  t.strictSame(await keys(), [])
  await eventually(async () => await channels() === 0, 'the end of all channels')
})
