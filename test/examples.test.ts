/**
 * Every example does what it says when it is run, from the built package.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { NOT_RUN, withServer } from './fixtures/redis/server.js'

// They wait most of the time.
t.jobs = 4
if (withServer.skip !== false) t.comment(NOT_RUN)

const EXAMPLES = new URL('../examples/', import.meta.url)

interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

interface Run {
  readonly child: ChildProcess
  /** Resolves once it has printed this. */
  printed (pattern: RegExp): Promise<string>
  readonly end: Promise<End>
}

interface Teardown {
  teardown (fn: () => unknown): unknown
}

function run (t: Teardown, file: string, args: readonly string[] = [], env: Record<string, string> = {}): Run {
  const { PORT, ...inherited } = process.env
  const child = spawn(process.execPath, [fileURLToPath(new URL(file, EXAMPLES)), ...args], {
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(() => child.kill('SIGKILL'))
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { stdout += text })
  child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text })
  const end = new Promise<End>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => { resolve({ code, signal, stdout, stderr }) })
  })
  const printed = async (pattern: RegExp): Promise<string> => {
    while (!pattern.test(stdout)) {
      const event = await Promise.race([once(child.stdout, 'data').then(() => 'data'), end])
      if (event !== 'data' && !pattern.test(stdout)) throw new Error(`it ended without ${pattern}: ${stdout}${stderr}`)
    }
    return stdout
  }
  return { child, printed, end }
}

/** What each example prints, line by line. */
const PRINTS: Record<string, ReadonlyArray<string | RegExp>> = {
  'basic.js': [
    '100 requests, 1 run',
    '100 replies, 1 body'
  ],
  'per-route-options.js': [
    /^the defaults, two words +20 requests, 2 runs: 20 × 200$/,
    /^query: two names of three +20 requests, 1 run: 20 × 200$/,
    /^query: all but tracking +20 requests, 1 run: 20 × 200$/,
    /^headers: two languages +20 requests, 2 runs: 20 × 200$/,
    /^cookies: two themes +20 requests, 2 runs: 20 × 200$/,
    /^body: the same members in another order +20 requests, 1 run: 20 × 200$/,
    /^onWaitTimeout: error +10 requests, 1 run: 1 × 200, 9 × 503$/,
    /^coalesce: false +10 requests, 10 tickets$/
  ],
  'key-strategies.js': [
    /^simple +50 requests, 2 runs: /,
    /^composite +75 requests, 2 runs: /,
    /^selective +75 requests, 2 runs: /,
    /^normalized +75 requests, 1 run: /
  ],
  'functions.js': [
    '100 calls, 1 run, 1 object',
    '100 calls with clone, 1 run, 100 objects',
    '3 callers, 1 gives up, 1 run: rejected, fulfilled, fulfilled',
    'all callers gave up: the query is cancelled',
    'in an app: 2 routes, 100 calls, 1 run'
  ],
  'batching.js': [
    /^200 requests for 200 words, [2-9] queries: 200 right answers$/,
    'a word that there is not: 404'
  ],
  'rate-limit.js': [
    '3 clients, 10 requests each, 5 allowed: 15 served, 15 limited',
    'the handler: 1 run',
    '192.0.2.1 was told it had left: 4, 3, 2, 1, 0',
    '192.0.2.2 was told it had left: 4, 3, 2, 1, 0',
    '192.0.2.3 was told it had left: 4, 3, 2, 1, 0'
  ],
  'authentication.js': [
    '/account: 30 requests, 2 runs',
    '  token-of-ada got 200 the account of ada',
    '  token-of-grace got 200 the account of grace',
    /^ {2}token-of-nobody got 401 [^,]+$/,
    '/account/uncoalesced: 20 requests, 20 runs',
    '  token-of-ada got 200 the account of ada',
    '  token-of-grace got 200 the account of grace'
  ],
  'observe.js': [
    'GET /search: noise, 400 requests compared',
    '  ?utm_source makes no difference',
    'GET /home: differs, 400 requests compared',
    '  $.layout differs between clients, by header user-agent'
  ],
  'caching.js': [
    /^a hit: 200 serendipity, age [1-9], public, max-age=60$/,
    'HEAD: 200, 11 bytes to come, 0 came',
    'If-None-Match: 304',
    'Range: 206 bytes 0-4/11: seren',
    '5 requests, 1 run',
    'daily rates: 5 requests, 1 run',
    'live rates: 5 requests, 5 runs',
    /^kept: \/rates\/daily, \d s old, fresh for \d+ s$/,
    /^kept: \/word, \d s old, fresh for \d+ s$/
  ],
  'purging.js': [
    'first: luck, chance',
    'kept: luck, chance',
    'after a write to /words/1: fortune, chance',
    'a change that nobody told of: fortune, chance',
    'after a purge of word:2: fortune, accident',
    'after a purge of words: fluke, hazard',
    'after a soft purge: fluke, hazard',
    'a moment later: luck, chance',
    '16 requests, 8 runs'
  ],
  'outage.js': [
    'up: 100 requests, 0 failed: version 1',
    /^stale, refreshed in the background: 100 requests, 0 failed: version [12]/,
    'a moment later: 100 requests, 0 failed: version 2',
    'down: 2000 requests, 0 failed: version 2',
    'and the database was asked fewer than 10 times',
    'down, nothing kept: 1000 requests, 1000 failed: nothing',
    'up again: 100 requests, 0 failed: version 3'
  ],
  'circuit-breaker.js': [
    'up: 100 clients, 100 × 200; queries: 100',
    'down, without a breaker: 100 clients, 100 × 500; queries: 100',
    // One more where it takes them so long that the breaker lets one try.
    /^down, with one: 100 clients, 2[01] × 500, (?:80|79) × 503; queries: 2[01]$/,
    'the breaker is open. Meanwhile clients get:',
    '  what is kept: 200 the meaning of word-1',
    '  or a fallback: 200 come back later',
    /^ {2}or: 503 FST_COALESCE_BREAKER_OPEN, retry after [12] s$/,
    'still down, and half open: 50 clients, 1 × 500, 49 × 503; queries: 1',
    'up, and half open: 50 clients, 50 × 200; queries: 1, and the breaker is closed',
    'closed: 100 clients, 100 × 200; queries: 100',
    /^in all: 201 good runs, 2[12] failed ones, 18[01] that were not made$/
  ],
  'priorities.js': [
    /^without a queue: the last user was number 120 of 120; at most users waited \d+ ms, jobs \d+ ms$/,
    // 20 users, and the jobs that ran before they came.
    /^with a queue: the last user was number [2-9]\d of 120; at most users waited \d+ ms, jobs \d+ ms$/,
    /^a user joins the last of 100 jobs: 200, its query was number [5-9]\d? of 100$/,
    /^high: 21 runs, \d+ ms waited on average$/,
    /^low: 199 runs, \d+ ms waited on average$/,
    'became more urgent while they waited: 1'
  ],
  'proxy.js': [
    '/word: 20 clients, the upstream was asked 1 times: serendipity',
    '/greeting: 20 clients, the upstream was asked 2 times: Good day, Guten Tag',
    '/basket: 20 clients, the upstream was asked 20 times: your basket'
  ],
  'tracing.js': [
    'coalesce wait: outcome=follower reason=shared role=follower, links to the request that ran',
    'coalesce wait: outcome=follower reason=shared role=follower, links to the request that ran',
    'request: followers=2 outcome=leader reason=shared role=leader',
    'request: outcome=follower reason=shared role=follower, links to the request that ran',
    'request: outcome=follower reason=shared role=follower, links to the request that ran'
  ],
  'metrics.js': [
    'without the token: 401',
    'with it: 200',
    'look_ups_total 1',
    'dictionary_coalesce_requests_total{method="GET",route="/word/:word",outcome="leader",reason="shared"} 1',
    'dictionary_coalesce_requests_total{method="GET",route="/word/:word",outcome="leader",reason="failed"} 0',
    'dictionary_coalesce_requests_total{method="GET",route="/word/:word",outcome="leader",reason="flight-timeout"} 0',
    'dictionary_coalesce_requests_total{method="GET",route="/word/:word",outcome="follower",reason="shared"} 99',
    'dictionary_coalesce_requests_total{method="GET",route="/word/:word",outcome="follower",reason="wait-timeout"} 0',
    'dictionary_coalesce_handler_runs_total{method="GET",route="/word/:word"} 1',
    'dictionary_coalesce_deduplication_ratio 0.99',
    'the ratio: 0.99'
  ]
}

/** The same of those that start a Redis. Their processes take a while to ask. */
const MANY_PROCESSES: typeof PRINTS = {
  'cluster.js': [
    '4 workers by themselves: 100 requests, 1 body, 4 runs',
    '4 workers with a coordinator: 100 requests, 1 body, 1 run'
  ],
  'two-apps.js': [
    'at once, of both: 100 requests, 1 body, 1 run',
    'a moment later, from the cache: 100 requests, 1 body, 0 runs',
    'after a write to the first: 100 requests, 1 body, 1 run'
  ]
}

const TABLE = [
  /^ +handler runs +wall time +p50 +p99 +deduplicated$/m,
  /^without coalescing +500 +\d+ ms +\d+ ms +\d+ ms +-$/m,
  /^with coalescing +1 +\d+ ms +\d+ ms +\d+ ms +99\.8 %$/m
]

t.test('every example is tested here', { buffered: true }, async t => {
  t.same((await readdir(EXAMPLES)).sort(), [...Object.keys({ ...PRINTS, ...MANY_PROCESSES }), 'redis-server.js', 'server.js', 'server.html'].sort())
})

for (const [file, lines] of Object.entries({ ...PRINTS, ...MANY_PROCESSES })) {
  t.test(`${file} shows its point and ends`, { buffered: true, ...file in MANY_PROCESSES && withServer }, async t => {
    const { code, signal, stdout, stderr } = await run(t, file, [], { QUERY_TIME: '4000' }).end
    t.match(stdout.trimEnd().split('\n'), lines)
    t.equal(stdout.trimEnd().split('\n').length, lines.length)
    t.same({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
  })
}

t.test('examples with many processes say how to get a server where there is none', { buffered: true }, async t => {
  for (const file of Object.keys(MANY_PROCESSES)) {
    const { code, stdout, stderr } = await run(t, file, [], { PATH: '/nowhere' }).end
    t.match({ code, stdout, stderr }, { code: 1, stdout: '', stderr: /needs redis-server or valkey-server[^]+apt-get install redis-server/ }, file)
  }
})

t.test('importing an example does not run it', { buffered: true }, async t => {
  const files = await readdir(EXAMPLES)
  for (const file of files.filter(file => file.endsWith('.js') && file !== 'functions.js' && file !== 'redis-server.js')) {
    const { build } = await import(new URL(file, EXAMPLES).href) as { build: unknown }
    t.type(build, 'function', file)
  }
})

t.test('the example server with --once prints the table and ends', { buffered: true }, async t => {
  const { code, signal, stdout, stderr } = await run(t, 'server.js', ['--once', '--port', '0']).end
  for (const line of TABLE) t.match(stdout, line)
  t.notMatch(stdout, 'curl')
  t.same({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
})

t.test('the example server prints the table, stays up for the user, and ends on SIGINT', { buffered: true }, async t => {
  const { child, printed, end } = run(t, 'server.js', [], { PORT: '0' })
  const stdout = await printed(/Ctrl\+C/)
  for (const line of TABLE) t.match(stdout, line)

  t.equal(stdout.match(/^ {2}curl -Z .*'http:\S+#\[1-50\]' \| sort \| uniq -c$/gm)?.length, 2)
  t.equal(stdout.match(/^ {2}curl -Z .*'http:\S+\/protected\/word\/(?:word|other)-\[1-50\]' \| sort \| uniq -c$/gm)?.length, 2)
  const posts = [...stdout.matchAll(/^ {2}curl -X POST (http:\S+)$/gm)].map(([, url]) => url ?? '')
  const databases: unknown[] = []
  for (const url of posts) databases.push(await (await fetch(url, { method: 'POST' })).json())
  t.same(databases, [{ database: 'down' }, { database: 'up' }])
  const urls = [...stdout.matchAll(/^ {2}curl (http:\S+)$/gm)].map(([, url]) => url ?? '')
  const answers = await Promise.all(urls.map(async url => await (await fetch(url)).text()))
  t.match(answers, [/^{"word":"serendipity","query":\d+}\n$/, /^{"word":"serendipity","query":\d+}\n$/, /^coalesce_requests_total{/m])
  t.equal(answers.length, 3)

  child.kill('SIGINT')
  const { code, signal, stderr } = await end
  t.same({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
})

const { build: buildServer } = await import(new URL('server.js', EXAMPLES).href) as {
  build (database?: {
    isDown: boolean, lookUp (word: string): Promise<unknown>, lookUpAll? (words: readonly string[]): Promise<unknown[]>
  }): Promise<FastifyInstance>
}

type Kind = 'coalesced' | 'uncoalesced' | 'protected' | 'batched'

interface Front {
  readonly fiftyClients: Readonly<Record<Kind, string>>
  readonly jobsAndUser: string
  readonly figures: Readonly<Record<Kind, { requests: number, queries: number }>>
  readonly protection: {
    readonly database: string
    readonly queue: { running: number, waiting: number, limit: number }
    readonly breaker: { state: string, retryAfter: number, refused: number }
  }
  readonly try: readonly string[]
}

const hasCurl = await promisify(execFile)('curl', ['--version']).then(() => true, () => false)

t.test('the command that the example server offers is 50 clients at once, which cost one query', { buffered: true, skip: !hasCurl && 'there is no curl' }, async t => {
  // A query that ends when all 50 are there, however long curl takes, or never meets them.
  let arrived = 0
  let queries = 0
  let release = (): void => {}
  const all = new Promise<void>(resolve => { release = resolve })
  const app = await buildServer({
    isDown: false,
    lookUp: async word => {
      const query = ++queries
      await all
      return { word, query }
    }
  })
  t.teardown(async () => { await app.close() })
  const late = setTimeout(release, 20_000)
  app.server.on('request', () => { if (++arrived === 51) setImmediate(release) })
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  const { fiftyClients } = await (await fetch(origin)).json() as Front

  const { stdout, stderr } = await promisify(execFile)('sh', ['-c', fiftyClients.coalesced])
  t.same({ stdout: stdout.trim(), stderr }, { stdout: '50 {"word":"serendipity","query":1}', stderr: '' })
  const { figures } = await (await fetch(origin)).json() as Front
  const none = { requests: 0, queries: 0 }
  t.same(figures, { coalesced: { requests: 50, queries: 1 }, uncoalesced: none, protected: none, batched: none })

  const without = await promisify(execFile)('sh', ['-c', fiftyClients.uncoalesced])
  t.equal(without.stdout.trim().split('\n').length, 50)
  clearTimeout(late)
})

t.test('the example server shows what protection does while its database is broken', { buffered: true }, async t => {
  let answer = (): void => {}
  const gate = new Promise<void>(resolve => { answer = resolve })
  const database = {
    isDown: false,
    lookUp: async (word: string) => {
      await gate
      if (database.isDown) throw new Error('the database is down')
      return { word }
    }
  }
  const app = await buildServer(database)
  t.teardown(async () => { await app.close() })
  const front = async (): Promise<Front> => (await app.inject({ url: '/', headers: { accept: '*/*' } })).json<Front>()
  const statuses = async (words: string): Promise<Record<string, number>> => {
    const replies = await Promise.all(Array.from({ length: 50 }, async (_, index) => await app.inject(`/protected/word/${words}-${index + 1}`)))
    const counts: Record<string, number> = {}
    for (const { statusCode } of replies) counts[statusCode] = (counts[statusCode] ?? 0) + 1
    return counts
  }

  const asked = statuses('word')
  let busy = await front()
  while (busy.protection.queue.waiting < 30) busy = await front()
  t.same(busy.protection, { database: 'up', queue: { running: 20, waiting: 30, limit: 20 }, breaker: { state: 'closed', retryAfter: 0, refused: 0 } })
  answer()
  t.same(await asked, { 200: 50 })

  t.same((await app.inject({ method: 'POST', url: '/database/break' })).json(), { database: 'down' })
  const { 500: failed = 0, 503: refused = 0 } = await statuses('other')
  // 20 run at a time, and until 10 have failed each makes room for one more.
  t.ok(failed >= 10 && failed < 30, `${failed} fail`)
  t.equal(refused, 50 - failed, 'and the others are not made')
  t.match(await front(), { protection: { database: 'down', breaker: { state: /open/, refused } }, figures: { protected: { requests: 100, queries: 50 + failed } } })
  t.same(await statuses('word'), { 200: 50 }, 'what was kept')

  t.same((await app.inject({ method: 'POST', url: '/database/mend' })).json(), { database: 'up' })
  while ((await front()).protection.breaker.state !== 'half-open') await new Promise(resolve => setTimeout(resolve, 50))
  t.equal((await app.inject('/protected/word/another')).statusCode, 200)
  t.equal((await front()).protection.breaker.state, 'closed')
})

t.test('the command that the example server offers for 50 words in batches counts the words of each query', { buffered: true, skip: !hasCurl && 'there is no curl' }, async t => {
  let queries = 0
  const app = await buildServer({
    isDown: false,
    lookUp: async word => ({ word }),
    async lookUpAll (words) {
      const query = ++queries
      return words.map(word => ({ word, query }))
    }
  })
  t.teardown(async () => { await app.close() })
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  const { fiftyClients } = await (await fetch(origin)).json() as Front

  const { stdout, stderr } = await promisify(execFile)('sh', ['-c', fiftyClients.batched])

  t.equal(stderr, '')
  t.equal(stdout.trim().split('\n').reduce((sum, line) => sum + Number.parseInt(line.trim()), 0), 50)
  const { figures } = await (await fetch(origin)).json() as Front
  t.match(figures.batched, { requests: 50, queries })
  t.ok(queries < 50, `${queries} queries`)
})

t.test('the command that the example server offers for jobs and a user has the user run before most of the jobs', { buffered: true, skip: !hasCurl && 'there is no curl' }, async t => {
  const words: string[] = []
  let release = (): void => {}
  const opened = new Promise<void>(resolve => { release = resolve })
  const app = await buildServer({
    isDown: false,
    async lookUp (word) {
      words.push(word)
      await opened
      return { word }
    }
  })
  t.teardown(async () => { await app.close() })
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  const front = async (): Promise<Front> => await (await fetch(origin)).json() as Front
  const command = promisify(execFile)('sh', ['-c', (await front()).jobsAndUser])
  // All slots are taken, and the user waits with the other jobs.
  while ((await front()).protection.queue.waiting < 181) await new Promise(resolve => setTimeout(resolve, 10))
  release()
  const { stdout, stderr } = await command

  t.match({ stdout, stderr }, { stdout: /^the user: [\d.]+ s\n$/, stderr: '' })
  t.equal(words.length, 201)
  t.equal(words.indexOf('user'), 20)
})

t.test('the commands that the example server offers for 50 words count statuses', { buffered: true, skip: !hasCurl && 'there is no curl' }, async t => {
  const app = await buildServer({ isDown: false, lookUp: async word => ({ word }) })
  t.teardown(async () => { await app.close() })
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  const { fiftyClients } = await (await fetch(origin)).json() as Front
  const { stdout, stderr } = await promisify(execFile)('sh', ['-c', fiftyClients.protected])
  t.same({ stdout: stdout.trim(), stderr }, { stdout: '50 200', stderr: '' })
})

t.test('the example server has a page for browsers and the same as JSON for curl', { buffered: true }, async t => {
  const app = await buildServer()
  t.teardown(async () => { await app.close() })

  const json = await app.inject({ url: '/', headers: { accept: '*/*' } })
  t.match(json.headers, { 'content-type': /^application\/json/, vary: 'accept', 'cache-control': 'no-store' })
  const front = json.json<Front>()
  for (const url of front.try) t.equal((await app.inject(new URL(url).pathname)).statusCode, 200, url)

  const html = await app.inject({ url: '/', headers: { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' } })
  t.match(html.headers, { 'content-type': /^text\/html/, vary: 'accept', 'content-security-policy': /^default-src 'none'; / })
  for (const [, path = ''] of html.body.matchAll(/<a href="([^"]+)"/g)) t.equal((await app.inject(path)).statusCode, 200, path)

  // All that it needs is in it, and its policy lets that through.
  t.notMatch(html.body, /https?:|url\(|@import|\bsrc=| style=| on[a-z]+=/)
  for (const element of ['style', 'script']) {
    const found = [...html.body.matchAll(new RegExp(`<${element}>([^]*?)</${element}>`, 'g'))].map(([, content = '']) => content)
    t.equal(found.length, 1)
    const hash = createHash('sha256').update(found[0] ?? '').digest('base64')
    t.ok(String(html.headers['content-security-policy']).includes(`; ${element}-src 'sha256-${hash}';`), element)
  }
  // What its script fills is there to be filled.
  for (const name of Object.keys(front.figures)) for (const what of ['requests', 'queries', 'command']) t.match(html.body, `id="${name}-${what}"`)
  for (const name of ['database', 'breaker', 'queue', 'break', 'mend', 'jobs-command']) t.match(html.body, `id="${name}"`)
})

t.test('the example server ends quietly when it is stopped while its clients wait', { buffered: true }, async t => {
  const { child, printed, end } = run(t, 'server.js', ['--port', '0'])
  await printed(/at once/)
  child.kill('SIGINT')
  const { code, signal, stdout, stderr } = await end
  t.notMatch(stdout, 'curl')
  t.same({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
})

t.test('the example server says in one line what is wrong with a port', { buffered: true }, async t => {
  const taken = createServer().listen(0, '127.0.0.1')
  t.teardown(() => { taken.close() })
  await once(taken, 'listening')
  const { port } = taken.address() as AddressInfo

  const ends = await Promise.all([
    run(t, 'server.js', ['--port', String(port)]).end,
    run(t, 'server.js', [], { PORT: String(port) }).end,
    run(t, 'server.js', ['--port', 'http']).end,
    run(t, 'server.js', ['--port', '65536']).end
  ])
  t.same(ends.map(({ code, stdout, stderr }) => ({ code, stdout, stderr })), [
    { code: 1, stdout: '', stderr: `Port ${port} is taken. Choose another one: npm start -- --port ${port + 1}\n` },
    { code: 1, stdout: '', stderr: `Port ${port} is taken. Choose another one: npm start -- --port ${port + 1}\n` },
    { code: 1, stdout: '', stderr: 'A port is a number from 0 to 65535, not \'http\'.\n' },
    { code: 1, stdout: '', stderr: 'A port is a number from 0 to 65535, not \'65536\'.\n' }
  ])
})
