/**
 * What keeps Redis from reading keys and responses, and whoever can write to it from making any.
 *
 * Invariant: bytes come open only under the kind and the whole key that they were sealed for, and unchanged. A sealing key belongs to
 * one start of one process, and its id travels with what it sealed, so that random nonces do not repeat.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'

const CIPHER = 'aes-256-gcm'
/** Of the format. Bytes of another version do not come open. */
const VERSION = 1
const ID_BYTES = 16
const NONCE_BYTES = 12
const TAG_BYTES = 16
const ID_AT = 1
const NONCE_AT = ID_AT + ID_BYTES
const TAG_AT = NONCE_AT + NONCE_BYTES
const BYTES_AT = TAG_AT + TAG_BYTES
/** A nonce is random: of so many, two are the same with a probability of 2^-33. */
const MOST_SEALED = 2 ** 32
const OTHERS_KEPT = 1_000
/** 144 bits, which base64 writes without padding. */
const DIGEST_BYTES = 18

/** How much longer sealed bytes are. */
export const SEAL_BYTES = BYTES_AT

/** Seals and opens bytes, and makes names that say nothing, for all who have the same namespace and secret. */
export class Seal {
  readonly #master: Buffer
  readonly #digestKey: Buffer
  readonly #mostSealed: number
  /** The keys of other processes, by their ids. */
  readonly #others = new LRUCache<string, Buffer>({ max: OTHERS_KEPT })
  #id: Buffer
  #key: Buffer
  #sealed = 0

  /** @param secret without it, whoever knows the namespace can open and seal */
  constructor (namespace: string, secret = '', mostSealed = MOST_SEALED) {
    this.#master = derived(Buffer.from(secret), Buffer.from('fastify-coalesce'), namespace)
    this.#digestKey = derived(this.#master, Buffer.alloc(0), 'digest')
    this.#mostSealed = mostSealed
    this.#id = randomBytes(ID_BYTES)
    this.#key = this.#keyOf(this.#id)
  }

  /** Seals the bytes of all parts, one after the other. */
  seal (kind: string, key: string, parts: readonly Uint8Array[]): Buffer {
    if (++this.#sealed > this.#mostSealed) this.#renew()
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv(CIPHER, this.#key, nonce).setAAD(purpose(kind, key))
    const sealed = [Buffer.of(VERSION), this.#id, nonce, nonce]
    for (const part of parts) sealed.push(cipher.update(part))
    cipher.final()
    sealed[3] = cipher.getAuthTag()
    return Buffer.concat(sealed)
  }

  /** The bytes, or undefined if they were not sealed for this kind and key, or not by one of us, or were changed. */
  open (kind: string, key: string, sealed: Uint8Array): Buffer | undefined {
    if (sealed.length < BYTES_AT || sealed[0] !== VERSION) return undefined
    const secret = this.#keyOfOther(sealed.subarray(ID_AT, NONCE_AT))
    const decipher = createDecipheriv(CIPHER, secret, sealed.subarray(NONCE_AT, TAG_AT), { authTagLength: TAG_BYTES })
    decipher.setAAD(purpose(kind, key)).setAuthTag(sealed.subarray(TAG_AT, BYTES_AT))
    const bytes = decipher.update(sealed.subarray(BYTES_AT))
    try {
      decipher.final()
      return bytes
    } catch {
      return undefined
    }
  }

  /** A name for a text that only those who have the secret can make: 24 letters, digits, `-` and `_`. */
  digest (kind: string, text: string): string {
    return this.digestBytes(kind, text).toString('base64url', 0, DIGEST_BYTES)
  }

  digestBytes (kind: string, text: string): Buffer {
    return createHmac('sha256', this.#digestKey).update(purpose(kind, text)).digest()
  }

  #renew (): void {
    this.#id = randomBytes(ID_BYTES)
    this.#key = this.#keyOf(this.#id)
    this.#sealed = 1
  }

  #keyOfOther (id: Uint8Array): Buffer {
    const name = Buffer.from(id.buffer, id.byteOffset, id.length).toString('latin1')
    let key = this.#others.get(name)
    if (key === undefined) this.#others.set(name, key = this.#keyOf(id))
    return key
  }

  #keyOf (id: Uint8Array): Buffer {
    return derived(this.#master, id, 'seal')
  }
}

function derived (from: Uint8Array, salt: Uint8Array, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', from, salt, purpose, 32))
}

/** In UTF-16, since in UTF-8 texts with halves of surrogate pairs are the same. No kind has a NUL. */
function purpose (kind: string, key: string): Buffer {
  return Buffer.from(`${kind}\0${key}`, 'utf16le')
}
