/**
 * Pairs HEAD routes with GET routes, so that a HEAD request can be answered from the response to a GET request.
 *
 * Invariant: a HEAD route and a GET route share keys only if their pattern, constraints, options and handler are the same. A HEAD route
 * with another handler may lack a gate that guards the GET route's responses. If anything is unknown, the two share no keys, and HEAD
 * requests run by themselves.
 */
import { isDeepStrictEqual } from 'node:util'
import type { CoalescedRoute } from '../request/route.js'

/** The part of a route that decides about the pairing. */
export type Pairable = Pick<CoalescedRoute, 'methods' | 'urls' | 'constraints' | 'handler' | 'choice' | 'keyHead' | 'protection' | 'levelOf' | 'queue' | 'breaker'>

/** Gives each HEAD route the key prefix of its GET route. */
export function pairHeads (routes: readonly Pairable[]): void {
  const gets = new Map<string, Pairable[]>()
  for (const route of routes) {
    if (!route.methods.includes('GET')) continue
    for (const url of route.urls) {
      const same = gets.get(url)
      if (same === undefined) gets.set(url, [route])
      else same.push(route)
    }
  }
  for (const head of routes) {
    if (!head.methods.includes('HEAD') || head.methods.includes('GET')) continue
    const same = gets.get(head.urls[0] as string) ?? []
    const [get, ...others] = same.filter(({ constraints }) => sameConstraints(constraints, head.constraints))
    if (get === undefined || others.length > 0 || get.handler !== head.handler) continue
    if (!isDeepStrictEqual(choiceOf(get), choiceOf(head))) continue
    head.keyHead = get.keyHead
    // They run the same handler.
    head.protection = get.protection
    head.levelOf = get.levelOf
    head.queue = get.queue
    head.breaker = get.breaker
  }
}

function sameConstraints (a: object, b: object): boolean {
  const [one, other] = [Object.entries(a), new Map<string, unknown>(Object.entries(b))] as const
  return one.length === other.size && one.every(([name, value]) => other.has(name) && sameConstraint(value, other.get(name)))
}

/** Primitive values and regular expressions are compared by value, all others by identity. */
function sameConstraint (a: unknown, b: unknown): boolean {
  return Object.is(a, b) || (a instanceof RegExp && b instanceof RegExp && String(a) === String(b))
}

function choiceOf ({ choice }: Pairable): unknown {
  return choice ?? true
}
