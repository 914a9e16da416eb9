/**
 * The option `dashboard` in; settings of the live page out.
 *
 * Invariant: as for all options. A page that nothing guards has no settings: it is an error, which says what to write.
 */
import type { RouteShorthandOptions } from 'fastify'
import type { DashboardOptions } from '../../types/index.js'
import { UnguardedPageError } from '../errors.js'
import { below, boolean, fail, isObject, listOf, optional, read, type Parser, type Parsers } from './parsers.js'

export interface DashboardSettings {
  readonly path: string
  readonly routeOptions: RouteShorthandOptions
  readonly public: boolean
  /** In lower case. Undefined: loopback names; with a guard addresses as well, and over HTTPS any. */
  readonly hosts: readonly string[] | undefined
  readonly reveal: ReadonlyArray<NonNullable<DashboardOptions['reveal']>[number]>
  readonly actions: boolean
}

/** What a browser shows of a path is what it asks for: nothing is decoded, and no segment is a parameter. */
const PATH = /^(?:\/[\w.~-]+)+$/
/** As in a `Host` header. */
const HOST = /^(?:\[[\da-f:.]+\]|[\w.-]+)(?::\d{1,5})?$/i
/** Hooks that run before the handler. */
const BEFORE = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const
const REVEALED = ['ids', 'keys', 'values'] as const

const isHost = (value: unknown): value is string => typeof value === 'string' && HOST.test(value)
const isRevealed = (value: unknown): value is typeof REVEALED[number] => REVEALED.some(each => each === value)

const hosts: Parser<readonly string[]> = (value, name) => {
  const wanted = "an array of one or more host names such as 'admin.example.com', with or without a port"
  const given = listOf(wanted, isHost)(value, name)
  return given.length > 0 ? Object.freeze(given.map(each => each.toLowerCase())) : fail(name, wanted, value)
}

const readers: Parsers<DashboardSettings> = {
  path: (value, name) => typeof value === 'string' && PATH.test(value)
    ? value
    : fail(name, "a path such as '/coalesce', without parameters and without a slash at its end", value),
  routeOptions: (value, name) => isObject(value) ? Object.freeze({ ...value }) as RouteShorthandOptions : fail(name, 'route options', value),
  public: boolean,
  hosts: optional(hosts),
  reveal: listOf("an array of 'ids', 'keys' and 'values'", isRevealed),
  actions: boolean
}

const DEFAULTS: DashboardSettings = Object.freeze({
  path: '/coalesce', routeOptions: Object.freeze({}), public: false, hosts: undefined, reveal: Object.freeze([]), actions: false
})

/** @throws FST_COALESCE_UNGUARDED_PAGE if neither a hook of its routes nor `public` is there */
export const dashboard: Parser<DashboardSettings | false> = (value, name) => {
  if (value === false) return false
  if (value !== true && !isObject(value)) return fail(name, 'false or an object', value)
  const settings = read(readers, value === true ? {} : value, DEFAULTS, name)
  const { routeOptions } = settings
  // Whether a hook of the instance guards, or sets headers, cannot be told. Most apps have some that do not guard.
  if (!settings.public && !BEFORE.some(each => isHook(routeOptions[each]))) throw new UnguardedPageError(below(name, 'routeOptions'))
  return settings
}

function isHook (value: unknown): boolean {
  return [value].flat().some(each => typeof each === 'function')
}
