/**
 * A master of a cluster: a line for commands, and one for the channels that are its own, once there are any.
 *
 * Invariant: `hears` is true for a channel from when the node has said that it is subscribed until the line is lost or the node lets go
 * of it.
 */
import { retryDelay, type Address, type Timing, type Wire, type WireListener } from './client.js'
import { Line } from './line.js'

/** Makes a wire to a node. */
export type MakeNodeWire = (address: Address, listener: WireListener, timing: Timing) => Wire

export interface NodeListener {
  /** Something is ready that was not, or is not any more that was. */
  changed (): void
  /** Slots have moved. */
  moved (): void
  message (channel: string, message: Buffer): void
  failed (error: Error): void
}

export class ClusterNode {
  readonly address: Address
  readonly commands: Line
  readonly #make: MakeNodeWire
  readonly #listener: NodeListener
  readonly #timing: Timing
  #channels: readonly string[] = []
  readonly #subscribed = new Set<string>()
  #inbox: Line | undefined
  #retry: unknown
  /** A channel was refused a moment ago: none is asked for until the time to try again. */
  #isPausing = false

  constructor (make: MakeNodeWire, address: Address, listener: NodeListener, timing: Timing) {
    this.#make = make
    this.address = address
    this.#listener = listener
    this.#timing = timing
    this.commands = new Line((heard, timing) => make(address, heard, timing), {
      ready: () => { listener.changed() },
      closed: () => { listener.changed() },
      message: () => {},
      moved: () => {},
      failed: error => { listener.failed(error) }
    }, timing)
  }

  hears (channel: string): boolean {
    return this.#subscribed.has(channel)
  }

  /** From now on these channels are its own. */
  listen (channels: readonly string[]): void {
    this.#channels = channels
    for (const channel of this.#subscribed) if (!channels.includes(channel)) this.#subscribed.delete(channel)
    if (channels.length === 0) return
    if (this.#inbox?.isReady === true && !this.#isPausing) this.#subscribe()
    const { address } = this
    const lost = (): void => {
      this.#subscribed.clear()
      this.#listener.changed()
    }
    this.#inbox ??= new Line((heard, timing) => this.#make(address, heard, timing), {
      ready: this.#subscribe,
      closed: lost,
      message: (channel, message) => { this.#listener.message(channel, message) },
      moved: () => {
        lost()
        this.#listener.moved()
      },
      failed: error => { this.#listener.failed(error) }
    }, this.#timing)
  }

  readonly #subscribe = (): void => {
    const inbox = this.#inbox as Line
    const subscribed = this.#subscribed
    this.#isPausing = false
    // One command for each, as each may be of another slot. A node that is asked again says yes again.
    for (const channel of this.#channels.filter(channel => !subscribed.has(channel))) {
      inbox.subscribe([channel]).then(() => {
        subscribed.add(channel)
        this.#listener.changed()
      }, (error: Error) => {
        if (!inbox.isReady) return
        this.#isPausing = true
        if (error.message.startsWith('MOVED ')) this.#listener.moved()
        else this.#listener.failed(error)
        this.#timing.clock.clearTimeout(this.#retry)
        this.#retry = this.#timing.clock.setTimeout(() => { if (inbox.isReady) this.#subscribe() }, retryDelay(Infinity))
      })
    }
  }

  async close (): Promise<void> {
    this.#timing.clock.clearTimeout(this.#retry)
    await Promise.all([this.commands.close(), this.#inbox?.close()])
  }
}
