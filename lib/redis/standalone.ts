/**
 * A connection to one server, or to the master that Sentinels name: a line for commands, and one for the inbox.
 *
 * Invariant: the inbox is ready while all channels are subscribed and the server answers on its line.
 */
import { patience, retryDelay, type Dial, type Line, type Timing } from './client.js'
import type { Command, Connection, ConnectionListener, Reply } from './connection.js'

export class StandaloneConnection implements Connection {
  readonly isCluster = false
  readonly #commands: Line
  readonly #inbox: Line
  readonly #channels: readonly string[]
  readonly #listener: ConnectionListener
  readonly #timing: Timing
  #inboxReady = false
  #closed = false
  /** To subscribe again, or to ask whether the inbox's server is still there. */
  #timer: unknown

  constructor (dial: Dial, channels: readonly string[], listener: ConnectionListener, timing: Timing) {
    this.#channels = channels
    this.#listener = listener
    this.#timing = timing
    const failed = (error: Error): void => { listener.failed(error) }
    this.#commands = dial({
      ready: () => { listener.ready() },
      closed: () => { listener.closed() },
      message: () => {},
      moved: () => {},
      failed
    }, timing)
    this.#inbox = dial({
      ready: this.#subscribe,
      closed: () => {
        timing.clock.clearTimeout(this.#timer)
        if (!this.#inboxReady) return
        this.#inboxReady = false
        listener.inboxClosed()
      },
      message: (channel, message) => { listener.message(channel, message) },
      moved: () => {},
      failed
    }, timing)
  }

  get isReady (): boolean {
    return this.#commands.isReady
  }

  get isInboxReady (): boolean {
    return this.#inboxReady
  }

  readonly #subscribe = (): void => {
    if (!this.#inbox.isReady) return
    const { clock } = this.#timing
    this.#inbox.subscribe(this.#channels).then(() => {
      if (this.#closed || !this.#inbox.isReady) return
      this.#inboxReady = true
      this.#timer = clock.setTimeout(this.#listen, patience(this.#timing))
      this.#listener.inboxReady()
    }, (error: Error) => {
      if (this.#closed || !this.#inbox.isReady) return
      this.#timer = clock.setTimeout(this.#subscribe, retryDelay(Infinity))
      this.#listener.failed(error)
    })
  }

  /** A line that nothing comes over may be dead. Asking tells: without an answer, it is cut. */
  readonly #listen = (): void => {
    this.#inbox.send([['PING']]).then(() => {
      if (this.#inboxReady && !this.#closed) this.#timer = this.#timing.clock.setTimeout(this.#listen, patience(this.#timing))
    }, () => {})
  }

  async send (_key: string, commands: readonly Command[]): Promise<readonly Reply[]> {
    const replies = await this.#commands.send(commands)
    if (replies.some(reply => reply instanceof Error && reply.message.startsWith('READONLY'))) this.#demoted()
    return replies
  }

  /** The server has become a replica. Who connects anew may find the master. */
  #demoted (): void {
    this.#commands.cut()
    this.#inbox.cut()
  }

  async close (): Promise<void> {
    this.#closed = true
    this.#inboxReady = false
    this.#timing.clock.clearTimeout(this.#timer)
    await Promise.all([this.#commands.close(), this.#inbox.close()])
  }
}
