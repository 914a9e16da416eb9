// @ts-check
/**
 * The example server and what it is about: 500 clients ask for the same word at once, with and without coalescing. A third route is
 * protected as well, and the database can be broken and mended, to see what clients get meanwhile.
 *
 * The live page is at /coalesce. The page at / has commands to try and a few figures, and the same as JSON for curl.
 *
 * Run it: npm start
 *         npm start -- --port 3001   on another port (or PORT=3001 npm start)
 *         npm start -- --once        ends after the table
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Agent, get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import Fastify from 'fastify'
import coalesce, { circuitBreaker, runQueue } from 'fastify-coalesce'

const CLIENTS = 500
const QUERY_TIME = 100
const POOL_SIZE = 20
const COALESCED = '/word/:word'
const UNCOALESCED = '/uncoalesced/word/:word'
const PROTECTED = '/protected/word/:word'
const BATCHED = '/batched/word/:word'

/** A database that takes a while for a query, and has so many connections, as databases do. */
class Database {
  queries = 0
  isDown = false
  #free = POOL_SIZE
  /** @type {Array<() => void>} */
  #waiting = []

  /** @param {string} word */
  async lookUp (word) {
    const [found] = await this.lookUpAll([word])
    return /** @type {{ word: string, query: number }} */ (found)
  }

  /**
   * One query, as by `WHERE word IN (…)`.
   *
   * @param {readonly string[]} words
   */
  async lookUpAll (words) {
    if (this.#free > 0) this.#free--
    else await new Promise(resolve => { this.#waiting.push(() => { resolve(undefined) }) })
    const query = ++this.queries
    await sleep(QUERY_TIME)
    const next = this.#waiting.shift()
    if (next === undefined) this.#free++
    else next()
    if (this.isDown) throw new Error('the database is down')
    return words.map(word => ({ word, query }))
  }
}

/**
 * A command that is 50 clients at once: one curl, 50 connections, since to start 50 curls would take longer than a query. It
 * repeats a URL for each number of a fragment, which is not sent. Each answer ends with a newline, so that lines stay lines.
 *
 * @param {string} origin
 * @param {string} route
 */
function fiftyClients (origin, route) {
  return `curl -Z --parallel-immediate --parallel-max 50 --no-progress-meter '${urlOf(origin, route)}#[1-50]' | sort | uniq -c`
}

/**
 * A command that is 50 clients at once who ask for 50 words, and counts the statuses that they get.
 *
 * @param {string} origin
 * @param {string} prefix of the words
 */
function fiftyWords (origin, prefix) {
  const url = origin + PROTECTED.replace(':word', `${prefix}-[1-50]`)
  return `curl -Z --parallel-immediate --parallel-max 50 --no-progress-meter -o /dev/null -w '%{http_code}\\n' '${url}' | sort | uniq -c`
}

/**
 * A command that is 200 jobs, which nobody waits for, and a user who comes after them: says how many seconds the user has waited.
 *
 * @param {string} origin
 */
function jobsAndUser (origin) {
  const url = (/** @type {string} */ words, /** @type {string} */ level) => `'${origin + PROTECTED.replace(':word', words)}?priority=${level}'`
  return `curl -Z --parallel-immediate --parallel-max 200 --no-progress-meter -o /dev/null ${url('job-[1-200]', 'low')} & ` +
    `sleep 0.3; curl --no-progress-meter -o /dev/null -w 'the user: %{time_total} s\\n' ${url('user', 'high')}; wait`
}

/**
 * The same with batches, which counts the words that each query has answered.
 *
 * @param {string} origin
 */
function fiftyBatched (origin) {
  const url = origin + BATCHED.replace(':word', 'word-[1-50]')
  return `curl -Z --parallel-immediate --parallel-max 50 --no-progress-meter '${url}' | grep -o '"query":[0-9]*' | sort | uniq -c`
}

/**
 * @param {string} origin
 * @param {string} route
 */
function urlOf (origin, route) {
  return origin + route.replace(':word', 'serendipity')
}

export async function build (database = new Database()) {
  // As many runs as there are connections: who has to wait does so where it is known who wants what.
  const queue = runQueue({ name: 'database', maxRuns: POOL_SIZE })
  const breaker = circuitBreaker({ name: 'database', consecutive: 10, openFor: '2s' })
  const app = Fastify()
  // For terminals.
  app.setReplySerializer(payload => `${JSON.stringify(payload)}\n`)
  await app.register(coalesce, { metrics: true, dashboard: { public: true, actions: true } })

  /** @param {import('fastify').FastifyRequest} request */
  async function lookUp (request) {
    return await database.lookUp(/** @type {{ word: string }} */ (request.params).word)
  }
  let uncoalesced = 0
  app.get(COALESCED, { config: { coalesce: true } }, lookUp)
  app.get(UNCOALESCED, async request => {
    uncoalesced++
    return await lookUp(request)
  })
  app.get(PROTECTED, {
    config: {
      coalesce: {
        queue,
        breaker,
        // How urgent it is makes no difference to the answer.
        query: { ignore: ['priority'] },
        priority: (/** @type {import('fastify').FastifyRequest<{ Querystring: { priority?: string } }>} */ { query }) => query.priority,
        ttl: '1s',
        staleIfError: '1h'
      }
    }
  }, lookUp)
  const lookUpInBatches = app.coalesce.batched(async (/** @type {readonly string[]} */ words) => await database.lookUpAll(words), {
    name: 'words', key: (/** @type {string} */ word) => word, window: '10ms', queue
  })
  app.get(BATCHED, { config: { coalesce: true } }, async request => {
    return await lookUpInBatches(/** @type {{ word: string }} */ (request.params).word)
  })
  for (const [path, isDown] of /** @type {const} */ ([['/database/break', true], ['/database/mend', false]])) {
    app.post(path, async () => {
      database.isDown = isDown
      return { database: isDown ? 'down' : 'up' }
    })
  }

  /** @param {string} route */
  function figuresOf (route) {
    const figures = app.coalesce.stats().routes.find(figures => figures.method === 'GET' && figures.route === route)
    return { requests: figures?.totalRequests, queries: figures?.actualExecutions }
  }

  const page = await readFile(new URL('server.html', import.meta.url), 'utf8')
  const policy = contentSecurityPolicy(page)
  app.get('/', async (request, reply) => {
    reply.headers({ vary: 'accept', 'cache-control': 'no-store' })
    // What a browser asks for, and curl does not.
    if (request.headers.accept?.includes('text/html')) {
      return await reply.headers({ 'content-type': 'text/html; charset=utf-8', 'content-security-policy': policy }).send(page)
    }
    const origin = `${request.protocol}://${request.host}`
    const { state, retryAfter, shed } = breaker.figures()
    return {
      about: 'fastify-coalesce: of identical concurrent requests one runs the handler',
      try: ['/coalesce', COALESCED, UNCOALESCED, PROTECTED, BATCHED, '/metrics'].map(route => urlOf(origin, route)),
      fiftyClients: {
        coalesced: fiftyClients(origin, COALESCED),
        uncoalesced: fiftyClients(origin, UNCOALESCED),
        protected: fiftyWords(origin, 'word'),
        batched: fiftyBatched(origin)
      },
      jobsAndUser: jobsAndUser(origin),
      figures: {
        coalesced: figuresOf(COALESCED),
        uncoalesced: { requests: uncoalesced, queries: uncoalesced },
        protected: figuresOf(PROTECTED),
        batched: { ...figuresOf(BATCHED), queries: app.coalesce.stats().batches?.[0]?.batches }
      },
      protection: {
        database: database.isDown ? 'down' : 'up',
        queue: { running: queue.running, waiting: queue.waiting, limit: queue.limit },
        breaker: { state, retryAfter: Math.round(retryAfter), refused: shed.open + shed.probing }
      }
    }
  })

  return app
}

/**
 * Lets a page use its own style and script, and nothing else.
 *
 * @param {string} page
 */
function contentSecurityPolicy (page) {
  const hashOf = (/** @type {string} */ element) => {
    const [, content = ''] = new RegExp(`<${element}>([^]*?)</${element}>`).exec(page) ?? []
    return `'sha256-${createHash('sha256').update(content).digest('base64')}'`
  }
  return [
    "default-src 'none'", `style-src ${hashOf('style')}`, `script-src ${hashOf('script')}`, "connect-src 'self'", 'img-src data:',
    "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"
  ].join('; ')
}

/**
 * @param {string} url
 * @param {Agent} agent
 * @returns {Promise<{ body: string, time: number }>}
 */
function fetchText (url, agent) {
  return new Promise((resolve, reject) => {
    const start = performance.now()
    get(url, { agent }, response => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', chunk => { body += chunk })
      response.on('error', reject)
      response.on('end', () => {
        if (response.statusCode === 200) resolve({ body, time: performance.now() - start })
        else reject(new Error(`${url} answered ${response.statusCode}: ${body}`))
      })
    }).on('error', reject)
  })
}

/**
 * Sends as many identical requests at once as there are clients, each over its own connection.
 *
 * @param {string} url
 * @param {Agent} agent
 */
async function burst (url, agent) {
  const start = performance.now()
  const replies = await Promise.all(Array.from({ length: CLIENTS }, () => fetchText(url, agent)))
  const wall = performance.now() - start
  const times = replies.map(({ time }) => time).sort((a, b) => a - b)
  const percentile = (/** @type {number} */ share) => times[Math.ceil(times.length * share) - 1] ?? NaN
  return { wall, p50: percentile(0.5), p99: percentile(0.99) }
}

/**
 * Reads a figure of a route from Prometheus text; undefined if it is not there.
 *
 * @param {string} text
 * @param {string} name
 * @param {string} route
 */
function figure (text, name, route) {
  const line = text.split('\n').find(line => line.startsWith(`${name}{method="GET",route="${route}"} `))
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ') + 1))
}

/**
 * @param {string} origin
 * @param {Database} database
 */
async function compare (origin, database) {
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS, maxFreeSockets: CLIENTS })
  const rows = [['', 'handler runs', 'wall time', 'p50', 'p99', 'deduplicated']]
  try {
    // Both find connections that are open, and code that is warm.
    for (let round = 0; round < 3; round++) await burst(`${origin}/`, agent)

    for (const [name, route] of /** @type {const} */ ([['without coalescing', UNCOALESCED], ['with coalescing', COALESCED]])) {
      const before = database.queries
      const { wall, p50, p99 } = await burst(urlOf(origin, route), agent)
      const { body } = await fetchText(`${origin}/metrics`, agent)
      const ratio = figure(body, 'coalesce_route_deduplication_ratio', route)
      rows.push([
        name, String(database.queries - before), ...[wall, p50, p99].map(time => `${Math.round(time)} ms`),
        ratio === undefined ? '-' : `${(ratio * 100).toFixed(1)} %`
      ])
    }
  } finally {
    agent.destroy()
  }
  return rows
}

/** @param {string[][]} rows */
function table (rows) {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => (row[column] ?? '').length)))
  return rows.map(row => row.map((cell, column) => column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)).join('   ')).join('\n')
}

/**
 * What the user asked for.
 *
 * @returns {{ port: number, once: boolean }}
 * @throws if that makes no sense
 */
function readArguments () {
  const { values } = parseArgs({ options: { port: { type: 'string' }, once: { type: 'boolean', default: false } } })
  const wanted = values.port ?? (process.env.PORT || '3000')
  const port = /^\d{1,5}$/.test(wanted) ? Number(wanted) : NaN
  if (!(port <= 65535)) throw new Error(`A port is a number from 0 to 65535, not '${wanted}'.`)
  return { port, once: values.once }
}

/** @param {unknown} error */
function explain (error) {
  const { code, message, port } = /** @type {NodeJS.ErrnoException & { port?: number }} */ (error)
  if (code === 'EADDRINUSE') return `Port ${port} is taken. Choose another one: npm start -- --port ${(port ?? 0) + 1}`
  if (code === 'EACCES') return `Port ${port} needs more rights. Choose another one: npm start -- --port 3000`
  return message
}

async function main () {
  const { port, once } = readArguments()
  const database = new Database()
  const app = await build(database)
  const origin = await app.listen({ host: '127.0.0.1', port })

  let stopped = once
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, async () => {
      stopped = true
      await app.close()
    })
  }

  console.log(`${CLIENTS} clients ask for the same word at once. A query takes ${QUERY_TIME} ms, and the database has ${POOL_SIZE} connections.\n`)
  try {
    console.log(table(await compare(origin, database)))
  } catch (error) {
    await app.close()
    // Who stops the server stops the clients too.
    if (stopped && !once) return
    throw error
  }
  if (stopped) {
    await app.close()
    return
  }

  console.log(`
The server is up. See what goes on in it live: ${origin}/coalesce
Commands to try, in a browser: ${origin}/

What do 50 clients at once cost? Their number, and which query answered them:

  ${fiftyClients(origin, COALESCED)}

     50 {"word":"serendipity","query":…}      50 clients, one query

And without coalescing? 50 lines, 50 queries:

  ${fiftyClients(origin, UNCOALESCED)}

One client, and what is counted:

  curl ${urlOf(origin, COALESCED)}
  curl ${urlOf(origin, UNCOALESCED)}
  curl ${origin}/metrics

What do 50 words at once cost, and what do clients get once the database is broken?

  ${fiftyWords(origin, 'word')}
  curl -X POST ${origin}/database/break
  ${fiftyWords(origin, 'other')}
  curl -X POST ${origin}/database/mend

     29 500      20 run at a time, each that fails makes room for another, and after 10 the breaker opens
     21 503      so these do not run. Words that were asked before are 200 all the time, with what was kept

And how long does a user wait who comes after 200 jobs? They take a second, and the user a query or two:

  ${jobsAndUser(origin)}

And 50 words in batches? The words that each query has answered:

  ${fiftyBatched(origin)}

     50 "query":…      or a few lines, since 50 clients take a while to come

Ctrl+C ends it.`)
}

if (process.argv[1] === import.meta.filename) {
  main().catch(error => {
    console.error(explain(error))
    process.exitCode = 1
  })
}
