/**
 * One stream for any number of readers: the bytes are held once, each reader has a position in them.
 *
 * Invariant: what a reader gets is a prefix of the source, or of the span of it that it asked for, and it ends cleanly only if
 * it has all of its span, or the source ended cleanly. The source is read at the pace of the fastest reader and a window, so that
 * a slow reader delays nobody. While newcomers are taken all bytes are held; later only the last `maxBytes`, and a reader that
 * falls out of them is cut off. Where the length was declared, who has the last byte is told in the same turn that it was the last.
 */
import { finished, Readable } from 'node:stream'
import type { Clock } from '../../types/index.js'
import { Reader } from './broadcast-reader.js'
import type { Span } from './range.js'

/** Why a reader is destroyed before its end: it was too slow, the source failed, or the bytes are not for its client. */
export type Cut = 'fell-behind' | 'cut-off' | 'vary'

/** Who reads. */
export interface Listener {
  /** It is cut off; gives the error that its reader is destroyed with. */
  cutOff (reason: Cut, cause: Error | undefined): Error
}

export interface BroadcastLimits {
  readonly clock: Clock
  /** The most bytes that are held. */
  readonly maxBytes: number
  /** What Content-Length says; undefined if it is not known. */
  readonly length: number | undefined
  /** Takes steps until one says that it was the last. Calls `yields` before the event loop turns between two of them. */
  pace (step: () => boolean, yields: () => void): void
  /** Asked before bytes are held; false: there is no room for them. Told, with a negative number, when they are let go. */
  hold (bytes: number): boolean
  /** The error of a body of another length than was declared. */
  wrongLength (declared: number, got: number): Error
}

export interface BroadcastEvents {
  /** The source is about to be read because somebody reads it who does so before it is started. At most once. */
  early (): void
  /** The first bytes are here, or the clean end: listeners may join. Called once, unless it closes before. */
  begun (): void
  /** The body has grown past what can be held, and takes no newcomers. Before `over`, at most once. */
  tooLarge (): void
  /** The source is over: it ended, it failed, or the last listener left it. Called once. */
  over (how: 'complete' | 'cut-off' | 'unheard'): void
}

interface Block {
  readonly bytes: Buffer
  readonly start: number
  used: number
  /** For how many of its bytes room was taken. */
  held: number
}

/** How far ahead of the fastest reader the source is read, in bytes. */
export const WINDOW = 262_144
/** Small chunks are put together in blocks up to this size. */
const BLOCK = 16_384
/** How long the last chunk of a declared length waits for the end of its source, in milliseconds. */
const LAST_PATIENCE = 1000
const NOTHING = Buffer.alloc(0)
const ALL: Span = Object.freeze({ start: 0, end: Infinity })

export class Broadcast {
  readonly #source: Readable
  readonly #limits: BroadcastLimits
  readonly #events: BroadcastEvents
  readonly #readers = new Set<Reader>()
  #hungry: Reader[] = []
  #blocks: Block[] = []
  /** How many blocks were let go before the first of `#blocks`. */
  #dropped = 0
  #total = 0
  #held = 0
  /** How many of the bytes that are here wait for the end of the source, and what ends their wait. */
  #waiting = 0
  #waitTimer: unknown
  /** How far the fastest reader is. */
  #front = 0
  #frontLeft = false
  #open = true
  /** The source is read. */
  #started = false
  /** It is known who may have it. */
  #free = false
  #begun = false
  /** It had ended, without a byte, before it was started. */
  #endedEarly = false
  #rests = false
  #fedSlowly: Reader[] | undefined
  #over: 'complete' | 'cut-off' | 'unheard' | undefined
  #early: NodeJS.Immediate | undefined
  /** Whether who made the source had read of it. */
  readonly #wasRead: boolean

  /** @param source not read before `start` or `close`, unless a reader waits for it */
  constructor (source: Readable, limits: BroadcastLimits, events: BroadcastEvents) {
    this.#source = source
    this.#limits = limits
    this.#events = events
    this.#wasRead = source.readableDidRead
    finished(source, { writable: false }, error => { this.#finish(error ?? undefined) })
  }

  /** Whether the source has ended, and all of it is here. */
  get complete (): boolean {
    return this.#over === 'complete' && this.#open
  }

  /** Whether somebody listens to a source that is not over. */
  get heard (): boolean {
    return this.#over === undefined && this.#readers.size > 0
  }

  /** Does not read the source for now, or goes on to. */
  rest (rests: boolean): void {
    this.#rests = rests
    this.#pull()
  }

  /** All bytes so far, of a broadcast that takes newcomers. */
  whole (): Buffer {
    return Buffer.concat(this.#blocks.map(({ bytes, used }) => bytes.subarray(0, used)), this.#total)
  }

  /** How long the source says that it is; undefined if it does not. */
  get length (): number | undefined {
    return this.#limits.length
  }

  /** A reader of all bytes, or of a span, which may not be empty. */
  join (listener: Listener, span = ALL): Readable {
    const reader = new Reader(this, listener, span)
    this.#readers.add(reader)
    // What comes before its span it takes at any pace.
    this.#front = Math.max(this.#front, span.start)
    if (span.start < (this.#blocks[0]?.start ?? this.#total)) this.#cut(reader, 'fell-behind', undefined)
    return reader
  }

  /** It is known who may have it: starts to read the source, and to take newcomers. */
  start (): void {
    if (this.#free) return
    this.#free = true
    if (this.#over === 'complete') {
      this.#complete()
      if (this.#readers.size === 0) this.#letGo()
    } else if (this.#total > 0) {
      this.#beginSoon()
    }
    this.#read()
  }

  #read (): void {
    if (this.#started) return
    this.#started = true
    if (this.#source.readableDidRead !== this.#wasRead) {
      this.#finish(new Error('somebody else has read of a stream that was sent'))
      return
    }
    if (this.#endedEarly) {
      this.#finish(undefined)
      return
    }
    this.#source.on('data', (chunk: unknown) => { this.#write(chunk) })
    this.#serve()
    this.#pull()
  }

  /** Takes no newcomers any more. */
  close (): void {
    this.#open = false
    this.start()
    this.#leftAlone()
  }

  /** Cuts those off who may not have what comes next. */
  cut (isCut: (listener: Listener) => boolean): void {
    for (const reader of [...this.#readers]) {
      if (isCut(reader.listener)) this.#cut(reader, 'vary', undefined)
    }
  }

  /** A reader wants more. */
  feed (reader: Reader): void {
    if (reader.destroyed) return
    if (!this.#started) {
      this.#wait(reader)
      // Most who read do so a moment before it is started; who waits for the bytes would wait for ever.
      this.#early ??= setImmediate(() => {
        if (this.#started) return
        this.#events.early()
        this.#read()
      })
      return
    }
    if (reader.feeding) {
      reader.again = true
      return
    }
    reader.feeding = true
    const full = this.#give(reader)
    reader.feeding = false
    if (!full && this.#readers.has(reader)) {
      if (this.#over === 'complete' || reader.position >= reader.end) {
        reader.push(null)
        this.leave(reader)
      } else {
        this.#wait(reader)
      }
    }
    this.#pull()
  }

  /** A reader reads no more. */
  leave (reader: Reader): void {
    if (!this.#readers.delete(reader)) return
    this.#frontLeft = true
    this.#leftAlone()
    this.#pull()
  }

  #wait (reader: Reader): void {
    if (reader.hungry) return
    reader.hungry = true
    this.#hungry.push(reader)
  }

  /** Feeds those who wait for bytes, in order. The source waits for them where that takes more than one turn of the event loop. */
  #serve (): void {
    const hungry = this.#hungry.splice(0)
    if (hungry.length === 0) return
    let next = 0
    this.#limits.pace(() => {
      const reader = hungry[next++] as Reader
      reader.hungry = false
      const ends = this.#limits.length !== undefined && (this.#over === 'complete' || this.#there >= reader.end)
      reader.scope.runInAsyncScope(ends ? this.#rouse : this.feed, this, reader)
      if (next < hungry.length) return true
      if (this.#fedSlowly === hungry) this.#fedSlowly = undefined
      this.#pull()
      return false
    }, () => { this.#fedSlowly = hungry })
  }

  /**
   * Has a reader ask again, for the last time: what it is given then it passes on together with the end, even to who has enough
   * for now.
   */
  #rouse (reader: Reader): void {
    reader.push(NOTHING)
  }

  /** How many bytes readers may have by now. */
  get #there (): number {
    return this.#total - this.#waiting
  }

  /** Gives a reader what there is; whether it has enough for now. */
  #give (reader: Reader): boolean {
    let index = Math.max(reader.block - this.#dropped, 0)
    const end = Math.min(reader.end, this.#there)
    while (!reader.destroyed && reader.position < end) {
      let block = this.#blocks[index] as Block
      while (reader.position >= block.start + block.used) block = this.#blocks[++index] as Block
      reader.block = this.#dropped + index
      const chunk = block.bytes.subarray(reader.position - block.start, Math.min(block.used, end - block.start))
      reader.position += chunk.length
      if (reader.position > this.#front) this.#front = reader.position
      reader.again = false
      if (!reader.push(chunk) && !reader.again && reader.position < reader.end) return true
    }
    return reader.destroyed
  }

  #write (chunk: unknown): void {
    if (this.#over !== undefined) return
    if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) {
      this.#finish(new TypeError('a stream that is sent must give strings or bytes'))
      return
    }
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
    if (bytes.length === 0) return
    const { length, maxBytes } = this.#limits
    if (length !== undefined && this.#total + bytes.length > length) {
      this.#finish(this.#limits.wrongLength(length, this.#total + bytes.length))
      return
    }
    let held = false
    if (this.#open) {
      held = this.#total + bytes.length <= maxBytes && this.#limits.hold(bytes.length)
      if (!held) {
        this.#open = false
        this.#events.tooLarge()
      }
    }
    if (!held) held = this.#makeRoom(bytes.length)
    this.#append(bytes, held)
    if (this.#total === length) this.#hold(bytes.length)
    this.#serve()
    if (this.#free && this.#open && this.#total === bytes.length) this.#beginSoon()
    this.#leftAlone()
    this.#pull()
  }

  /** The last bytes are here, and their source has not ended yet. */
  #hold (bytes: number): void {
    this.#waiting = bytes
    this.#waitTimer = this.#limits.clock.setTimeout(() => {
      this.#waiting = 0
      this.#serve()
    }, LAST_PATIENCE)
  }

  #stopHolding (): void {
    if (this.#waitTimer !== undefined) this.#limits.clock.clearTimeout(this.#waitTimer)
    this.#waiting = 0
  }

  /** Copies: the owner of a chunk may use its memory again. */
  #append (bytes: Uint8Array, held: boolean): void {
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

  /** Lets go of what is not needed, then of the oldest bytes, but never of what the fastest reader has not had. */
  #makeRoom (bytes: number): boolean {
    let slowest = this.#total
    for (const { position } of this.#readers) slowest = Math.min(slowest, position)
    const past = (position: number): boolean => {
      const first = this.#blocks[0]
      return first !== undefined && first.start + first.used <= position
    }
    while (past(slowest)) this.#drop()
    const front = this.#fastest()
    let held = false
    while (this.#held + bytes > this.#limits.maxBytes || !(held = this.#limits.hold(bytes))) {
      if (!past(front)) break
      this.#drop()
    }
    const start = this.#blocks[0]?.start ?? this.#total
    for (const reader of [...this.#readers]) {
      if (reader.position < start) this.#cut(reader, 'fell-behind', undefined)
    }
    return held
  }

  #drop (): void {
    const block = this.#blocks.shift() as Block
    this.#dropped++
    this.#held -= block.held
    this.#limits.hold(-block.held)
  }

  #letGo (): void {
    this.#limits.hold(-this.#held)
    this.#held = 0
    this.#dropped += this.#blocks.length
    this.#blocks = []
  }

  #fastest (): number {
    if (this.#frontLeft) {
      this.#frontLeft = false
      this.#front = 0
      for (const { position } of this.#readers) this.#front = Math.max(this.#front, position)
    }
    return this.#front
  }

  /** Reads the source, or lets it rest. */
  #pull (): void {
    if (!this.#started || this.#over !== undefined) return
    const ahead = this.#there - this.#fastest()
    if (!this.#rests && this.#fedSlowly === undefined && (this.#open ? ahead < WINDOW : ahead <= 0)) this.#source.resume()
    else this.#source.pause()
  }

  /** One turn, in which a source that is there already can end, fail, or look at the request: nobody else has bytes yet. */
  #beginSoon (): void {
    setImmediate(() => { this.#begin() })
  }

  #begin (): void {
    if (!this.#open || this.#begun || (this.#over !== undefined && this.#over !== 'complete')) return
    this.#events.begun()
    this.#begun = true
    this.#leftAlone()
  }

  /** Before it has begun somebody may wait for it; then who does not listen has left. */
  #leftAlone (): void {
    if (this.#readers.size > 0 || (this.#open && !this.#begun)) return
    if (this.#over === undefined) {
      this.#over = 'unheard'
      this.#stopHolding()
      this.#source.destroy()
      this.#events.over('unheard')
    }
    this.#letGo()
  }

  #finish (error: Error | undefined): void {
    if (this.#over !== undefined) return
    if (!this.#started && error === undefined) {
      this.#endedEarly = true
      return
    }
    const { length, wrongLength } = this.#limits
    const failure = error ?? (length !== undefined && length !== this.#total ? wrongLength(length, this.#total) : undefined)
    this.#started = true
    this.#stopHolding()
    if (failure !== undefined) {
      this.#over = 'cut-off'
      this.#source.destroy()
      for (const reader of [...this.#readers]) this.#cut(reader, 'cut-off', failure)
      this.#letGo()
      this.#events.over('cut-off')
      return
    }
    this.#over = 'complete'
    if (this.#free) this.#complete()
    this.#serve()
    if (this.#free && this.#readers.size === 0) this.#letGo()
  }

  #complete (): void {
    this.#begin()
    this.#events.over('complete')
  }

  #cut (reader: Reader, reason: Cut, cause: Error | undefined): void {
    const error = reader.listener.cutOff(reason, cause)
    reader.scope.runInAsyncScope(() => { reader.destroy(error) })
  }
}
