/**
 * Stand-ins for a stream that several clients share. Hooks of one client get a stand-in instead of the stream: an object of the same
 * kind, with the same properties.
 *
 * Invariant: reading, changing or ending a stand-in affects only the reader of one client. A stand-in reads nothing before somebody reads
 * from it. The bytes that it gives belong to this client only.
 */
import { finished, Readable } from 'node:stream'
import { ReadableStream, type ReadableByteStreamController, type UnderlyingByteSource } from 'node:stream/web'

export interface StandIn {
  /** The object that hooks get. */
  readonly given: unknown
  /** Whether the stand-in has not been read yet. Then the reader can be sent instead of it. */
  readonly untouched: () => boolean
}

/**
 * @param payload a Node stream, a web stream or a Response with a body
 * @param reader gives the bytes of the payload to one client
 */
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

/** A web stream of a reader's bytes. The bytes are copied, because the consumer of a web stream may transfer the memory of a chunk. */
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
      // A consumer that waits with its own buffer must be answered too.
      waiting?.respond(0)
    },
    cancel () { reader.destroy() }
  }
  return new ReadableStream(source as never, { highWaterMark: 0 })
}

/** The properties that the constructor of a Response cannot set. */
const OF_FETCH = ['url', 'type', 'redirected'] as const

function responseLike (response: Response, reader: Readable): Response {
  const { status, statusText, headers } = response
  const like = new Response(webStreamOf(reader) as never, { status, statusText, headers })
  Object.setPrototypeOf(like, Object.getPrototypeOf(response) as object)
  for (const name of OF_FETCH) Object.defineProperty(like, name, { value: response[name], configurable: true })
  return like
}

/** The events of reading, which the reader emits. The source emits all others, such as `open`. */
const OF_READING = new Set<unknown>(['data', 'readable', 'end', 'close', 'error', 'pause', 'resume'])
const LISTENING = new Set<string | symbol>(['on', 'once', 'addListener', 'prependListener', 'prependOnceListener', 'off', 'removeListener',
  'removeAllListeners', 'listeners', 'rawListeners', 'listenerCount', 'emit'])
const STATE = new Set<string | symbol>(['_readableState', '_events', '_eventsCount', '_maxListeners'])
/** Methods, besides `destroy`, by which streams of some packages are ended. */
const ENDING = new Set<string | symbol>(['close', 'abort', 'dump'])
/** Methods by which streams of some packages are read to their end. */
const TAKING = new Set<string | symbol>(['arrayBuffer', 'blob', 'bytes', 'formData', 'json', 'text'])

type Method = (...args: unknown[]) => unknown

/** A Proxy handler: the object is the source stream, but all that belongs to reading goes to the reader. */
class NodeStreamLike implements ProxyHandler<Readable> {
  readonly #reader: Readable
  readonly #source: Readable
  /** The wrapped methods, so that a property gives the same function each time. */
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
