/**
 * One who waits for a run of another process, and all who wait here for the same run.
 *
 * Invariant: a listener is called once at most, never before `follow` has returned, and never after its owner has left.
 */
import type { LostReason, RemoteRun, RemoteRunListener } from '../../types/coordination.js'
import type { KeyNames } from './names.js'

export type Outcome = { readonly bytes: Buffer } | { readonly lost: LostReason }

/** One who waits. */
export class Wait implements RemoteRun {
  readonly watch: Watch
  readonly #left: (wait: Wait) => void
  readonly #ended: () => void
  #listener: RemoteRunListener | undefined
  #outcome: Outcome | undefined
  #isOver = false

  /**
   * @param left called if it leaves before the end
   * @param ended called once nothing more is to come of it
   */
  constructor (watch: Watch, left: (wait: Wait) => void, ended: () => void) {
    this.watch = watch
    this.#left = left
    this.#ended = ended
  }

  follow (listener: RemoteRunListener): void {
    this.#listener = listener
    if (this.#outcome !== undefined) queueMicrotask(() => { this.#tell() })
  }

  leave (): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#ended()
    if (this.#outcome === undefined) this.#left(this)
  }

  settle (outcome: Outcome): void {
    if (this.#outcome !== undefined) return
    this.#outcome = outcome
    if (this.#listener !== undefined) this.#tell()
  }

  #tell (): void {
    if (this.#isOver || this.#outcome === undefined) return
    this.#isOver = true
    this.#ended()
    if ('bytes' in this.#outcome) this.#listener?.landed(this.#outcome.bytes)
    else this.#listener?.lost(this.#outcome.lost)
  }
}

/** All who wait here for one run. */
export interface Watch {
  readonly key: string
  readonly names: KeyNames
  readonly token: string
  /** The process that leads. */
  readonly leader: string
  readonly waits: Set<Wait>
  timer: unknown
  /** How many times in a row nobody was at the leader's inbox. */
  absences: number
  /** The leader seems to be gone, and what became of the run is being asked. */
  isSuspect: boolean
  /** Its end is known, and its result on the way. */
  isEnding: boolean
}
