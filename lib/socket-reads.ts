/**
 * Looks at a client's connection that go past `request`: `request.raw.socket`, `request.raw.connection`, `reply.raw.socket`.
 *
 * Invariant: what a socket says of its client counts as read for every run that goes on for a request on it. A socket is prepared
 * once, when its first run begins, and nothing else about it changes. Those of HTTP/2 and of injected requests are left alone.
 */
import { Socket } from 'node:net'

/** Who runs a handler. */
export interface Looking {
  /** Its handler looked at the client's address. */
  readonly readAddress: () => void
}

/** The part of a Node request that matters here. */
export interface Connected {
  readonly socket: object
  readonly httpVersionMajor: number
}

type Lookers = Set<Looking>
type Anything = Readonly<Record<string, unknown>>

const PROPERTIES = ['remoteAddress', 'remoteFamily', 'remotePort'] as const
const METHODS = ['address', 'getPeerCertificate', 'getPeerX509Certificate'] as const

const NOBODY: Lookers = new Set()
const lookers = new WeakMap<object, Lookers>()
/** Between a socket and what it inherits from, so that nothing is added to the socket itself, which would make it slow. */
const prototypes = new WeakMap<object, object>()

function note (socket: object): void {
  for (const each of lookers.get(socket) ?? NOBODY) each.readAddress()
}

function prototypeOver (prototype: object): object {
  let over = prototypes.get(prototype)
  if (over === undefined) {
    const descriptors: PropertyDescriptorMap = {}
    for (const name of PROPERTIES) {
      descriptors[name] = {
        configurable: true,
        enumerable: true,
        get () {
          note(this as object)
          return Reflect.get(prototype, name, this) as unknown
        }
      }
    }
    for (const name of METHODS) {
      if (typeof (prototype as Anything)[name] !== 'function') continue
      descriptors[name] = {
        configurable: true,
        writable: true,
        value (...args: unknown[]) {
          note(this as object)
          return ((prototype as Anything)[name] as (...args: unknown[]) => unknown).apply(this, args)
        }
      }
    }
    prototypes.set(prototype, over = Object.create(prototype, descriptors) as object)
  }
  return over
}

function prepare (socket: object): Lookers {
  const prototype = Object.getPrototypeOf(socket) as object
  // An injected request has what is no socket.
  if (!(prototype instanceof Socket) && prototype !== Socket.prototype) return NOBODY
  Object.setPrototypeOf(socket, prototypeOver(prototype))
  const own: Lookers = new Set()
  lookers.set(socket, own)
  return own
}

/** A run begins. Returns what ends it. */
export function watchSocket ({ socket, httpVersionMajor }: Connected, looking: Looking): { readonly stop: () => void } {
  // A session of HTTP/2 gives a stand-in for its socket, and what is done to that is done to the session.
  if (httpVersionMajor === 2) return UNWATCHED
  const own = lookers.get(socket) ?? prepare(socket)
  if (own === NOBODY) return UNWATCHED
  own.add(looking)
  return { stop () { own.delete(looking) } }
}

/** A run that does not look, or on a socket that cannot be watched. */
export const UNWATCHED: { readonly stop: () => void } = Object.freeze({ stop () {} })
