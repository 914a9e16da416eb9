/**
 * Overrides getters of Fastify's requests.
 *
 * Invariant: Fastify's own getter is always called on the request itself, whatever instance the request belongs to.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { isOfCoalescedRoute } from '../dependencies/hook-reads.js'
import type { Reads } from '../../http/reads.js'
import { watched } from '../../http/watched.js'
import { requestAccessor } from '../internals.js'

type OwnGetter<T> = (this: FastifyRequest) => T

/**
 * Overrides a getter of the requests of an app.
 *
 * @param get gets the request and Fastify's own getter, and returns the value
 */
export function overrideGetter<T> (
  fastify: FastifyInstance, name: 'signal' | 'ip' | 'socket' | 'protocol' | 'mediaType', get: (request: FastifyRequest, own: OwnGetter<T>) => T
): void {
  /** Fastify's own getter, for each prototype of requests: each instance has its own prototype. */
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
    // With `trustProxy`, these two cannot be overridden. They then read X-Forwarded-… headers, and those reads are noted.
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
 * Watches the copies that Fastify makes of request headers. If a validator or a hook has set headers of its own on a request, Fastify
 * copies all headers each time `request.headers` is read. Making the copy does not count as a read; reads of the copy count.
 *
 * @param readsOf gives the reads that are being noted for a request
 */
export function watchCopies (fastify: FastifyInstance, readsOf: (request: FastifyRequest) => Reads | undefined): void {
  const own = requestAccessor(fastify, 'headers')
  // Without the accessor, each such copy counts as a read of all headers.
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
    // A request without such headers has the original getter, and pays nothing.
    getter: get,
    setter (this: FastifyRequest, headers: unknown) {
      set.call(this, headers)
      if (isOfCoalescedRoute(this)) Object.defineProperty(this, 'headers', copies)
    }
  } as never)
}
