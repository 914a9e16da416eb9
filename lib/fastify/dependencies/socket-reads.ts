/**
 * Reads of a client's connection that do not use `request`: `request.raw.socket`, `request.raw.connection`, `reply.raw.socket`.
 *
 * Invariant: what a socket says of its client counts as read for every run of a request on it. A socket is prepared once, when its
 * first run begins, and keeps giving the values that other code has put on it. Sockets of HTTP/2 and of injected requests are not changed.
 */
import { Socket } from 'node:net'

/** A run that wants to know what is read of its connection. */
export interface SocketObserver {
  /** The client's address was read. */
  readonly readAddress: () => void
}

/** The part of a Node request that matters here. */
export interface Connected {
  readonly socket: object
  readonly httpVersionMajor: number
}

/** The runs of requests on one socket. There is one, except where requests are pipelined. */
export type SocketObservers = SocketObserver[]
/** For a run that wants to know nothing, and for a socket that is not changed. Frozen, so that nobody is added. */
export const UNWATCHED: SocketObservers = Object.freeze([]) as unknown as SocketObservers
/** A prepared socket keeps its observers here. */
const kObservers = Symbol('fastify-coalesce.observers')

interface Prepared {
  readonly [kObservers]?: SocketObservers
}

function note (socket: object): void {
  for (const each of (socket as Required<Prepared>)[kObservers]) each.readAddress()
}

const NAMES = ['remoteAddress', 'remoteFamily', 'remotePort', 'address', 'getPeerCertificate', 'getPeerX509Certificate'] as const

/** A property that notes each read. `own` is the property it replaces, such as an address that other code has put there. */
function watched (name: PropertyKey, own: PropertyDescriptor): PropertyDescriptor {
  return {
    configurable: true,
    enumerable: own.enumerable ?? false,
    get () {
      note(this as object)
      return own.get === undefined ? own.value as unknown : own.get.call(this) as unknown
    },
    set (value: unknown) {
      Object.defineProperty(this, name, watched(name, { value, enumerable: true }))
    }
  }
}

/** Watched properties in front of those that a socket inherits. */
const INHERITED = new Map(NAMES.map(name => [name, watched(name, {
  get () { return Reflect.get(Object.getPrototypeOf(this) as object, name, this) as unknown }
})]))

/** Defines the watched properties. One object between a socket and its prototype would be simpler, but costs each request 8 µs. */
function prepare (socket: object): SocketObservers {
  // The socket of an injected request is not a real one.
  if (!(socket instanceof Socket)) return UNWATCHED
  for (const [name, inherited] of INHERITED) {
    if (!(name in socket)) continue
    const own = Object.getOwnPropertyDescriptor(socket, name)
    if (own?.configurable !== false) Object.defineProperty(socket, name, own === undefined ? inherited : watched(name, own))
  }
  const observers: SocketObservers = []
  Object.defineProperty(socket, kObservers, { value: observers })
  return observers
}

/** Adds an observer when its run begins. Returns what `unwatchSocket` needs. */
export function watchSocket ({ socket, httpVersionMajor }: Connected, observer: SocketObserver): SocketObservers {
  // The socket of an HTTP/2 request is a proxy: a property defined on it lands on the stream, and reads do not reach that.
  if (httpVersionMajor === 2) return UNWATCHED
  const observers = (socket as Prepared)[kObservers] ?? prepare(socket)
  if (observers !== UNWATCHED) observers.push(observer)
  return observers
}

/** Removes an observer, if it is there. */
export function unwatchSocket (observers: SocketObservers, observer: SocketObserver): void {
  if (observers.at(-1) === observer) {
    observers.pop()
    return
  }
  const place = observers.lastIndexOf(observer)
  if (place >= 0) observers.splice(place, 1)
}
