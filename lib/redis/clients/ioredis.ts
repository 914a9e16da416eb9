/**
 * Wires of ioredis and iovalkey.
 *
 * Invariant: a command is written at once or refused, and never written again: the client's queue, its repetitions and its automatic
 * pipelines are off. All commands of one call are one write.
 */
import { bare, mapped, patience, type Timing, type Wire, type WireListener } from './client.js'
import type { Scouted } from './cluster.js'
import type { Argument, Command, Reply } from './connection.js'

type Listener = (...args: never[]) => void
type Result = readonly [error: Error | null, reply?: unknown]

interface Pipeline {
  callBuffer (name: string, ...args: Array<string | Buffer>): unknown
  exec (): Promise<readonly Result[]>
}

export interface Emitter {
  on (event: string, listener: Listener): unknown
  off (event: string, listener: Listener): unknown
}

/** What is used of a client. */
export interface Ioredis extends Emitter {
  readonly status: string
  readonly options: { readonly keyPrefix?: string, readonly host?: string, readonly port?: number, readonly connectTimeout: number }
  duplicate (override: object): Ioredis
  connect (): Promise<unknown>
  disconnect (): void
  pipeline (): Pipeline
  subscribe (...channels: string[]): Promise<unknown>
  ssubscribe (...channels: string[]): Promise<unknown>
}

/** What is used of a client of a cluster. */
export interface IoredisCluster extends Emitter {
  readonly options: { readonly keyPrefix?: string, readonly natMap?: unknown }
  duplicate (nodes: readonly unknown[], override: object): IoredisCluster
  connect (): Promise<unknown>
  disconnect (): void
  nodes (): readonly Ioredis[]
}

/** What our connections are like, whatever the user's client is. */
function ownOptions (client: Ioredis, timing: Timing): object {
  return {
    keyPrefix: '',
    lazyConnect: true,
    monitor: false,
    readOnly: false,
    role: 'master',
    enableOfflineQueue: false,
    enableAutoPipelining: false,
    enableReadyCheck: true,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    reconnectOnError: null,
    retryStrategy: () => null,
    sentinelRetryStrategy: () => null,
    maxRetriesPerRequest: 0,
    maxLoadingRetryTime: 500,
    commandTimeout: undefined,
    blockingTimeout: undefined,
    // While it signs in nothing else notices that nobody answers.
    socketTimeout: 2 * patience(timing),
    connectTimeout: Math.min(client.options.connectTimeout, patience(timing)),
    disconnectTimeout: timing.opTimeout,
    stringNumbers: false,
    replyMapping: 'legacy'
  }
}

export function written (argument: Argument): string | Buffer {
  if (typeof argument === 'object') return Buffer.from(argument.buffer, argument.byteOffset, argument.byteLength)
  return String(argument)
}

function replied ([error, reply]: Result): Reply {
  if (error === null) return reply as Reply
  if (error.name === 'ReplyError') return bare(error)
  throw error
}

class IoredisWire implements Wire {
  readonly #client: Ioredis
  readonly #timing: Timing
  readonly #sharded: boolean
  readonly #listeners: ReadonlyArray<readonly [event: string, listener: Listener]>

  constructor (client: Ioredis, listener: WireListener, timing: Timing, sharded: boolean) {
    this.#client = client
    this.#timing = timing
    this.#sharded = sharded
    const message = (channel: Buffer, message: Buffer): void => { listener.message(channel.toString(), message) }
    this.#listeners = [
      ['ready', listener.up],
      ['end', listener.down],
      ['messageBuffer', message],
      ['smessageBuffer', message],
      ['moved', listener.moved]
    ]
    for (const [event, heard] of this.#listeners) client.on(event, heard)
    // It stays for good: without one, the client writes what fails to the console.
    client.on('error', listener.failed)
  }

  open (): void {
    this.#client.connect().catch(() => {})
  }

  async write (commands: readonly Command[]): Promise<readonly Reply[]> {
    const pipeline = this.#client.pipeline()
    for (const [name, ...args] of commands) pipeline.callBuffer(name, ...args.map(written))
    return (await pipeline.exec()).map(replied)
  }

  async subscribe (channels: readonly string[]): Promise<void> {
    await (this.#sharded ? this.#client.ssubscribe(...channels) : this.#client.subscribe(...channels))
  }

  cut (): void {
    this.#client.disconnect()
  }

  async close (): Promise<void> {
    for (const [event, heard] of this.#listeners) this.#client.off(event, heard)
    const { clock, opTimeout } = this.#timing
    if (this.#client.status === 'end') return
    await new Promise<void>(resolve => {
      const over = (): void => {
        this.#client.off('end', over)
        clock.clearTimeout(timer)
        resolve()
      }
      // It has no sooner cut a connection than that long after it was to end.
      const timer = clock.setTimeout(over, 2 * opTimeout)
      this.#client.on('end', over)
      this.#client.disconnect()
    })
  }
}

export function ioredisWire (client: Ioredis, listener: WireListener, timing: Timing): Wire {
  return new IoredisWire(client.duplicate(ownOptions(client, timing)), listener, timing, false)
}

/**
 * Learns from a copy of a cluster's client where it begins, and what its connections to single nodes are like: it makes them before it
 * connects.
 */
export async function scoutIoredis (client: IoredisCluster): Promise<Scouted> {
  const scout = client.duplicate([], { lazyConnect: true, shardedSubscribers: false, clusterRetryStrategy: null })
  try {
    await new Promise<unknown>((resolve, reject) => {
      scout.on('error', reject)
      scout.on('+node', resolve)
      scout.connect().then(resolve, reject)
    })
    const nodes = scout.nodes()
    const [first] = nodes as readonly [Ioredis]
    return {
      seeds: nodes.map(({ options }) => ({ host: String(options.host), port: Number(options.port) })),
      make: (address, listener, timing) => {
        const own = { ...ownOptions(first, timing), ...mapped(client.options.natMap, address) }
        return new IoredisWire(first.duplicate(own), listener, timing, true)
      }
    }
  } finally {
    scout.disconnect()
  }
}
