/**
 * A response as it was captured: what followers and the cache get of it, and why they may get nothing.
 *
 * Invariant: a captured body is nobody else's, and no hook can change it.
 */
import type { HeaderDelta } from '../../http/headers.js'
import type { Body } from '../../http/recording.js'
import type { UnshareableReason } from '../../reasons.js'

export interface Capture {
  /** Why only its own client may have it. */
  readonly reason: UnshareableReason | undefined
  readonly status: number
  readonly headers: HeaderDelta
  readonly body: Body
  readonly failed: boolean
  /** The names in its `Vary`. */
  readonly vary: readonly string[]
}

/** The headers of a response that nobody else gets. */
export const NO_DELTA: HeaderDelta = Object.freeze({ set: [], removed: [] })

const NO_BYTES = Buffer.alloc(0)

/** A body that is complete; undefined if it is a stream, which is still being made. */
export function wholeBody (body: unknown, status: number): string | Uint8Array | null | undefined {
  if (body === undefined || body === null) return null
  if (typeof body === 'string' || body instanceof Uint8Array) return body
  // The client has all of a 204 as soon as its headers have left, whatever the stream holds.
  return status === 204 ? NO_BYTES : undefined
}

/** How what makes a stream has ended it. `unheard`: nobody reads it. */
export type SourceEnd = 'complete' | 'cut-off' | 'unheard'
