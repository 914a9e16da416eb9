/**
 * The plugin: registers what a context has, from options to routes.
 *
 * Invariant: one registration a context; those inside it inherit what they do not set. What takes an option is loaded only for
 * who sets it: an app without metrics never loads prom-client.
 */
import type { FastifyInstance } from 'fastify'
import type { CoalesceOptions } from '../../types/index.js'
import { AlreadyRegisteredError } from '../errors.js'
import type { Instruments } from '../observers/prometheus.js'
import { readOptions, type Settings } from '../options/options.js'
import { forCaller } from '../options/parsers.js'
import { sendCacheControl } from './cache/cache-control-headers.js'
import { prependHook, routerOptions, trustsByAddress } from './internals.js'
import { quiet } from '../observers/warn.js'
import { decorateRequests } from './hooks/decorations.js'
import { captureResponse, endResponse, noteError } from './hooks/hooks.js'
import { participantOf } from './request/view.js'
import { adoptRoute } from './routes/adopt.js'
import { isCoalesced, routeName } from './routes/chosen-routes.js'
import { strategiesOf } from './dependencies/constraints.js'
import { protectRoutes } from './routes/protect-routes.js'
import { checkRoutes, collectRoutes, warnMisplaced } from './routes/unheard.js'
import { type Scope, createScope, hasScope, scopeOf, setScope } from './scope.js'

/** Registers request coalescing in a context. */
export async function coalesce (fastify: FastifyInstance, options: CoalesceOptions): Promise<void> {
  if (hasScope(fastify)) throw new AlreadyRegisteredError()
  const around = scopeOf(fastify) as Scope | undefined
  const settings = readOptions(options, {
    semicolonDelimits: routerOptions(fastify).useSemicolonDelimiter === true,
    parsesItself: routerOptions(fastify).querystringParser !== undefined,
    trustsByAddress: trustsByAddress(fastify)
  })
  strategiesOf(fastify)
  collectRoutes(fastify, settings.warnings)
  const scope = createScope(fastify, settings, around, await instrumentsOf(settings, around))
  setScope(fastify, scope)
  around?.inside.push(scope)
  fastify.decorate('coalesce', scope.api)
  if (around === undefined) {
    decorateRequests(fastify)
    addHooks(fastify)
  }
  await sendCacheControl(fastify, settings.cacheControl, request => participantOf(request) !== undefined)
  onReady(fastify, scope)
  fastify.addHook('onClose', async () => { await scope.close() })
  if (settings.metrics && scope.instruments !== undefined) {
    const { serveMetrics } = await prometheus()
    serveMetrics(fastify, settings.metrics, scope.instruments)
  }
  if (settings.dashboard !== false) {
    const { openPage } = await import('./page/open.js')
    openPage(fastify, settings.dashboard, scope)
  }
}

async function prometheus (): Promise<typeof import('../observers/prometheus.js')> {
  return await import('../observers/prometheus.js')
}

/** The metrics that a registration counts into: its own, or those of the one around it. */
async function instrumentsOf ({ metrics }: Settings, around: Scope | undefined): Promise<Instruments | undefined> {
  if (metrics === false) return undefined
  if (metrics === undefined) return around?.instruments
  const { Instruments } = await prometheus()
  return Instruments.in(metrics, around?.instruments?.registry)
}

/** What runs when the app is complete. */
function onReady (fastify: FastifyInstance, scope: Scope): void {
  fastify.addHook('onReady', async function settleRoutes () {
    for (const route of scope.routes) route.settle()
    protectRoutes(scope)
    const wrong = checkRoutes(fastify, quiet(fastify.log, scope.settings.warnings))
    if (wrong !== undefined) throw wrong
    await scope.ready()
  })
}

/** The hooks that serve this scope and those inside it: Fastify calls them for the routes of inner instances too. */
function addHooks (fastify: FastifyInstance): void {
  fastify.addHook('onRoute', function onCoalesceRoute (this: FastifyInstance, options) {
    if (isCoalesced(options, scopeOf(this).settings)) forCaller(onCoalesceRoute, () => { adoptRoute(this, scopeOf(this), options) })
    else warnMisplaced(quiet(this.log, scopeOf(this).settings.warnings), options, routeName(options))
  })
  // What hooks make of a response is for one client, wherever they were added.
  if (!prependHook(fastify, 'onSend', captureResponse)) fastify.addHook('onSend', captureResponse)
  fastify.addHook('onError', noteError)
  fastify.addHook('onResponse', endResponse)
}
