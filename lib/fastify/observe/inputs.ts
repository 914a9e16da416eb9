/**
 * What a request says, as comparing is told: what its key is made of, what the key leaves out, and who seems to be asking.
 *
 * Invariant: bounded, whatever a client sends. Long values are told as salted digests. Two requests count as one client's only if all that
 * could tell their clients apart is the same, and what they ask for besides the key, and if something was said that is a client's own: so a
 * response that depends on anything that they say never differs for one client.
 */
import { createHash, randomBytes } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { ANALYTICS_COOKIES } from '../../http/analytics-cookies.js'
import { cookiePairs } from '../../http/cookies.js'
import { plainName } from '../../http/dimensions.js'
import { partsOf as partsOfKey } from '../../http/explained-key.js'
import { isForwardingHeader, isOfOneRequest } from '../../http/infrastructure-headers.js'
import { headerOf } from '../../http/key.js'
import { namedBy } from '../../http/name-patterns.js'
import { keyCovers } from '../../http/policy.js'
import { isOfQuery, parameter } from '../../http/query.js'
import { CLIENT_ADDRESS } from '../../http/reads.js'
import type { Inputs } from '../../observe/sighting.js'
import type { RouteSettings } from '../../options/route-options.js'
import type { Varying } from '../../variant.js'
import { parametersOf } from '../dependencies/narrowing.js'

/** The most names of one request, and the most characters of one. */
const MOST_NAMES = 64
const MOST_CHARACTERS = 64
/** Longer cookies may be a session's. */
const SHORTEST_SESSION = 16

/** Says what a request is, and nothing of what is asked for. */
const OF_THE_MESSAGE: ReadonlySet<string> = new Set([
  'cookie', 'host', ':authority', ':method', ':path', ':scheme', 'connection', 'content-length', 'transfer-encoding', 'te', 'trailer', 'upgrade'
])

const SALT = randomBytes(16)
const isAnalytics = namedBy(ANALYTICS_COOKIES)

/** A request whose response is compared. */
export interface Compared extends Varying {
  readonly request: FastifyRequest
  readonly route: { readonly settings: RouteSettings }
  /** Without its variant. */
  readonly key: string
}

class Collected {
  readonly inputs = new Map<string, string>()

  /** Of a name that comes more than once, and of those that are too many, the values stand together. */
  add (name: string, value: string): void {
    const short = name.slice(0, MOST_CHARACTERS)
    const known = this.inputs.size < MOST_NAMES - 1 || this.inputs.has(short) ? short : '…'
    const before = this.inputs.get(known)
    this.inputs.set(known, shortened(before === undefined ? value : `${before}\0${value}`))
  }
}

function shortened (value: string): string {
  return value.length <= MOST_CHARACTERS ? value : digest([value])
}

function digest (texts: readonly string[]): string {
  const hash = createHash('sha256').update(SALT)
  for (const text of texts) hash.update(`${text.length} `).update(text)
  return hash.digest('base64url').slice(0, 22)
}

/** @param names what is known to tell variants of the key apart */
export function partsOf (compared: Compared, names: readonly string[]): Inputs {
  const { key, request, route: { settings } } = compared
  const collected = new Collected()
  for (const [name, value] of Object.entries(request.params as Record<string, unknown> ?? {})) collected.add(`param ${name}`, String(value))
  for (const { part, name, value } of partsOfKey(key, settings)) {
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    if (part === 'header' || part === 'cookie') collected.add(`${part} ${String(name)}`, text)
    else if (part === 'key' || part === 'identity' || part === 'body' || part === 'hooks' || part === 'original-url') collected.add(part, text)
  }
  if (settings.key === undefined) {
    for (const [name, value, isCovered] of parametersOf(request, settings)) if (isCovered) collected.add(parameter(name), value)
  }
  for (const name of names) collected.add(inputOf(name), String(compared.value(name)))
  return collected.inputs
}

/** What a variant's name is called among inputs. */
function inputOf (name: string): string {
  return name === CLIENT_ADDRESS ? 'address' : isOfQuery(name) ? name : `header ${plainName(name)}`
}

/** @param names what is known to tell variants of the key apart: it is no more outside */
export function outsideOf (compared: Compared, names: readonly string[]): Inputs {
  const { request, route: { settings } } = compared
  const { headers } = request
  const collected = new Collected()
  if (!names.includes(CLIENT_ADDRESS)) collected.add('address', String(compared.value(CLIENT_ADDRESS)))
  for (const [name, value] of cookiesOf(request)) {
    // Those that the route ignores tell no variants apart, whatever reads them.
    const isOutside = !names.includes('cookie') || settings.cookies.ignores?.(name) === true
    if (isOutside && !settings.cookies.key.includes(name)) collected.add(`cookie ${name}`, value)
  }
  for (const [name, value, isCovered] of parametersOf(request, settings)) {
    if (!isCovered || settings.key !== undefined) collected.add(parameter(name), value)
  }
  const known = new Set(names.map(plainName))
  for (const name of Object.keys(headers)) {
    if (OF_THE_MESSAGE.has(name) || known.has(name) || keyCovers(name, request, settings)) continue
    collected.add(`header ${name}`, String(headerOf(headers, name)))
  }
  return collected.inputs
}

/**
 * A salted hash of who seems to be asking; undefined if nothing says that.
 *
 * An identity may be of a group, a credential of a service, and a cookie of an experiment, so none of them is enough: of those who share it, users
 * are told apart by what else the app reads. So each other cookie and header counts, however short, and the address. Left out is what one client
 * changes from request to request. Of an address that was forwarded the client's own part counts: the rest is the way that it came.
 */
export function clientOf (compared: Compared): string | undefined {
  const { request, route: { settings } } = compared
  const { headers } = request
  let isKnown = settings.identity !== undefined
  const said: string[] = []
  for (const [name, value] of cookiesOf(request)) {
    if (isAnalytics(name)) continue
    isKnown ||= value.length >= SHORTEST_SESSION
    said.push(`cookie ${name}`, value)
  }
  for (const name of Object.keys(headers)) {
    if (name === 'cookie' || isOfOneRequest(name)) continue
    isKnown ||= settings.credentials.includes(name)
    const value = String(headerOf(headers, name))
    said.push(name, isForwardingHeader(name) ? value.split(',', 1)[0] as string : value)
  }
  if (!isKnown) return undefined
  if (settings.identity !== undefined) {
    const identity = partsOfKey(compared.key, settings).find(({ part }) => part === 'identity')
    said.push('identity', JSON.stringify(identity?.value))
  }
  // One client that asks for something else, which the key does not tell apart, shows no noise.
  const asked = settings.key === undefined
    ? parametersOf(request, settings).filter(([, , isCovered]) => !isCovered).flat().map(String)
    : [request.url]
  return digest([String(compared.value(CLIENT_ADDRESS)), String(said.length), ...said, ...asked])
}

function cookiesOf ({ headers }: FastifyRequest): ReturnType<typeof cookiePairs> {
  return cookiePairs(headerOf(headers, 'cookie') ?? '')
}
