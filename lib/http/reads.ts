/**
 * Learned Vary: which request headers a handler reads, so that its response counts as varying on them.
 *
 * Invariant: while a watch is on, every way to a header's value through `headers` and `rawHeaders` is noted. What is read
 * before it is put on and after it is taken off is not.
 */
import type { IncomingHttpHeaders } from 'node:http'

/** The name under which the client's address stands among header names; no header can be called so. */
export const CLIENT_ADDRESS = '(ip)'

/** The parts of a Node request that are watched. */
export interface Watched {
  headers: IncomingHttpHeaders
  rawHeaders: string[]
  readonly httpVersionMajor: number
}

class Watch implements ProxyHandler<object> {
  readonly names: Set<string>
  all = false

  constructor (names: Set<string>) {
    this.names = names
  }

  get (target: object, name: string | symbol): unknown {
    this.#note(name)
    return (target as Record<string | symbol, unknown>)[name]
  }

  has (target: object, name: string | symbol): boolean {
    this.#note(name)
    return name in target
  }

  getOwnPropertyDescriptor (target: object, name: string | symbol): PropertyDescriptor | undefined {
    this.#note(name)
    return Reflect.getOwnPropertyDescriptor(target, name)
  }

  ownKeys (target: object): Array<string | symbol> {
    this.all = true
    return Reflect.ownKeys(target)
  }

  #note (name: string | symbol): void {
    if (typeof name !== 'string') return
    this.names.add(name)
    // The address that a trusted proxy reports depends on that of the connection.
    if (name === 'x-forwarded-for') this.names.add(CLIENT_ADDRESS)
  }
}

class WatchAll implements ProxyHandler<string[]> {
  readonly #watch: Watch

  constructor (watch: Watch) {
    this.#watch = watch
  }

  get (target: string[], name: string | symbol): unknown {
    this.#watch.all = true
    return Reflect.get(target, name)
  }
}

/** The reads of one run. */
export class Reads {
  /** The header names read so far. */
  readonly names = new Set<string>()
  readonly #raw: Watched
  readonly #headers: IncomingHttpHeaders
  readonly #rawHeaders: string[]
  readonly #watch: Watch
  #on = true

  /** Puts a watch on `raw`. */
  constructor (raw: Watched) {
    this.#raw = raw
    this.#headers = raw.headers
    this.#rawHeaders = raw.rawHeaders
    this.#watch = new Watch(this.names)
    this.#put(new Proxy<IncomingHttpHeaders>(this.#headers, this.#watch))
    if (this.#rawHeaders !== undefined) setOwn(raw, 'rawHeaders', new Proxy(this.#rawHeaders, new WatchAll(this.#watch)))
  }

  /** Whether all headers were read at once, so that there is no telling on which the response depends. */
  get all (): boolean {
    return this.#watch.all
  }

  /** Notes that the client's address was read. */
  address (): void {
    if (this.#on) this.names.add(CLIENT_ADDRESS)
  }

  /** Takes the watch off. */
  stop (): void {
    if (!this.#on) return
    this.#on = false
    this.#put(this.#headers)
    if (this.#rawHeaders !== undefined) setOwn(this.#raw, 'rawHeaders', this.#rawHeaders)
  }

  #put (headers: IncomingHttpHeaders): void {
    if (this.#raw.httpVersionMajor === 2) setOwn(this.#raw, 'headers', headers)
    else this.#raw.headers = headers
  }
}

/** HTTP/2 requests have getters without setters. */
function setOwn (raw: Watched, name: 'headers' | 'rawHeaders', value: unknown): void {
  if (raw.httpVersionMajor === 2) Object.defineProperty(raw, name, { value, configurable: true, writable: true })
  else (raw as unknown as Record<string, unknown>)[name] = value
}
