/**
 * The live page's JSON, and what of an explanation is shown.
 *
 * Invariant: nothing of a request is told that `reveal` does not name.
 */
import { hostname } from 'node:os'
import type { Explanation } from '../../types/index.js'
import type { DashboardSettings } from '../options/dashboard-options.js'
import { EVERY, type History } from './history.js'
import type { PageSource } from './source.js'
import type { PageState } from './state.js'

const INSTANCE = `${hostname()}:${process.pid}`
const STARTED_AT = Date.now() - process.uptime() * 1000

/** @param since of the samples before the page has all */
export function stateText (source: PageSource, history: History, { actions, reveal }: DashboardSettings, since: number): string {
  const { routes, ...figures } = source.figures({ ids: reveal.includes('ids'), keys: reveal.includes('keys') })
  const state: Omit<PageState, 'routes'> = {
    version: 1,
    instance: INSTANCE,
    startedAt: STARTED_AT,
    at: source.now(),
    actions,
    reveal,
    history: { every: EVERY, samples: history.since(since) },
    ...figures
  }
  return `${JSON.stringify(state).slice(0, -1)},"routes":[${routes.join(',')}]}`
}

export function explanationText ({ cached, flight, ...explanation }: Explanation, reveal: DashboardSettings['reveal']): string {
  return JSON.stringify({
    ...explanation,
    ...flight !== undefined && { flight: reveal.includes('ids') ? flight : { ...flight, leaderId: undefined } },
    ...cached !== undefined && { cached: reveal.includes('keys') ? cached : { ...cached, tags: [] } }
  })
}
