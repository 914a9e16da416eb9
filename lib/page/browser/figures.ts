/**
 * What the page works out of the figures that it is given: rates, parts, why not.
 *
 * Invariant: pure, and bounded: five minutes of all, one minute of each route.
 */
import type { Counts, PageRoute, PageSample } from '../state.js'
import { percent } from './format.js'

export const FIVE_MINUTES = 300_000
const MINUTE = 60_000
/** Rates are of so long. */
const NOW = 10_000

/** How many outcomes in `SERIES` were answered without a run. */
const SAVED = 4

export const all = (counts: Counts): number => counts.reduce((sum, count) => sum + count, 0)
export const saved = (counts: Counts): number => all(counts.slice(0, SAVED))
export const minus = (counts: Counts, earlier: Counts): number[] => counts.map((count, index) => Math.max(0, count - (earlier[index] ?? 0)))
export const part = (of: number, whole: number): number | undefined => whole > 0 ? of / whole : undefined

/** What happened between two samples. */
export interface Span {
  readonly seconds: number
  readonly counts: readonly number[]
  readonly runs: number
}

/** The last of some, and that of so long before, or the first. */
function span<Sample extends { readonly at: number }> (samples: readonly Sample[], ms: number): readonly [Sample, Sample] | undefined {
  const last = samples.at(-1)
  const first = last && (samples.findLast(({ at }) => at <= last.at - ms) ?? samples[0])
  return first && last && first !== last ? [first, last] : undefined
}

/** The last five minutes. */
export class History {
  samples: readonly PageSample[] = []

  get last (): number | undefined {
    return this.samples.at(-1)?.at
  }

  take (samples: readonly PageSample[]): void {
    const since = samples[0]?.at ?? Infinity
    const merged = [...this.samples.filter(({ at }) => at < since), ...samples]
    const end = merged.at(-1)?.at ?? 0
    this.samples = merged.filter(({ at }) => at >= end - FIVE_MINUTES)
  }

  /** What happened of late; undefined before there are two samples. */
  recent (ms = NOW): Span | undefined {
    const [first, last] = span(this.samples, ms) ?? []
    return first && last && { seconds: (last.at - first.at) / 1000, counts: minus(last.counts, first.counts), runs: last.runs - first.runs }
  }
}

/** A number over the last minute: of a route its requests, of the process what should not grow. */
export class Minute {
  #seen: Array<{ readonly at: number, readonly value: number }> = []

  take (at: number, value: number): void {
    const last = this.#seen.at(-1)
    if (last && (at < last.at || value < last.value)) this.#seen = []
    if (last?.at !== at) this.#seen.push({ at, value })
    while ((this.#seen[1]?.at ?? at) <= at - MINUTE) this.#seen.shift()
  }

  /** By how much it has grown since the page began to look, in the last minute at most. */
  get grown (): number {
    return (this.#seen.at(-1)?.value ?? 0) - (this.#seen[0]?.value ?? 0)
  }

  get perSecond (): number | undefined {
    const [first, last] = span(this.#seen, NOW) ?? []
    return first && last && (last.value - first.value) / (last.at - first.at) * 1000
  }

  /** A rate for each step, the oldest first, with how long ago that was as a part of the minute. */
  get rates (): Array<readonly [ago: number, rate: number]> {
    const now = this.#seen.at(-1)?.at ?? 0
    return this.#seen.slice(1).map(({ at, value }, index) => {
      const before = this.#seen[index] as { at: number, value: number }
      return [(now - at) / MINUTE, (value - before.value) / (at - before.at)] as const
    })
  }
}

export const keyOf = ({ method, route }: { readonly method: string, readonly route: string }): string => `${method} ${route}`

type Reason = PageRoute['reasons'][number]

/** It was shared, or could have been; or it says how the run ended, and nothing of sharing. */
function isFine ({ outcome, reason }: Reason): boolean {
  return outcome === 'leader' ? reason === 'shared' || reason === 'failed' : /^(follower|hit|stale|peer)$/.test(outcome) && reason !== 'wait-timeout'
}

/** The most frequent reason why a request was not shared. */
export function whyNot (route: PageRoute): Reason | undefined {
  return route.reasons.find(reason => !isFine(reason))
}

/** How many requests of the route came to that. */
export function counted (route: PageRoute, is: (reason: Reason) => boolean): number {
  return route.reasons.reduce((sum, reason) => is(reason) ? sum + reason.count : sum, 0)
}

/** By the name of an outcome or of a reason. */
export const isWhat = (name: string) => ({ outcome, reason }: Reason): boolean => outcome === name || reason === name

/** How many requests of the route were not shared for a reason. */
export function inVain (route: PageRoute): number {
  return counted(route, reason => !isFine(reason))
}

/** The column of why not: what most requests came to that failed or were not shared. */
export function whyNotText (route: PageRoute): string | undefined {
  const why = whyNot(route)
  const failed = counted(route, isWhat('failed'))
  const isWorst = !why || failed > why.count
  const of = (isWorst ? failed : why.count) / route.totalRequests
  return of > 0.01 ? `${isWorst ? 'fails' : reasonText(why)} ${percent(of)}` : undefined
}

/** Of what was remembered, why it was. */
export function reasonText ({ reason, cause }: Pick<Reason, 'reason' | 'cause'>): string {
  return !cause ? reason : reason === 'unshareable' ? cause : `${reason} (${cause})`
}
