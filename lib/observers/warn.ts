/**
 * Logs a warning with a value that other code threw.
 *
 * Invariant: if the logger fails on the thrown value, which may be anything, the warning is logged without it.
 */
import type { Log } from './observer.js'

export function warn (log: Log, err: unknown, coalesce: object, message: string): void {
  try {
    log.warn({ err, coalesce }, message)
  } catch {
    log.warn({ coalesce }, message)
  }
}
