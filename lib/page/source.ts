/**
 * What the live page is given: figures to tell, and what its forms and buttons do.
 *
 * Invariant: to read figures changes nothing.
 */
import type { InjectOptions } from 'fastify'
import type { Clock, Explanation, Purge, RouteSelector } from '../../types/index.js'
import type { PageSample, PageState } from './state.js'

/** All that is told but for what the page knows itself. */
export interface PageFigures extends Omit<PageState, 'version' | 'instance' | 'startedAt' | 'at' | 'actions' | 'reveal' | 'history' | 'routes'> {
  /** Each a `PageRoute` as JSON: most are the same as at the last look. */
  readonly routes: readonly string[]
}

/** What of requests is shown. */
export interface Revealed {
  readonly ids: boolean
  readonly keys: boolean
}

export interface PageSource {
  readonly clock: Clock
  /** Milliseconds since 1970. */
  now (): number
  sample (): Omit<PageSample, 'at'>
  figures (revealed: Revealed): PageFigures
  explain (request: InjectOptions, values: boolean): Promise<Explanation>
  /** @throws FST_COALESCE_UNKNOWN_ROUTE if no coalesced route matches */
  setDisabled (disabled: boolean, route: Required<RouteSelector> | undefined): void
  /** @throws FST_COALESCE_INVALID_OPTION if it names nothing to purge, or wrongly */
  purge (purge: Purge): void
  /** Those of this name: without names of their own, those of several contexts may have the same. */
  breakers (name: string): ReadonlyArray<{ open (): void, close (): void }>
}
