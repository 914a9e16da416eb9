/**
 * Opens the live page of a registration.
 *
 * Invariant: loaded only for who sets `dashboard`. Its one timer runs from when the app is complete until it is closed.
 */
import type { FastifyInstance } from 'fastify'
import { History } from '../../page/history.js'
import { servePage } from '../../page/serve.js'
import type { DashboardSettings } from '../../options/dashboard-options.js'
import type { Scope } from '../scope.js'
import { pageSource } from './source.js'

export function openPage (fastify: FastifyInstance, settings: DashboardSettings, scope: Scope): void {
  const source = pageSource(scope)
  const history = new History(source)
  fastify.addHook('onReady', async () => { history.begin() })
  fastify.addHook('onClose', async () => { history.close() })
  servePage(fastify, settings, source, history)
}
