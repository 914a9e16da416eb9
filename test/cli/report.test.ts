/**
 * `fastify-coalesce report`: what it says of a running app, and what it says if that cannot be asked.
 */
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { askPage } from '../../lib/cli/ask-page.js'
import { serve } from '../fixtures/server.js'
import { run as runIn, type Said } from '../fixtures/terminal.js'

const run = async (...args: string[]): Promise<Said> => await runIn('/', 'report', ...args)

/** A server that stands for a page. */
async function server (t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const answers = async (t: Test, status: number, body: unknown, headers: Record<string, string> = {}): Promise<string> =>
  await server(t, (_request, response) => { response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body)) })

const pairs = (some: object): object => ({ between: { equal: 0, noise: 0, echo: 0, differs: 0, ...some } })
const route = (name: string, more: object = {}): object =>
  ({ method: 'GET', route: name, totalRequests: 2000, actualExecutions: 1200, deduplicatedRequests: 760, cacheHits: 40, state: 'observes', ...more })
const state = {
  version: 1,
  instance: 'host:1',
  mode: 'share',
  routes: [
    route('/search', { observed: { verdict: 'equal', pairs: pairs({ equal: 401 }) } }),
    route('/home', { observed: { verdict: 'differs', pairs: pairs({ differs: 100 }) } }),
    route('/new', { totalRequests: 0, observed: { verdict: 'too-few', pairs: pairs({ equal: 3 }) } }),
    route('/noise', { observed: { verdict: 'noise', pairs: pairs({ noise: 50 }) } }),
    route('/unknown', { observed: { verdict: 'unknown', pairs: pairs({ differs: 50 }) } }),
    route('/echo', { observed: { verdict: 'echo', pairs: pairs({ echo: 50 }) } }),
    route('/later', { observed: { verdict: 'a-new-one', pairs: pairs({}) } }),
    route('/skips', { observed: { verdict: 'too-few', pairs: pairs({ equal: 3 }), skipped: { stream: 1, 'not-sampled': 9, bytes: 0, budget: 12 }, would: [{ outcome: 'leader', reason: 'shared', count: 9 }] } }),
    route('/mine', { observed: { verdict: 'too-few', pairs: pairs({}), skipped: {}, would: [{ outcome: 'bypass', reason: 'credentials', count: 2000 }] } }),
    route('/sets', { observed: { verdict: 'too-few', pairs: pairs({ equal: 3 }), would: [{ outcome: 'leader', reason: 'shared', count: 6 }, { outcome: 'unshareable', reason: 'set-cookie', count: 2 }] } }),
    route('/logs', {
      reasons: [
        { outcome: 'follower', reason: 'shared', count: 2000 }, { outcome: 'leader', reason: 'shared', count: 1990 }, { outcome: 'follower', reason: 'wait-timeout', count: 5 }, { outcome: 'leader', reason: 'failed', count: 1990 }, { outcome: 'alone', reason: 'credentials', count: 60 },
        { outcome: 'bypass', reason: 'unshareable', cause: 'reads-all-headers', count: 900 }, { outcome: 'leader', reason: 'reads-all-headers', count: 1060 }
      ]
    }),
    route('/off', { state: 'off' }),
    route('/plain')
  ],
  advice: [
    {
      id: 'leak/differs', kind: 'leak', method: 'GET', route: '/home', text: 'Sharing would give …', evidence: '51 of 100', confidence: 'high', patch: { cookies: ['ab'] }, silence: "warnings: ['advice-leak']"
    },
    {
      id: 'too-narrow/path', kind: 'too-narrow', method: 'GET', route: '/search', text: 'The parameter slug …', evidence: '281 pairs', confidence: 'low', silence: "warnings: ['advice-too-narrow']"
    }
  ]
}

t.test('a report is printed for people', async t => {
  const origin = await answers(t, 200, state)
  const { code, err, out } = await run(`${origin}/coalesce/`)
  t.same([code, err], [0, ''])
  t.equal(out, `${origin}/coalesce: host:1, sharing

route         requests   runs  shared  cached  found
GET /search      2,000  1,200  38.0 %   2.0 %  no difference in 401 pairs of clients with one key (95 %: < 0.75 %)
GET /home        2,000  1,200  38.0 %   2.0 %  LEAK: differs between clients (100 pairs)
GET /new             0  1,200       –       –  too few pairs yet: 3
GET /noise       2,000  1,200  38.0 %   2.0 %  nothing but noise differs in 50 pairs of clients with one key
GET /unknown     2,000  1,200  38.0 %   2.0 %  differs in 50 pairs, perhaps between clients: too few clients were seen twice
GET /echo        2,000  1,200  38.0 %   2.0 %  LEAK: holds what is of its own request
GET /later       2,000  1,200  38.0 %   2.0 %  a-new-one
GET /skips       2,000  1,200  38.0 %   2.0 %  too few pairs yet: 3; 12 skipped: budget; 1 skipped: stream
GET /mine        2,000  1,200  38.0 %   2.0 %  would bypass: credentials 100 %
GET /sets        2,000  1,200  38.0 %   2.0 %  too few pairs yet: 3; would not be shared: set-cookie 25 %
GET /logs        2,000  1,200  38.0 %   2.0 %  reads-all-headers 98 %
GET /off         2,000  1,200  38.0 %   2.0 %  switched off
GET /plain       2,000  1,200  38.0 %   2.0 %

GET /home
  [leak/differs] LEAK Sharing would give …
  seen: 51 of 100 (confidence: high)
  → cookies: [ 'ab' ]
  silence: warnings: ['advice-leak']

GET /search
  [too-narrow/path] The parameter slug …
  seen: 281 pairs (confidence: low)
  silence: warnings: ['advice-too-narrow']

2 advised. What each means: docs/advice.md
`)
})

t.test('the help says how the live page is switched on, and how a guard is told a name and a password', async t => {
  const { out } = await run('--help')
  t.match(out, /its live page \(dashboard: \{ … \}\)/)
  t.match(out, /http:\/\/user:pass@localhost/)
})

t.test('no timer is left of a page that has answered', async t => {
  const timers = (): number => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const origin = await answers(t, 200, state)
  const before = timers()
  await askPage(new URL(origin), {}, 600_000)
  t.equal(timers(), before)
})

t.test('an app of which all is well has a short one', async t => {
  const origin = await answers(t, 200, { ...state, mode: 'asleep', routes: [], advice: [] })
  t.equal((await run(origin)).out, `${origin}/coalesce: host:1, asleep\n\nNo route is coalesced.\n\nNothing is advised.\n`)
})

t.test('with --json all that the page knows is printed, with --check a leak makes the code 1', async t => {
  const origin = await answers(t, 200, state)
  const { code, out } = await run(origin, '--json')
  t.same([code, JSON.parse(out)], [0, state])
  const checked = await run(origin, '--check')
  t.same([checked.code, checked.err], [1, 'fastify-coalesce: it leaks, or would: GET /home, GET /unknown, GET /echo\n'])
  t.match(checked.out, /^route /m, 'the report is there as well')
  const advised = await answers(t, 200, { ...state, routes: [route('/plain')] })
  t.same([(await run(advised, '--check')).code, (await run(advised)).code], [1, 0])
  const silenced = await answers(t, 200, { ...state, routes: [route('/plain')], advice: [] })
  t.equal((await run(silenced, '--check')).code, 0)
})

/** Control and format characters, other line ends and lone surrogates. */
const HARMFUL = /(?!\n)\p{C}|[\u2028\u2029]/u

t.test('nothing that a terminal obeys is printed, wherever it comes from', async t => {
  const evil = '\u001b[2J\u009b1m\u202e\n\u2028\u0007é🦊\ud800\u{e0001}'
  const hostile = JSON.parse(JSON.stringify(state, (_name, value: unknown) => typeof value === 'string' ? `${value}${evil}` : value)) as object
  const origin = await answers(t, 200, hostile)
  const printed = await run(origin)
  t.equal(printed.code, 0)
  for (const { out } of [printed, await run(origin, '--json')]) {
    t.notMatch(out, HARMFUL)
    t.ok(out.includes('é🦊'), 'and what is harmless is')
  }
  t.equal((JSON.parse((await run(origin, '--json')).out) as { instance: string }).instance, `host:1${evil.replace('\ud800', '\\ud800')}`.replace('\\ud800', '\ud800'))
  const patch = { headers: { [evil]: [evil] } }
  t.notMatch((await run(await answers(t, 200, { ...state, advice: [{ ...state.advice[0], patch }] }))).out, HARMFUL)
  const refused = await run(await answers(t, 403, { message: `no${evil}` }))
  t.match(refused.err, /answers 403 \(no\?/)
  t.notMatch(refused.err, HARMFUL)
})

t.test('a state with holes in it is printed as far as it goes', async t => {
  const origin = await answers(t, 200, { version: 1, routes: [null, { observed: 5, totalRequests: 'many', route: 7 }], advice: ['x'] })
  const { code, out } = await run(origin)
  t.equal(code, 0)
  t.match(out, /^\? 7 +0 +0 +– +– {2}\?$/m)
  t.match(out, /\[\?\] \?/)
})

t.test('headers are sent, a URL of a page may be of any depth, and may have a name and a password', async t => {
  const asked: Array<readonly [string | undefined, IncomingHttpHeaders]> = []
  const origin = await server(t, ({ headers, url }, response) => { asked.push([url, headers]); response.end(JSON.stringify(state)) })
  await run(`${origin}/api/v1/ops//?x=1#y`, '-H', 'Authorization: Bearer a', '-H', 'x-a: 1', '-H', 'x-a: 2')
  await run(origin.replace('//', '//me:secret@'))
  t.match(asked, [
    ['/api/v1/ops/state', { authorization: 'Bearer a', 'x-a': '1, 2', accept: 'application/json', 'sec-fetch-site': 'none' }],
    ['/coalesce/state', { authorization: `Basic ${Buffer.from('me:secret').toString('base64')}` }]
  ])
})

const refusals: ReadonlyArray<readonly [status: number, body: unknown, says: RegExp, headers?: Record<string, string>]> = [
  [401, 'Unauthorized', /\/coalesce answers 401; --header 'authorization: …' says who is asking.*user:pass@/],
  [403, { message: 'the live page may not be asked for by this name' }, /answers 403 \(the live page may not be asked for by this name\); --header/],
  [404, { message: 'Route GET:/coalesce/state not found' }, /there is no live page at http:\S+\/coalesce \(404\): it is where a registration has dashboard: \{ … \}, at/],
  [500, { message: 5 }, /answers 500\n$/],
  [302, '', /answers 302 and leads to \/login: ask there, or say who is asking with --header 'cookie: …'/, { location: '/login' }],
  [200, '<!doctype html>', /is not of a live page of fastify-coalesce\n$/],
  [200, '{"routes":[]}', /is not of a live page of fastify-coalesce\n$/],
  [200, { version: 2, routes: [], advice: [] }, /is of another version of fastify-coalesce, which this one cannot read: 2\n$/]
]

for (const [status, body, says, headers] of refusals) {
  t.test(`an answer ${status} ${JSON.stringify(body)} is told in one line`, async t => {
    const { code, err, out } = await run(await answers(t, status, body, headers))
    t.same([code, out, err.split('\n').length], [1, '', 2])
    t.match(err, says)
  })
}

t.test('no server, one that does not answer, one that leaves and one that answers without end are told', async t => {
  const { code, err } = await run('http://127.0.0.1:1')
  t.equal(code, 1)
  t.match(err, /^fastify-coalesce: http:\/\/127\.0\.0\.1:1 cannot be asked \(is the app running there\?\): .*ECONNREFUSED/)
  t.match((await run('https://127.0.0.1:1')).err, /cannot be asked/)
  const silent = await server(t, () => {})
  await t.rejects(askPage(new URL(silent), {}, 20), /does not answer within 0\.02 s/)
  const leaving = await server(t, (_request, response) => { response.write('{'); setImmediate(() => response.destroy()) })
  t.match((await run(leaving)).err, /cannot be asked \(is the app running there\?\)/)
  const endless = await answers(t, 200, 'x'.repeat(2000))
  await t.rejects(askPage(new URL(endless), {}, 5000, 1000), /answers more than 1000 bytes/)
  t.match((await run('http://127.0.0.1:1', '-H', 'x-a: \u0001')).err, /Invalid character in header content/)
})

const misuses: ReadonlyArray<readonly [args: string[], says: RegExp]> = [
  [[], /say which URL the live page has/],
  [['app.js'], /the URL of a live page is like http:\/\/localhost:3000\/coalesce, and app\.js is not/],
  [['http://'], /and http:\/\/ is not/],
  [['http://localhost', 'x'], /too many arguments: x/],
  [['http://localhost', '--values'], /report has no option --values/],
  [['http://localhost', '-d', 'x'], /report has no option --data/]
]

for (const [args, says] of misuses) {
  t.test(`"report ${args.join(' ')}" is told how it should be`, async t => {
    const { code, err, out } = await run(...args)
    t.same([code, out], [2, ''])
    t.match(err, says)
    t.match(err, /^ +fastify-coalesce report <url of the live page>/m)
  })
}

t.test('a running app is reported of', async t => {
  const app = await serve(t, app => { app.get('/word', { config: { coalesce: true } }, async () => 'ok') }, { dashboard: { public: true } })
  await app.get('/word')
  const { code, err, out } = await run(`http://127.0.0.1:${app.port}/coalesce`, '--check')
  t.same([code, err], [0, ''])
  t.match(out, /^GET \/word +1 +1 +0\.0 % +0\.0 %/m)
  t.match(out, /Nothing is advised\.\n$/)
})
