/**
 * Getters of ours in front of those that Fastify's requests have.
 *
 * Invariant: Fastify's own is called on the request itself, whichever instance made that.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'

type OwnGetter<T> = (this: FastifyRequest) => T

/** Puts a getter in front of one of Fastify's own on requests of this app. */
export function overrideGetter<T> (
  fastify: FastifyInstance, name: 'signal' | 'ip' | 'socket' | 'protocol', get: (request: FastifyRequest, own: OwnGetter<T>) => T
): void {
  /** Fastify's own, by the prototype of requests: each instance has one. */
  const own = new WeakMap<object, OwnGetter<T>>()
  let last: object | undefined
  let lastBelow: OwnGetter<T>
  const getter: OwnGetter<T> = function () {
    const prototype = Object.getPrototypeOf(this) as object
    if (prototype !== last) {
      lastBelow = own.get(prototype) ?? getterBelow(prototype, name, getter) as OwnGetter<T>
      own.set(prototype, lastBelow)
      last = prototype
    }
    return get(this, lastBelow)
  }
  try {
    fastify.decorateRequest(name, { getter } as never)
  } catch (error) {
    // With trustProxy Fastify defines these where they cannot be replaced; they read X-Forwarded-… then, which is noted.
    if (name !== 'ip' && name !== 'protocol') throw error
  }
}

function getterBelow (prototype: object, name: string, above: unknown): unknown {
  let object = prototype
  let passed = false
  let getter: unknown
  do {
    getter = Object.getOwnPropertyDescriptor(object, name)?.get
    passed ||= getter === above
    object = Object.getPrototypeOf(object) as object
  } while (!passed || getter === undefined || getter === above)
  return getter
}
