import { Registry } from 'prom-client'
import t from 'tap'
import fc from 'fast-check'
import { InvalidOptionError } from '../../lib/errors.js'
import { defineCoalesce } from '../../lib/options/define-coalesce.js'
import { coordinatorOf, readFunctionOptions } from '../../lib/options/function-options.js'
import { readOptions, type MetricsSettings } from '../../lib/options/options.js'
import { readPurge } from '../../lib/options/purge-options.js'
import { readRouteOptions, type RouteSettings } from '../../lib/options/route-options.js'
import type { CoalesceOptions, CoalesceRouteOptions, Coordinator, DeduplicateOptions, Purge } from '../../types/index.js'
import type { Router } from '../../lib/http/key.js'
import { TestClock } from '../fixtures/gate.js'

const ROUTER: Router = Object.freeze({ semicolonDelimits: false, parsesItself: false, trustsByAddress: false })
const DEFAULTS = readOptions({}, ROUTER)

// Wrong options are what these tests are about: JavaScript has no types to keep them out.
const registration = (options: unknown) => readOptions(options as CoalesceOptions, ROUTER)
const route = (options: unknown, defaults: RouteSettings = DEFAULTS.routes) =>
  readRouteOptions(options as CoalesceRouteOptions, defaults, 'GET /word/:word')
const call = (options: unknown) => readFunctionOptions(options as DeduplicateOptions)

/** What reading says: the message of the error, or 'accepted'. */
function verdict (read: (options: unknown) => unknown, options: unknown): string {
  try {
    read(options)
    return 'accepted'
  } catch (error) {
    return error instanceof InvalidOptionError && error.code === 'FST_COALESCE_INVALID_OPTION' ? error.message : `another error: ${String(error)}`
  }
}

t.test('without options there are complete settings, safe and frozen', async t => {
  const { clock, routes, ...rest } = DEFAULTS
  t.strictSame(rest, { global: false, dashboard: false, metrics: undefined, warnings: new Set(), maxFlights: 10_000, maxWaiters: 50_000, maxRecordedBytes: 268_435_456, store: undefined, coordinator: undefined, storeTimeout: 250, purgeOnWrite: true, cacheControl: undefined })
  t.strictSame(Object.keys(clock), ['now', 'wall', 'setTimeout', 'clearTimeout'])
  t.strictSame({ ...routes }, {
    hook: 'auto',
    query: 'sorted',
    headers: [],
    cookies: { key: [], ignored: [], ignores: undefined },
    identity: undefined,
    key: undefined,
    body: undefined,
    credentials: ['authorization', 'proxy-authorization', 'cookie', 'x-api-key'],
    statuses: [],
    waitTimeout: 30_000,
    onWaitTimeout: 'run',
    flightTimeout: 60_000,
    onError: 'share',
    queue: undefined,
    breaker: undefined,
    priority: undefined,
    fallback: undefined,
    maxBodyBytes: 8_388_608,
    maxWaitersPerKey: 10_000,
    releaseConcurrency: 64,
    unshareableTtl: 120_000,
    learnVary: { ignore: [] },
    ttl: undefined,
    observe: undefined,
    staleWhileRevalidate: 0,
    staleIfError: 0,
    ttlJitter: 0,
    eagerRefresh: Infinity,
    negativeTtl: new Map(),
    maxEntryBytes: 8_388_608,
    tags: [],
    tagHeaders: [],
    respectRequestCacheControl: false,
    cacheStatus: undefined,
    router: ROUTER
  })
})

/** The paths of all objects in a value that are not frozen. */
function unfrozen (value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null) return []
  const own = Object.isFrozen(value) ? [] : [path]
  return [...own, ...Object.entries(value).flatMap(([name, member]) => unfrozen(member, `${path}.${name}`))]
}

t.test('settings are frozen, whatever was given, and hold no list of the user\'s', async t => {
  const headers = ['X-A']
  const statuses = [302]
  const ignore = ['User-Agent']
  const { clock, ...settings } = registration({
    headers, cookies: ['a'], credentials: ['X-Token'], statuses, query: ['q'], body: { maxBytes: 5 }, learnVary: { ignore }, metrics: { prefix: 'x_' }
  })
  t.strictSame(unfrozen(settings), [''], 'but for the copy without the clock that is looked at')
  t.strictSame(unfrozen({ ...DEFAULTS, clock: undefined }), [''])
  t.ok(Object.isFrozen(registration({ global: true })))
  t.strictSame(unfrozen(route({ headers, query: { ignore }, learnVary: false, body: true })), [])
  t.strictSame(unfrozen(call({ key: () => '' })), [])
  t.strictSame(unfrozen(registration({ metrics: true }).metrics), [])
  headers.push('x-b')
  statuses.push(206)
  ignore.push('accept')
  t.strictSame(settings.routes.headers, ['x-a'], 'names of headers are in lower case')
  t.strictSame(settings.routes.credentials, ['x-token'])
  t.strictSame(settings.routes.statuses, [302])
  t.strictSame(settings.routes.learnVary, { ignore: ['user-agent'] })
})

t.test('an option of a route goes before that of its registration, which goes before the default', async t => {
  const defaults = registration({ waitTimeout: '5s', headers: ['x-a'], body: true, learnVary: false }).routes
  const settings = route({ waitTimeout: 250, headers: undefined, body: false }, defaults)
  t.equal(settings.waitTimeout, 250)
  t.strictSame(settings.headers, ['x-a'], 'undefined is not given')
  t.equal(settings.body, undefined)
  t.equal(settings.learnVary, false)
  t.equal(settings.flightTimeout, 60_000)
  t.equal(settings.router, ROUTER)
  t.equal(route(true, defaults), defaults)
})

t.test('what Fastify itself reads from the options of a registration is left to it', async t => {
  t.strictSame({ ...registration({ prefix: '/v1', logLevel: 'warn', logSerializers: {} }).routes }, { ...DEFAULTS.routes })
  t.match(verdict(route, { prefix: '/v1' }), /got "prefix"/)
})

t.test('a duration is milliseconds, or a number with a unit', async t => {
  const durations: Array<[unknown, number]> = [
    [1, 1], [250, 250], [1.5, 1.5], [2 ** 31 - 1, 2 ** 31 - 1], ['1ms', 1], ['250ms', 250], ['30s', 30_000], ['30 s', 30_000], ['1.5s', 1500], ['30S', 30_000],
    ['2m', 120_000], ['1h', 3_600_000], ['1d', 86_400_000], ['24 days', 2_073_600_000]
  ]
  for (const name of ['waitTimeout', 'flightTimeout', 'unshareableTtl'] as const) {
    t.strictSame(durations.map(([given]) => route({ [name]: given })[name]), durations.map(([, read]) => read))
  }
  const wrong = [
    '', ' ', '-1s', '+1s', 'abc', '30', '0ms', '0.5ms', 's', '.', '.s', '1..5s', '1.2.3s', '1e3ms', '30s ', ' 30s', '30s\n', '1s 1s', '1 lightyear', 'Infinitys', '25d', '1y', '1s'.repeat(100), `${'1'.repeat(200)}s`,
    NaN, Infinity, -Infinity, 0, -0, -1, 0.5, 2 ** 31, 30n, null, true, false, [], [250], {}, new Date(250), () => 250, Symbol('30s')
  ]
  t.strictSame(wrong.filter(each => !/^config\.coalesce\.waitTimeout of GET \/word\/:word must be a duration from 1 ms to 2147483647 ms: milliseconds, or a string like '30s', got ./.test(verdict(route, { waitTimeout: each }))), [])
  t.equal(verdict(call, { key: () => '', waitTimeout: '-1s' }), "deduplicate options.waitTimeout must be a duration from 1 ms to 2147483647 ms: milliseconds, or a string like '30s', got \"-1s\"")
})

t.test('no string is read as a duration out of bounds, and none throws anything else', async t => {
  const text = fc.oneof(fc.string(), fc.tuple(fc.double(), fc.constantFrom('', ' ', 'ms', 's', 'm', 'h', 'd', 'w', 'y', 'q')).map(([number, unit]) => `${number}${unit}`))
  fc.assert(fc.property(text, given => {
    const said = verdict(route, { waitTimeout: given })
    if (said !== 'accepted') return said.startsWith('config.coalesce.waitTimeout of GET /word/:word must be a duration')
    const { waitTimeout } = route({ waitTimeout: given })
    return waitTimeout >= 1 && waitTimeout < 2 ** 31
  }), { numRuns: 10_000 })
  t.pass()
})

t.test('what caches downstream are told is in seconds', async t => {
  const told = { privacy: 'public', expiresIn: 31_536_000, serverExpiresIn: 1 }
  t.strictSame({ ...registration({ cacheControl: { privacy: 'public', expiresIn: '365d', serverExpiresIn: 1_000 } }).cacheControl }, told)
  t.equal(registration({ cacheControl: false }).cacheControl, false)
})

t.test('what of the query counts is compiled', async t => {
  t.equal(route({ query: true }).query, 'sorted')
  t.equal(route({ query: 'raw' }).query, 'raw')
  const only = route({ query: ['q'] }).query
  const but = route({ query: { ignore: ['utm_*'] } }).query
  t.strictSame(typeof only === 'object' && ['q', 'p'].map(name => only.covers([name])), [true, false])
  t.strictSame(typeof but === 'object' && ['utm_source', 'q'].map(name => but.covers([name])), [false, true])
})

t.test('options that are defined are given back as they are', async t => {
  const options = { waitTimeout: '5s' }
  t.equal(defineCoalesce(options), options)
})

t.test('which cookies are ignored is compiled, and those of the key never are', async t => {
  t.strictSame(route({ cookies: ['a'] }).cookies, { key: ['a'], ignored: [], ignores: undefined })
  const { key, ignores } = route({ cookies: { ignore: ['_ga', 'x*'], key: ['xa'] } }).cookies
  t.strictSame([key, ['_ga', '_gab', '_GA', 'x', 'xb', 'xa', ''].map(name => ignores?.(name))], [['xa'], [true, false, false, true, true, false, false]])
  t.strictSame(['', 'a'].map(name => route({ cookies: { ignore: ['*'] } }).cookies.ignores?.(name)), [true, true])
})

t.test('credentials are a list, or changes to the one that there is', async t => {
  const list = (credentials: unknown, defaults: RouteSettings = DEFAULTS.routes): readonly string[] => route({ credentials }, defaults).credentials
  t.strictSame(list([]), [])
  t.strictSame(list({}), DEFAULTS.routes.credentials)
  t.strictSame(list({ add: ['X-Token', 'cookie'] }), ['authorization', 'proxy-authorization', 'cookie', 'x-api-key', 'x-token'])
  t.strictSame(list({ remove: ['X-Api-Key', 'proxy-authorization'] }), ['authorization', 'cookie'])
  const { routes } = registration({ credentials: { add: ['x-token'], remove: ['x-api-key'] } })
  t.strictSame(list({ add: ['x-other'], remove: ['x-token'] }, routes), ['authorization', 'proxy-authorization', 'cookie', 'x-other'], 'those of the registration')
})

t.test('true stands for defaults, false for none', async t => {
  t.strictSame(route({ body: true }).body, { maxBytes: 1_048_576 })
  t.strictSame(route({ body: {} }).body, { maxBytes: 1_048_576 })
  t.strictSame(route({ body: { maxBytes: 5 } }).body, { maxBytes: 5 })
  t.equal(route({ body: false }).body, undefined)
  t.strictSame(route({ learnVary: true }).learnVary, { ignore: [] })
  t.strictSame(route({ learnVary: {} }).learnVary, { ignore: [] })
  t.strictSame(route({ learnVary: { ignore: ['X-A', '?Sig', '?utm_*', '?'] } }).learnVary, { ignore: ['x-a', '?Sig', '?utm_*', '?'] })
  const metrics = { path: '/metrics', registry: undefined, prefix: '', defaultMetrics: false, buckets: undefined, routeOptions: {} }
  t.strictSame(registration({ metrics: true }).metrics, metrics)
  t.strictSame(registration({ metrics: {} }).metrics, metrics)
  t.equal(registration({ metrics: false }).metrics, false)
  const registry = new Registry()
  const given = registration({ metrics: { path: false, registry, prefix: 'app:x_', defaultMetrics: true, routeOptions: { logLevel: 'silent' } } }).metrics
  t.equal(typeof given === 'object' && given.registry, registry)
  const handler = [0.1, 1]
  const { buckets } = registration({ metrics: { buckets: { handler } } }).metrics as MetricsSettings
  t.strictSame(buckets, { wait: undefined, handler, followers: undefined })
  t.ok(Object.isFrozen(buckets?.handler))
  t.match(given, { path: false, prefix: 'app:x_', defaultMetrics: true, routeOptions: { logLevel: 'silent' } })
})

t.test('how long responses are kept is read', async t => {
  t.equal(route({ ttl: '60s' }).ttl, 60_000)
  t.equal(route({ ttl: 'headers' }).ttl, 'headers')
  t.equal(route({ ttl: false }, registration({ ttl: 5 }).routes).ttl, undefined)
  t.equal(route({ staleWhileRevalidate: 0 }).staleWhileRevalidate, 0)
  t.equal(route({ ttl: 1, staleIfError: '1h' }).staleIfError, 3_600_000)
  t.equal(route({ eagerRefresh: false }).eagerRefresh, Infinity)
  t.equal(route({ ttl: 1, eagerRefresh: 0.8 }).eagerRefresh, 0.8)
  t.strictSame([...route({ negativeTtl: { 404: '10s', 503: 'headers' } }).negativeTtl], [[404, 10_000], [503, 'headers']])
  t.equal(route({ cacheStatus: true }).cacheStatus, 'fastify-coalesce')
  t.equal(route({ cacheStatus: 'edge' }).cacheStatus, 'edge')
  t.equal(route({ cacheStatus: false }, registration({ cacheStatus: true }).routes).cacheStatus, undefined)
})

t.test('what to purge is read, and must be something', async t => {
  const purge = (options: unknown) => readPurge(options as Purge, ROUTER)
  t.strictSame(purge({ tags: ['a'], route: '/x/:y', url: '/A//b/?c=1#d', key: '["k"]', soft: true }), {
    labels: ['tag:a', '["k"]', 'route:/x/:y', 'path:/a/b'], soft: true
  })
  t.strictSame(purge({ key: 'k' }), { labels: ['k'], soft: false })
  const wrong: unknown[] = [undefined, null, 'tag', [], {}, { soft: true }, { tags: [] }, { tags: 'a' }, { tags: [''] }, { key: '' }, { route: 1 },
    { url: null }, { soft: 1, key: 'k' }, { label: 'a' }]
  t.strictSame(wrong.filter(each => !/^invalidate(\.\w+)? must be .*, got /.test(verdict(purge, each))), [])
})

t.test('functions and the clock are kept as they are', async t => {
  const identity = (): string => 'me'
  const key = (): string => 'k'
  const clock = new TestClock()
  const settings = registration({ identity, key, clock })
  t.equal(settings.routes.identity, identity)
  t.equal(settings.routes.key, key)
  t.equal(settings.clock, clock)
  t.match({ ...call({ key, name: 'n', onError: 'promote', onWaitTimeout: 'error', flightTimeout: '1s' }) }, {
    waitTimeout: 30_000, onWaitTimeout: 'error', flightTimeout: 1000, onError: 'promote', key, name: 'n'
  })
  t.match({ ...call({ key }) }, {
    waitTimeout: 30_000, onWaitTimeout: 'run', flightTimeout: 60_000, onError: 'share', key, name: undefined, clone: undefined
  })
})

t.test('the bounds of numbers are theirs', async t => {
  const counts = ['maxBodyBytes', 'maxWaitersPerKey']
  t.strictSame(counts.filter(name => verdict(route, { [name]: 0 }) !== 'accepted'), [])
  t.strictSame(['maxFlights', 'maxWaiters', 'maxRecordedBytes'].filter(name => verdict(registration, { [name]: 0 }) !== 'accepted'), [])
  t.equal(route({ releaseConcurrency: 1 }).releaseConcurrency, 1)
  t.strictSame(route({ statuses: [200, 302, 599] }).statuses, [200, 302, 599])
})

const DURATION = "a duration from 1 ms to 2147483647 ms: milliseconds, or a string like '30s'"

/** Each option, what it wants, and what it must not take; what each of these is called in the message. */
const ROUTE_OPTIONS: Array<[name: string, wanted: string, wrong: Array<[value: unknown, got: string]>]> = [
  ['hook', "'auto' or 'onRequest' or 'preHandler'", [['onSend', '"onSend"'], ['', '""'], [null, 'null'], [true, 'true']]],
  ['query', "true, 'raw', an array of names or { ignore: [names] }", [[false, 'false'], ['sorted', '"sorted"'], [null, 'null'], [1, '1']]],
  ['query', 'an array of names', [[[1], '[1]'], [[''], '[""]']]],
  ['query.ignore', 'an array of names', [[{ ignore: 'utm_*' }, '"utm_*"'], [{}, 'undefined'], [{ ignore: [null] }, '[null]']]],
  ['query', 'made of ignore', [[{ ignore: [], only: [] }, '"only"']]],
  ['headers', 'an array of header names', [['x-a', '"x-a"'], [['x a'], '["x a"]'], [[''], '[""]'], [['x:a'], '["x:a"]'], [['x-*'], '["x-*"]'], [[1], '[1]'], [null, 'null']]],
  ['cookies', 'an array of names or { ignore: [names], key: [names] }', [['a', '"a"'], [null, 'null'], [true, 'true']]],
  ['cookies', 'an array of names', [[[''], '[""]'], [[1], '[1]']]],
  ['cookies.ignore', 'an array of names', [[{}, 'undefined'], [{ key: ['a'] }, 'undefined'], [{ ignore: '_ga' }, '"_ga"'], [{ ignore: [''] }, '[""]']]],
  ['cookies.key', 'an array of names', [[{ ignore: [], key: 'a' }, '"a"']]],
  ['cookies', 'made of ignore, key', [[{ ignore: [], 0: 'a' }, '"0"']]],
  ['identity', 'a function', [['me', '"me"'], [null, 'null'], [{}, '{}']]],
  ['key', 'a function', [['me', '"me"'], [['a'], '["a"]']]],
  ['body', 'true, false or { maxBytes }', [['raw', '"raw"'], [null, 'null'], [1, '1'], [[], '[]']]],
  ['body.maxBytes', 'a whole number from 1', [[{ maxBytes: 0 }, '0'], [{ maxBytes: '1mb' }, '"1mb"'], [{ maxBytes: NaN }, 'NaN'], [{ maxBytes: 1.5 }, '1.5']]],
  ['body', 'made of maxBytes', [[{ most: 5 }, '"most"']]],
  ['credentials', 'an array of header names or { add: [names], remove: [names] }', [['cookie', '"cookie"'], [false, 'false'], [null, 'null']]],
  ['credentials', 'an array of header names', [[['x-secret-*'], '["x-secret-*"]'], [[null], '[null]']]],
  ['credentials.add', 'an array of header names', [[{ add: 'x-a' }, '"x-a"'], [{ add: ['a b'] }, '["a b"]']]],
  ['credentials.remove', 'an array of header names', [[{ remove: [1] }, '[1]']]],
  ['credentials.remove', 'made of authorization, proxy-authorization, cookie, x-api-key', [[{ remove: ['Cookies'] }, '"cookies"']]],
  ['credentials', 'made of add, remove', [[{ list: [] }, '"list"']]],
  ['statuses', 'an array of status codes from 200 to 599 without 206, 304, 412 and 416',
    [[[206], '[206]'], [[304], '[304]'], [[412], '[412]'], [[416], '[416]'], [[199], '[199]'], [[600], '[600]'], [['302'], '["302"]'], [[200.5], '[200.5]'], [302, '302']]],
  ['onWaitTimeout', "'run' or 'error'", [['stale', '"stale"'], [503, '503']]],
  ['onError', "'share' or 'promote'", [['retry', '"retry"'], [true, 'true']]],
  ['maxBodyBytes', 'a whole number from 0', [[-1, '-1'], ['8mb', '"8mb"'], [Infinity, 'Infinity'], [1n, '1'], [2 ** 53, '9007199254740992']]],
  ['maxWaitersPerKey', 'a whole number from 0', [[-1, '-1'], [1.5, '1.5'], [null, 'null']]],
  ['releaseConcurrency', 'a whole number from 1', [[0, '0'], [NaN, 'NaN'], ['64', '"64"']]],
  ['learnVary', 'true, false or { ignore: [header names] }', [['accept', '"accept"'], [null, 'null'], [['accept'], '["accept"]']]],
  ['learnVary.ignore', "an array of header names, and of parameters as '?name'", [[{ ignore: 'accept' }, '"accept"'], [{ ignore: ['a b'] }, '["a b"]'], [{ ignore: ['sec-*'] }, '["sec-*"]']]],
  ['learnVary', 'made of ignore', [[{ except: [] }, '"except"']]],
  ['ttl', `${DURATION}; or 'headers', a function or false`, [[true, 'true'], ['forever', '"forever"'], [0, '0'], [-1, '-1'], [null, 'null'], ['header', '"header"']]],
  ['staleWhileRevalidate', `${DURATION}; or 0`, [[true, 'true'], [-1, '-1'], ['0', '"0"']]],
  ['staleIfError', `${DURATION}; or 0`, [[false, 'false'], [NaN, 'NaN']]],
  ['ttlJitter', 'a number from 0 to 1', [[1.1, '1.1'], [-0.1, '-0.1'], ['10%', '"10%"'], [NaN, 'NaN']]],
  ['eagerRefresh', 'a number from 0 to 1, or false', [[2, '2'], [true, 'true']]],
  ['negativeTtl', "an object of status codes from 400 to 599 without 412 and 416, each with a duration or 'headers'", [[404, '404'], [[404], '[404]'], [null, 'null']]],
  ['negativeTtl', 'made of status codes from 400 to 599 without 412 and 416', [[{ 200: '1s' }, '"200"'], [{ 412: '1s' }, '"412"'], [{ 416: '1s' }, '"416"'], [{ 600: 1 }, '"600"'], [{ 40: 1 }, '"40"'], [{ '4xx': 1 }, '"4xx"']]],
  ['negativeTtl.404', `${DURATION}; or 'headers'`, [[{ 404: true }, 'true'], [{ 404: 0 }, '0']]],
  ['maxEntryBytes', 'a whole number from 0', [['1mb', '"1mb"'], [-1, '-1']]],
  ['tags', 'an array of names', [['a', '"a"'], [[''], '[""]']]],
  ['tagHeaders', 'an array of header names', [['cache-tag', '"cache-tag"'], [['a b'], '["a b"]']]],
  ['respectRequestCacheControl', 'true or false', [[1, '1']]],
  ['queue', 'an object with maxRuns, what runQueue() made, or false', [[true, 'true'], [20, '20'], [null, 'null'], [[], '[]'], [new Map(), '{}']]],
  ['queue.maxRuns', 'a whole number from 1', [[{}, 'undefined'], [{ maxRuns: 0 }, '0'], [{ maxRuns: Infinity }, 'Infinity'], [{ maxRuns: '20' }, '"20"']]],
  ['queue.maxQueued', 'a whole number from 0', [[{ maxRuns: 1, maxQueued: -1 }, '-1'], [{ maxRuns: 1, maxQueued: false }, 'false']]],
  ['queue.queueTimeout', DURATION, [[{ maxRuns: 1, queueTimeout: 0 }, '0'], [{ maxRuns: 1, queueTimeout: 'soon' }, '"soon"']]],
  ['queue.levels', '1 to 8 names of at most 64 characters, no two of them the same', [
    [{ maxRuns: 1, levels: [] }, '[]'], [{ maxRuns: 1, levels: 'high' }, '"high"'], [{ maxRuns: 1, levels: ['a', 'a'] }, '["a","a"]'], [{ maxRuns: 1, levels: [''] }, '[""]'],
    [{ maxRuns: 1, levels: ['a', 1] }, '["a",1]'], [{ maxRuns: 1, levels: [...'abcdefghi'] }, '["a","b","c","d","e","f","g","h","i"]'],
    // eslint-disable-next-line no-sparse-arrays
    [{ maxRuns: 1, levels: ['a', , 'b'] }, '["a",null,"b"]'], [{ maxRuns: 1, levels: ['x'.repeat(65)] }, `["${'x'.repeat(65)}"]`]
  ]],
  ['queue.aging', `${DURATION}; or false`, [[{ maxRuns: 1, aging: 0 }, '0'], [{ maxRuns: 1, aging: true }, 'true'], [{ maxRuns: 1, aging: Infinity }, 'Infinity']]],
  ['queue.name', 'a name of 1 to 128 characters', [[{ maxRuns: 1, name: '' }, '""'], [{ maxRuns: 1, name: 'x'.repeat(129) }, `"${'x'.repeat(129)}"`], [{ maxRuns: 1, name: 1 }, '1']]],
  ['queue.clock', 'an object with now, setTimeout and clearTimeout, and with wall as a function if it has that', [[{ maxRuns: 1, clock: Date }, 'function Date']]],
  ['queue', 'made of maxRuns, maxQueued, queueTimeout, levels, aging, name, clock', [[{ maxRuns: 1, concurrency: 5 }, '"concurrency"']]],
  ['breaker', 'an object of options, what circuitBreaker() made, or false', [[true, 'true'], [0.5, '0.5'], [null, 'null'], [[], '[]'], [new Map(), '{}']]],
  ['breaker.threshold', 'a number above 0, and at most 1', [[{ threshold: 0 }, '0'], [{ threshold: 1.01 }, '1.01'], [{ threshold: '50%' }, '"50%"'], [{ threshold: NaN }, 'NaN']]],
  ['breaker.minimumRuns', 'a whole number from 1', [[{ minimumRuns: 0 }, '0'], [{ minimumRuns: 1.5 }, '1.5']]],
  ['breaker.window', DURATION, [[{ window: 0 }, '0'], [{ window: false }, 'false']]],
  ['breaker.consecutive', 'a whole number from 1, or false', [[{ consecutive: 0 }, '0'], [{ consecutive: true }, 'true'], [{ consecutive: 2.5 }, '2.5']]],
  ['breaker.openFor', DURATION, [[{ openFor: 0 }, '0'], [{ openFor: null }, 'null']]],
  ['breaker.maxOpenFor', DURATION, [[{ maxOpenFor: 0 }, '0'], [{ maxOpenFor: false }, 'false']]],
  ['breaker.maxOpenFor', 'at least openFor (120000 ms)', [[{ openFor: '2m' }, '60000'], [{ openFor: '2m', maxOpenFor: '119s' }, '"119s"']]],
  ['breaker.probes', 'a whole number from 1', [[{ probes: 0 }, '0']]],
  ['breaker.slow', `${DURATION}; or false`, [[{ slow: 0 }, '0'], [{ slow: true }, 'true']]],
  ['breaker.by', 'a function', [[{ by: 'host' }, '"host"']]],
  ['breaker.isFailure', 'a function', [[{ isFailure: 500 }, '500']]],
  ['breaker.name', 'a name of 1 to 128 characters', [[{ name: '' }, '""']]],
  ['breaker.clock', 'an object with now, setTimeout and clearTimeout, and with wall as a function if it has that', [[{ clock: {} }, '{}']]],
  ['breaker', 'made of threshold, minimumRuns, window, consecutive, openFor, maxOpenFor, probes, slow, by, isFailure, name, clock', [[{ timeout: 5 }, '"timeout"']]],
  ['priority', 'the name of a level, or a function', [['', '""'], [0, '0'], [null, 'null'], [['high'], '["high"]']]],
  ['fallback', 'a function', [['sorry', '"sorry"'], [null, 'null'], [{}, '{}']]],
  ['cacheStatus', 'true, false or a name of printable ASCII', [['', '""'], ['caf\u00e9', '"caf\u00e9"'], [null, 'null'], ['a\nb', '"a\\nb"']]]
]
const REGISTRATION_OPTIONS: typeof ROUTE_OPTIONS = [
  ['global', 'true or false', [['yes', '"yes"'], [1, '1'], [null, 'null']]],
  ['metrics', 'true, false or an object', [['/metrics', '"/metrics"'], [null, 'null'], [[], '[]']]],
  ['metrics.path', "a path that starts with '/', or false", [[{ path: 'metrics' }, '"metrics"'], [{ path: true }, 'true'], [{ path: '' }, '""']]],
  ['metrics.registry', 'a prom-client Registry', [[{ registry: {} }, '{}'], [{ registry: null }, 'null'], [{ registry: Registry }, 'function Registry']]],
  ['metrics.prefix', 'the beginning of a metric name ([a-zA-Z_:][a-zA-Z0-9_:]*)', [[{ prefix: '1x' }, '"1x"'], [{ prefix: 'a-b' }, '"a-b"'], [{ prefix: null }, 'null']]],
  ['metrics.defaultMetrics', 'true or false', [[{ defaultMetrics: 'yes' }, '"yes"']]],
  ['metrics.buckets', '{ wait, handler, followers }', [[{ buckets: [1, 2] }, '[1,2]'], [{ buckets: null }, 'null']]],
  ['metrics.buckets', 'made of wait, handler, followers', [[{ buckets: { other: [1] } }, '"other"']]],
  ['metrics.buckets.wait', '1 to 64 numbers, each above the one before it', [
    [{ buckets: { wait: 5 } }, '5'], [{ buckets: { wait: [] } }, '[]'], [{ buckets: { wait: [2, 1] } }, '[2,1]'], [{ buckets: { wait: [1, 1] } }, '[1,1]'],
    [{ buckets: { wait: [-1, 1] } }, '[-1,1]'], [{ buckets: { wait: [1, '2'] } }, '[1,"2"]'], [{ buckets: { wait: [1, Infinity] } }, '[1,null]'],
    [{ buckets: { wait: Array.from({ length: 65 }, (_, index) => index) } }, JSON.stringify(Array.from({ length: 65 }, (_, index) => index))]
  ]],
  ['metrics.routeOptions', 'route options', [[{ routeOptions: true }, 'true'], [{ routeOptions: [] }, '[]']]],
  ['metrics', 'made of path, registry, prefix, defaultMetrics, buckets, routeOptions', [[{ url: '/x' }, '"url"']]],
  ['warnings', 'false or an array of names of warnings', [[true, 'true'], ['reads-query', '"reads-query"'], [[''], '[""]']]],
  ['maxFlights', 'a whole number from 0', [[-1, '-1'], ['1', '"1"']]],
  ['maxWaiters', 'a whole number from 0', [[NaN, 'NaN']]],
  ['maxRecordedBytes', 'a whole number from 0', [['1gb', '"1gb"']]],
  ['store', 'an object with get(key), set(entry, keepFor) and delete(key), so no Map', [[{}, '{}'], [new Map(), '{}'], ['memory', '"memory"'], [Map, 'function Map'], [null, 'null']]],
  ['coordinator', 'an object with open(member), and no store, or false', [[{}, '{}'], [null, 'null'], ['redis', '"redis"'], [{ open: true }, '{"open":true}'], [{ open () {}, get () {} }, '{}']]],
  ['storeTimeout', DURATION, [[0, '0'], [null, 'null']]],
  ['purgeOnWrite', 'true or false', [['no', '"no"']]],
  ['cacheControl', 'false or { privacy, expiresIn, serverExpiresIn }', [[true, 'true'], ['public', '"public"']]],
  ['cacheControl.privacy', "'public' or 'private' or 'no-cache'", [[{}, 'undefined'], [{ privacy: 'PUBLIC' }, '"PUBLIC"']]],
  ['cacheControl.expiresIn', "a duration of whole seconds from 1 s to 2147483648 s: milliseconds, or a string like '5m'", [
    [{ privacy: 'public', expiresIn: 60 }, '60'], [{ privacy: 'public', expiresIn: '1500ms' }, '"1500ms"'], [{ privacy: 'public', expiresIn: 0 }, '0'],
    [{ privacy: 'public', expiresIn: [1000] }, '[1000]'], [{ privacy: 'public', expiresIn: '100 years' }, '"100 years"']
  ]],
  ['cacheControl.expiresIn', "without privacy: 'no-cache'", [[{ privacy: 'no-cache', expiresIn: '1m' }, '"1m"']]],
  ['cacheControl.serverExpiresIn', "with privacy: 'public' only", [[{ privacy: 'private', serverExpiresIn: '1m' }, '"1m"']]],
  ['cacheControl', 'made of privacy, expiresIn, serverExpiresIn', [[{ privacy: 'public', maxAge: '1m' }, '"maxAge"']]],
  ['clock', 'an object with now, setTimeout and clearTimeout, and with wall as a function if it has that', [[Date, 'function Date'], [{ now () {} }, '{}'], [null, 'null'], [{ now () {}, setTimeout () {}, clearTimeout () {}, wall: 1 }, '{"wall":1}']]]
]

/** What is said of each wrong value, and what should be. */
function verdicts (read: (options: unknown) => unknown, path: string, table: typeof ROUTE_OPTIONS, where = ''): Array<[said: string, wanted: string]> {
  return table.flatMap(([name, wanted, wrong]) => wrong.map(([value, got]): [string, string] =>
    [verdict(read, { [name.split('.')[0] as string]: value }), `${path}.${name}${where} must be ${wanted}, got ${got}`]))
}

t.test('a wrong option of a route throws with its name, what is wanted and what was got', async t => {
  const all = verdicts(route, 'config.coalesce', ROUTE_OPTIONS, ' of GET /word/:word')
  t.strictSame(all.map(([said]) => said), all.map(([, wanted]) => wanted))
})

t.test('a wrong option of a registration throws with its name, what is wanted and what was got', async t => {
  const all = verdicts(registration, 'coalesce options', [...ROUTE_OPTIONS, ...REGISTRATION_OPTIONS])
  t.strictSame(all.map(([said]) => said), all.map(([, wanted]) => wanted))
})

t.test('a wrong option of a function throws with its name, what is wanted and what was got', async t => {
  const key = (): string => ''
  t.equal(verdict(call, {}), 'deduplicate options.key must be a function, got undefined')
  t.equal(verdict(call, { key: 'id' }), 'deduplicate options.key must be a function, got "id"')
  t.equal(verdict(call, { key, name: '' }), 'deduplicate options.name must be a non-empty string, got ""')
  t.equal(verdict(call, { key, clone: true }), 'deduplicate options.clone must be a function, got true')
  t.equal(verdict(call, { key, onError: 'x' }), "deduplicate options.onError must be 'share' or 'promote', got \"x\"")
  t.match(verdict(call, { key, keep: 5 }), /^deduplicate options must be made of .*waitTimeout.*key.*, got "keep"$/)
  t.equal(verdict(call, { key, TTL: 5 }), 'deduplicate options.TTL is unknown; did you mean ttl?')
  t.strictSame([undefined, null, 'key', [], key].map(each => verdict(call, each)), [
    'undefined', 'null', '"key"', '[]', 'function key'
  ].map(got => `deduplicate options must be an object, got ${got}`))
})

t.test('an unknown option throws and is named, even one that every object has', async t => {
  const unknown = ['cache', 'constructor', 'toString', 'hasOwnProperty', '', 'router', 'semicolonDelimits']
  t.strictSame(unknown.filter(name => !verdict(route, { [name]: 1 }).endsWith(`, got ${JSON.stringify(name)}`)), [])
  t.strictSame(unknown.filter(name => !verdict(registration, { [name]: undefined }).endsWith(`, got ${JSON.stringify(name)}`)), [])
  t.match(verdict(route, JSON.parse('{"__proto__":1}')), /^config\.coalesce of GET \/word\/:word must be made of .*, got "__proto__"$/)
  t.match(verdict(route, { global: true }), /got "global"$/, 'an option of the registration is none of a route')
  t.match(verdict(registration, { name: 'x' }), /got "name"$/, 'nor is one of a function')
})

t.test('options of a route are true or an object', async t => {
  const wrong: Array<[unknown, string]> = [[null, 'null'], [1, '1'], ['on', '"on"'], [[], '[]'], [[true], '[true]'], [() => true, 'function (anonymous)'], [function on () {}, 'function on']]
  t.strictSame(wrong.map(([value]) => verdict(route, value)), wrong.map(([, got]) => `config.coalesce of GET /word/:word must be true, false or an object, got ${got}`))
})

t.test('options of a registration are an object', async t => {
  const wrong: Array<[unknown, string]> = [[null, 'null'], [1, '1'], [[], '[]'], ['on', '"on"']]
  t.strictSame(wrong.map(([value]) => verdict(registration, value)), wrong.map(([, got]) => `coalesce options must be an object, got ${got}`))
})

t.test('an unknown option that is nearly a known one is told which, at whatever depth', async t => {
  t.strictSame([{ waitTimout: 1 }, { Headers: [] }, { query: { ignored: [] } }, { body: { maxbytes: 5 } }, { queue: { maxRun: 5 } }, { breaker: { treshold: 1 } }].map(each => verdict(route, each)), [
    'config.coalesce.waitTimout of GET /word/:word is unknown; did you mean waitTimeout?',
    'config.coalesce.Headers of GET /word/:word is unknown; did you mean headers?',
    'config.coalesce.query.ignored of GET /word/:word is unknown; did you mean ignore?',
    'config.coalesce.body.maxbytes of GET /word/:word is unknown; did you mean maxBytes?',
    'config.coalesce.queue.maxRun of GET /word/:word is unknown; did you mean maxRuns?',
    'config.coalesce.breaker.treshold of GET /word/:word is unknown; did you mean threshold?'
  ])
  t.strictSame([{ maxFlight: 1 }, { metrics: { paths: '/x' } }, { cacheControl: { privcay: 'public' } }].map(each => verdict(registration, each)), [
    'coalesce options.maxFlight is unknown; did you mean maxFlights?',
    'coalesce options.metrics.paths is unknown; did you mean path?',
    'coalesce options.cacheControl.privcay is unknown; did you mean privacy?'
  ])
  t.equal(verdict(each => readPurge(each as Purge, ROUTER), { tag: ['a'] }), 'invalidate.tag is unknown; did you mean tags?')
})

const USELESS = {
  staleWhileRevalidate: '1m', staleIfError: 5, ttlJitter: 0.1, eagerRefresh: 0.5, maxEntryBytes: 5, tags: ['a'], tagHeaders: ['cache-tag']
}

t.test('what has no effect without a ttl cannot be set without one', async t => {
  for (const [name, value] of Object.entries(USELESS)) {
    const wanted = 'must be given with ttl or negativeTtl, because without them nothing is cached'
    t.equal(verdict(route, { [name]: value }), `config.coalesce.${name} of GET /word/:word ${wanted}, got ${JSON.stringify(value)}`)
    t.match(verdict(route, { ttl: false, [name]: value }), wanted)
    t.equal(verdict(route, { ttl: '1m', [name]: value }), 'accepted')
    t.equal(verdict(route, { negativeTtl: { 404: '1m' }, [name]: value }), 'accepted')
    t.equal(verdict(each => route(each, registration({ ttl: '1m' }).routes), { [name]: value }), 'accepted', 'the registration has a ttl')
    t.match(verdict(each => route(each, registration({ ttl: '1m' }).routes), { ttl: false, [name]: value }), wanted)
    t.equal(verdict(registration, { [name]: value }), 'accepted', 'a default, for routes that have a ttl')
    t.equal(verdict(each => route(each, registration({ [name]: value }).routes), { query: ['q'] }), 'accepted', 'the route has not set it')
  }
  t.equal(verdict(route, { staleIfError: 0, eagerRefresh: false, tags: [], ttlJitter: undefined }), 'accepted', 'what is switched off needs nothing')
})

t.test('what has no effect on a function without a ttl cannot be set without one', async t => {
  const key = (): string => ''
  const store = { get () {}, set () {}, delete () {} }
  const { maxEntryBytes, tagHeaders, ...useless } = USELESS
  for (const [name, value] of Object.entries({ ...useless, tags: () => ['a'], store, storeTimeout: 5 })) {
    t.match(verdict(call, { key, [name]: value }), `deduplicate options.${name} must be given with ttl, because without it nothing is cached, got `)
    t.equal(verdict(call, { key, ttl: '1m', [name]: value }), 'accepted')
  }
})

t.test('a coordinator of a function, and how its results travel, are an object each, and the function is named', async t => {
  const key = (): string => ''
  const own: Coordinator = { open () { throw new Error('not opened here') } }
  const codec = { encode: JSON.stringify, decode: JSON.parse }
  const settings = readFunctionOptions({ key, name: 'find', coordinator: own, codec } as DeduplicateOptions)
  t.equal(settings.coordinator, own)
  t.equal(settings.codec, codec)
  for (const options of [{ coordinator: false }, { codec }, { coordinator: false, name: 'find' }]) t.equal(verdict(call, { key, ...options }), 'accepted')
  for (const [value, got] of [[true, 'true'], [null, 'null'], [{ open () {}, get () {} }, '{}']]) {
    t.equal(verdict(call, { key, name: 'find', coordinator: value }), `deduplicate options.coordinator must be an object with open(member), and no store, or false, got ${String(got)}`)
  }
  for (const [value, got] of [[null, 'null'], [{ encode () {} }, '{}'], [{ decode () {} }, '{}'], [JSON.stringify, 'function stringify']]) {
    t.equal(verdict(call, { key, codec: value }), `deduplicate options.codec must be an object with encode(result) and decode(encoded), got ${String(got)}`)
  }
  t.equal(verdict(call, { key, coordinator: own }), 'deduplicate options.name must be given with coordinator, because processes know the function by it, got undefined')
  t.match(verdict(call, { key, coordinator: false, codec }), /^deduplicate options\.codec must be given without coordinator: false, because nothing travels, got /)
})

t.test('a named function has the coordinator of its registration, unless it has one or none of its own', async t => {
  const theirs: Coordinator = { open () { throw new Error('not opened here') } }
  const own = { ...theirs }
  t.equal(coordinatorOf({ name: 'find', coordinator: undefined }, theirs), theirs)
  t.equal(coordinatorOf({ name: undefined, coordinator: undefined }, theirs), undefined)
  t.equal(coordinatorOf({ name: 'find', coordinator: false }, theirs), undefined)
  t.equal(coordinatorOf({ name: 'find', coordinator: own }, theirs), own)
  t.equal(coordinatorOf({ name: 'find', coordinator: own }, undefined), own)
  t.equal(coordinatorOf({ name: 'find', coordinator: undefined }, undefined), undefined)
})

t.test('whatever was got can be told', async t => {
  const circular: Record<string, unknown> = {}
  circular.self = circular
  const odd = [circular, { n: 1n }, Symbol('s'), Object.create(null), new Proxy({}, {}), [circular], { toJSON () { throw new Error('no') } }]
  t.strictSame(odd.filter(each => !/^config\.coalesce\.hook of GET \/word\/:word must be .*, got ./.test(verdict(route, { hook: each }))), [])
  t.match(verdict(route, { hook: circular }), /got \[object Object\]$/)
})

t.test('any value of any option is accepted or throws the one error', async t => {
  const names = [...new Set([...ROUTE_OPTIONS, ...REGISTRATION_OPTIONS].map(([name]) => name.split('.')[0] as string))]
  fc.assert(fc.property(fc.constantFrom(...names, 'waitTimeout'), fc.anything({ withBigInt: true, withNullPrototype: true }), (name, value) => {
    const said = verdict(registration, { [name]: value })
    return said === 'accepted' || (said.startsWith(`coalesce options.${name}`) && / must be [^]*, got | is unknown; did you mean /.test(said))
  }), { numRuns: 4_000 })
  t.pass()
})
