/**
 * Getters of ours in front of those that Fastify's requests have.
 *
 * Invariant: Fastify's own is called on the request itself, whichever instance made that.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { isOfCoalescedRoute } from '../dependencies/hook-reads.js'
import type { Reads } from '../../http/reads.js'
import { watched } from '../../http/watched.js'
import { requestAccessor } from '../internals.js'

type OwnGetter<T> = (this: FastifyRequest) => T

/** Puts a getter in front of one of Fastify's own on requests of this app. */
export function overrideGetter<T> (
  fastify: FastifyInstance, name: 'signal' | 'ip' | 'socket' | 'protocol' | 'mediaType', get: (request: FastifyRequest, own: OwnGetter<T>) => T
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

/**
 * Where a validator or a hook has put headers of its own beside the client's, Fastify makes a copy of all whenever somebody asks
 * for one. That copy is no read of the app's, and is watched in the place of what it was made of.
 *
 * @param readsOf what is noted of a request just now
 */
export function watchCopies (fastify: FastifyInstance, readsOf: (request: FastifyRequest) => Reads | undefined): void {
  const own = requestAccessor(fastify, 'headers')
  // Then each such copy counts as a read of all headers.
  if (own === undefined) return
  const { get, set } = own as { get: (this: FastifyRequest) => IncomingHttpHeaders, set: (this: FastifyRequest, headers: unknown) => void }
  const copies: PropertyDescriptor & ThisType<FastifyRequest> = {
    configurable: true,
    get () {
      const reads = readsOf(this)
      if (reads?.on !== true) return get.call(this)
      let copy: IncomingHttpHeaders = {}
      reads.apart(() => { copy = get.call(this) })
      return watched(copy, reads)
    },
    set
  }
  fastify.decorateRequest('headers', {
    // Requests without such headers pay nothing.
    getter: get,
    setter (this: FastifyRequest, headers: unknown) {
      set.call(this, headers)
      if (isOfCoalescedRoute(this)) Object.defineProperty(this, 'headers', copies)
    }
  } as never)
}
