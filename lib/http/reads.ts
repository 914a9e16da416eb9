/**
 * Learned Vary: which request headers a handler reads, so that its response counts as varying on them.
 *
 * Invariant: while a watch is on, every way to a header's value through `headers` and `rawHeaders` is noted. What is read
 * before it is put on and after it is taken off is not.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { inspect } from 'node:util'

/** The name under which the client's address stands among header names; no header can be called so. */
export const CLIENT_ADDRESS = '(ip)'

/** The parts of a Node request that are watched. */
export interface Watched {
  headers: IncomingHttpHeaders
  rawHeaders: string[]
  readonly httpVersionMajor: number
}

/** Asked of a watched object, it answers with all there is. */
const kAll = Symbol('all')

/** The targets of the proxies: what looks behind a proxy, as `util.inspect` does, finds one of these. */
class Shadow {
  /** Called on the proxy. */
  [inspect.custom] (): unknown {
    return (this as unknown as { [kAll]: unknown })[kAll]
  }
}

class ArrayShadow extends Array<string> {
  /** Called on the proxy. */
  [inspect.custom] (): unknown {
    return (this as unknown as { [kAll]: unknown })[kAll]
  }
}

class Watch<T extends object> implements ProxyHandler<object> {
  readonly #watched: T
  readonly #note: (name: string) => void
  readonly #noteAll: () => void

  constructor (watched: T, note: (name: string) => void, noteAll: () => void) {
    this.#watched = watched
    this.#note = note
    this.#noteAll = noteAll
  }

  get (_target: object, name: string | symbol): unknown {
    if (name === kAll) {
      this.#noteAll()
      return this.#watched
    }
    if (typeof name === 'string') this.#note(name)
    return Reflect.get(this.#watched, name)
  }

  has (_target: object, name: string | symbol): boolean {
    if (typeof name === 'string') this.#note(name)
    return Reflect.has(this.#watched, name)
  }

  getOwnPropertyDescriptor (_target: object, name: string | symbol): PropertyDescriptor | undefined {
    if (typeof name === 'string') this.#note(name)
    const descriptor = Reflect.getOwnPropertyDescriptor(this.#watched, name)
    // Only the length of an array is fixed on the target, and so a proxy may not say it of anything else.
    return descriptor === undefined ? undefined : { ...descriptor, configurable: !(Array.isArray(_target) && name === 'length') }
  }

  ownKeys (): Array<string | symbol> {
    this.#noteAll()
    return Reflect.ownKeys(this.#watched)
  }

  getPrototypeOf (): object | null {
    return Reflect.getPrototypeOf(this.#watched)
  }

  set (_target: object, name: string | symbol, value: unknown): boolean {
    return Reflect.set(this.#watched, name, value)
  }

  defineProperty (_target: object, name: string | symbol, descriptor: PropertyDescriptor): boolean {
    return Reflect.defineProperty(this.#watched, name, descriptor)
  }

  deleteProperty (_target: object, name: string | symbol): boolean {
    return Reflect.deleteProperty(this.#watched, name)
  }
}

/** The reads of one run. */
export class Reads {
  /** The header names read so far. */
  readonly names = new Set<string>()
  /** Whether all headers were read at once, so that there is no telling on which the response depends. */
  all = false
  readonly #raw: Watched
  readonly #headers: IncomingHttpHeaders
  readonly #rawHeaders: string[] | undefined
  readonly #watchedHeaders: IncomingHttpHeaders
  readonly #watchedRawHeaders: string[] | undefined
  /** Told of each name when it is read first, and of the first read of all, before the reader has the value. */
  onRead: (() => void) | undefined
  #on = false

  /** Puts a watch on `raw`. */
  constructor (raw: Watched) {
    const note = (name: string): void => { this.#note(name) }
    const noteAll = (): void => {
      if (!this.#on || this.all) return
      this.all = true
      this.onRead?.()
    }
    this.#raw = raw
    this.#headers = raw.headers
    this.#rawHeaders = raw.rawHeaders
    this.#watchedHeaders = new Proxy<object>(new Shadow(), new Watch(raw.headers, note, noteAll)) as IncomingHttpHeaders
    // An array of names and values: there is no reading one of them only.
    this.#watchedRawHeaders = raw.rawHeaders === undefined
      ? undefined
      : new Proxy<object>(new ArrayShadow(), new Watch(raw.rawHeaders, noteAll, noteAll)) as string[]
    this.start()
  }

  /** Notes that the client's address was read. */
  address (): void {
    this.#note(CLIENT_ADDRESS)
  }

  /** Puts the watch on again. */
  start (): void {
    if (this.#on) return
    this.#on = true
    this.#put(this.#watchedHeaders, this.#watchedRawHeaders)
  }

  /** Takes the watch off. */
  stop (): void {
    if (!this.#on) return
    this.#on = false
    this.#put(this.#headers, this.#rawHeaders)
  }

  #note (name: string): void {
    if (!this.#on || this.names.has(name)) return
    this.names.add(name)
    // The address that a trusted proxy reports depends on that of the connection.
    if (name === 'x-forwarded-for') this.names.add(CLIENT_ADDRESS)
    this.onRead?.()
  }

  #put (headers: IncomingHttpHeaders, rawHeaders: string[] | undefined): void {
    const raw = this.#raw
    if (raw.httpVersionMajor === 2) {
      // Getters without setters.
      Object.defineProperty(raw, 'headers', { value: headers, configurable: true })
      Object.defineProperty(raw, 'rawHeaders', { value: rawHeaders, configurable: true })
    } else {
      raw.headers = headers
      if (rawHeaders !== undefined) raw.rawHeaders = rawHeaders
    }
  }
}
