/**
 * The way to Redis: a connection, with a time limit for each exchange and a circuit that opens when there is no answer in time.
 *
 * Invariant: what is sent settles within the time limit, and never rejects. While the circuit is open or the connection is closed nothing
 * is sent. `undefined` means that nobody knows what became of it.
 */
import { randomBytes } from 'node:crypto'
import type { Clock } from '../../types/index.js'
import type { Client } from './clients/client.js'
import { Circuit } from './circuit.js'
import type { Command, Connection, Reply } from './clients/connection.js'
import { CAUSES, Figures, type Cause } from './figures.js'
import { Journal } from './journal.js'
import { Names } from './names.js'
import { commandOf, isCall, scripts, type Call, type Scripts } from './scripts.js'
import type { Seal } from './seal.js'

/** What a server says that can do nothing for us now. Redis 6 puts the name of an error in a script in the middle. */
const ERRORS = new RegExp(`(?:^|-)(${CAUSES.slice(2).join('|')})\\b`)
/** What `NOPERM` is called in a script. */
const NO_PERMISSION = /user executing the script can't|ACL failure in script/i
/** Bytes per millisecond that a large exchange is given time for, besides the time limit. */
const LEAST_SPEED = 2_000

export type Step = Call | Command
export type Replies = readonly Reply[]

export interface LinkSettings {
  readonly namespace: string
  readonly lanes: number
  readonly opTimeout: number
  readonly clock: Clock
}

export interface LinkListener {
  /** Redis can be asked, for the first time or again. */
  usable? (): void
  /** Redis cannot be asked. */
  unusable? (): void
  /** The inbox is there again. Messages may have been missed. */
  inboxBack? (): void
  message? (channel: string, message: Buffer): void
  /** The configuration is wrong: this never works. */
  failed? (error: Error): void
}

export class Link {
  /** This start of this process. */
  readonly instance = randomBytes(16).toString('base64url')
  readonly clock: Clock
  readonly figures = new Figures()
  readonly journal: Journal
  readonly names: Names
  readonly scripts: Scripts
  readonly isCluster: boolean
  readonly opTimeout: number
  readonly seal: Seal
  readonly #connection: Connection
  readonly #circuit: Circuit
  readonly #listeners = new Set<LinkListener>()
  readonly #inFlight = new Set<Promise<unknown>>()
  /** Large exchanges that are under way. What has to wait for them does not say that Redis cannot be asked. */
  #bulk = 0
  /** The lane of the exchange that opened the circuit. */
  #suspect = 0
  #inboxWasReady = false
  #isClosed = false
  #closing: unknown

  constructor (client: Client, settings: LinkSettings, seal: Seal) {
    this.clock = settings.clock
    this.journal = new Journal(settings.clock)
    this.opTimeout = settings.opTimeout
    this.isCluster = client.isCluster
    this.seal = seal
    this.names = new Names(client.keyPrefix, settings.namespace, settings.lanes, seal)
    this.scripts = scripts(client.isCluster)
    this.#circuit = new Circuit(this.clock, this.#probe, {
      opened: cause => { this.#opened(cause) },
      closed: () => {
        this.figures.isOpen = false
        this.journal.write('coordinator-up', 'Redis can be asked again: processes coalesce together')
        this.#tell('usable')
      }
    })
    this.#connection = client.connect(this.#channels(), {
      ready: () => { this.#connected() },
      closed: () => { this.#disconnected() },
      inboxReady: () => {
        if (this.#inboxWasReady) this.#tell('inboxBack')
        this.#inboxWasReady = true
        this.#tell('usable')
      },
      inboxClosed: () => {},
      message: (channel, message) => { for (const listener of this.#listeners) listener.message?.(channel, message) },
      failed: error => { this.#failed(error) }
    }, { clock: this.clock, opTimeout: this.opTimeout })
  }

  /** Whether something can be sent, and its answer be hoped for. */
  get isUsable (): boolean {
    return this.#connection.isReady && !this.#circuit.isOpen && !this.#isClosed
  }

  get isInboxReady (): boolean {
    return this.#connection.isInboxReady
  }

  listen (listener: LinkListener): () => void {
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }

  /** Something came that is not ours, or was cut or changed. */
  rejected (): void {
    this.figures.rejected++
    this.journal.writeSeldom('coordinator-rejected', 'something came from Redis that cannot be opened: it is of another secret or version, or was altered')
  }

  /**
   * Sends steps in order to the node that has the lane. One reply for each.
   *
   * @param bulk how many bytes are sent or expected, if they are many
   */
  async send (lane: number, steps: readonly Step[], bulk = 0): Promise<Replies | undefined> {
    if (!this.isUsable) return undefined
    if (bulk > 0) this.#bulk++
    const exchange = this.#timed(this.#exchange(lane, steps), this.opTimeout + bulk / LEAST_SPEED)
    this.#inFlight.add(exchange)
    const replies = await exchange
    this.#inFlight.delete(exchange)
    const isSmall = this.#bulk === 0
    if (bulk > 0) this.#bulk--
    if (replies === 'late') {
      this.figures.timeouts++
      if (isSmall) this.#suspected(lane, 'timeout')
      return undefined
    }
    const cause = replies === undefined ? undefined : causeOf(replies)
    if (cause !== undefined) this.#suspected(lane, cause)
    return replies
  }

  /** Settles once all that was sent has settled, and the connection is closed. */
  async close (): Promise<void> {
    this.#circuit.end()
    this.clock.clearTimeout(this.#closing)
    await Promise.allSettled(this.#inFlight)
    this.#isClosed = true
    this.#listeners.clear()
    await this.#connection.close().catch(() => {})
  }

  /** By its hash. What the server has not is sent again, whole. */
  async #exchange (lane: number, steps: readonly Step[]): Promise<Replies | undefined> {
    const key = this.names.purges(lane)
    try {
      const replies = await this.#connection.send(key, steps.map(step => isCall(step) ? commandOf(step) : step))
      const unknown = steps.flatMap((step, index) => isCall(step) && isNoScript(replies[index]) ? [{ step, index }] : [])
      if (unknown.length === 0) return replies
      const again = await this.#connection.send(key, unknown.map(({ step }) => commandOf(step, true)))
      const whole = [...replies]
      for (const [place, { index }] of unknown.entries()) whole[index] = again[place] as Reply
      return whole
    } catch {
      return undefined
    }
  }

  /** If the event loop was blocked, replies may be there that were not read yet: they are, in the turn in which the time has run out. */
  async #timed<T> (exchange: Promise<T>, limit: number): Promise<T | 'late'> {
    return await new Promise(resolve => {
      const timer = this.clock.setTimeout(() => { setImmediate(resolve, 'late') }, limit)
      exchange.then(replies => {
        this.clock.clearTimeout(timer)
        resolve(replies)
      })
    })
  }

  readonly #probe = async (): Promise<boolean> => {
    if (!this.#connection.isReady) return false
    const name = this.names.probe(this.#suspect, this.instance)
    const probe: Call = { script: this.scripts.probe, keys: [name], args: [name] }
    const replies = await this.#timed(this.#exchange(this.#suspect, [['PING'], probe]), this.opTimeout)
    return Array.isArray(replies) && !replies.some(reply => reply instanceof Error)
  }

  /** Its node is what is probed. */
  #suspected (lane: number, cause: Cause): void {
    if (!this.#circuit.isOpen) this.#suspect = lane
    this.#circuit.open(cause)
  }

  #opened (cause: Cause): void {
    this.figures.isOpen = true
    this.figures.openings[cause]++
    this.journal.write('coordinator-down', `Redis cannot be asked (${cause}): each process coalesces for itself`, { cause })
    this.#tell('unusable')
  }

  #connected (): void {
    this.clock.clearTimeout(this.#closing)
    if (this.#circuit.isOpen) this.#circuit.try()
    else this.#tell('usable')
  }

  /** A connection that is there again soon is no reason to give up those that wait. */
  #disconnected (): void {
    this.#closing = this.clock.setTimeout(() => { this.#circuit.open('closed') }, this.opTimeout)
  }

  #failed (error: Error): void {
    this.journal.failed(error)
    for (const listener of this.#listeners) listener.failed?.(error)
  }

  #tell (what: 'usable' | 'unusable' | 'inboxBack'): void {
    for (const listener of [...this.#listeners]) listener[what]?.()
  }

  #channels (): string[] {
    const inboxes = Array.from({ length: this.names.lanes }, (_, lane) => this.names.inbox(lane, this.instance))
    return [...inboxes, this.names.broadcast]
  }
}

function isNoScript (reply: Reply | undefined): boolean {
  return reply instanceof Error && reply.message.startsWith('NOSCRIPT')
}

function causeOf (replies: Replies): Cause | undefined {
  for (const reply of replies) {
    if (!(reply instanceof Error)) continue
    const cause = NO_PERMISSION.test(reply.message) ? 'NOPERM' : ERRORS.exec(reply.message)?.[1]
    if (cause !== undefined) return cause as Cause
  }
  return undefined
}
