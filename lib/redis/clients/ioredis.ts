/**
 * Lines of ioredis and iovalkey.
 *
 * Invariant: a command is written at once or refused, and never written again: the client's queue, its repetitions and its automatic
 * pipelines are off. All commands of one call are one write.
 */
import type { Argument, Command, Reply } from '../connection.js'
import { patience, retryDelay, type Line, type LineListener, type Timing } from '../client.js'
import { bare, Pending } from '../pending.js'

type Listener = (...args: never[]) => void

interface Pipeline {
  callBuffer (name: string, ...args: Array<string | Buffer>): unknown
  exec (): Promise<ReadonlyArray<readonly [error: Error | null, reply?: unknown]>>
}

export interface IoredisOptions {
  readonly keyPrefix?: string
  readonly connectTimeout?: number
}

/** What is used of it. */
export interface Ioredis {
  readonly status: string
  readonly options: IoredisOptions
  readonly isCluster: boolean
  duplicate (override: object): Ioredis
  connect (): Promise<unknown>
  disconnect (reconnect?: boolean): void
  pipeline (): Pipeline
  subscribe (...channels: string[]): Promise<unknown>
  ssubscribe (...channels: string[]): Promise<unknown>
  on (event: string, listener: Listener): unknown
  off (event: string, listener: Listener): unknown
}

/** The options of a line, whatever those of the user's client are. */
export function lineOptions (options: IoredisOptions, timing: Timing): object {
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
    maxRetriesPerRequest: 0,
    maxLoadingRetryTime: 500,
    retryStrategy: retryDelay,
    sentinelRetryStrategy: retryDelay,
    commandTimeout: undefined,
    blockingTimeout: undefined,
    socketTimeout: undefined,
    connectTimeout: Math.min(options.connectTimeout ?? Infinity, patience(timing)),
    disconnectTimeout: timing.opTimeout,
    stringNumbers: false,
    replyMapping: 'legacy',
    scripts: undefined
  }
}

function written (argument: Argument): string | Buffer {
  if (typeof argument === 'object') return Buffer.from(argument.buffer, argument.byteOffset, argument.byteLength)
  return String(argument)
}

/** An error in a result is a reply if the server sent it. Anything else says that nobody knows. */
function replied ([error, reply]: readonly [error: Error | null, reply?: unknown]): Reply {
  if (error === null) return reply as Reply
  if (error.name === 'ReplyError') return bare(error)
  throw error
}

export class IoredisLine implements Line {
  readonly #client: Ioredis
  readonly #listener: LineListener
  readonly #timing: Timing
  readonly #sharded: boolean
  readonly #pending: Pending
  readonly #listeners: ReadonlyArray<readonly [event: string, listener: Listener]>
  #ready = false
  #closed = false
  #retry: unknown

  /**
   * @param client a client of its own, with `lineOptions`, that has not begun to connect
   * @param sharded whether its channels are those of a cluster
   */
  constructor (client: Ioredis, listener: LineListener, timing: Timing, sharded: boolean) {
    this.#client = client
    this.#listener = listener
    this.#timing = timing
    this.#sharded = sharded
    this.#pending = new Pending(timing, () => { this.cut() })
    this.#listeners = [
      ['ready', () => {
        this.#ready = true
        listener.ready()
      }],
      ['close', this.#down],
      ['end', () => {
        // It has given up, which is not for it to decide.
        this.#down()
        this.#retry = timing.clock.setTimeout(this.#connect, retryDelay(Infinity))
      }],
      ['messageBuffer', this.#message],
      ['smessageBuffer', this.#message],
      ['moved', () => { listener.moved() }]
    ]
    for (const [event, heard] of this.#listeners) client.on(event, heard)
    // This one stays: a client without it writes to the console.
    client.on('error', (error: Error) => { if (!this.#closed) listener.failed(bare(error)) })
    this.#connect()
  }

  get isReady (): boolean {
    return this.#ready
  }

  readonly #connect = (): void => {
    this.#client.connect().catch(() => {})
  }

  readonly #down = (): void => {
    this.#pending.reject('the connection was closed')
    if (!this.#ready) return
    this.#ready = false
    this.#listener.closed()
  }

  readonly #message = (channel: Buffer, message: Buffer): void => {
    this.#listener.message(channel.toString(), message)
  }

  async send (commands: readonly Command[]): Promise<readonly Reply[]> {
    if (!this.#ready) throw new Error('there is no connection')
    const pipeline = this.#client.pipeline()
    for (const [name, ...args] of commands) pipeline.callBuffer(name, ...args.map(written))
    return await this.#pending.add(pipeline.exec().then(results => results.map(replied)))
  }

  async subscribe (channels: readonly string[]): Promise<void> {
    await this.#pending.add((this.#sharded ? this.#client.ssubscribe(...channels) : this.#client.subscribe(...channels)).then(() => []))
  }

  cut (): void {
    this.#client.disconnect(true)
  }

  async close (): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#ready = false
    const { clock, opTimeout } = this.#timing
    clock.clearTimeout(this.#retry)
    for (const [event, heard] of this.#listeners) this.#client.off(event, heard)
    await new Promise<void>(resolve => {
      const timer = clock.setTimeout(resolve, 2 * opTimeout)
      const over = (): void => {
        this.#client.off('end', over)
        clock.clearTimeout(timer)
        resolve()
      }
      this.#client.on('end', over)
      const { status } = this.#client
      this.#client.disconnect()
      if (status === 'reconnecting' || status === 'end') over()
    })
    this.#pending.reject('the connection was closed')
  }
}
