/**
 * The log of a run: other processes read its result while it is made.
 *
 * Invariant: while nobody elsewhere waits, nothing is made, read or sent. One batch is under way at a time, and meanwhile the body is read no
 * further than one chunk, so that it is never held here. Each entry is sealed for its place in the body. Whatever fails ends the log, and
 * not the run.
 */
import type { LiveMessage, Relay } from '../../types/coordination.js'
import type { Link } from './link.js'
import type { KeyNames } from './names.js'

export interface LogSettings {
  /** How long a leader leads that says nothing, in milliseconds. Its log is kept as long. */
  readonly lease: number
  /** Longer bodies are cut off for other processes. */
  readonly maxMessageBytes: number
}

/** Whose log it is. */
export interface LoggedRun {
  readonly key: string
  readonly names: KeyNames
  readonly token: string
}

/** A log that has all but its end. */
export interface FinishedLog {
  readonly entries: number
  /** The last entry. */
  readonly end: Uint8Array
}

/** What an entry is sealed for: nothing else can stand in its place. */
export const PLACE_OF = Object.freeze({
  head: (token: string) => `log head ${token}`,
  body: (token: string, offset: number) => `log ${offset} ${token}`,
  end: (token: string, offset: number) => `log end ${offset} ${token}`
})

/** The most bytes of an entry. */
const MOST_BYTES = 65_536
/** The most entries of a batch. */
const MOST_ENTRIES = 4
const NOBODY = Symbol('nobody')

export class LogWriter implements Relay {
  readonly #link: Link
  readonly #settings: LogSettings
  readonly #run: LoggedRun
  readonly #live: LiveMessage
  readonly #unwanted: () => void
  #sending: Promise<FinishedLog | undefined> | undefined
  #body: ReturnType<LiveMessage['body']> | undefined
  #entries = 0
  /** Somebody has begun to wait since it was begun. */
  #isWantedAgain = false
  /** Nobody waits. */
  #isUnread = false
  #isOver = false

  /** @param unwanted told that nobody waits any more */
  constructor (link: Link, settings: LogSettings, run: LoggedRun, live: LiveMessage, unwanted: () => void) {
    this.#link = link
    this.#settings = settings
    this.#run = run
    this.#live = live
    this.#unwanted = unwanted
  }

  /** Somebody waits. */
  waited (): void {
    if (this.#isOver) return
    this.#isWantedAgain = true
    if (this.#sending === undefined) this.#sending = this.#send()
    else if (this.#entries > 0) this.#append([])
  }

  cut (): void {
    if (this.#isOver) return
    this.#isOver = true
    if (this.#sending === undefined) return
    this.#body?.destroy()
    this.#append([], 0)
  }

  /** Undefined at once if it was never begun. Resolves once all of it is there, or with undefined if that cannot be. */
  finished (): Promise<FinishedLog | undefined> | undefined {
    return this.#sending
  }

  async #send (): Promise<FinishedLog | undefined> {
    for (;;) {
      this.#isWantedAgain = false
      this.#isUnread = false
      const sent = await this.#sendAll().catch(() => this.#isUnread ? NOBODY : undefined)
      if (sent === NOBODY && this.#isWantedAgain) continue
      if (sent === NOBODY) {
        this.#sending = undefined
        this.#unwanted()
        return undefined
      }
      if (sent === undefined) this.cut()
      return sent
    }
  }

  /** Sends all from the beginning. */
  async #sendAll (): Promise<FinishedLog | typeof NOBODY | undefined> {
    const { key, token } = this.#run
    const { figures, seal } = this.#link
    const head = this.#live.head()
    if (head === undefined) return undefined
    let batch = [seal.seal(PLACE_OF.head(token), key, [head])]
    let offset = 0
    this.#entries = 0
    /** Sends what has gathered, if that is so much. Whether somebody still reads. */
    const flush = async (least: number): Promise<boolean> => {
      if (batch.length < least) return true
      const entries = batch
      batch = []
      return (await this.#append(entries) ?? await this.#appendAgain(entries)) !== 0
    }
    let isRead = true
    const stopRenewing = this.#renew()
    try {
      for await (const chunk of this.#body = this.#live.body()) {
        const bytes = chunk as Uint8Array
        if (offset + bytes.length > this.#settings.maxMessageBytes) {
          figures.tooLarge++
          return undefined
        }
        for (let start = 0; start < bytes.length; start += MOST_BYTES) {
          const piece = bytes.subarray(start, start + MOST_BYTES)
          batch.push(seal.seal(PLACE_OF.body(token, offset), key, [piece]))
          offset += piece.length
          isRead &&= await flush(MOST_ENTRIES)
        }
        isRead &&= await flush(1)
        if (!isRead) break
      }
      isRead &&= await flush(1)
    } finally {
      stopRenewing()
    }
    if (!isRead) return NOBODY
    if (this.#isOver) return undefined
    figures.sent.messages++
    figures.uploads.count++
    return { entries: this.#entries, end: seal.seal(PLACE_OF.end(token, offset), key, []) }
  }

  /** A log that nobody adds to is kept for as long as its run goes on. */
  #renew (): () => void {
    const { clock } = this.#link
    const next = (): unknown => clock.setTimeout(() => {
      timer = next()
      if (this.#entries > 0) this.#keep()
    }, this.#settings.lease / 3)
    let timer = next()
    return () => { clock.clearTimeout(timer) }
  }

  async #keep (): Promise<void> {
    if (this.#isOver || await this.#append([]) !== 0) return
    this.#isUnread = true
    this.#body?.destroy()
  }

  /** How many processes wait. Undefined if nobody knows what became of it. Rejects if the log is lost. */
  async #append (entries: readonly Uint8Array[], keep = this.#settings.lease, before = this.#entries): Promise<number | undefined> {
    const { figures, names: all, scripts } = this.#link
    const { names: { lane, waiters }, token } = this.#run
    this.#entries = before + entries.length
    const bytes = entries.reduce((sum, { length }) => sum + length, 0)
    const replies = await this.#link.send(lane, [{
      script: scripts.log,
      keys: [all.log(lane, token), waiters],
      args: [token, all.inboxes(lane), before, keep, ...entries]
    }], bytes)
    const reply = replies?.[0]
    if (entries.length === 0) return reply === 0 ? 0 : undefined
    if (reply === undefined) return undefined
    if (typeof reply !== 'number' || reply < 0) throw new Error('a log is lost')
    if (reply > 0) {
      figures.sent.bytes += bytes
      figures.uploads.bytes += bytes
    }
    return reply
  }

  /** The connection may have been away for a moment. */
  async #appendAgain (entries: readonly Uint8Array[]): Promise<number> {
    const { clock, opTimeout } = this.#link
    await new Promise<void>(resolve => { clock.setTimeout(resolve, opTimeout) })
    const readers = this.#isOver ? undefined : await this.#append(entries, undefined, this.#entries - entries.length)
    if (readers === undefined) throw new Error('Redis cannot be asked')
    return readers
  }
}
