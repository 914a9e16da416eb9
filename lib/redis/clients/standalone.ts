/**
 * A connection to one server, or to the master that Sentinels name: a line for commands, and one for the inbox.
 *
 * Invariant: the inbox is ready while all channels are subscribed and its line is ready.
 */
import { retryDelay, type MakeWire, type Timing } from './client.js'
import type { Command, Connection, ConnectionListener, Reply } from './connection.js'
import { Line } from './line.js'

export class StandaloneConnection implements Connection {
  readonly isCluster = false
  readonly #commands: Line
  readonly #inbox: Line
  readonly #channels: readonly string[]
  readonly #listener: ConnectionListener
  readonly #timing: Timing
  #inboxReady = false
  #retry: unknown

  constructor (make: MakeWire, channels: readonly string[], listener: ConnectionListener, timing: Timing) {
    this.#channels = channels
    this.#listener = listener
    this.#timing = timing
    const failed = (error: Error): void => { listener.failed(error) }
    this.#commands = new Line(make, {
      ready: () => { listener.ready() },
      closed: () => { listener.closed() },
      message: () => {},
      moved: () => {},
      failed
    }, timing)
    this.#inbox = new Line(make, {
      ready: this.#subscribe,
      closed: () => {
        timing.clock.clearTimeout(this.#retry)
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
    this.#inbox.subscribe(this.#channels).then(() => {
      if (!this.#inbox.isReady) return
      this.#inboxReady = true
      this.#listener.inboxReady()
    }, (error: Error) => {
      if (!this.#inbox.isReady) return
      this.#retry = this.#timing.clock.setTimeout(this.#subscribe, retryDelay(Infinity))
      this.#listener.failed(error)
    })
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
    this.#inboxReady = false
    this.#timing.clock.clearTimeout(this.#retry)
    await Promise.all([this.#commands.close(), this.#inbox.close()])
  }
}
