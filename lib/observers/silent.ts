/**
 * An observer that nobody hears: for what is done for show.
 *
 * Invariant: it does nothing.
 */
import type { Observer, StoreListener } from './observer.js'

const ignore = (): void => {}

export const SILENT: Observer & StoreListener = Object.freeze({
  held: ignore,
  started: ignore,
  joined: ignore,
  peerLost: ignore,
  landed: ignore,
  cleanedUp: ignore,
  cutOff: ignore,
  settled: ignore,
  refreshed: ignore,
  failed: ignore,
  rejected: ignore,
  answered: ignore
})
