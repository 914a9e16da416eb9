/**
 * What a visit is doing.
 *
 * Invariant: only a leader lands a flight, and only a scout or a leader tells whether its key can be shared.
 */
export type Role =
  /** It has not boarded. */
  | 'new'
  /** It runs the handler for its flight. */
  | 'leader'
  /** It waits for a leader. */
  | 'follower'
  /** It runs the handler for itself; its response tells whether its key is still unshareable. */
  | 'scout'
  /** It runs the handler for itself, or waits for its turn to. */
  | 'alone'
  /** Its part is over. */
  | 'done'
