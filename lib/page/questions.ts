/**
 * What is posted to the live page in; what to do out.
 *
 * Invariant: as for options: anything unknown or wrong throws `FST_COALESCE_INVALID_OPTION` with its name. Nothing is repaired.
 */
import { METHODS } from 'node:http'
import type { InjectOptions } from 'fastify'
import type { RouteSelector } from '../../types/index.js'
import { below, boolean, fail, isHeaderName, isName, isObject, names, oneOf, optional, read, type Parser } from '../options/parsers.js'
import type { PageAction, PageQuestion } from './state.js'
import { isForwarding } from './visitors.js'

type Purging = Extract<PageAction, { readonly action: 'purge' }>['purge']

/** What a form may send, in characters: it is for people. */
const MOST = 8_192
const LOCAL_URL = /^\/[\x21-\x7e]*$/

const text: Parser<string> = (value, name) => isName(value) && value.length <= MOST
  ? value
  : fail(name, `a non-empty string of at most ${MOST} characters`, value)

const httpMethod: Parser<string> = (value, name) => typeof value === 'string' && METHODS.includes(value.toUpperCase())
  ? value.toUpperCase()
  : fail(name, 'an HTTP method', value)

const selector: Parser<Required<RouteSelector>> = (value, name) => {
  if (!isObject(value)) return fail(name, '{ url, method }', value)
  return read<Required<RouteSelector>>({ url: text, method: text }, value, {}, name)
}

const purging: Parser<Purging> = (value, name) => {
  if (!isObject(value)) return fail(name, '{ tags, route, url, soft }', value)
  return read<Purging>({ tags: optional(names), route: optional(text), url: optional(text), soft: optional(boolean) }, value, {}, name)
}

/** @throws FST_COALESCE_INVALID_OPTION */
export function readAction (given: unknown): PageAction {
  if (!isObject(given)) return fail('action', 'an object as JSON', given)
  const action = oneOf('disable', 'enable', 'purge', 'open', 'close')(given.action, 'action.action')
  const own: Parser<typeof action> = () => action
  if (action === 'purge') return read<Extract<PageAction, { action: typeof action }>>({ action: own as Parser<'purge'>, purge: purging }, given, {}, 'action')
  if (action === 'open' || action === 'close') {
    return read({ action: own as Parser<'open' | 'close'>, breaker: text }, given, {}, 'action')
  }
  return read({ action: own as Parser<'disable' | 'enable'>, route: optional(selector) }, given, {}, 'action')
}

const headers: Parser<Record<string, string>> = (value, name) => {
  if (!isObject(value)) return fail(name, 'an object of header names and values', value)
  for (const [header, own] of Object.entries(value)) {
    if (!isHeaderName(header)) fail(name, 'an object of header names and values', header)
    if (typeof own !== 'string' || /[^\t\x20-\x7e]/.test(own)) fail(below(name, header), 'a string without line breaks', own)
  }
  return value as Record<string, string>
}

/** The headers of who may not ask as if for others: hooks run, and may count for clients, or let some in. */
const ownHeaders: Parser<Record<string, string>> = (value, name) => {
  const read = headers(value, name)
  const foreign = Object.keys(read).find(header => isForwarding(header.toLowerCase()))
  return foreign === undefined
    ? read
    : fail(name, 'an object of header names and values, without those by which proxies say for whom they ask unless dashboard.actions is true', foreign)
}

export interface Asker {
  /** By which the page was asked for: keys have it, and whoever asks means requests like those that come in. */
  readonly host: string
  /** As the app sees it. */
  readonly address: string
  /** Whether the question may be one of another client. */
  readonly mayForward: boolean
}

/** @throws FST_COALESCE_INVALID_OPTION */
export function readQuestion (given: unknown, { host, address, mayForward }: Asker): InjectOptions {
  if (!isObject(given)) return fail('question', 'an object as JSON', given)
  const asked = read<Required<PageQuestion>>({
    method: httpMethod,
    url: (value, name) => typeof value === 'string' && value.length <= MOST && LOCAL_URL.test(value)
      ? value
      : fail(name, `a path such as '/search?q=a', of at most ${MOST} characters`, value),
    headers: mayForward ? headers : ownHeaders,
    body: (value, name) => typeof value === 'string' ? value : fail(name, 'a string', value)
  }, given, { method: 'GET', headers: {}, body: '' }, 'question')
  const { body, url } = asked
  const method = asked.method as NonNullable<InjectOptions['method']>
  // Written in whatever case, the last one counts.
  return { remoteAddress: address, method, url, headers: { host, ...asked.headers }, ...body === '' ? {} : { payload: body } }
}
