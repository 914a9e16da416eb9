/**
 * What hooks have taken away from a request, or replaced, after they had read it: its headers and its URL.
 *
 * Invariant: the original values are in the key, since the handler may answer with what a hook made of them. A credential that a hook
 * has removed counts as there.
 */
import type { FastifyRequest } from 'fastify'
import { besidesAddresses, FORWARDED } from '../../http/forwarded.js'
import type { RouteSettings } from '../../options/route-options.js'
import { hooksOf } from './hook-reads.js'

type Settings = Pick<RouteSettings, 'credentials' | 'key' | 'learnVary'>

/** The original URL, from which Fastify made params and query, if a hook has replaced it. */
export function replacedUrl (request: FastifyRequest): string | undefined {
  const reads = hooksOf(request)
  return reads === undefined || reads.url === request.url ? undefined : reads.url
}

/** The request target as the client sent it, before a router rewrite or a hook changed it. */
export function originalUrlOf (request: FastifyRequest): string {
  return (request.raw as { originalUrl?: string }).originalUrl ?? replacedUrl(request) ?? request.url
}

/** What the key must contain besides what is left of a request. */
export interface ReplacedByHooks {
  readonly credential: string | undefined
  readonly text: string | undefined
}

const NO_HEADERS: ReadonlyArray<readonly [name: string, value: unknown]> = Object.freeze([])
const NOTHING: ReplacedByHooks = Object.freeze({ credential: undefined, text: undefined })

/** The original values of headers that hooks have read and then removed or replaced, without credentials. */
export function replacedHeaders (
  request: FastifyRequest, { credentials, learnVary }: Omit<Settings, 'key'>
): typeof NO_HEADERS {
  const originals = hooksOf(request)?.originals
  if (originals === undefined || learnVary === false) return NO_HEADERS
  return [...originals].filter(([name, value]) =>
    request.headers[name] !== value && !credentials.includes(name) && !learnVary.ignore.includes(name))
}

/** What hooks have taken away from a request or replaced. */
export function replacedByHooks (request: FastifyRequest, settings: Settings): ReplacedByHooks {
  const reads = hooksOf(request)
  if (reads === undefined) return NOTHING
  const credential = settings.credentials.find(name => {
    const value = reads.originals?.get(name)
    return value !== undefined && request.headers[name] !== value
  })
  const url = settings.key === undefined ? replacedUrl(request) : undefined
  // No hook uses what Forwarded says of addresses.
  const others = replacedHeaders(request, settings)
    .map(([name, value]) => name === 'forwarded' ? [FORWARDED, besidesAddresses(value as string | undefined ?? null)] : [name, value])
    .filter(([name, value]) => name !== FORWARDED || value !== null)
  if (credential === undefined && url === undefined && others.length === 0) return NOTHING
  return { credential, text: url === undefined && others.length === 0 ? undefined : JSON.stringify([url ?? null, others]) }
}

/** Changes a request's URL in a way that does not count as a hook's change. Returns a function that restores the URL. */
export function changeUrl (request: FastifyRequest, change: (url: string) => string): () => void {
  const { raw, url } = request
  const reads = hooksOf(request)
  const found = reads?.url
  if (reads !== undefined && found !== undefined) reads.url = change(found)
  raw.url = change(url)
  return () => {
    if (reads !== undefined) reads.url = found
    raw.url = url
  }
}
