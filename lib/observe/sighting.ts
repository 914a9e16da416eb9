/**
 * What comparing is told of a response.
 *
 * Invariant: plain data. Nothing here is kept longer than `window`, but for salted hashes.
 */

/** What a request says: names, such as `'?q'`, `'header accept'`, `'cookie ab'`, `'param id'`, `'address'`, with their values. */
export type Inputs = ReadonlyMap<string, string>

/** One response that a handler made for one request. */
export interface Sighting {
  /** When its run began, in milliseconds of the registration's clock. */
  readonly at: number
  /** What would have been shared under, the variant included. */
  readonly key: string
  /** What the key is made of. */
  readonly parts: () => Inputs
  /** What the request says besides. */
  readonly outside: () => Inputs
  /** A salted hash of all that shows who is asking. Undefined if there is neither an identity, nor a credential, nor a long cookie. */
  readonly client: string | undefined
  readonly status: number
  readonly type: string | undefined
  /** The headers that clients act on, such as `Location` and `Content-Disposition`, as one text. Not those of a single reply, such as `Date` or a limit that is left. */
  readonly headers?: string
  readonly body: string | Uint8Array | null
  /** What is of this request only: its id, its nonces. */
  readonly own: readonly string[]
}
