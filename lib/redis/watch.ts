/**
 * One who waits for a run of another process, and all who wait here for the same run.
 *
 * Invariant: a listener is called once at most, never before `follow` has returned, and never after its owner has left. Once it reads the
 * result while that is made, it gets no other.
 */
import type { LostReason, RemoteRun, RemoteRunListener } from '../../types/coordination.js'
import type { LogListener, LogReader } from './log-reader.js'
import type { KeyNames } from './names.js'

export type Outcome = { readonly bytes: Buffer } | { readonly lost: LostReason }

/** One who waits. */
export class Wait implements RemoteRun {
  readonly watch: Watch
  readonly #left: (wait: Wait) => void
  readonly #ended: () => void
  readonly #read: (listener: LogListener) => LogReader
  #listener: RemoteRunListener | undefined
  #outcome: Outcome | undefined
  #log: LogReader | undefined
  /** The listener has been given the body. */
  #isOpen = false
  #isOver = false
  /** It has read all of it. */
  #isComplete = false

  /**
   * @param left called if it leaves before the end, or has read the result
   * @param ended called once nothing more is to come of it
   * @param read begins to read the log of the run
   */
  constructor (watch: Watch, left: (wait: Wait) => void, ended: () => void, read: (listener: LogListener) => LogReader) {
    this.watch = watch
    this.#left = left
    this.#ended = ended
    this.#read = read
  }

  follow (listener: RemoteRunListener): void {
    this.#listener = listener
    if (this.#outcome !== undefined) queueMicrotask(() => { this.#tell() })
    else this.more()
  }

  /** The log of the run has grown, or has been removed. */
  more (): void {
    const { entries, isWhole } = this.watch
    if (this.#isOver || this.#listener === undefined) return
    if (this.#log === undefined && entries > 0 && this.#listener.opened !== undefined) {
      this.#log = this.#read({
        opened: head => {
          this.#isOpen = true
          this.#listener?.opened?.(head, this.#log as LogReader)
        },
        failed: () => {
          this.#log = undefined
          if (this.watch.isWhole) this.settle({ lost: 'rejected' })
        },
        closed: isComplete => {
          this.#isComplete = isComplete
          if (isComplete) this.watch.isWhole = true
          this.leave()
        }
      })
    }
    if (this.#log !== undefined) this.#log.more(entries, isWhole)
    else if (isWhole) this.settle({ lost: 'rejected' })
  }

  leave (): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#ended()
    if (!this.#isComplete) this.#log?.destroy()
    if (this.#outcome === undefined) this.#left(this)
  }

  settle (outcome: Outcome): void {
    if (this.#outcome !== undefined) return
    if (this.#isOpen) {
      this.#log?.fail()
      return
    }
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
  /** How long its log is, as far as is known. */
  entries: number
  /** The end is in the log. */
  isWhole: boolean
}
