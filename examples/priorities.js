// @ts-check
/**
 * Background jobs beside users, on a database with four connections. With a run queue users come first, jobs are not forgotten, and a job
 * that a user begins to wait for is not a background job any more.
 *
 * Run it: node examples/priorities.js
 */
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import coalesce, { runQueue } from 'fastify-coalesce'

const CONNECTIONS = 4

/** A database of so many connections. Who finds none free waits, and the first to come is the first to be served. */
export class Database {
  /** What was asked, in the order in which it got a connection. */
  asked = /** @type {string[]} */ ([])
  #free = CONNECTIONS
  /** @type {Array<() => void>} */
  #waiting = []

  /** @param {string} what */
  async query (what) {
    if (this.#free > 0) this.#free--
    else await new Promise(resolve => { this.#waiting.push(() => { resolve(undefined) }) })
    this.asked.push(what)
    await sleep(10)
    const next = this.#waiting.shift()
    if (next === undefined) this.#free++
    else next()
    return what
  }
}

/** @param {import('fastify').FastifyRequest} request */
const nameOf = request => /** @type {{ name: string }} */ (request.params).name

export async function build (database = new Database()) {
  const app = Fastify()
  await app.register(coalesce)

  // As many runs as there are connections: all others wait here, where it is known who is urgent, and not at the database.
  const queue = runQueue({ name: 'database', maxRuns: CONNECTIONS })

  /** A report costs a query, whoever wants it: the job that makes all of them at night, or a user who looks at one. */
  const report = app.coalesce.deduplicate(
    async (/** @type {string} */ name, /** @type {'high' | 'low'} */ _level) => await database.query(name),
    { name: 'report', key: name => name, queue, priority: (_name, level) => level }
  )
  app.get('/page/:name', { config: { coalesce: { queue, priority: 'high' } } }, async request => await database.query(nameOf(request)))
  app.get('/report/:name', async request => await report(nameOf(request), 'high'))
  app.get('/without/:name', async request => await database.query(nameOf(request)))
  return { app, database, queue, report }
}

if (process.argv[1] === import.meta.filename) {
  const { app, database, queue, report } = await build()
  const jobs = Array.from({ length: 100 }, (_, index) => `job-${index + 1}`)
  const users = Array.from({ length: 20 }, (_, index) => `user-${index + 1}`)

  /** @param {number[]} waits */
  const longest = waits => `${Math.round(Math.max(...waits))} ms`
  /** @param {() => Promise<unknown>} ask */
  const timed = async ask => {
    const start = performance.now()
    await ask()
    return performance.now() - start
  }

  /**
   * A hundred jobs begin, and then twenty users come.
   *
   * @param {string} what
   * @param {(job: string) => Promise<unknown>} runJob
   * @param {string} path of the users
   */
  const crowd = async (what, runJob, path) => {
    database.asked.length = 0
    const ofJobs = Promise.all(jobs.map(job => timed(() => runJob(job))))
    const ofUsers = Promise.all(users.map(user => timed(() => app.inject(`${path}/${user}`))))
    const [job, user] = [longest(await ofJobs), longest(await ofUsers)]
    const last = database.asked.findLastIndex(asked => asked.startsWith('user')) + 1
    console.log(`${what}: the last user was number ${last} of 120; at most users waited ${user}, jobs ${job}`)
  }

  await crowd('without a queue', job => database.query(job), '/without')
  await crowd('with a queue', job => report(job, 'low'), '/page')

  // A user wants the very report that is the last job's. There is one run, and it is as urgent as the most urgent of those who wait for it.
  database.asked.length = 0
  const all = Promise.all(jobs.map(job => report(job, 'low')))
  const answer = await app.inject('/report/job-100')
  const place = database.asked.indexOf('job-100') + 1
  await all
  console.log(`a user joins the last of 100 jobs: ${answer.statusCode}, its query was number ${place} of ${database.asked.length}`)

  const { levels, raised } = queue.figures()
  for (const { level, runs, waited } of levels) if (runs > 0) console.log(`${level}: ${runs} runs, ${Math.round(waited.sum / runs)} ms waited on average`)
  console.log(`became more urgent while they waited: ${raised}`)
  await app.close()
}
