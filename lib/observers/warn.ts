/**
 * A warning of something that was thrown by others.
 *
 * Invariant: it never throws, though what was thrown may be anything, and loggers look at it.
 */
import type { Log } from './observer.js'

export function warn (log: Log, err: unknown, coalesce: object, message: string): void {
  try {
    log.warn({ err, coalesce }, message)
  } catch {
    log.warn({ coalesce }, message)
  }
}
