/**
 * What handlers see of a query that the key covers a part of.
 *
 * Invariant: from the moment when a key is made of a request until its handler has answered, the request has no more of its query
 * than what the key covers, and hooks before and after that have all of it. What a handler sees is made of the covered pairs
 * alone; where validation, which sees all, makes something else of it, the key has that as well.
 */
import { isDeepStrictEqual } from 'node:util'
import { parse } from 'fast-querystring'
import type { FastifyRequest } from 'fastify'
import { queryWatchOf } from './hook-reads.js'
import { changeUrl, originalUrlOf, replacedUrl } from './replaced-by-hooks.js'
import { atOnce } from '../../http/at-once.js'
import { isPlainObject, textOf } from '../../http/body-digest.js'
import { ignoresQuery, namesOf, narrowQuery, normalizeQuery, parameter, queryStart, REST, type Covers, type Parser } from '../../http/query.js'
import { forgetOriginalUrl, routerOptions } from '../internals.js'
import type { RouteSettings } from '../../options/route-options.js'
import { isAnswer } from './query-watch.js'

type Settings = Pick<RouteSettings, 'query' | 'router' | 'learnVary'>
type Query = Readonly<Record<string, unknown>>

/** What a handler sees, and what of that the covered pairs alone do not tell, as text. */
interface Seen {
  readonly query: unknown
  readonly told: string | undefined
}

const kNarrowing = Symbol('fastify-coalesce.narrowing')

interface Narrowed {
  [kNarrowing]?: Narrowing
}

/** How many values there have been that nothing can be compared with. */
let unknown = 0

/** For a value of which there is no telling what it is: none like it comes again. */
function textOrUnknown (value: unknown): string {
  return textOf(value) ?? `(${++unknown})`
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

/** The query that Fastify made `request.query` of. */
function sentQuery (request: FastifyRequest, settings: Settings): string {
  return (request as unknown as Narrowed)[kNarrowing]?.sent ?? queryIn(replacedUrl(request) ?? request.url, settings)
}

class Narrowing {
  /** The query as it was sent, where the router had it from. */
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

  /** Takes from the request what is not covered. Returns what the key must have besides its URL, as text. */
  narrow (): string | undefined {
    if (this.#widen !== undefined) return undefined
    const request = this.#request
    const raw = request.raw as { originalUrl?: string }
    queryWatchOf(request)?.stop()
    const { query, told } = this.#look()
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

  /** Gives it back. */
  widen (): void {
    this.#widen?.()
    this.#widen = undefined
  }

  /** The target with what is covered, and what a variant is told apart by. */
  targetFor (variant: readonly string[]): string {
    const isOf: Covers = variant.includes(REST) ? this.#counts : names => names.some(name => variant.includes(parameter(name)))
    return this.#narrowed(this.#target, names => this.#covers(names) || isOf(names))
  }

  /** What is not covered, and counts. */
  get rest (): string | null {
    const { sent } = this
    const rest = narrowQuery(sent, names => !this.#covers(names) && this.#counts(names), this.#parser)
    if (rest === '') return null
    // What order means to a parser of the app's own is not known.
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

  #look (): Seen {
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

/** What a validation makes of the covered pairs alone; undefined if it does not let them pass, or not at once. */
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
  /** As parsed, of all pairs and of the covered ones. */
  readonly whole: Query
  readonly alone: Query
  /** What validation makes of the covered ones. */
  readonly valid: Query
  /** What hooks and validation have made of all. */
  readonly current: Query
  /** What hooks have put there. */
  readonly written: ReadonlySet<string>
}

/** What hooks have put there, and what is covered as it is now. Of anything else what validation puts there if nothing was sent. */
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

/** Leaves of a request's query only what the key covers. Returns what the key must have besides, as text. */
export function narrow (request: FastifyRequest, settings: Settings): string | undefined {
  if (typeof settings.query !== 'object') return undefined
  const narrowing = (request as unknown as Narrowed)[kNarrowing] ??= new Narrowing(request, settings, settings.query.covers)
  return narrowing.narrow()
}

/** Gives a request back what was taken from it. */
export function widen (request: FastifyRequest): void {
  (request as unknown as Narrowed)[kNarrowing]?.widen()
}

/** The target for a request with the key of this one, and of its variant. */
export function targetFor (request: FastifyRequest, variant: readonly string[]): string {
  return (request as unknown as Narrowed)[kNarrowing]?.targetFor(variant) ?? originalUrlOf(request)
}

/** What a request says of its query under a name among those of headers; null if nothing. */
export function queryValue (request: FastifyRequest, name: string, settings: Settings): string | null {
  if (name === REST) return (request as unknown as Narrowed)[kNarrowing]?.rest ?? null
  const { parse } = parserOf(request, settings)
  const parsed = parse(sentQuery(request, settings))
  const key = name.slice(REST.length)
  return typeof parsed === 'object' && parsed !== null && Object.hasOwn(parsed, key) ? textOrUnknown((parsed as Query)[key]) : null
}
