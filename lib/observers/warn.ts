/**
 * Warnings: which of them are written, and those with a value that other code threw.
 *
 * Invariant: what is silenced is not written. If the logger fails on the thrown value, which may be anything, the warning is logged without it.
 */
import type { Log } from './observer.js'

export function warn (log: Log, err: unknown, coalesce: object, message: string): void {
  try {
    log.warn({ err, coalesce }, message)
  } catch {
    log.warn({ coalesce }, message)
  }
}

/** A log without the warnings of these names. */
export function quiet (log: Log, silenced: ReadonlySet<string>): Log {
  if (silenced.size === 0) return log
  return Object.assign(Object.create(log) as Log, {
    warn (fields: { readonly coalesce?: { readonly event?: string } }, message: string) {
      if (!silenced.has(String(fields.coalesce?.event))) log.warn(fields, message)
    }
  })
}
