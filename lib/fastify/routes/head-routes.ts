/**
 * Which HEAD routes belong to which GET routes, so that HEAD can be answered with what answers GET.
 *
 * Invariant: two routes have keys in common only if nothing tells them apart but the method and their gates: neither pattern nor
 * constraints nor options nor handler. A HEAD route with a handler of its own may lack a gate that guards what the other one
 * answers. Where it cannot be told they have none, and HEAD runs by itself.
 */
import { isDeepStrictEqual } from 'node:util'
import type { CoalescedRoute } from '../request/route.js'

/** What of a route tells whether another one is its HEAD route. */
export type Pairable = Pick<CoalescedRoute, 'methods' | 'urls' | 'constraints' | 'handler' | 'choice' | 'keyHead'>

/** Gives the keys of each HEAD route the beginning of those of its GET route. */
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
    if (isDeepStrictEqual(choiceOf(get), choiceOf(head))) head.keyHead = get.keyHead
  }
}

function sameConstraints (a: object, b: object): boolean {
  const [one, other] = [Object.entries(a), new Map<string, unknown>(Object.entries(b))] as const
  return one.length === other.size && one.every(([name, value]) => other.has(name) && sameConstraint(value, other.get(name)))
}

/** Text and expressions say what they are; of anything else only itself is known to be the same. */
function sameConstraint (a: unknown, b: unknown): boolean {
  return Object.is(a, b) || (a instanceof RegExp && b instanceof RegExp && String(a) === String(b))
}

function choiceOf ({ choice }: Pairable): unknown {
  return choice ?? true
}
