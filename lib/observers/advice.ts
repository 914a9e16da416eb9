/**
 * Advice: what a route says of which nothing was shared, why, and which option changes that at what price.
 *
 * Invariant: pure. Names of headers and cookies only, a few of them, shortened and escaped; never values.
 */
import { ANALYTICS_COOKIES } from '../http/analytics-cookies.js'
import { namedBy } from '../http/name-patterns.js'
import type { Detail, Reason } from '../reasons.js'
import { NOTHING_SHARED, type NothingShared } from '../warnings.js'

const KNOWN: ReadonlySet<string> = new Set(NOTHING_SHARED)

/** The most names in a warning, and the most characters of each. */
export const MOST_NAMES = 8
const MOST_CHARACTERS = 64

/** The warning for a reason; undefined where there is nothing to advise, or another warning says it. */
export function adviceOf (reason: Reason, detail: Detail | undefined): NothingShared | undefined {
  const what = reason === 'unshareable' ? detail?.cause : reason === 'credentials' || reason === 'split' ? `${reason}-${detail?.cause}` : reason
  const name = `nothing-shared-${what}`
  return KNOWN.has(name) ? name as NothingShared : undefined
}

/** A name that a client may have made up, for a log line. */
export function shown (name: string): string {
  return name.slice(0, MOST_CHARACTERS).replace(/[^\x21-\x7e]|["'\\`]/g, '?')
}

/** As a list of JavaScript. */
export function quoted (names: readonly string[]): string {
  return `[${names.map(name => `'${name}'`).join(', ')}]`
}

const listed = (names: readonly string[]): string => names.length === 0 ? '' : ` (${names.join(', ')})`
const ignored = (names: readonly string[]): string => `learnVary: { ignore: ${quoted(names)} } shares them, if that makes no difference to the response`

/** Whether a cookie is one of the well-known ones that no server makes a page from. */
const isAnalytics = namedBy(ANALYTICS_COOKIES)

/** What the `cookies` option says best of these: those that a page may be made from belong in the key. */
export function sortCookies (names: readonly string[]): Record<'key' | 'ignore', string[]> {
  return { key: names.filter(name => !isAnalytics(name)), ignore: names.filter(isAnalytics) }
}

function cookiesOption (names: readonly string[]): string {
  const { key, ignore } = sortCookies(names)
  if (key.length === 0) return `cookies: { ignore: ${quoted(ignore)} } takes these out of the requests and shares them, if neither the handler nor a hook uses them`
  return ignore.length === 0
    ? `cookies: ${quoted(key)} shares among requests in which these are the same`
    : `cookies: { key: ${quoted(key)}, ignore: ${quoted(ignore)} } shares among requests in which the former are the same, and takes the others out of the ` +
      'requests, if neither the handler nor a hook uses them'
}

/** Why, and what to do. */
const TEXTS: Readonly<Record<NothingShared, (names: readonly string[]) => string>> = {
  'nothing-shared-credentials-authorization': names =>
    `they carry credentials${listed(names)}, and the key does not say whose: identity: request => request.user.id (verified in a hook before) shares among ` +
    'requests of the same user, for the price of one run for each user',
  'nothing-shared-credentials-cookie': names =>
    `they carry cookies${listed(names)}, which may say who is asking: ${cookiesOption(names)}; identity shares among requests of the same user`,
  'nothing-shared-credentials-certificate': () =>
    'they come with TLS certificates of their clients: identity, made of the certificate, shares among requests of the same client',
  'nothing-shared-credentials-other': names =>
    `they carry credentials${listed(names)}: headers: ${quoted(names)} shares among requests with the same one; identity among those of the same user; ` +
    `credentials: { remove: ${quoted(names)} } among all, if it does not say who may see the response`,
  'nothing-shared-split-address': names =>
    `the handler, or a hook before it, reads the address of the client${listed(names)}: ${ignored(['ip', ...names.filter(name => name !== 'ip')])}`,
  'nothing-shared-split-cookie': () =>
    'the handler, or a hook before it, reads cookies that differ: name those that count in cookies, and those that do not in cookies: { ignore }',
  'nothing-shared-split-header': names => `the handler, or a hook before it, reads headers that differ${listed(names)}: ${ignored(names)}`,
  'nothing-shared-split-query': names =>
    `a hook reads a part of the query that the query option leaves out${listed(names)}: ${ignored(names)}`,
  'nothing-shared-no-identity': () =>
    'the identity function of the route answers nothing: if these are requests that nobody signed in for, let it answer a value for them, such as ' +
    "'anonymous', and they share; else it asks too early",
  'nothing-shared-no-key': () => 'the key function of the route answers nothing: a value for these requests shares them',
  'nothing-shared-set-cookie': () =>
    'the response sets a cookie, which is for one client only: find the handler or the plugin that sets it (a session, a CSRF token), and set it on ' +
    'other routes, or only when it changes',
  'nothing-shared-private': () =>
    'the response says Cache-Control: private: if it is the same for all, leave that out, or say public (the cacheControl option, too)',
  'nothing-shared-no-store': () =>
    'the response says Cache-Control: no-store: no-cache or max-age=0 lets those share who ask at the same time, and still nothing is cached',
  'nothing-shared-cache-control-malformed': () => 'the Cache-Control of the response is not well formed: mend it; often a ; stands for a ,',
  'nothing-shared-vary-any': () => 'the response says Vary: *: name the headers that it depends on',
  'nothing-shared-vary-malformed': () => 'the Vary of the response is not a list of header names: mend it',
  'nothing-shared-status': () =>
    'the status of the response is one that is not shared without a word of its own: name it in statuses, if the answer is the same for all',
  'nothing-shared-event-stream': () =>
    'the response is a stream of events for one client: coalesce: false for this route, and it costs nothing',
  'nothing-shared-authorization': () =>
    'the handler forwards requests with Authorization, and the response does not say that others may have it: let the upstream say public or s-maxage',
  'nothing-shared-too-large': () =>
    'the response is too large: maxBodyBytes and maxRecordedBytes raise the limit, for the price of as much memory for each run',
  'nothing-shared-hijacked': () => 'the handler calls reply.hijack(), so that there is no response to share: answer by reply.send, or coalesce: false for this route',
  'nothing-shared-unrecorded': () => 'the handler answers by reply.raw, so that there is no response to share: answer by reply.send, or coalesce: false for this route',
  'nothing-shared-unknown-payload': () =>
    'the payload is of a kind that cannot be recorded: send a string, a Buffer, a Node stream, a web ReadableStream or a Response',
  'nothing-shared-vary': () =>
    'the response depends on a header that differs among those who wait: headers, with its name, has it in the key from the start',
  'nothing-shared-wait-timeout': () => 'runs take longer than waitTimeout: a longer one lets more share, for the price of longer waits'
}

/** The handler or a hook reads all headers: what the route's own warning says. */
export const READS_ALL_HEADERS = 'the handler, or a hook before it, reads all request headers (a log of them does at a level that is on), ' +
  'so the responses are not shared; learnVary: false trusts their own Vary'

/** Why nothing is shared, and what to do. */
export function whyText (advice: NothingShared, names: readonly string[]): string {
  return TEXTS[advice](names)
}

/** What was seen, why, and what to do. */
export function adviceText (advice: NothingShared, count: number, names: readonly string[]): string {
  return `${count} requests of this route came while an identical one was being answered, and none was shared, because ${whyText(advice, names)}`
}

/** The same as a warning. */
export function warningText (advice: NothingShared, count: number, names: readonly string[]): string {
  return `coalesce: ${adviceText(advice, count, names)} (fastify-coalesce/docs/why-is-nothing-shared.md#${advice})`
}
