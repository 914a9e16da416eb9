/**
 * Learned Vary: which request headers a handler reads, so that its response counts as varying on them.
 *
 * Invariant: while a watch is on, every way to a header's value through `headers` and `rawHeaders`, and what HTTP/2 has beside
 * them, is noted. What is read before it is put on and after it is taken off is not.
 */
import { IncomingMessage, type IncomingHttpHeaders } from 'node:http'
import { inspect } from 'node:util'

/** The name under which the client's address stands among header names; no header can be called so. */
export const CLIENT_ADDRESS = '(ip)'

/** Where Node remembers the lists that `headersDistinct` has made of headers once. */
const kDistinct: unique symbol = distinctSymbol() as never

/** Undefined in a Node that keeps them elsewhere: no request has anything there then. */
function distinctSymbol (): symbol | undefined {
  const probe = new IncomingMessage(undefined as never)
  // Has it remember them.
  Object.keys(probe.headersDistinct)
  return Object.getOwnPropertySymbols(probe).find(({ description }) => description === 'kHeadersDistinct')
}

/** The parts of a Node request that are watched. */
export interface Watched {
  headers: IncomingHttpHeaders
  rawHeaders: string[]
  readonly httpVersionMajor: number
  [kDistinct]?: object | null
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

/** The conditions of RFC 9110 section 13.1 that a GET can have. */
const CONDITIONS = new Set<string | symbol>(['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since'])

/** What an HTTP/2 request says of itself besides `headers`, and where it stands in them. */
const PSEUDO: ReadonlyArray<readonly [name: string, get: (headers: IncomingHttpHeaders) => unknown]> = [
  ['authority', headers => headers[':authority'] ?? headers.host],
  ['scheme', headers => headers[':scheme']]
]

const SHADOW = new Shadow()
const ARRAY_SHADOW = new ArrayShadow()

/** Who is told of looks at an object. */
interface Told {
  note (name: string): void
  readAll (): void
  change (name: string | symbol): void
}

/** One of the watched objects. Its own handler, because a leader that reads nothing should pay for little more than a proxy. */
class Watch<T extends object> implements ProxyHandler<object> {
  readonly watched: T
  readonly reads: Told

  constructor (watched: T, reads: Told) {
    this.watched = watched
    this.reads = reads
  }

  note (name: string): void {
    this.reads.note(name)
  }

  get (_target: object, name: string | symbol): unknown {
    if (name === kAll) {
      this.reads.readAll()
      return this.watched
    }
    if (typeof name === 'string') this.note(name)
    return Reflect.get(this.watched, name)
  }

  has (_target: object, name: string | symbol): boolean {
    if (typeof name === 'string') this.note(name)
    return Reflect.has(this.watched, name)
  }

  getOwnPropertyDescriptor (_target: object, name: string | symbol): PropertyDescriptor | undefined {
    if (typeof name === 'string') this.note(name)
    const descriptor = Reflect.getOwnPropertyDescriptor(this.watched, name)
    // Only the length of an array is fixed on the target, and so a proxy may not say it of anything else.
    return descriptor === undefined ? undefined : { ...descriptor, configurable: !(Array.isArray(_target) && name === 'length') }
  }

  ownKeys (): Array<string | symbol> {
    this.reads.readAll()
    return Reflect.ownKeys(this.watched)
  }

  getPrototypeOf (): object | null {
    return Reflect.getPrototypeOf(this.watched)
  }

  set (_target: object, name: string | symbol, value: unknown): boolean {
    this.reads.change(name)
    return Reflect.set(this.watched, name, value)
  }

  defineProperty (_target: object, name: string | symbol, descriptor: PropertyDescriptor): boolean {
    this.reads.change(name)
    return Reflect.defineProperty(this.watched, name, descriptor)
  }

  deleteProperty (_target: object, name: string | symbol): boolean {
    this.reads.change(name)
    return Reflect.deleteProperty(this.watched, name)
  }

  // The targets are shared by all that is watched.
  setPrototypeOf (): boolean {
    return false
  }

  preventExtensions (): boolean {
    return false
  }
}

/** An array of names and values: there is no reading one of them only. */
class WatchAll extends Watch<string[]> {
  override note (): void {
    this.reads.readAll()
  }
}

/** Looks like an object, and tells of looks at it. */
export function watched<T extends object> (object: T, told: Told): T {
  return new Proxy<object>(SHADOW, new Watch(object, told)) as T
}

const NO_NAMES: ReadonlySet<string> = Object.freeze(new Set<string>())

/** Who runs a handler. */
export interface Runner {
  /** Whether who looks just now is somebody whose looks do not count. */
  readonly ignoresLooks: () => boolean
}

/** The reads of one run. */
export class Reads {
  /** Whether all headers were read at once, so that there is no telling on which the response depends. */
  all = false
  /** Whether the watch is on. */
  on = false
  /** Whether those who look just now are others, whose looks do not count. */
  protected aside = false
  /** Whose run it is. */
  runner: Runner | undefined
  /** Told of each name when it is read first, and of the first read of all, before the reader has the value. */
  onRead: (() => void) | undefined
  private noted: Set<string> | undefined
  private readonly raw: Watched
  protected headers: IncomingHttpHeaders | undefined
  private rawHeaders: string[] | undefined
  private watchedHeaders: IncomingHttpHeaders | undefined
  private watchedRawHeaders: string[] | undefined
  private distinct: object | undefined
  private watchedDistinct: object | undefined

  /** Puts a watch on `raw`. */
  constructor (raw: Watched) {
    this.raw = raw
    this.start()
  }

  /** The header names read so far. */
  get names (): ReadonlySet<string> {
    return this.noted ?? NO_NAMES
  }

  /** Notes that the client's address was read. */
  address (): void {
    this.note(CLIENT_ADDRESS)
  }

  /** Notes that a header was read. */
  note (name: string): void {
    // Who lists all of them looks at each: they tell no more of it.
    if (!this.on || this.all || this.aside || this.noted?.has(name) === true || this.runner?.ignoresLooks() === true) return
    this.noted ??= new Set()
    this.noted.add(name)
    // The address that a trusted proxy reports depends on that of the connection.
    if (name === 'x-forwarded-for') this.noted.add(CLIENT_ADDRESS)
    this.onRead?.()
  }

  /** A header is changed. What it was when it was read cannot be told later: then it might have been any. */
  change (name: string | symbol): void {
    // The question whether what is kept is still good comes and goes.
    if (!CONDITIONS.has(name) && this.noted?.has(name as string) === true) this.noteAll()
  }

  /** Others were put in the place of the headers: the same. */
  replaced (): void {
    if (this.noted !== undefined) this.noteAll()
  }

  /** Notes that all headers were read. */
  readAll (): void {
    if (!this.aside && this.runner?.ignoresLooks() !== true) this.noteAll()
  }

  /** Whatever a header was, it may have been read. */
  noteAll (): void {
    if (!this.on || this.all) return
    this.all = true
    this.onRead?.()
  }

  /** Puts the watch on again. */
  start (): void {
    if (this.on) return
    this.on = true
    const { headers, rawHeaders } = this.raw
    // At first, or since somebody put others in their place.
    if (headers !== this.headers && headers !== this.watchedHeaders) {
      this.headers = headers
      this.watchedHeaders = watched(headers, this)
    }
    if (rawHeaders !== this.rawHeaders && rawHeaders !== this.watchedRawHeaders) {
      this.rawHeaders = rawHeaders
      this.watchedRawHeaders = new Proxy<object>(ARRAY_SHADOW, new WatchAll(rawHeaders, this)) as string[]
    }
    // What is not remembered yet is made of the raw headers.
    const distinct = this.raw[kDistinct]
    if (distinct !== undefined && distinct !== null && distinct !== this.distinct && distinct !== this.watchedDistinct) {
      this.distinct = distinct
      this.watchedDistinct = this.copied(distinct)
    }
    this.put(this.watchedHeaders as IncomingHttpHeaders, this.watchedRawHeaders, this.watchedDistinct)
  }

  /** What was made of the headers, watched as they are. */
  copied<T extends object> (copy: T): T {
    return new Proxy<object>(SHADOW, new Watch(copy, this)) as T
  }

  /** Takes the watch off. */
  stop (): void {
    if (!this.on) return
    const { headers, rawHeaders } = this.raw
    if (headers !== this.watchedHeaders) this.replaced()
    this.on = false
    // Those that somebody put in their place stay.
    this.put(headers === this.watchedHeaders ? this.headers as IncomingHttpHeaders : headers,
      rawHeaders === this.watchedRawHeaders ? this.rawHeaders : rawHeaders,
      this.distinct)
  }

  /** Calls `action`, whose looks do not count; what it changes does. */
  apart (action: () => void): void {
    const was = this.aside
    this.aside = true
    try {
      action()
    } finally {
      this.aside = was
    }
  }

  /** Notes the headers that are not as the client sent them, so that what put them there counts. */
  changed (): void {
    const sent = new Map<string, string | undefined>()
    const headers = this.headers as IncomingHttpHeaders
    const raw = this.rawHeaders ?? []
    for (let index = 0; index < raw.length; index += 2) {
      const name = (raw[index] as string).toLowerCase()
      sent.set(name, sent.has(name) ? undefined : raw[index + 1])
    }
    for (const name of Object.keys(headers)) {
      if (sent.get(name) !== headers[name]) this.note(name)
    }
  }

  /** Calls `action` with the watch on, or off, and leaves it as it was. */
  during<T> (action: () => T, on: boolean): T {
    const was = this.on
    if (on) this.start()
    else this.stop()
    try {
      return action()
    } finally {
      if (was) this.start()
      else this.stop()
    }
  }

  private put (headers: IncomingHttpHeaders, rawHeaders: string[] | undefined, distinct: object | undefined): void {
    const { raw } = this
    if (distinct !== undefined) raw[kDistinct] = distinct
    if (raw.httpVersionMajor === 2) {
      // Getters without setters.
      Object.defineProperty(raw, 'headers', { value: headers, configurable: true })
      Object.defineProperty(raw, 'rawHeaders', { value: rawHeaders, configurable: true })
      // Getters that look at what stands behind `headers`.
      for (const [name, get] of PSEUDO) {
        if (this.on) Object.defineProperty(raw, name, { get: () => get(headers), configurable: true })
        else Reflect.deleteProperty(raw, name)
      }
    } else {
      raw.headers = headers
      if (rawHeaders !== undefined) raw.rawHeaders = rawHeaders
    }
  }
}
