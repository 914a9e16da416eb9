/**
 * Narrows a request's query to the pairs that its key covers, for routes whose `query` option leaves some pairs out.
 *
 * Invariant: from the moment the key is made until the handler has answered, the request has only the covered pairs. Hooks before and
 * after that see the whole query. The handler's query is parsed from the covered pairs only. Validation sees all pairs: if a covered
 * value depends on a pair that is left out, that value becomes part of the key.
 */
import { isDeepStrictEqual } from 'node:util'
import { parse } from 'fast-querystring'
import type { FastifyRequest } from 'fastify'
import { endQueryWatch, queryWatchOf } from './hook-reads.js'
import { changeUrl, originalUrlOf, replacedUrl } from './replaced-by-hooks.js'
import { atOnce } from '../../http/at-once.js'
import { isPlainObject, textOf } from '../../http/body-digest.js'
import { incomparable } from '../../http/incomparable.js'
import { ignoresQuery, namesOf, narrowQuery, normalizeQuery, parameter, queryStart, REST, type Covers, type Parser } from '../../http/query.js'
import { forgetOriginalUrl, routerOptions } from '../internals.js'
import type { RouteSettings } from '../../options/route-options.js'
import { isAnswer } from './query-watch.js'

type Settings = Pick<RouteSettings, 'query' | 'router' | 'learnVary'>
type Query = Readonly<Record<string, unknown>>

interface Seen {
  /** The query that the handler sees. */
  readonly query: unknown
  /** The values in it that depend on pairs that are left out, as text for the key; undefined if there are none. */
  readonly told: string | undefined
}

const kNarrowing = Symbol('fastify-coalesce.narrowing')

interface Narrowed {
  [kNarrowing]?: Narrowing
}

/** A text for a value. A value that cannot be written as text gets a new text each time, so that no two requests share it. */
function textOrUnknown (value: unknown): string {
  return textOf(value) ?? incomparable()
}

function parserOf (request: FastifyRequest, { router }: Settings): Parser {
  const { querystringParser } = routerOptions(request.server)
  return router.parsesItself ? { parse: querystringParser as Parser['parse'], isOwn: true } : PLAIN
}

const PLAIN: Parser = Object.freeze({ parse, isOwn: false })

/** The query of a URL. */
function queryIn (url: string, { router }: Settings): string {
  return url.slice(queryStart(url, router.semicolonDelimits) + 1)
}

/** The raw query from which Fastify made `request.query`. */
function sentQuery (request: FastifyRequest, settings: Settings): string {
  return (request as unknown as Narrowed)[kNarrowing]?.sent ?? queryIn(replacedUrl(request) ?? request.url, settings)
}

class Narrowing {
  /** The raw query, as the router saw it. */
  readonly sent: string
  readonly #target: string
  readonly #request: FastifyRequest
  readonly #settings: Settings
  readonly #covers: Covers
  readonly #parser: Parser
  #widen: (() => void) | undefined

  constructor (request: FastifyRequest, settings: Settings, covers: Covers) {
    this.#request = request
    this.#settings = settings
    this.#covers = covers
    this.#parser = parserOf(request, settings)
    this.sent = sentQuery(request, settings)
    this.#target = originalUrlOf(request)
  }

  /** Removes the pairs that are not covered from the request. Returns text that the key needs besides the URL, or undefined. */
  narrow (): string | undefined {
    if (this.#widen !== undefined) return undefined
    const request = this.#request
    const raw = request.raw as { originalUrl?: string }
    queryWatchOf(request)?.stop()
    const { query, told } = this.#seen()
    const { originalUrl } = raw
    const whole = Object.getOwnPropertyDescriptor(request, 'query') as PropertyDescriptor
    const putBack = changeUrl(request, url => this.#narrowed(url, this.#covers))
    if (originalUrl !== undefined) raw.originalUrl = this.#narrowed(originalUrl, this.#covers)
    forgetOriginalUrl(request)
    Object.defineProperty(request, 'query', { value: query, configurable: true, enumerable: true, writable: true })
    this.#widen = () => {
      putBack()
      if (originalUrl !== undefined) raw.originalUrl = originalUrl
      forgetOriginalUrl(request)
      Object.defineProperty(request, 'query', whole)
    }
    return told
  }

  /** Restores the whole query. */
  widen (): void {
    this.#widen?.()
    this.#widen = undefined
  }

  /** The request target with the covered pairs, and with the pairs that the variant depends on. */
  targetFor (variant: readonly string[]): string {
    const isOf: Covers = variant.includes(REST) ? this.#counts : names => names.some(name => variant.includes(parameter(name)))
    return this.#narrowed(this.#target, names => this.#covers(names) || isOf(names))
  }

  /** The pairs that are not covered and that `learnVary.ignore` does not name, as text; null if there are none. */
  get rest (): string | null {
    const { sent } = this
    const rest = narrowQuery(sent, names => !this.#covers(names) && this.#counts(names), this.#parser)
    if (rest === '') return null
    // The app's own parser may depend on the order of all pairs, so the covered ones are included.
    return this.#parser.isOwn ? narrowQuery(sent, names => this.#covers(names) || this.#counts(names), this.#parser) : normalizeQuery(rest)
  }

  readonly #counts: Covers = names => {
    const { learnVary } = this.#settings
    return learnVary === false || !names.some(name => ignoresQuery(learnVary.ignore, parameter(name)))
  }

  #narrowed (url: string, covers: Covers): string {
    const start = queryStart(url, this.#settings.router.semicolonDelimits)
    const query = narrowQuery(url.slice(start + 1), covers, this.#parser)
    return query === '' ? url.slice(0, start) : `${url.slice(0, start)}?${query}`
  }

  #seen (): Seen {
    const request = this.#request
    const { sent } = this
    const parser = this.#parser
    const watch = queryWatchOf(request)
    const current: unknown = watch === undefined ? request.query : watch.query
    if (sent.split('&').every(pair => pair === '' || this.#covers(namesOf(pair, parser)))) return { query: current, told: undefined }
    const narrowed = narrowQuery(sent, this.#covers, parser)
    const alone = parser.parse(narrowed)
    const validate = request.getValidationFunction('querystring') as Validate | undefined
    if (watch === undefined && validate === undefined) return { query: alone, told: undefined }
    const whole = parser.parse(sent)
    const valid = validated(parser.parse(narrowed), validate) ?? alone
    if (!isPlainObject(current) || !isPlainObject(alone) || !isPlainObject(whole) || !isPlainObject(valid)) {
      return { query: valid, told: undefined }
    }
    return merge({ whole, alone, valid, current, written: watch?.written ?? NOTHING })
  }
}

const NOTHING: ReadonlySet<string> = Object.freeze(new Set<string>())

type Validate = (query: unknown) => unknown

/** The result of validating a query; undefined if validation fails or is asynchronous. */
function validated (query: unknown, validate: Validate | undefined): unknown {
  if (validate === undefined) return query
  try {
    const answer = atOnce(validate(query))
    if (isAnswer(answer)) return answer.value
    // A promise, or an error.
    return answer === false || (typeof answer === 'object' && answer !== null) ? undefined : query
  } catch {
    return undefined
  }
}

interface Parts {
  /** All pairs, parsed. */
  readonly whole: Query
  /** The covered pairs, parsed. */
  readonly alone: Query
  /** The covered pairs after validation. */
  readonly valid: Query
  /** All pairs after hooks and validation: the current `request.query`. */
  readonly current: Query
  /** The names that hooks have written. */
  readonly written: ReadonlySet<string>
}

/**
 * Builds the query for the handler. Values that hooks wrote, and covered values, are taken from the current query. All others are
 * taken from the validated covered pairs: they are the defaults that validation adds.
 */
function merge ({ whole, alone, valid, current, written }: Parts): Seen {
  const seen: Array<[name: string, value: unknown]> = []
  let isTold = false
  for (const name of new Set([...Object.keys(valid), ...Object.keys(current)])) {
    const from = written.has(name) || isDeepStrictEqual(whole[name], alone[name]) ? current : valid
    if (Object.hasOwn(from, name)) seen.push([name, from[name]])
    isTold ||= !written.has(name) && !isDeepStrictEqual(from[name], valid[name])
  }
  const query = Object.setPrototypeOf(Object.fromEntries(seen), Object.getPrototypeOf(valid) as object | null) as Query
  return { query, told: isTold ? textOrUnknown(Object.fromEntries(seen.filter(([name]) => !written.has(name)))) : undefined }
}

/** Narrows a request's query to what the key covers. Returns text that the key needs besides the URL, or undefined. */
export function narrow (request: FastifyRequest, settings: Settings): string | undefined {
  if (typeof settings.query !== 'object') return undefined
  const narrowing = (request as unknown as Narrowed)[kNarrowing] ??= new Narrowing(request, settings, settings.query.covers)
  return narrowing.narrow()
}

/** Restores a request's whole query. */
export function widen (request: FastifyRequest): void {
  (request as unknown as Narrowed)[kNarrowing]?.widen()
}

/** Has a request go on with its whole query, which nobody watches any more. */
export function showWhole (request: FastifyRequest): void {
  widen(request)
  endQueryWatch(request)
}

/** The parameters of the query as it was sent, with their raw values, and whether the key covers them. */
export function parametersOf (
  request: FastifyRequest, settings: Settings
): Array<readonly [name: string, value: string, isCovered: boolean]> {
  const parser = parserOf(request, settings)
  const covers: Covers = typeof settings.query === 'object' ? settings.query.covers : () => true
  return sentQuery(request, settings).split('&').filter(pair => pair !== '').map(pair => {
    const own = namesOf(pair, parser)
    const end = pair.indexOf('=')
    return [own[0] as string, end < 0 ? '' : pair.slice(end + 1), covers(own)]
  })
}

/** Asks, with the whole query, what is no part of the key. `ask` must not throw. */
export function asSent<T> (request: FastifyRequest, settings: Settings, ask: () => T): T {
  widen(request)
  const answer = ask()
  narrow(request, settings)
  return answer
}

/** The names of the parameters that the key leaves out. */
export function uncoveredParameters (request: FastifyRequest, settings: Settings): string[] {
  if (typeof settings.query !== 'object') return []
  const { covers } = settings.query
  const parser = parserOf(request, settings)
  const names = sentQuery(request, settings).split('&').filter(pair => pair !== '').map(pair => namesOf(pair, parser))
  return [...new Set(names.filter(own => !covers(own)).map(([name]) => name as string))]
}

/** The request target for another request with the same key and the same variant, such as a refresh. */
export function targetFor (request: FastifyRequest, variant: readonly string[]): string {
  return (request as unknown as Narrowed)[kNarrowing]?.targetFor(variant) ?? originalUrlOf(request)
}

/** A request's value for a dependency on its query, such as `?page`, or `?` for all that is not covered; null if it has none. */
export function queryValue (request: FastifyRequest, name: string, settings: Settings): string | null {
  if (name === REST) return (request as unknown as Narrowed)[kNarrowing]?.rest ?? null
  const { parse } = parserOf(request, settings)
  const parsed = parse(sentQuery(request, settings))
  const key = name.slice(REST.length)
  return typeof parsed === 'object' && parsed !== null && Object.hasOwn(parsed, key) ? textOrUnknown((parsed as Query)[key]) : null
}
