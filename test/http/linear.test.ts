import { readdir } from 'node:fs/promises'
import t from 'tap'
import { attempt } from '../../lib/codec/strict.js'
import { byMeaning, normalizeAcceptEncoding } from '../../lib/http/accept-encoding.js'
import { functionKeyText, partText } from '../../lib/http/key-parts.js'
import { digestBody, isPlainJson, textOf as jsonOf } from '../../lib/http/body-digest.js'
import { cacheDirectives, parseCacheControl } from '../../lib/http/cache-control.js'
import { appendCacheStatus, cacheStatus, isCacheName } from '../../lib/http/cache-status.js'
import { evaluate, parseEntityTag, parseEntityTags, parseHttpDate, trimmed, validatorsOf } from '../../lib/http/conditional.js'
import { carriesOnly, cookiePairs, withoutCookies } from '../../lib/http/cookies.js'
import { parseDeltaSeconds } from '../../lib/http/delta-seconds.js'
import { headerOfName, isMeaning, meaningOf, plainName, splitBy } from '../../lib/http/dimensions.js'
import { combined, directives, lines, tokenList } from '../../lib/http/fields.js'
import { besidesAddresses } from '../../lib/http/forwarded.js'
import { conditionsFor, freshen, headAgrees, validates } from '../../lib/http/freshen.js'
import { ageOf, freshnessOf, mayServeStale, permitsAuthorization, restrictsKeeping } from '../../lib/http/freshness.js'
import { headerDelta, travelling } from '../../lib/http/headers.js'
import { invalidatedBy } from '../../lib/http/invalidated-by.js'
import { planKeeping } from '../../lib/http/keep.js'
import { readKeptResponse, readVaryMarker } from '../../lib/http/kept-response.js'
import { buildKey, headerOf, KeyHead, sendsBody } from '../../lib/http/key.js'
import { isKey, isPathLabel, labelsOf, partOf, pathLabel, routeLabel, tagLabel } from '../../lib/http/labels.js'
import { fencedPath } from '../../lib/http/path.js'
import { isInfrastructure, isForwardingHeader, isOfOneRequest } from '../../lib/http/infrastructure-headers.js'
import { namedBy } from '../../lib/http/name-patterns.js'
import { joinReason, keyCovers, shareReason, uncoveredCredential } from '../../lib/http/policy.js'
import { coversAllBut, coversOnly, ignoresQuery, isOfQuery, namesOf, narrowQuery, normalizeQuery, queryStart } from '../../lib/http/query.js'
import { ifRangeHolds, multipart, parseRange } from '../../lib/http/range.js'
import { isOfVariant, variantOf } from '../../lib/variant.js'
import { asksForPart, represent } from '../../lib/http/represent.js'
import { requestDirectives } from '../../lib/http/request-directives.js'
import { responseDirectives, targetedRestriction } from '../../lib/http/response-directives.js'
import { parseDictionary, tokenOrString } from '../../lib/http/structured-fields.js'
import { namesFrom, responseFrom, variantFrom } from '../../lib/http/response-reader.js'
import { tagsOf } from '../../lib/http/tags.js'
import { holds, holdsId, noncesOf } from '../../lib/http/own-marks.js'
import { parseVary } from '../../lib/http/vary.js'
import { cpuTime } from '../fixtures/cpu-time.js'

/** Given a text in the place of what a client or an upstream sends. */
type Parser = (text: string) => unknown

const NOW = Date.UTC(2026, 0, 1)
const DATES = { requestedAt: NOW, respondedAt: NOW }
const JOIN = { credentials: ['cookie', 'authorization'], headers: [], cookies: { key: ['a'] }, identity: undefined, key: undefined, body: undefined, router: { trustsByAddress: false } }
const ROUTER = { semicolonDelimits: true, parsesItself: false }
const QUERIES = { parse: (query: string) => Object.fromEntries(new URLSearchParams(query)), isOwn: false }
const NESTED = { ...QUERIES, isOwn: true }
const KEEP = { ttl: 'headers', staleWhileRevalidate: 0, staleIfError: 0, ttlJitter: 0, negativeTtl: new Map(), maxEntryBytes: 2 ** 20 } as const
const TAGS = validatorsOf({ etag: '"tag"', 'last-modified': 'Thu, 01 Jan 2026 00:00:00 GMT' }, NOW)

/** One field with the text, in the place of each of these, as in an answer that has all of them. */
const fields = (text: string, ...names: readonly string[]): Record<string, string> => Object.fromEntries(names.map(name => [name, text]))
const kept = (text: string): object => ({ status: 200, headers: [['x', text]], removed: [], body: text, age: 0, date: 0, variant: { names: [], values: [] } })
const key = (text: string, headers: Record<string, string>): unknown => buildKey(
  new KeyHead('"/"'),
  { method: 'GET', url: text, protocol: 'http', host: text, headers, body: undefined, raw: {} },
  { query: undefined, key: undefined, identity: undefined, headers: ['a'], cookies: { key: ['a', 'b'] }, body: undefined, router: ROUTER } as never)

const PARSERS: Readonly<Record<string, Parser>> = {
  normalizeAcceptEncoding,
  byMeaning: text => byMeaning(text.split(','), text.split(',')),
  digestBody: text => [digestBody(text, 2 ** 20), digestBody(text.split(','), 2 ** 20)],
  partText,
  textOf: text => jsonOf(text.split(',')),
  isPlainJson: text => isPlainJson(text.split(',')),
  cacheDirectives,
  parseCacheControl,
  appendCacheStatus: text => appendCacheStatus(text, 'a'),
  isCacheName,
  cacheStatus: text => cacheStatus(text, { hit: true, detail: text }),
  evaluate: text => ['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since'].map(name => evaluate(TAGS, { [name]: text }, NOW)),
  parseEntityTag,
  parseEntityTags,
  parseHttpDate: text => parseHttpDate(text, NOW),
  trimmed,
  validatorsOf: text => validatorsOf(fields(text, 'etag', 'last-modified'), NOW),
  carriesOnly: text => carriesOnly(text, ['a']),
  cookiePairs,
  withoutCookies: text => withoutCookies(text, namedBy(['a', 'b*'])),
  parseDeltaSeconds,
  combined: text => combined(text.split(',')),
  directives,
  lines,
  tokenList,
  conditionsFor: text => conditionsFor(Object.entries(fields(text, 'etag', 'last-modified')), NOW),
  freshen: text => freshen(many(text), [['connection', text], ...many(text)]),
  headAgrees: text => headAgrees(Object.entries(fields(text, 'etag')), Object.entries(fields(text, 'etag', 'last-modified', 'content-length')), 1),
  validates: text => validates(Object.entries(fields(text, 'etag')), Object.entries(fields(text, 'etag', 'last-modified'))),
  ageOf: text => ageOf({ headers: fields(text, 'age', 'date'), ...DATES }),
  freshnessOf: text => freshnessOf({ status: 200, headers: fields(text, 'cache-control', 'expires', 'age', 'date'), ...DATES }),
  mayServeStale: text => mayServeStale(fields(text, 'cache-control')),
  permitsAuthorization: text => permitsAuthorization(fields(text, 'cdn-cache-control')),
  restrictsKeeping: text => restrictsKeeping(fields(text, 'cache-control', 'expires', 'date'), NOW),
  headerDelta: text => headerDelta(Object.fromEntries(many(text)), { connection: text, ...Object.fromEntries(many(text)) }),
  travelling: text => many(text).map(([name]) => name).filter(travelling(text)),
  invalidatedBy: text => [
    invalidatedBy({ protocol: 'http', host: 'a', path: '/' }, fields(text, 'location', 'content-location')),
    invalidatedBy({ protocol: 'http', host: text, path: text }, { location: text.split(',') })
  ],
  planKeeping: text => planKeeping({ status: 200, headers: fields(text, 'cache-control', 'expires', 'age', 'date'), failed: false, bytes: 1, ...DATES }, KEEP, () => 1),
  readKeptResponse: text => readKeptResponse(kept(text)),
  responseFrom: text => attempt(() => responseFrom(kept(text))),
  variantFrom: text => attempt(() => variantFrom({ names: text.split(','), values: text.split(',') })),
  namesFrom: text => attempt(() => namesFrom(text.split(','))),
  readVaryMarker: text => readVaryMarker({ vary: text.split(',') }),
  buildKey: text => key(text, { a: text, cookie: text }),
  KeyHead: text => new KeyHead('"/"').of({ method: 'GET', url: text, protocol: text, host: text, headers: {}, body: undefined, raw: {} }),
  headerOf: text => headerOf({ a: text.split(',') } as never, 'a'),
  sendsBody: text => sendsBody({ headers: { 'content-length': text }, raw: {} }),
  functionKeyText: text => functionKeyText(text.split(',')),
  isKey,
  isPathLabel,
  labelsOf: text => labelsOf([text], text.split(',')),
  partOf: text => partOf(text.split(','), 'path'),
  pathLabel,
  routeLabel,
  tagLabel,
  fencedPath,
  isInfrastructure,
  isForwardingHeader,
  isOfOneRequest,
  joinReason: text => joinReason({ method: 'GET', headers: fields(text, 'connection', 'cookie'), raw: { socket: null } }, JOIN),
  uncoveredCredential: text => uncoveredCredential(fields(text, 'cookie'), JOIN),
  keyCovers: text => keyCovers('cookie', { headers: fields(text, 'cookie'), host: text }, JOIN),
  shareReason: text => ['vary', 'content-type', 'x-accel-buffering'].map(name =>
    shareReason({ status: 200, headers: { [name]: text }, failed: false, trailers: false }, [])),
  coversAllBut: text => coversAllBut(['a', 'utm_*'])(text.split(',')),
  coversOnly: text => coversOnly(['a'])(text.split(',')),
  narrowQuery: text => [QUERIES, NESTED].map(parser => narrowQuery(text, coversOnly(['a']), parser)),
  namesOf: text => [QUERIES, NESTED].map(parser => namesOf(text, parser)),
  ignoresQuery: text => ignoresQuery(['?a', '?b*'], text),
  isOfQuery,
  normalizeQuery,
  queryStart: text => queryStart(text, true),
  ifRangeHolds: text => ifRangeHolds(text, TAGS, NOW),
  multipart: text => multipart(Buffer.from(text), [{ start: 0, end: 1 }, { start: 2, end: 3 }], text, () => 'boundary'),
  parseRange: text => parseRange(text, 1000),
  isOfVariant: text => isOfVariant({ value: () => text }, { names: text.split(','), values: text.split(',').map(() => text) }),
  besidesAddresses,
  headerOfName,
  plainName,
  splitBy: text => splitBy(text.split(',')),
  isMeaning,
  meaningOf: text => ['(accept-encoding)', '(forwarded)', '(ip)', text].map(name => meaningOf(name, () => text)),
  variantOf: text => variantOf({ value: () => text }, text.split(',')),
  asksForPart: text => asksForPart(fields(text, 'range')),
  represent: text => represent(
    { status: 200, headers: fields(text, 'etag', 'last-modified', 'accept-ranges', 'content-encoding', 'date'), body: () => Buffer.from(text) },
    { method: 'GET', headers: fields(text, 'range', 'if-range') }, NOW),
  requestDirectives: text => [requestDirectives(fields(text, 'cache-control')), requestDirectives(fields(text, 'pragma'))],
  responseDirectives: text => [responseDirectives(fields(text, 'cache-control')), responseDirectives(fields(text, 'cdn-cache-control'))],
  targetedRestriction: text => targetedRestriction(fields(text, 'cdn-cache-control')),
  parseDictionary,
  tokenOrString,
  tagsOf: text => tagsOf(fields(text, 'cache-tag', 'surrogate-key'), { tags: [], tagHeaders: ['cache-tag', 'surrogate-key'] }, text.split(',')),
  parseVary,
  noncesOf,
  holds: text => [holds(text, 'a'), holds(`${text} `.repeat(2), text), holds(Buffer.from(text), '0')],
  holdsId: text => holdsId(text, '12345')
}

/** Not given what is sent, but numbers, bytes, names that the app chose, or what one of the parsers has read. */
const NOT_OF_TEXTS = new Set([
  'Audience', 'Broadcast', 'HeldBytes', 'Reader', 'Reads', 'Source', 'SharedBody', 'SharedBodies', 'acceptable', 'acceptableOnError', 'answersOneOnly', 'atOnce', 'bounded', 'byteLength',
  'bytesOf', 'contentRange', 'deltaSecondsText', 'followReason', 'incomparable', 'isFailure', 'isLarger', 'isPlainObject', 'isSafe', 'judge', 'matchesStrongly', 'matchesWeakly', 'namedBy', 'notAKey', 'parameter', 'partsOf', 'sizeOfVariant', 'snapshot', 'watched', 'watchedArray'
])

/** The more fields, the longer the text. */
function many ({ length }: string): Array<[string, string]> {
  return Array.from({ length: length / 64 }, (_, index) => [`a${index}`, 'a'])
}

/** What is repeated, and what stands before and after: most tempt a pattern to begin again at each character. */
const REPEATED = [
  ' ', '\t', ',', ', ', ';', '; ', '=', '"', '\\"', 'a', 'a,', 'a ;', 'a=1, ', 'a="', '"a",', '(', '(a ', '0', '1-2,', '/', '../', '%41', '&', 'a=1&', '\u00e9'
]
const BEFORE = ['', 'a', '"', 'a="', 'a=(', 'bytes=']
const AFTER = ['', 'b']
const SHAPES = REPEATED.flatMap(repeated => BEFORE.flatMap(before => AFTER.map(after => ({ repeated, before, after }))))

type Shape = typeof SHAPES[number]

const LEAST_KILOBYTES = 16
/** The longer ones are tried with this many of the shapes that take longest of the least length. */
const WORST = 3

/** Twice the length may take this much longer: twice as long would be linear, and four times quadratic. */
const MOST_GROWTH = 3
/** What takes less at the least length, in milliseconds, counts as this much. */
const LITTLE = 8
/** Milliseconds of which a few show as much as many would. */
const LONG = 300

function textOf ({ repeated, before, after }: Shape, kilobytes: number): string {
  return before + repeated.repeat(Math.ceil(kilobytes * 1024 / repeated.length)) + after
}

function timeOf (parse: Parser, text: string): number {
  return cpuTime(() => parse(text))
}

/** The least of a few, unless one is little enough, or there can be no doubt: collecting garbage takes time of its own. */
function leastTime (parse: Parser, text: string, enough: number): number {
  let time = timeOf(parse, text)
  for (let tries = 1, all = time; tries < 5 && time > enough && all < LONG; tries++) {
    const again = timeOf(parse, text)
    time = Math.min(time, again)
    all += again
  }
  return time
}

/**
 * What says that the shape took a parser more than its length demands. The least length is measured anew, so that both are measured while the
 * machine is as busy. Lists that are twice as long may suddenly take the collector of garbage ten times as long, but not those that are eight
 * times as long sixty times.
 */
function excessNow (parse: Parser, shape: Shape): string | undefined {
  const least = Math.max(leastTime(parse, textOf(shape, LEAST_KILOBYTES), LITTLE), LITTLE)
  for (const doublings of [1, 3]) {
    const kilobytes = LEAST_KILOBYTES * 2 ** doublings
    const allowed = least * MOST_GROWTH ** doublings
    const time = leastTime(parse, textOf(shape, kilobytes), allowed)
    if (time > allowed && (doublings > 1 || time > LONG)) {
      return `${JSON.stringify(Object.values(shape))}: ${kilobytes} kB take ${time} ms, and ${allowed} ms are allowed`
    }
  }
  return undefined
}

/** The same, each time: what was due to the machine does not come again. */
function excess (parse: Parser, shape: Shape): string | undefined {
  let found = excessNow(parse, shape)
  for (let rounds = 1; found !== undefined && rounds < 3; rounds++) found = excessNow(parse, shape)
  return found
}

/** The same of the worst shapes, the first of them that does. */
function firstExcess (parse: Parser): string | undefined {
  const worst = SHAPES.map(shape => ({ shape, time: timeOf(parse, textOf(shape, LEAST_KILOBYTES)) }))
    .sort((a, b) => b.time - a.time)
    .slice(0, WORST)
  for (const { shape } of worst) {
    const found = excess(parse, shape)
    if (found !== undefined) return found
  }
  return undefined
}

for (const [name, parse] of Object.entries(PARSERS)) {
  t.test(`${name} takes no more than the length of what is sent demands`, async t => {
    t.equal(firstExcess(parse), undefined)
  })
}

t.test('a pattern that begins anew at each space is found out, even if it is given no more than a quarter of the text', async t => {
  t.type(firstExcess(text => `${text.slice(0, text.length / 4)}b`.replace(/ +$/, '')), 'string')
})

t.test('each function that knows HTTP is among those that are tried, or is given no texts of others', async t => {
  const folder = new URL('../../lib/http/', import.meta.url)
  const known = new Set([...Object.keys(PARSERS), ...NOT_OF_TEXTS])
  for (const file of await readdir(folder)) {
    const module = await import(new URL(file, folder).href) as Record<string, unknown>
    for (const [name, value] of Object.entries(module)) {
      if (typeof value === 'function') t.ok(known.has(name), `${name} of ${file}`)
    }
  }
})
