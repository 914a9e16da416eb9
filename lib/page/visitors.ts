/**
 * Who may ask for the live page, besides what its guard says.
 *
 * Invariant: pure. Nothing that a client says of where it comes from makes it local; anything that says it may come from elsewhere makes it
 * not local. What changes something, and what tells something, is for pages of the same origin only.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { isForwardingHeader } from '../http/infrastructure-headers.js'
import type { DashboardSettings } from '../options/dashboard-options.js'
import { PAGE_HEADER } from './state.js'

/** A request, as far as this goes. */
export interface Visit {
  /** Of the socket. */
  readonly address: string | undefined
  readonly version: string
  readonly headers: IncomingHttpHeaders
}

/** What is asked for: a document, which has no secret, may be linked to by other sites; only what is posted changes anything, or costs anything. */
export type Wanted = 'document' | 'data' | 'deed'

const LOOPBACK_ADDRESS = /^(?:(?:::ffff:)?127\.\d{1,3}\.\d{1,3}\.\d{1,3}|::1)$/
const LOOPBACK_NAME = /^(?:localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])$/
/** Of a name that ends like this a browser asks no DNS. */
const ADDRESS_NAME = /^(?:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[[\da-f:.]+\])$/
const ORIGIN = /^https?:\/\/([^/]+)$/
const JSON_TYPE = /^application\/json[ \t]*(?:;|$)/i
/** Others that proxies add, by what their names have in common. */
const MAY_FORWARD = /forwarded|^x-(?:original|envoy|proxyuser|host)|^cf-|^cdn-loop$|proxy-client-ip|^max-forwards$/

/** Whether a header, in lower case, says that somebody asks for somebody else. */
export function isForwarding (name: string): boolean {
  return isForwardingHeader(name) || MAY_FORWARD.test(name)
}

/** Why a request is refused; undefined if it is not. */
export function refusalOf (visit: Visit, wanted: Wanted, settings: Pick<DashboardSettings, 'public' | 'hosts'>): string | undefined {
  if (settings.public && !isLocal(visit)) {
    return 'the live page is public to clients on this machine only, and to none behind a proxy; to let in others, guard it by a hook in dashboard.routeOptions'
  }
  if (!namesOf(visit.headers).every(name => mayBeNamed(name, visit.headers, settings))) {
    return 'the live page may not be asked for by this name; dashboard.hosts lists those by which it may'
  }
  if (wanted !== 'document' && !isOwn(visit.headers, settings)) {
    return 'the live page answers pages of its own origin only; behind a proxy that gives it another name, dashboard.hosts lists both names'
  }
  if (wanted === 'deed' && (visit.headers[PAGE_HEADER] === undefined || !JSON_TYPE.test(visit.headers['content-type'] ?? ''))) {
    return `what is posted to the live page has content-type: application/json and the header ${PAGE_HEADER}`
  }
  return undefined
}

function isLocal ({ address, headers, version }: Visit): boolean {
  if (address === undefined || !LOOPBACK_ADDRESS.test(address)) return false
  // Browsers do not, and proxies that add no header do.
  if (version === '1.0') return false
  return !Object.keys(headers).some(isForwarding)
}

/** By what a request names the server: an empty name if it does not. */
function namesOf (headers: IncomingHttpHeaders): string[] {
  const names = [headers.host, headers[':authority']].flatMap(name => name ?? [])
  return names.length === 0 ? [''] : names.map(name => name.toLowerCase())
}

function mayBeNamed (name: string, headers: IncomingHttpHeaders, { hosts, public: isPublic }: Pick<DashboardSettings, 'public' | 'hosts'>): boolean {
  if (isListed(name, hosts)) return true
  const host = withoutPort(name)
  if (isPublic) return LOOPBACK_NAME.test(host)
  if (hosts !== undefined) return false
  // Over HTTPS, and there only, browsers say where a request comes from. Another site's name can be made to lead here, but has no certificate here.
  return headers['sec-fetch-site'] !== undefined || LOOPBACK_NAME.test(host) || ADDRESS_NAME.test(host)
}

function isListed (name: string, hosts: DashboardSettings['hosts'] = []): boolean {
  return hosts.includes(name) || hosts.includes(withoutPort(name))
}

function withoutPort (name: string): string {
  return name.replace(/:\d*$/, '')
}

/** Whether no page of another origin asks, as far as browsers say. */
function isOwn (headers: IncomingHttpHeaders, { hosts, public: isPublic }: Pick<DashboardSettings, 'public' | 'hosts'>): boolean {
  const { origin, 'sec-fetch-site': site } = headers
  // Pages cannot set it.
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return false
  if (origin === undefined) return true
  const host = ORIGIN.exec(origin.toLowerCase())?.[1]
  if (host !== undefined && (namesOf(headers).includes(host) || isListed(host, hosts))) return true
  // A proxy may have given it another name. Where nobody guards, there is to be none.
  return site === 'same-origin' && !isPublic
}
