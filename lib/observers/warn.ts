/**
 * Logs a warning about something that other code threw.
 *
 * Invariant: it never throws, although a logger reads what was thrown, and that may be anything.
 */
import type { Log } from './observer.js'

export function warn (log: Log, err: unknown, coalesce: object, message: string): void {
  try {
    log.warn({ err, coalesce }, message)
  } catch {
    log.warn({ coalesce }, message)
  }
}
