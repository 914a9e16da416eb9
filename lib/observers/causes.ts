/**
 * Why requests of a route are not shared: how many for which reason, and what is named in that.
 *
 * Invariant: bounded. Reasons are a closed set, and of each a few names are kept, as they are shown; never values.
 */
import type { NothingShared } from '../warnings.js'
import { MOST_NAMES, shown } from './advice.js'

/** How many were not shared for one reason, and what is named in that. */
export interface Cause {
  readonly advice: NothingShared
  readonly count: number
  readonly names: ReadonlySet<string>
}

export class Causes {
  readonly #causes = new Map<NothingShared, { readonly advice: NothingShared, count: number, readonly names: Set<string> }>()

  note (advice: NothingShared, names: () => Iterable<string>, count: number): void {
    let cause = this.#causes.get(advice)
    if (cause === undefined) this.#causes.set(advice, cause = { advice, count: 0, names: new Set() })
    cause.count += count
    if (cause.names.size >= MOST_NAMES) return
    for (const name of names()) {
      if (cause.names.size >= MOST_NAMES) break
      if (name !== '') cause.names.add(shown(name))
    }
  }

  /** The most frequent. */
  get most (): Cause | undefined {
    let most: Cause | undefined
    for (const cause of this.#causes.values()) if (cause.count > (most?.count ?? 0)) most = cause
    return most
  }
}
