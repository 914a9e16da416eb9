/**
 * Bodies that several clients get, with their encodings (compressions), so that each body is encoded once for each algorithm and its
 * options.
 *
 * Invariant: an encoding is used only for bytes that equal those it was made from, so a body that a hook changed never gets the encoding
 * of another body. If there is room, an encoding is held while its body is in use, or as long as its owner exists. An error is never held.
 */
import type { Body } from './recording.js'

/** Reserves memory for bytes, or releases it if the number is negative. Returns false if there is not enough. */
export type Hold = (bytes: number) => boolean

export type Encoded = (error: Error | null, bytes: Buffer | undefined) => void
export type Encode = (bytes: Buffer, encoded: Encoded) => void

/** The most encodings that are held for one body. */
const MOST_WAYS = 8
/** The most bodies of one length. */
const MOST_OF_ONE_LENGTH = 16

export class SharedBody {
  users = 0
  readonly body: string | Buffer
  readonly #hold: Hold
  #held = 0
  #bytes: Buffer | undefined
  readonly #made = new Map<string, Buffer>()
  readonly #making = new Map<string, Encoded[]>()

  constructor (body: string | Buffer, hold: Hold) {
    this.body = body
    this.#hold = hold
  }

  /**
   * Whether this body equals the given bytes.
   *
   * @param length of this body, in bytes
   */
  is (bytes: Uint8Array, length: number): boolean {
    if (this.#bytes === undefined) {
      if (typeof this.body !== 'string') this.#bytes = this.body
      else if (this.#take(length)) this.#bytes = Buffer.from(this.body)
    }
    return this.#bytes?.equals(bytes) === true
  }

  /**
   * Returns an encoding of this body. Calls `encode` if the encoding is not held.
   *
   * @param way names the algorithm and its options
   */
  encodeSync (way: string, encode: () => Buffer): Buffer {
    const known = this.#made.get(way)
    if (known !== undefined) return known
    const made = encode()
    this.#keep(way, made)
    return made
  }

  /** Calls `encoded` with an encoding of this body. Calls `encode` only if the encoding is neither held nor being made. */
  encode (way: string, encode: Encode, encoded: Encoded): void {
    const known = this.#made.get(way)
    if (known !== undefined) {
      encoded(null, known)
      return
    }
    const others = this.#making.get(way)
    if (others !== undefined) {
      others.push(encoded)
      return
    }
    const waiting = [encoded]
    const tell: Encoded = (error, bytes) => {
      this.#making.delete(way)
      if (error === null && bytes !== undefined) this.#keep(way, bytes)
      for (const each of waiting) each(error, bytes)
    }
    this.#making.set(way, waiting)
    try {
      encode(this.#bytes as Buffer, tell)
    } catch (error) {
      tell(error as Error, undefined)
    }
  }

  /** Whether an encoding of this body is held. */
  get isWorthwhile (): boolean {
    return this.#made.size > 0
  }

  /** Releases the encodings of this body, when nobody uses it any more. */
  letGo (): void {
    this.#hold(-this.#held)
    this.#held = 0
    this.#bytes = undefined
    this.#made.clear()
  }

  #keep (way: string, made: Buffer): void {
    if (this.users > 0 && this.#made.size < MOST_WAYS && this.#take(made.length)) this.#made.set(way, made)
  }

  #take (bytes: number): boolean {
    if (!this.#hold(bytes)) return false
    this.#held += bytes
    return true
  }
}

export class SharedBodies {
  readonly #byLength = new Map<number, SharedBody[]>()
  /** Bodies that are not in use now, by the owner that may use them again. */
  readonly #idle = new WeakMap<object, SharedBody>()
  readonly #ownerless = new FinalizationRegistry<SharedBody>(shared => { shared.letGo() })

  /** How many bodies are in use. */
  get size (): number {
    let size = 0
    for (const { length } of this.#byLength.values()) size += length
    return size
  }

  /**
   * Shares the encodings of a body, until the returned function is called.
   *
   * @param length in bytes
   * @param owner an object that has this body and no other; its encodings are held for its next use
   */
  use (body: Body, length: number, hold: Hold, owner?: object): () => void {
    if (body === null || length === 0) return NOT_USED
    const alike = this.#byLength.get(length) ?? []
    let shared = alike.find(each => each.body === body)
    if (shared === undefined) {
      if (alike.length >= MOST_OF_ONE_LENGTH) return NOT_USED
      shared = (owner === undefined ? undefined : this.#wake(owner)) ?? new SharedBody(body, hold)
      alike.push(shared)
      this.#byLength.set(length, alike)
    }
    shared.users++
    let isUsed = true
    return () => {
      if (isUsed) this.#leave(shared, length, alike, owner)
      isUsed = false
    }
  }

  /** The body in use that is equal to these bytes. */
  find (bytes: Uint8Array): SharedBody | undefined {
    return this.#byLength.get(bytes.length)?.find(each => each.is(bytes, bytes.length))
  }

  #wake (owner: object): SharedBody | undefined {
    const shared = this.#idle.get(owner)
    this.#idle.delete(owner)
    this.#ownerless.unregister(owner)
    return shared
  }

  #leave (shared: SharedBody, length: number, alike: SharedBody[], owner: object | undefined): void {
    if (--shared.users > 0) return
    alike.splice(alike.indexOf(shared), 1)
    if (alike.length === 0) this.#byLength.delete(length)
    if (owner === undefined || !shared.isWorthwhile) {
      shared.letGo()
    } else {
      this.#idle.set(owner, shared)
      this.#ownerless.register(owner, shared, owner)
    }
  }
}

const NOT_USED = (): void => {}

/** The bodies of all apps of the process: `sharedZlib` is made before there is an app. */
export const sharedBodies = new SharedBodies()
