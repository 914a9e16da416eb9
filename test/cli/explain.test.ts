/**
 * `fastify-coalesce explain`: what it says of an app in a file, and what it says if that is not possible.
 */
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { printed } from '../../lib/cli/print.js'
import type { Explanation } from '../../types/index.js'
import { run as runIn, type Said } from '../fixtures/terminal.js'

const APPS = fileURLToPath(new URL('../fixtures/apps/', import.meta.url))

const run = async (...args: string[]): Promise<Said> => await runIn(APPS, ...args)

async function explained (...args: string[]): Promise<Explanation> {
  const { code, err, out } = await run('explain', ...args, '--json')
  t.equal(code, 0, err)
  return JSON.parse(out) as Explanation
}

t.test('a plugin that is an ES module is explained, for people', async t => {
  const { code, err, out } = await run('explain', 'plugin.js', 'GET', '/search?q=a&x=1', '-H', 'Cookie: _ga=1', '-H', 'X-A: 1')
  t.same([code, err], [0, ''])
  t.equal(out, `GET /search?q=a&x=1
bypass/credentials/cookie: it carries cookie, which may say who is asking, and the key does not cover that

  route      GET /search
  waits      in onRequest: there are no later gates
  not in it  cookie (unread), x-a (unread), user-agent (infrastructure), ip (unread), ?x (unread)

  ✓ enabled          coalescing is on
  ✓ method           it is a method that only reads
  ✓ body             it has no body where there should be none
  ✓ range            it is not for a part of what another method answers
  ✓ upgrade          it stays with HTTP
  ✓ method-override  it means the method that it has
  ✓ connection       its connection is open, and names no other fields
  → credentials      it carries cookie, which may say who is asking, and the key does not cover that

What to do: docs/why-is-nothing-shared.md#credentials
`)
})

t.test('what is told is told for machines as well', async t => {
  const { key, outcome, route } = await explained('plugin.js', 'head', '/search?q=a', '--values')
  t.same([outcome, route], ['bypass', { method: 'HEAD', url: '/search' }])
  t.same(key?.at(-1), { part: 'query', name: 'q', value: 'a' })
})

t.test('an app is what fastify-cli takes, or an instance, or what makes one', async t => {
  t.match(await explained('callback.cjs', '/'), { outcome: 'leader' })
  t.match(await explained('callback.cjs', '/'), { outcome: 'leader' }, 'again')
  t.match(await explained('instance.js', 'GET', '/'), { outcome: 'leader' })
  t.match(await explained('build.cjs', 'http://localhost/inner'), { outcome: 'leader' })
  t.match(await explained('compiled.cjs', '/'), { outcome: 'leader', parking: { skips: ['preHandler'] } })
})

t.test('the options that a file exports are those of the app only if that is asked for', async t => {
  for (const file of ['plugin.js', 'callback.cjs']) {
    const path = file === 'plugin.js' ? '/SEARCH' : '/'
    t.match(await explained(file, path, '--options'), { coalesced: true })
  }
  t.match(await explained('plugin.js', '/SEARCH'), { coalesced: false })
})

t.test('a body and repeated headers are sent', async t => {
  t.match(await explained('plugin.js', 'GET', '/search', '-d', 'text'), { reason: 'request-body' })
  t.match((await run('explain', 'plugin.js', '/search', '-H', 'x-a: 1', '-H', 'x-a: 2')).out, /x-a \(unread\)/)
})

t.test('a route that is not coalesced, and one that a hook answers, are told of in a few lines', async t => {
  t.equal((await run('explain', 'plugin.js', '/plain')).out, `GET /plain
the route is not coalesced: it does not ask for it (config: { coalesce: true })

  route  GET /plain
`)
  t.equal((await run('explain', 'plugin.js', '/private')).out, `GET /private
it is answered 401 before it comes to coalescing

  route     GET /private
  waits     in onRequest: there are no later gates
  answered  401
`)
  t.equal((await run('explain', 'plugin.js', '/none')).out, 'GET /none\nno route of the app matches\n')
})

t.test('what is in the air, cached, remembered or known to vary is printed', t => {
  const part: Explanation = {
    route: { method: 'GET', url: '/' },
    coalesced: true,
    summary: 'leader: it runs',
    parking: { at: 'onRequest', why: 'the hook option', skips: ['preHandler', 'schema'] },
    gate: { status: 403, error: 'NO_ENTRY' },
    steps: [],
    outcome: 'leader',
    reason: undefined,
    cause: undefined,
    key: [{ part: 'method' }, { part: 'query', name: 'q', value: 'a' }],
    outside: [],
    variant: [{ name: 'accept-language', learnedFrom: 'hook', value: null }, { name: 'ip', learnedFrom: 'handler' }],
    unshareable: { cause: 'private', remaining: 90_000 },
    flight: { leaderId: 'req-1', followers: 2, since: 1500 },
    coordinator: undefined,
    cached: { status: 200, bytes: 5, tags: [], age: 1000, fresh: 9000, staleWhileRevalidate: 0, staleIfError: 60_000 }
  }
  t.equal(printed({ method: 'GET', url: '/' }, part), `GET /
leader: it runs

  route       GET /
  waits       in onRequest: the hook option; followers skip preHandler, schema
  answered    403 NO_ENTRY
  key         method, query q="a"
  varies on   accept-language=null (hook), ip (handler)
  remembered  private, for 90.0 s
  in the air  request req-1 for 1.5 s, followers: 2
  cached      200, 5 bytes, age 1.0 s, fresh for 9.0 s, then stale for 0.0 s while it is refreshed and 60.0 s on errors
`)
  const elsewhere = printed({ method: 'GET', url: '/' }, { ...part, flight: { leaderId: undefined, followers: 2, since: 1500, elsewhere: true } })
  t.ok(elsewhere.includes('  in the air  in another process for 1.5 s, followers: 2\n'))
  t.end()
})

const misuses: ReadonlyArray<readonly [args: string[], says: RegExp]> = [
  [[], /say what to do: explain/],
  [['explian', 'a.js', '/'], /there is no command explian/],
  [['explain', 'plugin.js', '/', '--check'], /explain has no option --check/],
  [['explain'], /say which file the app is in/],
  [['explain', 'plugin.js'], /say which URL to ask for/],
  [['explain', 'plugin.js', 'GET', 'search'], /a URL begins with '\/' or 'http:\/\/', and search does not/],
  [['explain', 'plugin.js', 'GET', '/', 'x', 'y'], /too many arguments: x y/],
  [['explain', 'plugin.js', '/', '-H', 'cookie'], /a header is 'name: value', and "cookie" is not/],
  [['explain', 'plugin.js', '/', '--jsno'], /Unknown option '--jsno'/]
]

for (const [args, says] of misuses) {
  t.test(`"${args.join(' ')}" is told how it should be`, async t => {
    const { code, err, out } = await run(...args)
    t.same([code, out], [2, ''])
    t.match(err, says)
    t.match(err, /^Usage: fastify-coalesce explain/m)
  })
}

const failures: ReadonlyArray<readonly [file: string, says: RegExp]> = [
  ['missing.js', /^fastify-coalesce: there is no file .*missing\.js\n$/],
  ['without.js', /^fastify-coalesce: the app in without\.js does not register fastify-coalesce\n$/],
  ['fails.js', /^fastify-coalesce: no database\n$/],
  ['throws.js', /^fastify-coalesce: a word\n$/],
  ['nothing.js', /exports neither a plugin \(function \(fastify, options\)\) nor a Fastify instance\n$/],
  ['gives-nothing.js', /exports takes no instance and gives none\n$/]
]

for (const [file, says] of failures) {
  t.test(`an app in ${file} cannot be asked, and it is said why`, async t => {
    const { code, err, out } = await run('explain', file, '/')
    t.same([code, out], [1, ''])
    t.match(err, says)
  })
}

t.test('help and version are given', async t => {
  t.match(await run('--help'), { code: 0, out: /^Usage: fastify-coalesce explain <app file> \[method\] <url>/, err: '' })
  t.match(await run('-v'), { code: 0, out: /^\d+\.\d+\.\d+\n$/, err: '' })
})

t.test('the command ends its process with the code', async t => {
  const { argv, exit } = process
  const { write } = process.stdout
  t.teardown(() => { Object.assign(process, { argv, exit }) })
  let code: unknown
  let out = ''
  Object.assign(process, { argv: [...argv.slice(0, 2), '--version'], exit: (given: unknown) => { code = given } })
  process.stdout.write = ((text: string, written: () => void) => { out = text; written() }) as never
  try {
    await import('../../lib/cli/bin.js')
  } finally {
    process.stdout.write = write
  }
  t.equal(code, 0)
  t.match(out, /^\d+\.\d+\.\d+\n$/)
})
