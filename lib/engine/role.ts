/**
 * What a visit is doing.
 *
 * Invariant: only a leader lands a flight, only a leader's or a refresher's response is kept, and only a scout or a leader tells
 * whether its key can be shared.
 */
export type Role =
  /** It has not boarded. */
  | 'new'
  /** It runs the handler for its flight. */
  | 'leader'
  /** It waits for a leader. */
  | 'follower'
  /** It waits for what is kept, and may not lead. */
  | 'looking'
  /** It is answered with what is kept. */
  | 'kept'
  /** It runs the handler for the shelf. */
  | 'refresher'
  /** It runs the handler for itself; its response tells whether its key is still unshareable. */
  | 'scout'
  /** It runs the handler for itself, or waits for its turn to. */
  | 'alone'
  /** Its part is over. */
  | 'done'
