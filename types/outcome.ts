/**
 * For readers of logs, metrics and hooks: the names of outcomes. Code, logs, metrics and docs use the same ones.
 */

/**
 * How one request on a coalesced route was served.
 *
 * - `bypass`: it never boarded; the reason says why
 * - `leader`: it ran the handler; the reason says what became of its response
 * - `follower`: it waited for a leader; the reason says what it got
 * - `alone`: it boarded, got nothing that it may have, and ran for itself
 * - `hit`: it was served a cached response
 * - `stale`: it was served a cached response that is no longer fresh; the reason says why it may be
 * - `peer`: it waited for a run of another process, and was answered with that
 * - `shed`: its run was refused, to protect what is behind it, and nothing that is cached stood in; the reason says what refused it, or that
 *   it was given what `fallback` made
 */
export type Outcome = 'bypass' | 'leader' | 'follower' | 'hit' | 'stale' | 'peer' | 'alone' | 'shed'
