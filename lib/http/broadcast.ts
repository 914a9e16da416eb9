/**
 * One stream for any number of readers: the bytes are held once, and each reader has a position in them.
 *
 * Invariant: what a reader gets is a prefix of the source, or of the span of it that it asked for. It ends cleanly only if
 * it has all of its span, or the source ended cleanly. The source is read at most a window ahead of the fastest reader, so that
 * a slow reader delays nobody. While newcomers may join, all bytes are held; later only the last `maxBytes`, and a reader that
 * falls behind them is cut off. If the length was declared, a reader gets the end in the same turn as the last byte.
 */
import type { Readable } from 'node:stream'
import type { Clock } from '../../types/index.js'
import { Audience, type Pace } from './broadcast-audience.js'
import { HeldBytes, type Room } from './broadcast-bytes.js'
import { Reader, type Listener } from './broadcast-reader.js'
import { Source, type SourceLimits } from './broadcast-source.js'
import type { Span } from './range.js'

export interface BroadcastLimits extends Room, SourceLimits {
  readonly clock: Clock
  readonly pace: Pace
}

export interface BroadcastEvents {
  /** The source is about to be read before `start`, because a reader waits for it. Called at most once. */
  early (): void
  /** The first bytes are here, or the clean end: newcomers may join. Called once, unless the broadcast closes before. */
  begun (): void
  /** The body has grown past what can be held, and takes no newcomers. Called before `over`, at most once. */
  tooLarge (): void
  /** The source is over: it ended, it failed, or its last reader left. Called once. */
  over (how: 'complete' | 'cut-off' | 'unheard'): void
}

/** How far ahead of the fastest reader the source is read, in bytes. */
export const WINDOW = 262_144
/** How long the last chunk of a declared length is held back for the end of its source, in milliseconds. */
const LAST_PATIENCE = 1000
const NOTHING = Buffer.alloc(0)
const ALL: Span = Object.freeze({ start: 0, end: Infinity })

export class Broadcast {
  readonly #source: Source
  readonly #limits: BroadcastLimits
  readonly #events: BroadcastEvents
  readonly #audience: Audience
  readonly #bytes: HeldBytes
  /** How many of the bytes that are here are held back until the source ends. */
  #heldBack = 0
  #heldBackTimer: unknown
  /** Newcomers may join. */
  #open = true
  /** It is known who may have the bytes. */
  #free = false
  /** `begun` was called. */
  #begun = false
  #rests = false
  #over: 'complete' | 'cut-off' | 'unheard' | undefined
  #early: NodeJS.Immediate | undefined

  /** @param source not read before `start` or `close`, unless a reader waits for it */
  constructor (source: Readable, limits: BroadcastLimits, events: BroadcastEvents) {
    this.#limits = limits
    this.#events = events
    this.#audience = new Audience(limits.pace.bind(limits), reader => { this.#serveOne(reader) }, () => { this.#pull() })
    this.#bytes = new HeldBytes(limits)
    this.#source = new Source(source, limits, bytes => { this.#write(bytes) }, failure => { this.#finish(failure) })
  }

  /** Whether the source has ended, and all of it is here. */
  get complete (): boolean {
    return this.#over === 'complete' && this.#open
  }

  /** Whether a source that is not over has readers. */
  get heard (): boolean {
    return this.#over === undefined && this.#audience.size > 0
  }

  /** Pauses the source, or resumes it. */
  rest (rests: boolean): void {
    this.#rests = rests
    this.#pull()
  }

  /** All bytes so far, while newcomers may join. */
  whole (): Buffer {
    return this.#bytes.whole()
  }

  /** The declared length; undefined if there is none. */
  get length (): number | undefined {
    return this.#limits.length
  }

  /** A new reader of all bytes, or of a span, which may not be empty. */
  join (listener: Listener, span = ALL): Readable {
    const reader = new Reader(this, listener, span)
    this.#audience.add(reader)
    if (span.start < this.#bytes.start) reader.cut('fell-behind', undefined)
    return reader
  }

  /** It is known who may have the bytes: starts to read the source, and to take newcomers. */
  start (): void {
    if (this.#free) return
    this.#free = true
    if (this.#over === 'complete') {
      this.#complete()
      if (this.#audience.size === 0) this.#bytes.letGo()
    } else if (this.#bytes.total > 0) {
      this.#beginSoon()
    }
    this.#read()
  }

  #read (): void {
    if (this.#source.isStarted || !this.#source.start()) return
    this.#audience.serve()
    this.#pull()
  }

  /** Takes no more newcomers. */
  close (): void {
    this.#open = false
    this.start()
    this.#leftAlone()
  }

  /** Cuts off the readers whose clients may not have what comes next. */
  cut (isCut: (listener: Listener) => boolean): void {
    for (const reader of this.#audience.list()) {
      if (isCut(reader.listener)) reader.cut('vary', undefined)
    }
  }

  /** A reader wants more. */
  feed (reader: Reader): void {
    if (reader.destroyed) return
    if (!this.#source.isStarted) {
      this.#audience.wait(reader)
      // Most readers come a moment before the start. One that delays the start until it has bytes would wait for ever.
      this.#early ??= setImmediate(() => {
        if (this.#source.isStarted) return
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
    if (!full && this.#audience.has(reader)) {
      if (this.#over === 'complete' || reader.position >= reader.end) {
        reader.push(null)
        this.leave(reader)
      } else {
        this.#audience.wait(reader)
      }
    }
    this.#pull()
  }

  /** A reader reads no more. */
  leave (reader: Reader): void {
    if (!this.#audience.delete(reader)) return
    this.#leftAlone()
    this.#pull()
  }

  /**
   * Feeds a reader that waited. If what there is now is its last, it is made to ask again, so that it passes the bytes on together with
   * the end, even to a client that has enough for now.
   */
  #serveOne (reader: Reader): void {
    const ends = this.#limits.length !== undefined && (this.#over === 'complete' || this.#available >= reader.end)
    if (ends) reader.push(NOTHING)
    else this.feed(reader)
  }

  /** How many bytes readers may have by now. */
  get #available (): number {
    return this.#bytes.total - this.#heldBack
  }

  /** Gives a reader what there is; whether it has enough for now. */
  #give (reader: Reader): boolean {
    const end = Math.min(reader.end, this.#available)
    while (!reader.destroyed && reader.position < end) {
      const chunk = this.#bytes.next(reader, end)
      this.#audience.moved(reader)
      reader.again = false
      if (!reader.push(chunk) && !reader.again && reader.position < reader.end) return true
    }
    return reader.destroyed
  }

  #write (bytes: Uint8Array): void {
    const total = this.#bytes.total + bytes.length
    this.#bytes.append(bytes, this.#takeRoom(bytes.length))
    if (total === this.#limits.length) this.#holdBack(bytes.length)
    this.#audience.serve()
    if (this.#free && this.#open && total === bytes.length) this.#beginSoon()
    this.#leftAlone()
    this.#pull()
  }

  /** Takes room for bytes, from the slowest readers if need be; whether there is any. */
  #takeRoom (bytes: number): boolean {
    if (this.#open) {
      if (this.#bytes.takeRoom(bytes)) return true
      this.#open = false
      this.#events.tooLarge()
    }
    const room = this.#bytes.makeRoom(bytes, this.#audience.slowest(this.#bytes.total), this.#audience.fastest())
    const { start } = this.#bytes
    for (const reader of this.#audience.list()) {
      if (reader.position < start) reader.cut('fell-behind', undefined)
    }
    return room
  }

  /** Holds the last bytes back: their source has not ended yet, and may still fail. */
  #holdBack (bytes: number): void {
    this.#heldBack = bytes
    this.#heldBackTimer = this.#limits.clock.setTimeout(() => {
      this.#heldBack = 0
      this.#audience.serve()
    }, LAST_PATIENCE)
  }

  #stopHoldingBack (): void {
    if (this.#heldBackTimer !== undefined) this.#limits.clock.clearTimeout(this.#heldBackTimer)
    this.#heldBack = 0
  }

  /** Resumes the source, or pauses it. */
  #pull (): void {
    if (!this.#source.isStarted || this.#over !== undefined) return
    const ahead = this.#available - this.#audience.fastest()
    if (!this.#rests && !this.#audience.isBeingFed && (this.#open ? ahead < WINDOW : ahead <= 0)) this.#source.resume()
    else this.#source.pause()
  }

  /** Begins in the next turn: until then a source that is ready can end, fail, or read headers, and nobody else has bytes yet. */
  #beginSoon (): void {
    setImmediate(() => { this.#begin() })
  }

  #begin (): void {
    if (!this.#open || this.#begun || (this.#over !== undefined && this.#over !== 'complete')) return
    this.#events.begun()
    this.#begun = true
    this.#leftAlone()
  }

  /** Ends the source if it has no readers. Not while newcomers may still come: before `begun`, followers may wait for it. */
  #leftAlone (): void {
    if (this.#audience.size > 0 || (this.#open && !this.#begun)) return
    if (this.#over === undefined) {
      this.#over = 'unheard'
      this.#stopHoldingBack()
      this.#source.destroy()
      this.#events.over('unheard')
    }
    this.#bytes.letGo()
  }

  #finish (failure: Error | undefined): void {
    this.#stopHoldingBack()
    if (failure !== undefined) {
      this.#over = 'cut-off'
      this.#source.destroy()
      for (const reader of this.#audience.list()) reader.cut('cut-off', failure)
      this.#bytes.letGo()
      this.#events.over('cut-off')
      return
    }
    this.#over = 'complete'
    if (this.#free) this.#complete()
    this.#audience.serve()
    if (this.#free && this.#audience.size === 0) this.#bytes.letGo()
  }

  #complete (): void {
    this.#begin()
    this.#events.over('complete')
  }
}
