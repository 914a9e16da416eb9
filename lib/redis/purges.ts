/**
 * The clock of purges: when what was purged, for all processes, whether they run now or not.
 *
 * Invariant: a purge is on the clock of each lane before this process asks anything else of that lane. One that cannot be sent now is sent
 * as soon as Redis can be asked again. If there are too many of those, the clock is made anew, which purges all.
 */
import { randomBytes } from 'node:crypto'
import { purgedMessage, resetMessage, type Message } from './inbox.js'
import type { Link, Step } from './link.js'

/** Who wants to know of the purges of others. */
export interface PurgeListener {
  /** Purges of other groups are not told. */
  readonly group: string
  purged (labels: readonly string[], soft: boolean): void
  /** Purges may have been missed. */
  missed (): void
}

interface Purge {
  readonly group: string
  readonly labels: readonly string[]
  readonly soft: boolean
}

/** Of one message, and one call of the script. */
const MOST_LABELS = 500
const MOST_LABEL_CHARACTERS = 65_536
const MOST_UNSENT = 1_000
const LOST = 'the app closes, and purges that were made here are not in Redis: other processes may serve what was purged until it expires'

export class Purges {
  readonly #link: Link
  readonly #listeners = new Set<PurgeListener>()
  #unsent: Purge[] = []
  /** Purges could not be kept for later. */
  #isOverflown = false
  readonly #underWay = new Set<Promise<void>>()
  #timer: unknown

  constructor (link: Link) {
    this.#link = link
  }

  listen (listener: PurgeListener): () => void {
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }

  /** What has one of these labels is purged for all processes. The others are told, and who listens in this one besides `by`. */
  purge (group: string, labels: readonly string[], soft: boolean, by?: PurgeListener): void {
    for (const listener of [...this.#listeners]) if (listener !== by && listener.group === group) listener.purged(labels, soft)
    for (const some of batches(labels)) this.#begin(this.#send({ group, labels: some, soft }))
  }

  /** Redis can be asked again. What this sends goes before all that is asked from now on. */
  sendAgain (): void {
    if (this.#isOverflown) {
      this.#isOverflown = false
      this.#begin(this.#reset())
    }
    const unsent = this.#unsent
    this.#unsent = []
    for (const purge of unsent) this.#begin(this.#send(purge))
  }

  /** Another process tells of a purge. */
  received (message: Extract<Message, { type: 'purged' | 'reset' }>): void {
    if (message.instance === this.#link.instance) return
    const { figures } = this.#link
    const purge = message.type === 'purged' ? readPurge(this.#link.seal.open('purge', message.instance, message.sealed)) : undefined
    if (purge === undefined) {
      if (message.type === 'purged') this.#link.rejected()
      this.missed()
      return
    }
    figures.purges.received++
    for (const listener of [...this.#listeners]) if (listener.group === purge.group) listener.purged(purge.labels, purge.soft)
  }

  /** Messages may have been missed. */
  missed (): void {
    this.#link.figures.purges.missed++
    this.#link.journal.writeSeldom('coordinator-missed-purges', 'purges of other processes may have been missed: what memory holds is dropped')
    for (const listener of [...this.#listeners]) listener.missed()
  }

  /** How many purges are not known to be on the clock; if there were too many, one that purges all. */
  get unsent (): number {
    return this.#isOverflown ? 1 : this.#unsent.length
  }

  /** Nothing is sent any more. What was not is told: nobody can mend it later. */
  async close (): Promise<void> {
    this.#link.clock.clearTimeout(this.#timer)
    await Promise.all(this.#underWay)
    if (this.unsent > 0) this.#link.journal.write('coordinator-purges-lost', LOST)
  }

  #begin (sending: Promise<void>): void {
    const begun = sending.then(() => { this.#underWay.delete(begun) })
    this.#underWay.add(begun)
  }

  async #send (purge: Purge): Promise<void> {
    const { names, seal, instance, figures, scripts } = this.#link
    const fields = purge.labels.map(label => `${purge.soft ? 's' : ''}${names.placeOf(label)}`)
    const message = purgedMessage(instance, seal.seal('purge', instance, [Buffer.from(JSON.stringify(purge))]))
    const arrived = await this.#toAll((lane, generation) => ({
      script: scripts.purge,
      keys: [names.purges(lane)],
      args: [generation, ...lane === 0 ? [names.broadcast, message] : ['', ''], ...fields]
    }))
    if (arrived) figures.purges.sent++
    else this.#keep(purge)
  }

  async #reset (): Promise<void> {
    const { names, instance, figures, scripts } = this.#link
    const arrived = await this.#toAll((lane, generation) => ({
      script: scripts.reset,
      keys: [names.purges(lane)],
      args: [generation, ...lane === 0 ? [names.broadcast, resetMessage(instance)] : ['', '']]
    }))
    if (arrived) figures.purges.resets++
    else this.#overflow()
  }

  /** Whether each lane has it. */
  async #toAll (stepOf: (lane: number, generation: string) => Step): Promise<boolean> {
    const generation = randomBytes(12).toString('base64url')
    const replies = await Promise.all(Array.from({ length: this.#link.names.lanes }, async (_, lane) =>
      await this.#link.send(lane, [stepOf(lane, generation)])))
    return replies.every(reply => reply !== undefined && !(reply[0] instanceof Error))
  }

  #keep (purge: Purge): void {
    if (this.#isOverflown) return
    if (this.#unsent.length >= MOST_UNSENT) this.#overflow()
    else this.#unsent.push(purge)
    this.#later()
  }

  #overflow (): void {
    this.#isOverflown = true
    this.#unsent = []
    this.#later()
  }

  /** A connection that was cut for a moment does not say that Redis can be asked again. */
  #later (): void {
    if (!this.#link.isUsable) return
    this.#timer ??= this.#link.clock.setTimeout(() => {
      this.#timer = undefined
      this.sendAgain()
    }, this.#link.opTimeout)
  }
}

/** So that no message is long. */
function * batches (labels: readonly string[]): Generator<readonly string[]> {
  let batch: string[] = []
  let characters = 0
  for (const label of labels) {
    if (batch.length >= MOST_LABELS || (batch.length > 0 && characters + label.length > MOST_LABEL_CHARACTERS)) {
      yield batch
      batch = []
      characters = 0
    }
    batch.push(label)
    characters += label.length
  }
  if (batch.length > 0) yield batch
}

/** It was sealed by a process of ours, which may have another version. */
function readPurge (bytes: Buffer | undefined): Purge | undefined {
  if (bytes === undefined) return undefined
  try {
    const { group, labels, soft } = JSON.parse(bytes.toString()) as Record<string, unknown>
    const isList = Array.isArray(labels) && labels.every(label => typeof label === 'string')
    return typeof group === 'string' && isList && typeof soft === 'boolean' ? { group, labels, soft } : undefined
  } catch {
    return undefined
  }
}
