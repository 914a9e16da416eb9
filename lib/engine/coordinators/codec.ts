/**
 * How what a run came to travels between processes.
 *
 * Invariant: neither direction throws. What is decoded is what was encoded, or nothing: who reads it may give it to clients.
 */
import type { UnshareableReason } from '../../reasons.js'
import type { Variant } from '../../variant.js'

/** What a run of another process came to. */
export type PeerResult<R> =
  | {
    readonly type: 'shared' | 'failed'
    readonly recording: R
    readonly leaderId: string
    /** What the result depends on besides the key. */
    readonly names: readonly string[]
  }
  | {
    readonly type: 'unshareable'
    readonly reason: UnshareableReason
    readonly variant: Variant
    readonly leaderId: string
    /** Whether the key is remembered as one whose results cannot be shared. */
    readonly remember: boolean
  }
  /** Something that cannot travel: each process runs for itself. */
  | { readonly type: 'stays' }
  /** Not the end of a run, but what an earlier one showed: results of the key depend on these as well. */
  | {
    readonly type: 'varies'
    readonly names: readonly string[]
  }

export interface LandingCodec<R> {
  /** Undefined: it cannot travel. Must not throw. */
  encode (result: PeerResult<R>): Uint8Array | undefined
  /** Undefined: it is not what was encoded, or of another version. Must not throw. */
  decode (bytes: Uint8Array): PeerResult<R> | undefined
}
