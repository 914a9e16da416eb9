/**
 * Which headers an app's own constraint strategies choose a route by.
 *
 * Invariant: a strategy that was added before the plugin, or that looks at more than headers, method and URL, cannot be told.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { constraintOptions } from '../internals.js'

/** The part of a strategy that matters here. */
export interface Strategy {
  readonly name: string
  deriveConstraint (request: IncomingMessage, context: undefined, done: () => void): unknown
}

export type Strategies = ReadonlyMap<string, Strategy>

/** By the app's outermost instance. */
const known = new WeakMap<object, Map<string, Strategy>>()
const BUILT_IN = new Set(['host', 'version'])

/** The strategies of an app, and those that it is given from now on. */
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

/** The constraints of a route whose strategies are not known. */
export function unknownOf (constraints: object, strategies: Strategies): string[] {
  return Object.keys(constraints).filter(name => !BUILT_IN.has(name) && !strategies.has(name))
}

/** Never seen outside. */
const CANNOT_TELL = new TypeError('looked at more than headers')

/** What strategies may look at besides headers: that is the same for a request that is made once more. */
const SAME = new Set<string | symbol>(['method', 'url', 'originalUrl'])

/**
 * The names of the headers that strategies look at to choose the route of a request; undefined if that cannot be told.
 *
 * @param headers as they were then
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
