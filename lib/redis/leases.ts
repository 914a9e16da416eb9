/**
 * What this process leads.
 *
 * Invariant: each lease ends once, by what it came to. Nobody waits for that: it is sent in the background, again if it is not known what
 * became of it, but not for longer than the lease lasts. A result is made and sent only if another process waits for it. A lease is renewed
 * for as long as it may lead, and no longer.
 */
import type { CoordinationLease, LiveMessage, Relay } from '../../types/coordination.js'
import type { Ending, HandOffs, Note } from './hand-offs.js'
import type { Link } from './link.js'
import { LogWriter, type FinishedLog, type LogSettings } from './log-writer.js'
import type { KeyNames } from './names.js'

export interface LeaseSettings extends LogSettings {
  /** What others can read while it is made, they do. */
  readonly relay: boolean
}

/** What a run came to: nothing, without a message. */
type Result = readonly [message?: () => Uint8Array, note?: Note, instead?: () => Uint8Array]

/** @param unwanted told that nobody waits any more */
type Logs = (live: LiveMessage, unwanted: () => void) => LogWriter

/** Of one script. */
const MOST_RENEWED = 500

class Lease implements CoordinationLease {
  readonly names: KeyNames
  readonly token: string
  readonly since: number
  /** It is not renewed after that. */
  readonly until: number
  isWaitedFor = false
  renewedAt: number
  log: LogWriter | undefined
  readonly #logs: Logs | undefined
  readonly #ended: (lease: Lease, result: Result) => void
  #isOver = false

  /** @param logs has what is still being made read by others; undefined: nothing is */
  constructor (
    names: KeyNames, token: string, since: number, until: number, logs: Logs | undefined, ended: (lease: Lease, result: Result) => void
  ) {
    this.#logs = logs
    this.names = names
    this.token = token
    this.since = since
    this.renewedAt = since
    this.until = until
    this.#ended = ended
  }

  land (message: () => Uint8Array, note?: Note, instead?: () => Uint8Array): void {
    this.#end([message, note, instead])
  }

  release (): void {
    if (this.#isOver) return
    this.log?.cut()
    this.#end([])
  }

  relay (live: LiveMessage): Relay | undefined {
    if (this.#isOver || this.log !== undefined || this.#logs === undefined) return undefined
    this.log = this.#logs(live, () => { this.isWaitedFor = false })
    if (this.isWaitedFor) this.log.waited()
    return this.log
  }

  #end (result: Result): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#ended(this, result)
  }
}

export class Leases {
  readonly #link: Link
  readonly #settings: LeaseSettings
  readonly #handOffs: HandOffs
  readonly #leases = new Map<string, Lease>()
  #timer: unknown

  constructor (link: Link, settings: LeaseSettings, handOffs: HandOffs) {
    this.#link = link
    this.#settings = settings
    this.#handOffs = handOffs
  }

  /**
   * This process leads.
   *
   * @param isDoubtful nobody knows whether it does: it may as well wait for another one
   * @param ended called when the lease ends
   */
  add (key: string, names: KeyNames, token: string, leadsFor: number, isDoubtful: boolean, ended: () => void): CoordinationLease {
    const { clock, figures } = this.#link
    const now = clock.now()
    const { relay, lease: limit } = this.#settings
    const logs: Logs | undefined = relay
      ? (live, unwanted) => new LogWriter(this.#link, this.#settings, { key, names, token }, live, unwanted)
      : undefined
    const lease = new Lease(names, token, now, now + leadsFor, logs, (over, [message, note, instead]) => {
      this.#leases.delete(token)
      ended()
      figures.leaseTimes.add(clock.now() - now)
      const ending = (log?: FinishedLog): Ending =>
        ({ key, names, token, isWaitedFor: over.isWaitedFor, isDoubtful, message, note, instead, log, until: clock.now() + limit })
      const finished = over.log?.finished()
      if (finished === undefined) this.#handOffs.send(ending())
      else this.#handOffs.sendLater(finished.then(ending))
    })
    this.#leases.set(token, lease)
    this.#timer ??= this.#nextRenewal()
    return lease
  }

  /** Somebody waits for it. */
  waited (token: string): void {
    const lease = this.#leases.get(token)
    if (lease === undefined) return
    lease.isWaitedFor = true
    lease.log?.waited()
  }

  close (): void {
    this.#link.clock.clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #nextRenewal (): unknown {
    return this.#link.clock.setTimeout(() => { this.#renewAll() }, this.#settings.lease / 3)
  }

  /** Most leases end before they are as old as a third of their time. */
  #renewAll (): void {
    this.#timer = undefined
    if (this.#leases.size === 0) return
    this.#timer = this.#nextRenewal()
    const now = this.#link.clock.now()
    const lanes = new Map<number, Lease[]>()
    for (const lease of this.#leases.values()) {
      if (now > lease.until || now - lease.renewedAt < this.#settings.lease / 3) continue
      lease.renewedAt = now
      const due = lanes.get(lease.names.lane)
      if (due === undefined) lanes.set(lease.names.lane, [lease])
      else due.push(lease)
    }
    for (const [lane, due] of lanes) {
      for (let start = 0; start < due.length; start += MOST_RENEWED) this.#renew(lane, due.slice(start, start + MOST_RENEWED))
    }
  }

  async #renew (lane: number, due: readonly Lease[]): Promise<void> {
    const { scripts, figures } = this.#link
    const replies = await this.#link.send(lane, [{
      script: scripts.renew,
      keys: due.map(({ names }) => names.pointer),
      args: [this.#settings.lease, ...due.map(({ token }) => token)]
    }])
    const held = replies?.[0]
    if (!Array.isArray(held)) return
    for (const [index, { token }] of due.entries()) {
      if (held[index] === 1) figures.renewals++
      else if (this.#leases.has(token)) figures.lostLeases++
    }
  }
}
