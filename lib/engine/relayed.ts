/**
 * What live results are between processes.
 *
 * Invariant: only types.
 */
import type { Readable } from 'node:stream'

/** What other processes get of a live result. */
export interface Relayed<R> {
  /** All of it but the body. */
  readonly head: R
  /** Makes a reader of all of the body. */
  readonly body: () => Readable
}

/** A live result of another process. */
export interface Revived<R> {
  readonly recording: R
  /** All who were on board read it. */
  readonly joined: () => void
}

export interface RevivedListener {
  /** It has become too large for newcomers. */
  full (): void
  /** It has ended, or was broken off, or nobody reads it any more. */
  over (how: 'complete' | 'cut-off' | 'unheard'): void
}
