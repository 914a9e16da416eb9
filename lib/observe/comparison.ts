/**
 * What was found by comparing the responses of one route.
 */
import type { ComparedResponse, PairFigures, RouteReport } from '../../types/index.js'
import type { Allowance } from './allowance.js'
import type { Inputs, Sighting } from './sighting.js'
import type { SkipReason } from './skip-reasons.js'

export interface ComparisonSettings {
  /** In milliseconds. */
  readonly window: number
  readonly ignore: readonly string[]
  readonly clean: ((response: ComparedResponse) => string) | undefined
  /** Told once, of the first error. */
  readonly cleanThrew: (error: unknown) => void
}

/** What a follower or hit would have been given. */
export interface Offered {
  readonly status: number
  readonly type: string | undefined
  readonly body: string | Uint8Array | null
  /** Of the request that it was made for; undefined if not known, as for what comes from a store. */
  readonly client: string | undefined
  /** What that request says besides its key; undefined if not known. */
  readonly outside: (() => Inputs) | undefined
  readonly own: readonly string[]
}

/** How a pair compared; `'skipped'` if it could not be. */
export type PairVerdict = 'equal' | 'noise' | 'echo' | 'differs' | 'skipped'

export type Findings = Pick<RouteReport, 'verdict' | 'requests' | 'skipped' | 'pairs' | 'differences' | 'noise' | 'inert' | 'ttls'>

type Figures = { -readonly [Name in keyof PairFigures]: PairFigures[Name] }

export class Comparison {
  /** Live, for metrics. */
  readonly pairs: { readonly between: Readonly<Figures>, readonly within: Readonly<Figures> }
  /** Live, for metrics. Has all reasons. */
  readonly skipped: Readonly<Record<SkipReason, number>>
  /** Requests that were compared. Live. */
  requests = 0

  constructor (_settings: ComparisonSettings, _allowance: Allowance) { throw new Error('not yet') }

  /** Observe mode: a response, of whatever would have led, followed or hit. The verdict is that of the pair with the last other client. Undefined if there is nobody to compare with. */
  see (_sighting: Sighting): PairVerdict | undefined { throw new Error('not yet') }

  /** Verify mode: a follower or hit ran its own handler. Never throws. */
  pair (_shared: Offered, _own: Sighting): PairVerdict { throw new Error('not yet') }

  skip (_reason: SkipReason): void { throw new Error('not yet') }

  findings (): Findings { throw new Error('not yet') }
}
