/**
 * A connection to one server that comes back until it is closed.
 *
 * Invariant: each promise settles, at the latest when the connection is lost, and one on which nothing is answered for too long is given
 * up. Clients see to neither: some leave promises open for ever, and none notices a server that has gone without a word.
 */
import { bare, patience, retryDelay, type MakeWire, type Timing, type Wire } from './client.js'
import type { Command, Reply } from './connection.js'

type Replies = readonly Reply[]

export interface LineListener {
  /** It can be used, for the first time or again. Nothing is subscribed. */
  ready (): void
  /** It cannot be used any more. Called once for each `ready`, but for one that `close` ends. */
  closed (): void
  message (channel: string, message: Buffer): void
  moved (): void
  failed (error: Error): void
}

export class Line {
  readonly #listener: LineListener
  readonly #timing: Timing
  readonly #wire: Wire
  readonly #rejects = new Set<(error: Error) => void>()
  #ready = false
  #closed = false
  #failures = 0
  /** To connect again, or to see whether the server still answers. */
  #timer: unknown
  /** When the last reply came, or the first of those that wait was sent. */
  #heard = 0

  constructor (make: MakeWire, listener: LineListener, timing: Timing) {
    this.#listener = listener
    this.#timing = timing
    this.#wire = make({
      up: this.#up,
      down: this.#down,
      message: (channel, message) => { if (!this.#closed) listener.message(channel, message) },
      moved: () => { if (!this.#closed) listener.moved() },
      failed: error => { if (!this.#closed) listener.failed(bare(error)) }
    }, timing)
    this.#wire.open()
  }

  get isReady (): boolean {
    return this.#ready
  }

  readonly #up = (): void => {
    if (this.#closed) return
    this.#ready = true
    this.#failures = 0
    this.#after(patience(this.#timing), this.#check)
    this.#listener.ready()
  }

  readonly #down = (): void => {
    this.#reject()
    if (this.#closed) return
    this.#after(retryDelay(++this.#failures), () => { this.#wire.open() })
    if (!this.#ready) return
    this.#ready = false
    this.#listener.closed()
  }

  #after (delay: number, callback: () => void): void {
    this.#timing.clock.clearTimeout(this.#timer)
    this.#timer = this.#timing.clock.setTimeout(callback, delay)
  }

  #reject (): void {
    for (const reject of this.#rejects) reject(new Error('the connection was lost'))
    this.#rejects.clear()
  }

  /** Asks a server that was asked nothing, since only one that does not answer can be told from one that has nothing to say. */
  readonly #check = (): void => {
    const left = this.#heard + patience(this.#timing) - this.#timing.clock.now()
    const idle = this.#rejects.size === 0
    if (!idle && left <= 0) {
      this.#listener.failed(new Error('the server does not answer'))
      this.#wire.cut()
      return
    }
    this.#after(idle ? patience(this.#timing) : left, this.#check)
    // In small letters, as iovalkey knows no others that a subscriber may send.
    if (idle) this.send([['ping']]).catch(() => { this.cut() })
  }

  /** Sends commands in one write. Rejects if they cannot be sent, or the connection is lost before all replies are there. */
  async send (commands: readonly Command[]): Promise<Replies> {
    if (!this.#ready) throw new Error('there is no connection')
    return await this.#pend(this.#wire.write(commands))
  }

  /** Resolves once all are subscribed. After the next `ready` they are not. */
  async subscribe (channels: readonly string[]): Promise<void> {
    await this.#pend(this.#wire.subscribe(channels))
  }

  async #pend<T> (replies: Promise<T>): Promise<T> {
    const { clock } = this.#timing
    if (this.#rejects.size === 0) this.#heard = clock.now()
    return await new Promise<T>((resolve, reject) => {
      const settled = (): void => {
        this.#rejects.delete(reject)
        this.#heard = clock.now()
      }
      this.#rejects.add(reject)
      replies.then(value => {
        settled()
        resolve(value)
      }, (error: unknown) => {
        settled()
        reject(bare(error))
      })
    })
  }

  /** Connects anew. */
  cut (): void {
    if (this.#ready) this.#wire.cut()
  }

  async close (): Promise<void> {
    this.#closed = true
    this.#ready = false
    this.#timing.clock.clearTimeout(this.#timer)
    await this.#wire.close()
    this.#reject()
  }
}
