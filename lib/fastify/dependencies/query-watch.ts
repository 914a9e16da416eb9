/**
 * What hooks read of a query, where the key covers only a part of it.
 *
 * Invariant: from the first hook until the key is made, each read of a parameter that is not covered is reported by name. A read of the
 * URL, of all names, or of a validation's result is reported as one of the whole query. Values that hooks write are known as theirs.
 * Validation reads the query itself; that is not reported, unless its findings reach the handler in another way.
 */
import type { FastifyRequest } from 'fastify'
import { isPlainObject } from '../../http/body-digest.js'
import { REST, parameter, type Covers } from '../../http/query.js'
import { watched } from '../../http/watched.js'
import { forgetOriginalUrl, wrapQueryValidator, type QueryValidator } from '../internals.js'

/** By proxy: a validator may be given one. */
const watches = new WeakMap<object, QueryWatch>()

/** Watches a property. Returns what puts it back as it was. */
function watchProperty<T extends object> (object: T, name: keyof T & string, looked: () => void): () => void {
  const own = Object.getOwnPropertyDescriptor(object, name)
  const was = object[name]
  let value = was
  const get = (): unknown => {
    looked()
    return value
  }
  const set = (next: T[keyof T & string]): void => { value = next }
  Object.defineProperty(object, name, { configurable: true, enumerable: own?.enumerable ?? false, get, set })
  return () => {
    // Other code has redefined the property.
    if (Object.getOwnPropertyDescriptor(object, name)?.get !== get) return
    if (own === undefined) Reflect.deleteProperty(object, name)
    else Object.defineProperty(object, name, own)
    if (value !== was) object[name] = value
  }
}

type Looked = (name: string) => void

export interface QueryWatchOptions {
  readonly covers: Covers
  /** The app has its own parser: any value may depend on any parameter. */
  readonly parsesItself: boolean
  /** The handler sees the findings of validation, though not the parameters that it read. */
  readonly tellsValidation: boolean
}

export class QueryWatch {
  /** The names that hooks, not validation, have given other values. */
  readonly written = new Set<string>()
  /** What hooks and validation have left of the query. */
  query: unknown
  readonly #request: FastifyRequest
  readonly #looked: Looked
  readonly #watchesUrl: boolean
  readonly #tellsValidation: boolean
  #isValidating = false
  /** What hooks see instead of it. */
  #proxy: unknown
  #putBack: Array<() => void> = []

  /** @param looked told of each read; undefined: reads do not count */
  constructor (request: FastifyRequest, looked: Looked | undefined, { covers, parsesItself, tellsValidation }: QueryWatchOptions) {
    this.#request = request
    this.#looked = looked ?? (() => {})
    this.#watchesUrl = looked !== undefined
    this.#tellsValidation = tellsValidation
    this.#proxy = this.#watched(request.query, name => {
      // An own parser may make a covered value from other parameters.
      if (parsesItself || !covers([name])) this.#looked(parameter(name))
    }, this.#lookedAtAll)
    Object.defineProperty(request, 'query', {
      configurable: true,
      enumerable: true,
      get: () => this.#proxy,
      set: (next: unknown) => { if (next !== this.#proxy) this.#replace(next) }
    })
    wrapQueryValidator(request, withoutWatch)
    this.start()
  }

  /** Begins to watch the URL. */
  start (): void {
    if (!this.#watchesUrl || this.#putBack.length > 0) return
    const { raw } = this.#request as { raw: { url?: string, originalUrl?: string } }
    // Fastify keeps what was first seen.
    forgetOriginalUrl(this.#request)
    for (const name of ['url', 'originalUrl'] as const) {
      if (raw[name] !== undefined) this.#putBack.push(watchProperty(raw, name, this.#lookedAtAll))
    }
  }

  /** Stops watching the URL. */
  stop (): void {
    for (const putBack of this.#putBack) putBack()
    this.#putBack = []
  }

  /** Leaves the request with what hooks and validation have made of its query, unwatched. */
  end (): void {
    this.stop()
    Object.defineProperty(this.#request, 'query', { value: this.query, configurable: true, enumerable: true, writable: true })
  }

  /** Has a validation look at the query. What it makes something else of: whoever looks at that looks at all of the query. */
  validate (validation: (query: unknown) => unknown): unknown {
    this.#isValidating = true
    try {
      const answer = validation(this.#tellsValidation ? this.#proxy : this.query)
      return isAnswer(answer) ? { ...answer, value: this.#made(answer.value) } : answer
    } finally {
      this.#isValidating = false
    }
  }

  readonly #lookedAtAll = (): void => { this.#looked(REST) }

  /** What a validation has made of the query. */
  #made (value: unknown): unknown {
    if (value !== this.query && value !== this.#proxy) this.#proxy = this.#watched(value, this.#lookedAtAll, this.#lookedAtAll)
    return this.#proxy
  }

  /** A hook replaces the query. Its reads of the old one were reported already. */
  #replace (next: unknown): void {
    if (this.#isValidating) {
      this.#made(next)
      return
    }
    const { query } = this
    if (isPlainObject(next) && isPlainObject(query)) {
      for (const name of new Set([...Object.keys(next), ...Object.keys(query)])) if (next[name] !== query[name]) this.written.add(name)
    }
    this.#proxy = isPlainObject(next) ? this.#watched(next, () => {}, () => {}) : this.query = next
  }

  /** A watched proxy of a query. Anything but a plain object works only unwrapped, and counts as read. */
  #watched (query: unknown, note: (name: string) => void, readAll: () => void): unknown {
    this.query = query
    if (!isPlainObject(query)) {
      this.#lookedAtAll()
      return query
    }
    const proxy = watched(query, { note, readAll, change: name => { if (!this.#isValidating) this.written.add(name as string) } })
    watches.set(proxy, this)
    return proxy
  }
}

/** Wraps a validator so that it accepts a watched query. */
function withoutWatch (validate: QueryValidator): QueryValidator {
  return new Proxy(validate, {
    apply (target, self, args: unknown[]) {
      const [query, ...others] = args
      const watch = watches.get(query as object)
      if (watch === undefined) return Reflect.apply(target, self, args)
      return watch.validate(plain => Reflect.apply(target, self, [plain, ...others]))
    }
  })
}

/** Whether a validator answers with a new value, in Fastify's form. */
export function isAnswer (answer: unknown): answer is { readonly value: unknown } {
  return typeof answer === 'object' && answer !== null && 'value' in answer && !(answer as { error?: unknown }).error
}
