/**
 * Finds the request headers by which an app's own constraint strategies choose a route.
 *
 * Invariant: the headers of a strategy are unknown if it was added before the plugin was registered, or if it reads more than headers,
 * method and URL.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { constraintOptions } from '../internals.js'

/** The part of a constraint strategy that this module needs. */
export interface Strategy {
  readonly name: string
  deriveConstraint (request: IncomingMessage, context: undefined, done: () => void): unknown
}

export type Strategies = ReadonlyMap<string, Strategy>

/** The strategies of each app, by the app's root instance. */
const known = new WeakMap<object, Map<string, Strategy>>()
const BUILT_IN = new Set(['host', 'version'])

/** The strategies in an app's options and those that are added from now on. The map grows with them. */
export function strategiesOf (fastify: FastifyInstance): Strategies {
  let root = fastify
  while (!Object.hasOwn(root, 'addConstraintStrategy')) root = Object.getPrototypeOf(root) as FastifyInstance
  const before = known.get(root)
  if (before !== undefined) return before
  const strategies = new Map(constraintOptions(fastify).map(each => [(each as Strategy).name, each as Strategy]))
  known.set(root, strategies)
  const { addConstraintStrategy } = root
  root.addConstraintStrategy = strategy => {
    addConstraintStrategy(strategy)
    strategies.set(strategy.name, strategy as unknown as Strategy)
  }
  return strategies
}

/** The names of a route's constraints whose strategies are not known. */
export function unknownOf (constraints: object, strategies: Strategies): string[] {
  return Object.keys(constraints).filter(name => !BUILT_IN.has(name) && !strategies.has(name))
}

/** Thrown and caught in this module only. */
const CANNOT_TELL = new TypeError('looked at more than headers')

/** What strategies may read besides headers. A refresh request has the same values. */
const SAME = new Set<string | symbol>(['method', 'url', 'originalUrl'])

/**
 * The names of the headers that strategies read to choose the route of a request; undefined if that is unknown.
 *
 * @param headers as they were when the route was chosen
 */
export function chosenBy (strategies: Strategies, raw: IncomingMessage, headers: IncomingHttpHeaders): readonly string[] | undefined {
  const names = new Set<string>()
  const note = (name: string | symbol): void => { if (typeof name === 'string') names.add(name) }
  const refuse = (): never => { throw CANNOT_TELL }
  const watched = new Proxy(headers, {
    get (_target, name) {
      note(name)
      return Reflect.get(headers, name) as unknown
    },
    has (_target, name) {
      note(name)
      return Reflect.has(headers, name)
    },
    getOwnPropertyDescriptor (_target, name) {
      note(name)
      return Reflect.getOwnPropertyDescriptor(headers, name)
    },
    ownKeys: refuse,
    set: refuse,
    deleteProperty: refuse,
    defineProperty: refuse
  })
  const request = new Proxy(raw, {
    get: (_target, name) => name === 'headers' ? watched : SAME.has(name) ? Reflect.get(raw, name, raw) as unknown : refuse(),
    set: refuse
  })
  try {
    for (const strategy of strategies.values()) strategy.deriveConstraint(request, undefined, () => {})
  } catch {
    return undefined
  }
  return [...names]
}
