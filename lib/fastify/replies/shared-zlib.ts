/**
 * Node's compressors, for the `zlib` option of @fastify/compress. A body that several clients get is compressed once.
 *
 * Invariant: the output is the same as that of Node's compressor for the same bytes and options. Bytes that are not a shared body are
 * compressed by Node as usual. The first bytes wait for at most one turn of the event loop.
 */
import { Duplex, type Transform } from 'node:stream'
import { serialize } from 'node:v8'
import zlib, { type BrotliOptions, type ZlibOptions } from 'node:zlib'
import type { FastifyReply } from 'fastify'
import { sharedBodies, type Encoded, type Hold, type SharedBody } from '../../http/encodings.js'
import { byteLength, type Recording } from '../../http/recording.js'
import { onClose } from './queued-reply.js'

type Options = ZlibOptions | BrotliOptions

/** The compressors of `node:zlib`. Those for zstd are there as well if Node has them. */
export interface SharedZlib {
  createGzip (options?: ZlibOptions): Duplex
  createDeflate (options?: ZlibOptions): Duplex
  createBrotliCompress (options?: BrotliOptions): Duplex
  gzipSync (bytes: Uint8Array, options?: ZlibOptions): Buffer
  deflateSync (bytes: Uint8Array, options?: ZlibOptions): Buffer
  brotliCompressSync (bytes: Uint8Array, options?: BrotliOptions): Buffer
}

/** One of Node's algorithms, as a stream, with a callback, and synchronous. */
interface Compressor {
  readonly name: string
  readonly stream: (options?: Options) => Transform
  readonly async: (bytes: Uint8Array, options: Options, encoded: Encoded) => void
  readonly sync: (bytes: Uint8Array, options?: Options) => Buffer
}

class SharedCompressor extends Duplex {
  readonly #compressor: Compressor
  readonly #options: Options | undefined
  /** The first chunk, if it equals a shared body, until it is known whether more chunks follow. */
  #first: Buffer | undefined
  #body: SharedBody | undefined
  #turn: NodeJS.Immediate | undefined
  #own: Transform | undefined

  constructor (compressor: Compressor, options: Options | undefined) {
    super()
    this.#compressor = compressor
    this.#options = options
  }

  override _write (chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    if (this.#body === undefined && this.#own === undefined) {
      this.#body = sharedBodies.find(chunk)
      if (this.#body !== undefined) {
        this.#first = chunk
        this.#turn = setImmediate(() => { this.#compressAlone() })
        done()
        return
      }
    }
    this.#compressAlone()
    this.#own?.write(chunk, done)
  }

  override _final (done: (error?: Error | null) => void): void {
    const way = wayOf(this.#compressor, this.#options)
    if (this.#first === undefined || way === undefined) {
      this.#compressAlone()
      this.#own?.end()
    } else {
      clearImmediate(this.#turn)
      this.#body?.encode(way, (bytes, encoded) => { this.#compressor.async(bytes, this.#options ?? {}, encoded) }, (_error, bytes) => {
        if (this.destroyed) return
        if (bytes === undefined) {
          this.#compressAlone()
          this.#own?.end()
        } else {
          this.push(bytes)
          this.push(null)
        }
      })
    }
    done()
  }

  override _read (): void {
    this.#own?.resume()
  }

  override _destroy (error: Error | null, done: (error?: Error | null) => void): void {
    clearImmediate(this.#turn)
    this.#own?.destroy()
    done(error)
  }

  /** Compresses this stream by itself, without sharing: starts its own compressor and writes the first chunk to it. */
  #compressAlone (): void {
    if (this.#own === undefined) {
      try {
        this.#own = this.#compressor.stream(this.#options)
      } catch (error) {
        this.destroy(error as Error)
        return
      }
      this.#own
        .on('data', (chunk: Buffer) => { if (!this.push(chunk)) this.#own?.pause() })
        .on('end', () => { this.push(null) })
        .on('error', error => { this.destroy(error) })
    }
    clearImmediate(this.#turn)
    if (this.#first !== undefined) this.#own.write(this.#first)
    this.#first = undefined
  }
}

/** A text for an algorithm with its options: two calls with the same text give the same bytes. Undefined if the options cannot be compared. */
function wayOf ({ name }: Compressor, options: Options | undefined): string | undefined {
  // With `info`, the result is more than the bytes.
  if ((options as { readonly info?: unknown } | undefined)?.info !== undefined) return undefined
  try {
    return name + serialize(options).toString('latin1')
  } catch {
    return undefined
  }
}

function compressSync (compressor: Compressor, bytes: Uint8Array, options: Options | undefined): Buffer {
  const way = wayOf(compressor, options)
  const body = way === undefined || !(bytes instanceof Uint8Array) ? undefined : sharedBodies.find(bytes)
  const compress = (): Buffer => compressor.sync(bytes, options)
  return body === undefined ? compress() : body.encodeSync(way as string, compress)
}

type Zlib = Record<string, ((...args: unknown[]) => never) | undefined>

const NAMES = [
  ['gzip', 'createGzip', 'gzipSync'],
  ['deflate', 'createDeflate', 'deflateSync'],
  ['brotliCompress', 'createBrotliCompress', 'brotliCompressSync'],
  ['zstdCompress', 'createZstdCompress', 'zstdCompressSync']
] as const

function share (node: Zlib): SharedZlib {
  const shared: Record<string, unknown> = {}
  for (const [name, stream, sync] of NAMES) {
    if (node[name] === undefined) continue
    const compressor: Compressor = {
      name,
      stream: options => node[stream]?.(options) as never,
      async: (bytes, options, encoded) => node[name]?.(bytes, options, encoded),
      sync: (bytes, options) => node[sync]?.(bytes, options) as never
    }
    const functions = {
      [stream]: (options?: Options) => new SharedCompressor(compressor, options),
      [sync]: (bytes: Uint8Array, options?: Options) => compressSync(compressor, bytes, options)
    }
    for (const [own, value] of Object.entries(functions)) {
      Object.defineProperty(shared, own, {
        enumerable: true,
        get () {
          isTaken = true
          return value
        }
      })
    }
  }
  return Object.freeze(shared) as unknown as SharedZlib
}

/** Whether a compressor has been read from `sharedZlib`. @fastify/compress does so when it is registered. */
let isTaken = false

/**
 * Shares the encodings of a reply's body until the reply has been sent. Does nothing if the body is a stream.
 *
 * @param owner a recording that lasts longer: the encodings are then held as long as it exists
 */
export function shareEncodings (reply: FastifyReply, body: Recording['body'], hold: Hold, owner?: Recording): void {
  if (isTaken && (typeof body === 'string' || Buffer.isBuffer(body))) onClose(reply, sharedBodies.use(body, byteLength(body), hold, owner))
}

/** Shares the encodings of a body until the returned function is called. Returns undefined if the body is a stream, or nothing uses `sharedZlib`. */
export function holdEncodings (body: Recording['body'], hold: Hold): (() => void) | undefined {
  if (!isTaken || (typeof body !== 'string' && !Buffer.isBuffer(body))) return undefined
  return sharedBodies.use(body, byteLength(body), hold)
}

/**
 * For the `zlib` option of `@fastify/compress`: a response that several clients get is compressed once for each encoding,
 * not once for each client. The compressed bytes count as recorded bytes, and are released together with the response.
 *
 * @example
 * await app.register(compress, { zlib: sharedZlib })
 * await app.register(coalesce)
 */
export const sharedZlib: SharedZlib = share(zlib as unknown as Zlib)
