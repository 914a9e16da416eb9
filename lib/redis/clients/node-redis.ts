/**
 * Wires of node-redis.
 *
 * Invariant: a command is written in this turn of the event loop or refused, and never written again: the client's queue and its own
 * reconnection are off. All commands of one call are one write.
 */
import { bare, mapped, patience, type Address, type Timing, type Wire, type WireListener } from './client.js'
import type { Scouted } from './cluster.js'
import type { Command, Reply } from './connection.js'
import { written, type Emitter } from './ioredis.js'

/** What is used of a client. */
export interface NodeRedis extends Emitter {
  readonly isOpen: boolean
  readonly isReady: boolean
  readonly options: { readonly keyPrefix?: string | Buffer, readonly socket?: { readonly connectTimeout?: number } }
  duplicate (override: object): NodeRedis
  connect (): Promise<unknown>
  close (): Promise<unknown>
  destroy (): void
  sendCommand (args: ReadonlyArray<string | Buffer>, options: object): Promise<unknown>
  subscribe (channels: readonly string[], listener: (message: Buffer, channel: Buffer) => void, bufferMode: true): Promise<unknown>
  sSubscribe (channels: readonly string[], listener: (message: Buffer, channel: Buffer) => void, bufferMode: true): Promise<unknown>
}

/** What is used of a client of a cluster. */
export interface NodeRedisCluster extends Emitter {
  readonly _options?: {
    readonly keyPrefix?: string | Buffer
    readonly nodeAddressMap?: unknown
    readonly defaults?: { readonly socket?: object }
  }
  readonly masters: readonly Address[]
  duplicate (override: object): NodeRedisCluster
  connect (): Promise<unknown>
  nodeClient (node: unknown): Promise<NodeRedis>
  destroy (): void
}

/** Texts of all kinds are bytes; maps and sets are lists, as in older protocols. The numbers are the protocol's first bytes. */
const BYTES = {
  typeMapping: { [charCode('$')]: Buffer, [charCode('+')]: Buffer, [charCode('=')]: Buffer, [charCode('%')]: Array, [charCode('~')]: Array }
}

function charCode (text: string): number {
  return text.charCodeAt(0)
}

/** What our connections are like, whatever the user's client is. */
function ownOptions ({ options }: NodeRedis, timing: Timing, socket: object): object {
  const connectTimeout = Math.min(options.socket?.connectTimeout ?? Infinity, patience(timing))
  return {
    keyPrefix: undefined,
    readonly: false,
    disableOfflineQueue: true,
    commandsQueueMaxLength: undefined,
    commandOptions: undefined,
    pingInterval: undefined,
    clientSideCache: undefined,
    emitInvalidate: false,
    // While it signs in nothing else notices that nobody answers. Later on something is asked more often than that.
    socket: { ...options.socket, connectTimeout, socketTimeout: 2 * patience(timing), reconnectStrategy: false, ...socket }
  }
}

/** Whether the server sent it. The class is not ours to compare with. */
function isReply (error: unknown): boolean {
  for (let type = Object.getPrototypeOf(error) as object | null; type !== null; type = Object.getPrototypeOf(type) as object | null) {
    if (type.constructor.name === 'ErrorReply') return true
  }
  return false
}

class NodeRedisWire implements Wire {
  readonly #client: NodeRedis
  readonly #timing: Timing
  readonly #sharded: boolean
  readonly #message: (message: Buffer, channel: Buffer) => void
  readonly #listener: WireListener
  readonly #listeners: ReadonlyArray<readonly [event: string, listener: (...args: never[]) => void]>

  constructor (client: NodeRedis, listener: WireListener, timing: Timing, sharded: boolean) {
    this.#client = client
    this.#listener = listener
    this.#timing = timing
    this.#sharded = sharded
    this.#message = (message, channel) => { listener.message(channel.toString(), message) }
    this.#listeners = [['ready', listener.up], ['terminated', listener.down], ['sharded-channel-moved', listener.moved]]
    for (const [event, heard] of this.#listeners) client.on(event, heard)
    client.on('error', listener.failed)
  }

  open (): void {
    this.#client.connect().catch(() => {})
  }

  async write (commands: readonly Command[]): Promise<readonly Reply[]> {
    return await Promise.all(commands.map(async ([name, ...args]) => {
      return await this.#client.sendCommand([name, ...args.map(written)], BYTES).catch((error: unknown) => {
        if (isReply(error)) return bare(error)
        throw error
      }) as Reply
    }))
  }

  async subscribe (channels: readonly string[]): Promise<void> {
    await (this.#sharded
      ? this.#client.sSubscribe(channels, this.#message, true)
      : this.#client.subscribe(channels, this.#message, true))
  }

  cut (): void {
    this.#client.destroy()
    this.#listener.down()
  }

  async close (): Promise<void> {
    for (const [event, heard] of this.#listeners) this.#client.off(event, heard)
    const { clock, opTimeout } = this.#timing
    if (this.#client.isReady) {
      await new Promise<void>(resolve => {
        const timer = clock.setTimeout(resolve, opTimeout)
        this.#client.close().catch(() => {}).finally(() => {
          clock.clearTimeout(timer)
          resolve()
        })
      })
    }
    this.#client.destroy()
  }
}

export function nodeRedisWire (client: NodeRedis, listener: WireListener, timing: Timing): Wire {
  return new NodeRedisWire(client.duplicate(ownOptions(client, timing, {})), listener, timing, false)
}

/** Learns from a copy of a cluster's client where its masters are, and what its connections to single nodes are like. */
export async function scoutNodeRedis (client: NodeRedisCluster): Promise<Scouted> {
  const defaults = client._options?.defaults
  const socket = { ...defaults?.socket, reconnectStrategy: false }
  const scout = client.duplicate({ minimizeConnections: true, defaults: { ...defaults, socket } })
  scout.on('error', () => {})
  try {
    await scout.connect()
    const { masters } = scout
    const first = await Promise.any(masters.map(async master => await scout.nodeClient(master)))
    return {
      seeds: masters.map(({ host, port }) => ({ host, port })),
      make: (address, listener, timing) => {
        const own = ownOptions(first, timing, mapped(client._options?.nodeAddressMap, address))
        return new NodeRedisWire(first.duplicate(own), listener, timing, true)
      }
    }
  } finally {
    scout.destroy()
  }
}
