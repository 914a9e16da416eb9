/**
 * The bytes of a broadcast that are held for its readers.
 *
 * Invariant: what is held is the end of all bytes so far, without a gap. Room is taken for no more than `maxBytes`, and what was taken
 * is given back when the bytes are let go.
 */

/** Room in memory. */
export interface Room {
  /** The most bytes that are held. */
  readonly maxBytes: number
  /** Asked before bytes are held; false: there is no room for them. Told, with a negative number, when they are let go. */
  hold (bytes: number): boolean
}

/** Where somebody is in the bytes. */
interface Cursor {
  position: number
  block: number
}

interface Block {
  readonly bytes: Buffer
  readonly start: number
  used: number
  /** For how many of its bytes room was taken. */
  held: number
}

/** Small chunks are put together in blocks up to this size. */
const BLOCK = 16_384

export class HeldBytes {
  readonly #room: Room
  #blocks: Block[] = []
  /** How many blocks were let go before the first of `#blocks`. */
  #dropped = 0
  #total = 0
  #held = 0

  constructor (room: Room) {
    this.#room = room
  }

  /** How many bytes have come, held or not. */
  get total (): number {
    return this.#total
  }

  /** The position of the first byte that is held. */
  get start (): number {
    return this.#blocks[0]?.start ?? this.#total
  }

  /** All bytes that are held. */
  whole (): Buffer {
    return Buffer.concat(this.#blocks.map(({ bytes, used }) => bytes.subarray(0, used)), this.#total)
  }

  /** Takes room for more bytes besides all so far; whether there is any. */
  takeRoom (bytes: number): boolean {
    return this.#total + bytes <= this.#room.maxBytes && this.#room.hold(bytes)
  }

  /**
   * Takes room for more bytes. Lets go of those that nobody needs, then of the oldest, but never of what the fastest reader has not
   * had. Whether there is room.
   */
  makeRoom (bytes: number, slowest: number, fastest: number): boolean {
    while (this.#endsBefore(slowest)) this.#drop()
    while (this.#held + bytes > this.#room.maxBytes || !this.#room.hold(bytes)) {
      if (!this.#endsBefore(fastest)) return false
      this.#drop()
    }
    return true
  }

  /** Copies bytes, because the owner of a chunk may use its memory again. `held`: room was taken for them. */
  append (bytes: Uint8Array, held: boolean): void {
    let block = this.#blocks.at(-1)
    if (block === undefined || block.used + bytes.length > block.bytes.length) {
      const size = Math.max(bytes.length, Math.min(BLOCK, this.#total))
      block = { bytes: Buffer.allocUnsafeSlow(size), start: this.#total, used: 0, held: 0 }
      this.#blocks.push(block)
    }
    block.bytes.set(bytes, block.used)
    block.used += bytes.length
    this.#total += bytes.length
    if (held) {
      block.held += bytes.length
      this.#held += bytes.length
    }
  }

  /** Some bytes from a position that is held on, up to `end`. Moves the cursor behind them. */
  next (cursor: Cursor, end: number): Buffer {
    let index = Math.max(cursor.block - this.#dropped, 0)
    let block = this.#blocks[index] as Block
    while (cursor.position >= block.start + block.used) block = this.#blocks[++index] as Block
    cursor.block = this.#dropped + index
    const chunk = block.bytes.subarray(cursor.position - block.start, Math.min(block.used, end - block.start))
    cursor.position += chunk.length
    return chunk
  }

  /** Lets go of all bytes. */
  letGo (): void {
    this.#room.hold(-this.#held)
    this.#held = 0
    this.#dropped += this.#blocks.length
    this.#blocks = []
  }

  /** Whether the oldest block ends at a position, or before it. */
  #endsBefore (position: number): boolean {
    const first = this.#blocks[0]
    return first !== undefined && first.start + first.used <= position
  }

  #drop (): void {
    const block = this.#blocks.shift() as Block
    this.#dropped++
    this.#held -= block.held
    this.#room.hold(-block.held)
  }
}
