/**
 * Where the requests of a route wait: in `onRequest` if nothing stands between that and its handler, else right before the handler.
 *
 * Invariant: where that cannot be told, right before the handler.
 */
import type { FastifyInstance, RouteOptions } from 'fastify'
import type { RouteSettings } from '../../options/route-options.js'
import { instanceHooks } from '../internals.js'

/** Where requests of a route wait, why, and which gates followers skip because of that. */
export interface Parking {
  readonly parksAt: 'onRequest' | 'preHandler'
  readonly why: string
  readonly skips: string[]
}

/** What of a route decides where its requests wait. */
export interface Parked {
  readonly hook: RouteSettings['hook']
  /** Bodies are part of its keys. */
  readonly hasBody: boolean
  /** Its runs wait for slots, and some of its requests have bodies. */
  readonly queuesUploads: boolean
  readonly park: unknown
  readonly handler: unknown
}

export function chooseParking (
  fastify: FastifyInstance, options: RouteOptions, { handler, hasBody, hook, park, queuesUploads }: Parked
): Parking {
  const gates = gatesOf(fastify, options, park, handler)
  if (hook === 'preHandler') return { parksAt: 'preHandler', why: 'the hook option', skips: [] }
  if (hook === 'onRequest') return { parksAt: 'onRequest', why: 'the hook option', skips: gates }
  if (hasBody) return { parksAt: 'preHandler', why: 'the body is part of the key', skips: [] }
  // A slot is not for a client that takes long to send its body.
  if (queuesUploads) return { parksAt: 'preHandler', why: 'there is a queue or breaker, and bodies come first', skips: [] }
  return gates.length > 0
    ? { parksAt: 'preHandler', why: `there are gates: ${gates.join(', ')}`, skips: [] }
    : { parksAt: 'onRequest', why: 'there are no later gates', skips: [] }
}

/** The hooks and checks that run between `onRequest` and the handler of a route. */
function gatesOf (fastify: FastifyInstance, options: RouteOptions, park: unknown, handler: unknown): string[] {
  const instance = instanceHooks(fastify)
  if (instance === undefined) return ['unknown hooks']
  const gates: string[] = []
  for (const name of ['preParsing', 'preValidation', 'preHandler'] as const) {
    if (instance[name].length > 0 || append(options[name], null).length > 1) gates.push(name)
  }
  const schema = (options.schema ?? {}) as Record<string, unknown>
  if (['body', 'querystring', 'query', 'params', 'headers'].some(part => schema[part] !== undefined)) gates.push('schema')
  if ((options.onRequest as unknown[]).at(-1) !== park) gates.push('onRequest')
  if (options.handler !== handler) gates.push('handler')
  return gates
}

/** Arrays are copied: Fastify uses the same one for the automatic HEAD route. */
export function append (hooks: unknown, hook: unknown): unknown[] {
  // Fastify refuses null, but a later plugin may replace it before Fastify looks.
  return hooks === undefined || hooks === null ? [hook] : Array.isArray(hooks) ? [...hooks as unknown[], hook] : [hooks, hook]
}
