/**
 * The observer that counts: it writes the tally of each subject.
 *
 * Invariant: each outcome is counted once. Waits are counted for those only that waited for another one's run.
 */
import type { Observer } from './observer.js'

/** The reasons of those that were answered with another one's run. */
const SERVED: ReadonlySet<string> = new Set(['shared', 'failed'])

export const tallying: Observer = Object.freeze({
  held () {},
  started () {},
  joined () {},
  peerLost ({ tally }, reason) { tally.losePeer(reason) },
  landed ({ tally }, _landing, _reason, followers, took) {
    tally.followers.observe(followers)
    if (took !== undefined) tally.runTimes.observe(took / 1000)
  },
  cleanedUp () {},
  cutOff ({ tally }, reason) { tally.cut(reason) },
  settled ({ tally }, outcome, reason, waited, detail) {
    tally.count(outcome, reason, 1, detail?.cause)
    if (outcome !== 'follower' && outcome !== 'peer') return
    tally.waits.observe(waited / 1000)
    if (SERVED.has(reason)) tally.deduplicated++
  },
  refreshed ({ tally }, result) { tally.refresh(result) }
} satisfies Observer)
