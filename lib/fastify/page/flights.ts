/**
 * The runs in the air that most wait for.
 *
 * Invariant: bounded, however many there are; ids and keys only if they are to be shown.
 */
import type { Participant } from '../../engine/participant.js'
import type { Revealed } from '../../page/source.js'
import type { PageFlight } from '../../page/state.js'

const MOST = 20
/** A key is for people to look at. */
export const LONGEST_KEY = 512

type Leader = Participant<unknown>
type Flight = NonNullable<Leader['flight']>

/** @param now by the clock of the registration */
export function flightsOf (leaders: readonly Leader[], now: number, { ids, keys }: Revealed): PageFlight[] {
  return busiest(leaders).map(leader => {
    const { id, tally: { method, route } } = leader
    const flight = leader.flight as Flight
    return {
      method,
      route,
      age: now - flight.since,
      waiters: flight.followers,
      phase: phaseOf(leader),
      // What stands in for another process has none.
      ...ids && id !== '' && { leaderId: id },
      ...keys && { key: flight.key.slice(0, LONGEST_KEY) }
    }
  })
}

function busiest (leaders: readonly Leader[]): Leader[] {
  const waiters = ({ flight }: Leader): number => (flight as Flight).followers
  let found: Leader[] = []
  for (const leader of leaders) {
    if (found.length >= MOST && waiters(leader) <= waiters(found[MOST - 1] as Leader)) continue
    found.push(leader)
    // Seldom: most have fewer than those that were found.
    found = found.sort((one, other) => waiters(other) - waiters(one)).slice(0, MOST)
  }
  return found
}

function phaseOf ({ place, role: { type } }: Leader): PageFlight['phase'] {
  if (type === 'peer') return 'elsewhere'
  if (place !== undefined) return 'queued'
  if (type === 'leader') return 'runs'
  return type === 'landed' ? 'streams' : 'prepares'
}
