/**
 * Every example does what it says when it is run, from the built package.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import t from 'tap'

// They wait most of the time.
t.jobs = 4

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
  'proxy.js': [
    '/word: 20 clients, the upstream was asked 1 times: serendipity',
    '/greeting: 20 clients, the upstream was asked 2 times: Good day, Guten Tag',
    '/basket: 20 clients, the upstream was asked 20 times: your basket'
  ],
  'metrics.js': [
    'without the token: 401',
    'with it: 200',
    'look_ups_total 1',
    'dictionary_coalesce_requests_total{method="GET",route="/word/:word",outcome="leader",reason="shared"} 1',
    'dictionary_coalesce_requests_total{method="GET",route="/word/:word",outcome="follower",reason="shared"} 99',
    'dictionary_coalesce_handler_runs_total{method="GET",route="/word/:word"} 1',
    'dictionary_coalesce_handler_runs_total{method="HEAD",route="/word/:word"} 0',
    'dictionary_coalesce_deduplication_ratio 0.99',
    'the ratio: 0.99'
  ]
}

const TABLE = [
  /^ +handler runs +wall time +p50 +p99 +deduplicated$/m,
  /^without coalescing +500 +\d+ ms +\d+ ms +\d+ ms +-$/m,
  /^with coalescing +1 +\d+ ms +\d+ ms +\d+ ms +99\.8 %$/m
]

t.test('every example is tested here', { buffered: true }, async t => {
  t.same((await readdir(EXAMPLES)).sort(), [...Object.keys(PRINTS), 'server.js'].sort())
})

for (const [file, lines] of Object.entries(PRINTS)) {
  t.test(`${file} shows its point and ends`, { buffered: true }, async t => {
    const { code, signal, stdout, stderr } = await run(t, file).end
    t.match(stdout.trimEnd().split('\n'), lines)
    t.equal(stdout.trimEnd().split('\n').length, lines.length)
    t.same({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
  })
}

t.test('importing an example does not run it', { buffered: true }, async t => {
  const files = await readdir(EXAMPLES)
  for (const file of files.filter(file => file !== 'functions.js')) {
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

  const urls = [...stdout.matchAll(/^ {2}curl (http:\S+)$/gm)].map(([, url]) => url ?? '')
  const answers = await Promise.all(urls.map(async url => await (await fetch(url)).text()))
  t.match(answers, [/^{"word":"serendipity","query":\d+}$/, /^{"word":"serendipity","query":\d+}$/, /^coalesce_requests_total{/m])
  t.equal(answers.length, 3)

  child.kill('SIGINT')
  const { code, signal, stderr } = await end
  t.same({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
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
