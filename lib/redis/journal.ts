/**
 * What is written to the log about a link.
 *
 * Invariant: each line is written once, to the log of who has used the link for longest. What can happen often is written seldom.
 */
import type { Clock, CoordinationLog } from '../../types/index.js'

export type LinkEvent =
  'coordinator-down' | 'coordinator-up' | 'coordinator-failed' | 'coordinator-no-secret' | 'coordinator-rejected' | 'coordinator-missed-purges' |
  'coordinator-purges-lost'

/** In milliseconds. */
const SELDOM = 10_000

export class Journal {
  readonly #clock: Clock
  readonly #logs = new Set<CoordinationLog>()
  readonly #written = new Map<LinkEvent, number>()
  /** The last failure that was told. */
  #failure = ''

  constructor (clock: Clock) {
    this.#clock = clock
  }

  /** One more log to write to. */
  use (log: CoordinationLog): () => void {
    this.#logs.add(log)
    return () => { this.#logs.delete(log) }
  }

  write (event: LinkEvent, message: string, more: object = {}, err?: Error): void {
    const [log] = this.#logs
    const coalesce = { event, ...more }
    log?.warn(err === undefined ? { coalesce } : { err, coalesce }, message)
  }

  writeSeldom (event: LinkEvent, message: string): void {
    const now = this.#clock.now()
    const last = this.#written.get(event)
    if (last !== undefined && now - last < SELDOM) return
    this.#written.set(event, now)
    this.write(event, message)
  }

  /** The same failure is told once. */
  failed (err: Error): void {
    if (err.message === this.#failure) return
    this.#failure = err.message
    this.write('coordinator-failed', 'the connection to Redis has failed', {}, err)
  }
}
