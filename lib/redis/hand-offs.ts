/**
 * How what a run came to gets to those who wait for it in other processes.
 *
 * Invariant: while nobody waits, no result is made or sent. Whatever became of a lease, it ends: it is sent again until it is known to
 * have arrived, but not after its time. Bounded in number.
 */
import type { Argument } from './clients/connection.js'
import type { Link, Replies, Step } from './link.js'
import type { FinishedLog } from './log-writer.js'
import type { KeyNames } from './names.js'

export interface Note {
  readonly message: Uint8Array
  readonly ttl: number
}

/** The end of a lease. */
export interface Ending {
  readonly key: string
  readonly names: KeyNames
  readonly token: string
  readonly isWaitedFor: boolean
  /** It may be that this process did not lead, but waited. */
  readonly isDoubtful: boolean
  /** Without it, the run came to nothing. */
  readonly message: (() => Uint8Array) | undefined
  /** Sent if the message is too large. */
  readonly instead: (() => Uint8Array) | undefined
  readonly note: Note | undefined
  /** Those who wait have read the result while it was made. */
  readonly log?: FinishedLog | undefined
  /** It is not sent after that. */
  readonly until: number
}

export interface HandOffSettings {
  /** Larger results are put where those who wait fetch them. */
  readonly maxInline: number
  readonly maxMessageBytes: number
  /** How long a result is kept for those who wait, in milliseconds. */
  readonly handoffTtl: number
}

const MOST_UNSENT = 64

export class HandOffs {
  readonly #link: Link
  readonly #settings: HandOffSettings
  /** In order, from the oldest on. */
  #unsent: Ending[] = []
  readonly #underWay = new Set<Promise<void>>()
  #timer: unknown
  #isClosed = false

  constructor (link: Link, settings: HandOffSettings) {
    this.#link = link
    this.#settings = settings
  }

  send (ending: Ending): void {
    this.#track(this.#send(ending))
  }

  /** Sends what is not known yet. */
  sendLater (ending: Promise<Ending>): void {
    this.#track(ending.then(async known => { await this.#send(known) }))
  }

  #track (sending: Promise<void>): void {
    const sent = sending.then(() => { this.#underWay.delete(sent) })
    this.#underWay.add(sent)
  }

  /** Resolves once all that is being sent has arrived, or has not. */
  async settled (): Promise<void> {
    await Promise.all(this.#underWay)
  }

  /** Redis can be asked again. */
  sendAgain (): void {
    const unsent = this.#unsent
    this.#unsent = []
    const now = this.#link.clock.now()
    for (const ending of unsent) {
      if (ending.until > now) this.send(ending)
      else this.#link.figures.failedHandOffs++
    }
  }

  close (): void {
    this.#isClosed = true
    this.#link.figures.failedHandOffs += this.#unsent.length
    this.#unsent = []
    this.#link.clock.clearTimeout(this.#timer)
  }

  readonly #again = (): void => {
    this.#timer = undefined
    this.sendAgain()
  }

  async #send (ending: Ending): Promise<void> {
    const { clock, figures, isUsable } = this.#link
    const start = clock.now()
    const isUnwanted = isUsable ? await this.#isUnwanted(ending) : false
    const arrived = isUnwanted ?? await this.#handOver(ending)
    if (!arrived) this.#keep(ending)
    else if (isUnwanted === undefined) figures.handOffTimes.add(clock.now() - start)
  }

  /** True if nobody waits, and the lease has ended; false if that is not known; undefined if somebody waits. */
  async #isUnwanted (ending: Ending): Promise<boolean | undefined> {
    if (ending.isWaitedFor || ending.message === undefined) return undefined
    const { names, token } = ending
    const replies = await this.#link.send(names.lane, [{
      script: this.#link.scripts.release,
      keys: [names.pointer, names.waiters, names.note],
      args: [token, this.#registered(ending), ...this.#noteOf(ending)]
    }])
    if (!hasArrived(replies)) return false
    return replies[0] === 1 ? undefined : true
  }

  async #handOver (ending: Ending): Promise<boolean> {
    const { log, names: { lane } } = ending
    if (log !== undefined) return hasArrived(await this.#link.send(lane, [this.#done(ending, 'E', log.end)]))
    const sealed = this.#sealed(ending)
    if (sealed === undefined) return hasArrived(await this.#link.send(lane, [this.#done(ending, 'X', '')]))
    const { figures } = this.#link
    const isLarge = sealed.length > this.#settings.maxInline
    const steps: Step[] = isLarge
      ? [
          ['SET', this.#link.names.result(lane, ending.token), sealed, 'PX', this.#settings.handoffTtl],
          this.#done(ending, 'R', String(sealed.length))
        ]
      : [this.#done(ending, 'I', sealed)]
    const replies = await this.#link.send(lane, steps, isLarge ? sealed.length : 0)
    if (!hasArrived(replies)) return false
    figures.sent.messages++
    figures.sent.bytes += sealed.length
    if (isLarge) {
      figures.uploads.count++
      figures.uploads.bytes += sealed.length
    }
    return true
  }

  #done (ending: Ending, mode: string, body: Argument): Step {
    const { names, token } = ending
    const { names: all, scripts } = this.#link
    return {
      script: scripts.done,
      keys: [names.pointer, names.waiters, names.note, all.result(names.lane, token), all.log(names.lane, token)],
      args: [
        token, all.inboxes(names.lane), mode, body, this.#settings.handoffTtl, this.#registered(ending), ...this.#noteOf(ending),
        ending.log?.entries ?? 0
      ]
    }
  }

  #sealed ({ instead, key, message, token }: Ending): Buffer | undefined {
    if (message === undefined) return undefined
    try {
      let bytes: Uint8Array | undefined = message()
      if (bytes.length > this.#settings.maxMessageBytes) {
        this.#link.figures.tooLarge++
        bytes = instead?.()
      }
      return bytes === undefined ? undefined : this.#link.seal.seal(`run ${token}`, key, [bytes])
    } catch {
      return undefined
    }
  }

  #noteOf ({ key, note }: Ending): [Argument, Argument] {
    return note === undefined ? ['', 0] : [this.#link.seal.seal('note', key, [note.message]), Math.max(1, Math.ceil(note.ttl))]
  }

  /** Under which name this process may wait for another one, without knowing it. */
  #registered ({ isDoubtful }: Ending): string {
    return isDoubtful ? this.#link.instance : ''
  }

  #keep (ending: Ending): void {
    if (ending.until <= this.#link.clock.now() || this.#unsent.length >= MOST_UNSENT || this.#isClosed) {
      this.#link.figures.failedHandOffs++
      return
    }
    this.#unsent.push(ending)
    if (this.#link.isUsable) this.#timer ??= this.#link.clock.setTimeout(this.#again, this.#link.opTimeout)
  }
}

/** The last step is the one that ends the lease. */
function hasArrived (replies: Replies | undefined): replies is Replies {
  return replies !== undefined && !(replies.at(-1) instanceof Error)
}
