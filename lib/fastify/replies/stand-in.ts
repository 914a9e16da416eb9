/**
 * What hooks are given in the place of a stream that others read as well: of the same kind, and with all that is on it.
 *
 * Invariant: what is done to a stand-in, reading it, changing it or ending it, is done to one client's reader. Nothing is read before
 * somebody reads it, and the bytes that it gives are nobody else's.
 */
import { finished, Readable } from 'node:stream'
import { ReadableStream, type ReadableByteStreamController, type UnderlyingByteSource } from 'node:stream/web'

export interface StandIn {
  readonly given: unknown
  /** Whether nobody has begun to read it, so that its reader may as well take its place. */
  readonly untouched: () => boolean
}

/** @param payload a Node stream, a web stream or a Response with a body; the reader gives its bytes */
export function standInFor (payload: unknown, reader: Readable): StandIn {
  if (payload instanceof Response) {
    const given = responseLike(payload, reader)
    return { given, untouched: () => !given.bodyUsed && given.body?.locked === false }
  }
  if (payload instanceof ReadableStream) {
    const given = webStreamOf(reader)
    return { given, untouched: () => !given.locked && !Readable.isDisturbed(given as never) }
  }
  return { given: new Proxy(payload as Readable, new NodeStreamLike(payload as Readable, reader)), untouched: () => true }
}

/** Bytes are copied: who has a web stream's chunk may take its memory away. */
function webStreamOf (reader: Readable): ReadableStream<Uint8Array> {
  let chunks: AsyncIterator<Uint8Array> | undefined
  const source: UnderlyingByteSource = {
    type: 'bytes',
    async pull (controller: ReadableByteStreamController) {
      chunks ??= reader[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
      const { done, value } = await chunks.next()
      if (done !== true) {
        controller.enqueue(new Uint8Array(value))
        return
      }
      const waiting = controller.byobRequest as { respond (bytes: number): void } | undefined | null
      controller.close()
      // Who waits with memory of its own is told as well.
      waiting?.respond(0)
    },
    cancel () { reader.destroy() }
  }
  return new ReadableStream(source as never, { highWaterMark: 0 })
}

/** What the constructor of a Response cannot be told. */
const OF_FETCH = ['url', 'type', 'redirected'] as const

function responseLike (response: Response, reader: Readable): Response {
  const { status, statusText, headers } = response
  const like = new Response(webStreamOf(reader) as never, { status, statusText, headers })
  Object.setPrototypeOf(like, Object.getPrototypeOf(response) as object)
  for (const name of OF_FETCH) Object.defineProperty(like, name, { value: response[name], configurable: true })
  return like
}

/** The events of being read; what a stream tells besides, such as that its file is open, it tells itself. */
const OF_READING = new Set<unknown>(['data', 'readable', 'end', 'close', 'error', 'pause', 'resume'])
const LISTENING = new Set<string | symbol>(['on', 'once', 'addListener', 'prependListener', 'prependOnceListener', 'off', 'removeListener',
  'removeAllListeners', 'listeners', 'rawListeners', 'listenerCount', 'emit'])
const STATE = new Set<string | symbol>(['_readableState', '_events', '_eventsCount', '_maxListeners'])
/** By which streams of various makes are ended, besides `destroy`. */
const ENDING = new Set<string | symbol>(['close', 'abort', 'dump'])
/** By which streams of various makes are read to their end. */
const TAKING = new Set<string | symbol>(['arrayBuffer', 'blob', 'bytes', 'formData', 'json', 'text'])

type Method = (...args: unknown[]) => unknown

/** A Node stream, but that all that belongs to reading is its reader's. */
class NodeStreamLike implements ProxyHandler<Readable> {
  readonly #reader: Readable
  readonly #source: Readable
  /** So that a method is the same each time. */
  readonly #methods = new Map<string | symbol, [method: unknown, own: Method]>()

  constructor (source: Readable, reader: Readable) {
    this.#source = source
    this.#reader = reader
  }

  get (_source: Readable, name: string | symbol, like: unknown): unknown {
    const owner = this.#ownerOf(name)
    const value: unknown = Reflect.get(owner, name)
    if (typeof value !== 'function' || name === 'constructor') return value
    let known = this.#methods.get(name)
    if (known?.[0] !== value) {
      const method = this.#methodOf(name, value as Method)
      this.#methods.set(name, known = [value, (...args) => {
        const result = method(...args)
        return result === this.#reader || result === this.#source ? like : result
      }])
    }
    return known[1]
  }

  set (_source: Readable, name: string | symbol, value: unknown): boolean {
    return Reflect.set(this.#ownerOf(name), name, value)
  }

  #ownerOf (name: string | symbol): Readable {
    return STATE.has(name) || (name in Readable.prototype && !(name in Object.prototype)) ? this.#reader : this.#source
  }

  #methodOf (name: string | symbol, value: Method): Method {
    const reader = this.#reader
    if (ENDING.has(name)) {
      return callback => {
        if (typeof callback === 'function') finished(reader, () => { (callback as () => void)() })
        reader.destroy()
      }
    }
    if (TAKING.has(name)) return () => (new Response(webStreamOf(reader) as never) as unknown as Record<string | symbol, Method>)[name]?.()
    if (!LISTENING.has(name)) return value.bind(this.#ownerOf(name)) as Method
    return (...args) => {
      const emitter = args.length === 0 || OF_READING.has(args[0]) ? reader : this.#source
      return (emitter as unknown as Record<string | symbol, Method>)[name]?.(...args)
    }
  }
}
