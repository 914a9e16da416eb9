/**
 * A response that others are compared with.
 *
 * Invariant: what it says is read at most once for a comparing, and not held after it: only its text is.
 */
import { isUtf8 } from 'node:buffer'
import { digestOf, digestOfBytes } from './hashes.js'
import type { Moment } from './masks.js'
import { read, type Readable, type Reading } from './reading.js'
import type { Inputs } from './sighting.js'
import type { Hashes } from './suspects.js'

/** What one takes besides its texts. */
const BYTES = 600
const BYTES_OF_INPUT = 80

/** What of a request or of what was kept for it is compared. */
export interface Comparable {
  readonly status: number
  readonly type: string | undefined
  readonly headers?: string
  readonly body: string | Uint8Array | null
  readonly client: string | undefined
  readonly outside: (() => Inputs) | undefined
  readonly own: readonly string[]
}

export class Exemplar implements Readable {
  readonly key: number
  readonly client: string | undefined
  readonly at: number
  readonly moment: Moment
  readonly status: number
  readonly type: string | undefined
  readonly headers: string
  readonly own: readonly string[]
  /** Stands for every byte of it. */
  readonly digest: number
  wasCompared = false
  readonly #body: string | Uint8Array
  #outside: (() => Inputs) | undefined
  #inputs: Hashes | undefined
  #reading: Reading | undefined

  /** @param body what is compared in the place of its own */
  constructor (key: number, at: number, moment: Moment, from: Comparable, body: string | Uint8Array) {
    this.key = key
    this.client = from.client
    this.at = at
    this.moment = moment
    this.status = from.status
    this.type = from.type
    this.headers = from.headers ?? ''
    this.own = from.own
    this.#body = body
    this.#outside = from.outside
    const head = `${this.status}\n${this.type}\n${this.headers}\n`
    this.digest = typeof body === 'string' ? digestOf(head + body) : digestOfBytes(head, body)
  }

  get text (): string {
    return textOf(this.#body)
  }

  get bytes (): number {
    let bytes = BYTES + this.headers.length * 2 + (this.#inputs?.size ?? 0) * BYTES_OF_INPUT
    for (const value of this.own) bytes += value.length * 2
    return bytes + (typeof this.#body === 'string' ? this.#body.length * 2 : this.#body.byteLength)
  }

  reading (isIgnored: (name: string) => boolean): Reading {
    this.#reading ??= read(this, isIgnored)
    return this.#reading
  }

  /** What the request says besides its key, read once; undefined if it is not known. */
  inputs (hashed: (inputs: Inputs) => Hashes): Hashes | undefined {
    if (this.#inputs === undefined && this.#outside !== undefined) this.#inputs = hashed(this.#outside())
    return this.#inputs
  }

  /** Comparing is over: the request is let go, and so is what can be read again. */
  rest (): void {
    this.#outside = this.#reading = undefined
  }
}

/** As its bytes say it; one character a byte if they are no text, so that none is lost. */
export function textOf (body: string | Uint8Array): string {
  if (typeof body === 'string') return body
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString(isUtf8(body) ? 'utf8' : 'latin1')
}
