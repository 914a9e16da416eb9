// @ts-check
/**
 * Measures what it costs and brings that processes coalesce together: `npm run benchmark:processes`, with a `redis-server` of its own, in about
 * two minutes; `npm run benchmark:processes -- hops takeover` only these parts. Servers and Redis share one core, clients have another.
 */
import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { Redis } from 'ioredis'
import { Child, unpinned } from './process.js'

const TRIES = 20
const PROCESSES = 4
const CLIENTS = 500
const KILLS = 5
const HANGS = 3
const LEASE = 3_000
const REQUESTS = 1_000

/**
 * @param {readonly number[]} values
 * @param {number} at 0 for the least, 1 for the greatest
 */
function quantile (values, at) {
  return [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * at))] ?? NaN
}

/** @param {number} value */
const ms = value => `${value.toFixed(2)} ms`

/** @returns {Promise<number>} */
function freePort () {
  return new Promise(resolve => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
      server.close(() => { resolve(port) })
    })
  })
}

const port = await freePort()
const args = ['redis-server', '--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
const [program, ...rest] = unpinned === undefined ? ['taskset', '-c', '0', ...args] : args
const server = spawn(/** @type {string} */ (program), rest, { stdio: 'ignore' })
process.on('exit', () => { server.kill('SIGKILL') })
const redis = new Redis({ port, host: '127.0.0.1', retryStrategy: () => 50, maxRetriesPerRequest: null }).on('error', () => {})

/** How many commands Redis has done, but for those that ask it that. */
async function commands () {
  const text = await redis.info('commandstats')
  return [...text.matchAll(/cmdstat_([^:]+):calls=(\d+)/g)]
    .filter(([, name]) => name === 'evalsha' || name === 'eval').reduce((sum, [, , calls]) => sum + Number(calls), 0)
}

/** @typedef {{ child: Child, port: number, pid: number }} Server */

/**
 * @param {import('./processes-server.js').Variant} variant
 * @returns {Promise<Server>}
 */
async function serve (variant) {
  const child = new Child('processes-server.js', 0, variant, String(port))
  return { child, ...await child.answer() }
}

/**
 * @param {readonly Server[]} servers
 * @param {'runs' | 'timeouts'} [figure]
 * @returns {Promise<number>}
 */
async function sumOf (servers, figure = 'runs') {
  const figures = await Promise.all(servers.map(({ child }) => child.ask({})))
  return figures.reduce((sum, each) => sum + each[figure], 0)
}

/** One key, asked for by very many clients of four processes; against one process with as many. */
async function oneRun () {
  const one = await serve('alone')
  const servers = await Promise.all(Array.from({ length: PROCESSES }, async () => await serve('together')))
  const crowd = new Child('processes-crowd.js', 1)
  await crowd.answer()
  const all = { ports: servers.map(({ port }) => port), clients: CLIENTS }
  const single = { ports: [one.port], clients: PROCESSES * CLIENTS }
  for (let round = 0; round < 5; round++) for (const each of [all, single]) await crowd.ask({ ...each, path: `/slow/warm-up-${round}` })
  /** @type {number[]} */
  const runs = []
  /** @type {number[]} */
  const runsOfOne = []
  const last = { all: /** @type {number[]} */ ([]), single: /** @type {number[]} */ ([]) }
  for (let round = 0; round < TRIES; round++) {
    const [before, beforeOne] = [await sumOf(servers), await sumOf([one])]
    const measure = {
      async all () { last.all.push((await crowd.ask({ ...all, path: `/slow/${round}` })).last) },
      async single () { last.single.push((await crowd.ask({ ...single, path: `/slow/${round}` })).last) }
    }
    if (round % 2 === 0) await measure.all()
    await measure.single()
    if (round % 2 !== 0) await measure.all()
    runs.push(await sumOf(servers) - before)
    runsOfOne.push(await sumOf([one]) - beforeOne)
  }
  const late = await sumOf(servers, 'timeouts')
  for (const { child } of [one, ...servers]) child.stop()
  crowd.stop()
  const ratio = quantile(last.all.map((value, place) => value / /** @type {number} */ (last.single[place])), 0.5)
  console.log(`${PROCESSES} processes, ${CLIENTS} clients each, one key, a run of 100 ms:`)
  /** @param {number[]} counts */
  const once = counts => `one run in ${counts.filter(count => count === 1).length} of ${TRIES} tries (at most ${Math.max(...counts)})`
  console.log(`  ${once(runs)}; one process: ${once(runsOfOne)}; ${late} questions of all processes had no answer in time`)
  console.log(`  last client after ${ms(quantile(last.all, 0.5))}; one process with ${PROCESSES * CLIENTS} clients: ${ms(quantile(last.single, 0.5))}; ratio ${ratio.toFixed(3)}`)
}

async function hops () {
  const child = new Child('processes-hops.js', 1, String(port))
  /** @type {Record<'parked' | 'handedOff' | 'bare', number[]>} */
  const figures = await child.answer()
  for (const [name, values] of Object.entries(figures)) console.log(`  ${name}: p50 ${ms(quantile(values, 0.5))}, p99 ${ms(quantile(values, 0.99))}`)
  console.log(`  hand-off / bare PUBLISH, p50: ${(quantile(figures.handedOff, 0.5) / quantile(figures.bare, 0.5)).toFixed(2)}`)
}

/**
 * How long after the leader is no more another process runs.
 *
 * @param {NodeJS.Signals} signal
 * @param {number} tries
 */
async function takeovers (signal, tries) {
  const follower = await serve('together')
  const crowd = new Child('processes-crowd.js', 1)
  await crowd.answer()
  /** @type {number[]} */
  const times = []
  for (let round = 0; times.length < tries && round < 3 * tries; round++) {
    const leader = await serve('together')
    const path = `/tell/${signal}${round}`
    const ran = leader.child.answer()
    fetchQuietly(leader.port, path)
    await ran
    const before = (await follower.child.ask({})).joins?.follows ?? 0
    fetchQuietly(follower.port, path)
    /** @type {any} */
    let figures = {}
    while (figures.ran === undefined && !(figures.joins?.follows > before)) figures = await follower.child.ask({})
    if (figures.ran !== undefined) {
      // It was not told in time that another process runs: the machine is busy. Its own answer comes after that.
      await follower.child.answer()
      process.kill(leader.pid, 'SIGKILL')
      continue
    }
    const taken = follower.child.answer()
    const start = performance.timeOrigin + performance.now()
    process.kill(leader.pid, signal)
    times.push((await taken).at - start)
    if (signal !== 'SIGKILL') process.kill(leader.pid, 'SIGKILL')
  }
  follower.child.stop()
  crowd.stop()
  console.log(`  ${signal}: another process runs after ${times.sort((a, b) => a - b).map(time => time.toFixed(0)).join(', ')} ms`)
}

/**
 * Its answer is of no interest.
 *
 * @param {number} port
 * @param {string} path
 */
function fetchQuietly (port, path) {
  import('node:http').then(({ get }) => { get({ port, host: '127.0.0.1', path, headers: { host: 'app.test' }, agent: false }).on('error', () => {}) })
}

/** Commands of a request that leads, and that nobody waits for. */
async function commandsOf () {
  const { child, port } = await serve('together')
  const load = new Child('load/load.js', 1)
  await load.answer()
  /** @param {string} path */
  const requests = async path =>
    await load.ask({ origin: `http://127.0.0.1:${port}`, path, keys: 'unique', clients: 1, milliseconds: 2_000, requests: REQUESTS })
  await requests('/instant/w')
  let before = await commands()
  let outcome = await requests('/instant/a')
  // What is sent after a run is not waited for.
  await new Promise(resolve => setTimeout(resolve, 200))
  const each = (await commands() - before) / outcome.requests
  console.log(`commands of a request that leads, and that nobody waits for: ${each.toFixed(3)} (one is waited for, before the run)`)
  await redis.config('SET', 'maxmemory', '1')
  await requests('/instant/b')
  before = await commands()
  outcome = await requests('/instant/c')
  const probes = await commands() - before
  console.log(`  with the circuit open: ${probes} for ${outcome.requests} requests in ${outcome.milliseconds.toFixed(0)} ms (a probe each 300 ms)`)
  await redis.config('SET', 'maxmemory', '0')
  child.stop()
  load.stop()
}

/** Throughput of unique keys, with a coordinator and without, in turns. */
async function cost () {
  const load = new Child('load/load.js', 1)
  await load.answer()
  const [alone, together] = [await serve('alone'), await serve('together')]
  /** @type {(server: Server, milliseconds: number) => Promise<{ rate: number, cpu: number }>} */
  const sample = async ({ child, port }, milliseconds) => {
    const { cpu } = await child.ask({})
    const outcome = await load.ask({ origin: `http://127.0.0.1:${port}`, path: '/instant/', keys: 'unique', clients: 64, milliseconds })
    return { rate: outcome.requests / outcome.milliseconds * 1000, cpu: ((await child.ask({})).cpu - cpu) / outcome.requests }
  }
  for (const each of [alone, together]) await sample(each, 3_000)
  /** @type {Array<Record<'alone' | 'together', { rate: number, cpu: number }>>} */
  const pairs = []
  for (let round = 0; round < 12; round++) pairs.push({ alone: await sample(alone, 300), together: await sample(together, 300) })
  /** @param {(pair: typeof pairs[0]) => number} of */
  const median = of => quantile(pairs.map(of), 0.5)
  console.log('unique keys, a handler that does nothing, 64 clients:')
  console.log(`  without a coordinator ${median(pair => pair.alone.rate).toFixed(0)}/s, ${median(pair => pair.alone.cpu).toFixed(1)} us of CPU; with one ${median(pair => pair.together.rate).toFixed(0)}/s, ${median(pair => pair.together.cpu).toFixed(1)} us; ratio of throughput ${median(pair => pair.together.rate / pair.alone.rate).toFixed(3)}, of CPU ${median(pair => pair.together.cpu / pair.alone.cpu).toFixed(2)}`)
  for (const { child } of [alone, together]) child.stop()
  load.stop()
}

await redis.ping()
console.log(`${new Date().toISOString()}  node ${process.version}  ${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, Redis ${/redis_version:(\S+)/.exec(await redis.info('server'))?.[1]}`)
console.log(unpinned === undefined ? 'servers and Redis on core 0, clients on core 1' : `processes are not pinned: ${unpinned}`)
const [busy = 0] = loadavg()
if (busy > 1) console.log(`the machine is busy (load average ${busy.toFixed(1)}): do not trust what follows`)
/** @type {Record<string, () => Promise<void>>} */
const parts = {
  run: oneRun,
  async hops () {
    console.log('a result of 1 KiB, from one process to another:')
    await hops()
  },
  async takeover () {
    console.log(`the leader is gone, with a lease of ${LEASE} ms:`)
    await takeovers('SIGKILL', KILLS)
    await takeovers('SIGSTOP', HANGS)
  },
  commands: commandsOf,
  cost
}
const wanted = process.argv.slice(2)
for (const [name, part] of Object.entries(parts)) if (wanted.length === 0 || wanted.includes(name)) await part()
redis.disconnect()
process.exit()
