/**
 * Learned Vary: which request headers a handler reads, so that its response counts as varying on them.
 *
 * Invariant: while the watch is on, every read of a header is noted, through `headers`, `rawHeaders`, `headersDistinct` and the
 * properties that HTTP/2 has besides. Reads before it is put on, and after it is taken off, are not noted.
 */
import { IncomingMessage, type IncomingHttpHeaders } from 'node:http'
import { watched, watchedArray, type ReadObserver } from './watched.js'

/** The client's address, among header names. No header can have this name. */
export const CLIENT_ADDRESS = '(ip)'

/** Where Node caches the lists of `headersDistinct`. */
const kDistinct: unique symbol = distinctSymbol() as never

/** Undefined in a Node that caches them elsewhere: then no request has anything there. */
function distinctSymbol (): symbol | undefined {
  const probe = new IncomingMessage(undefined as never)
  // Makes Node cache them.
  Object.keys(probe.headersDistinct)
  return Object.getOwnPropertySymbols(probe).find(({ description }) => description === 'kHeadersDistinct')
}

/** The parts of a Node request that are watched. */
export interface WatchedRequest {
  headers: IncomingHttpHeaders
  rawHeaders: string[]
  readonly httpVersionMajor: number
  [kDistinct]?: object | null
}

/** The conditions of RFC 9110 section 13.1 that a GET can have. */
const CONDITIONS = new Set<string | symbol>(['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since'])

/** Properties of an HTTP/2 request that give a header, and how they get it from `headers`. */
const PSEUDO: ReadonlyArray<readonly [name: string, get: (headers: IncomingHttpHeaders) => unknown]> = [
  ['authority', headers => headers[':authority'] ?? headers.host],
  ['scheme', headers => headers[':scheme']]
]

const NO_NAMES: ReadonlySet<string> = Object.freeze(new Set<string>())

/** The request whose handler runs. */
export interface Runner {
  /** Whether the code that reads just now is not the handler's, so that its reads do not count. */
  readonly ignoresLooks: () => boolean
}

/** The reads of one run. */
export class Reads implements ReadObserver {
  /** Whether the watch is on. */
  on = false
  private readonly raw: WatchedRequest
  protected headers: IncomingHttpHeaders | undefined = undefined
  private rawHeaders: string[] | undefined = undefined
  private watchedHeaders: IncomingHttpHeaders | undefined = undefined
  private watchedRawHeaders: string[] | undefined = undefined
  // What few runs have stands on the prototype: the others have no room for it.
  /** Whether all headers were read at once. Then it is unknown on which the response depends. */
  declare all: boolean
  /** Whether reads do not count just now. */
  declare protected aside: boolean
  /** The request that runs; undefined until it does. */
  runner: Runner | undefined = undefined
  /** Called when a name is first read, or all are, before the reader has the value. */
  declare onRead: (() => void) | undefined
  /** How many names were read before the handler. */
  declare protected early: number
  declare private noted: Set<string> | undefined
  declare private distinct: object | undefined
  declare private watchedDistinct: object | undefined

  static {
    const no = { onRead: undefined, noted: undefined, distinct: undefined, watchedDistinct: undefined }
    Object.assign(this.prototype, { ...no, all: false, aside: false, early: 0 })
  }

  /** Puts a watch on `raw`. */
  constructor (raw: WatchedRequest) {
    this.raw = raw
    this.start()
  }

  /** The header names read so far. */
  get names (): ReadonlySet<string> {
    return this.noted ?? NO_NAMES
  }

  /** Whether a name was read, and whether before the handler. */
  when (name: string): 'hook' | 'handler' | undefined {
    const place = [...this.names].indexOf(name)
    return place < 0 ? undefined : place < this.early ? 'hook' : 'handler'
  }

  /** Notes that the client's address was read. */
  address (): void {
    this.note(CLIENT_ADDRESS)
  }

  /** Notes that a header was read. */
  note (name: string): void {
    // Once all were read, or for code whose reads do not count, one name says no more.
    if (!this.on || this.all || this.aside || this.noted?.has(name) === true || this.runner?.ignoresLooks() === true) return
    this.noted ??= new Set()
    this.noted.add(name)
    // The address that a proxy reports counts only if the connection's address is a trusted one.
    if (name === 'x-forwarded-for') this.noted.add(CLIENT_ADDRESS)
    this.onRead?.()
  }

  /** A header is changed. If it was read before, its value then is no longer known: that counts as a read of all. */
  change (name: string | symbol): void {
    // Revalidation puts conditions in and takes them out again.
    if (!CONDITIONS.has(name) && this.noted?.has(name as string) === true) this.noteAll()
  }

  /** The headers were replaced by another object: as if each was changed. */
  replaced (): void {
    if (this.noted !== undefined) this.noteAll()
  }

  /** Notes that all headers were read. */
  readAll (): void {
    if (!this.aside && this.runner?.ignoresLooks() !== true) this.noteAll()
  }

  /** Counts all headers as read, whoever reads. */
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
    // For the first time, or because somebody replaced them.
    if (headers !== this.headers && headers !== this.watchedHeaders) {
      this.headers = headers
      this.watchedHeaders = watched(headers, this)
    }
    if (rawHeaders !== this.rawHeaders && rawHeaders !== this.watchedRawHeaders) {
      this.rawHeaders = rawHeaders
      this.watchedRawHeaders = watchedArray(rawHeaders, this)
    }
    // Lists that Node has not cached yet will be made from the raw headers, which are watched.
    const distinct = this.raw[kDistinct]
    if (distinct !== undefined && distinct !== null && distinct !== this.distinct && distinct !== this.watchedDistinct) {
      this.distinct = distinct
      this.watchedDistinct = watched(distinct, this)
    }
    this.put(this.watchedHeaders as IncomingHttpHeaders, this.watchedRawHeaders, this.watchedDistinct)
  }

  /** Takes the watch off. */
  stop (): void {
    if (!this.on) return
    const { headers, rawHeaders } = this.raw
    if (headers !== this.watchedHeaders) this.replaced()
    this.on = false
    // If somebody replaced them, the replacements stay.
    this.put(headers === this.watchedHeaders ? this.headers as IncomingHttpHeaders : headers,
      rawHeaders === this.watchedRawHeaders ? this.rawHeaders : rawHeaders,
      this.distinct)
  }

  /** Calls `action`. Its reads do not count; its changes do. */
  apart (action: () => void): void {
    const was = this.aside
    this.aside = true
    try {
      action()
    } finally {
      this.aside = was
    }
  }

  /** Notes the headers that are not as the client sent them: the code that changed them may have read others. */
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

  /** Calls `action` with the watch on, or off. Restores it afterwards. */
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
      // Node's getters read behind the watched `headers`.
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
