/**
 * The coordinators that one registration takes part in.
 *
 * Invariant: each is opened once for requests, and once for calls, and closed with the registration.
 */
import type { Clock, Coordination, CoordinationFigures, CoordinationLog, Coordinator } from '../../../types/index.js'
import { EVERY_FLIGHT } from './coordinator.js'
import { sort, type Purges } from './peers.js'

interface Fenced {
  readonly flights: { fence (label: string): void, fenceAll (): void }
}

/** A store that knows what was purged. */
interface Marked {
  purged (labels: readonly string[], soft: boolean): void
  missedPurges (): void
}

/** What other processes do to what this one has. */
export interface Told extends Purges {
  /** Purges by other processes may have been missed. */
  missedPurges (): void
}

/** What becomes of flights, and of what is stored, when another process purges. */
export function toldOf ({ flights }: Fenced, stores: Iterable<Marked>): Told {
  return {
    purged (labels, soft) { for (const store of stores) store.purged(labels, soft) },
    fenced (label) {
      if (label === EVERY_FLIGHT) flights.fenceAll()
      else flights.fence(label)
    },
    missedPurges () {
      for (const store of stores) store.missedPurges()
      flights.fenceAll()
    }
  }
}

export class Members {
  readonly #clock: Clock
  readonly #log: CoordinationLog
  readonly #open = new Map<Coordinator, Map<string, Coordination>>()

  constructor (clock: Clock, log: CoordinationLog) {
    this.#clock = clock
    this.#log = log
  }

  /** @param group tells members apart whose keys mean different things */
  join (coordinator: Coordinator, group: string, told: Told): Coordination {
    let groups = this.#open.get(coordinator)
    if (groups === undefined) this.#open.set(coordinator, groups = new Map<string, Coordination>())
    let coordination = groups.get(group)
    if (coordination === undefined) {
      coordination = coordinator.open({
        group,
        clock: this.#clock,
        log: this.#log,
        purged: (labels, soft) => { sort(labels, soft, told) },
        missedPurges: () => { told.missedPurges() }
      })
      groups.set(group, coordination)
    }
    return coordination
  }

  /** Resolves once it is known whether they can work. Rejects if one never can. */
  async ready (): Promise<void> {
    await Promise.all(this.#all().map(async coordination => { await coordination.ready() }))
  }

  async close (): Promise<void> {
    await Promise.all(this.#all().map(async coordination => { await coordination.close() }))
  }

  /** What they have counted, as far as they say. What several of them share is in it once. */
  figures (): CoordinationFigures[] {
    return [...new Set(this.#all().flatMap(coordination => coordination.figures?.() ?? []))]
  }

  #all (): Coordination[] {
    return [...this.#open.values()].flatMap(groups => [...groups.values()])
  }
}
