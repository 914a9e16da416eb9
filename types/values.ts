/**
 * For writers of options: the values that options of routes and of functions have in common.
 */

/** Milliseconds, or a string such as `'250ms'`, `'30s'`, `'2m'`. */
export type Duration = number | string

/** What a key can be made of. `1` and `'1'` are two keys. */
export type KeyPart = string | number | bigint | boolean

/** Time, for tests. Timers must not keep the process alive. */
export interface Clock {
  /** Milliseconds since any fixed moment; never goes back. */
  now: () => number
  /** Milliseconds since 1970 by the machine's clock, which may jump. Without it, they are counted by `now` from the start. */
  wall?: () => number
  setTimeout: (callback: () => void, delay: number) => unknown
  clearTimeout: (timer: unknown) => void
}
