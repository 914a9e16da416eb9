/**
 * Looks at a client's connection that go past `request`: `request.raw.socket`, `request.raw.connection`, `reply.raw.socket`.
 *
 * Invariant: what a socket says of its client counts as read for every run that goes on for a request on it. A socket is prepared
 * once, when its first run begins; what others have put on it is what is seen. Those of HTTP/2 and of injected requests are left alone.
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

/** Those whose runs go on for a request on a socket: one, but where requests are pipelined. */
export type Lookers = Looking[]
/** Frozen: nobody gets in. */
const NOBODY: Lookers = Object.freeze([]) as unknown as Lookers
/** Where a socket that is prepared has them. */
const kLookers = Symbol('fastify-coalesce.lookers')

interface Prepared {
  readonly [kLookers]?: Lookers
}

function note (socket: object): void {
  for (const each of (socket as Required<Prepared>)[kLookers]) each.readAddress()
}

const NAMES = ['remoteAddress', 'remoteFamily', 'remotePort', 'address', 'getPeerCertificate', 'getPeerX509Certificate'] as const

/** What stands in the place of what others have put on a socket: the client's address, as a proxy told it. */
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

/** What stands before that which a socket inherits. */
const LOOKS = new Map(NAMES.map(name => [name, watched(name, {
  get () { return Reflect.get(Object.getPrototypeOf(this) as object, name, this) as unknown }
})]))

/** An object of its own between a socket and what it inherits from would be simpler, and costs each request on it 8 µs. */
function prepare (socket: object): Lookers {
  // An injected request has what is no socket.
  if (!(socket instanceof Socket)) return NOBODY
  for (const [name, look] of LOOKS) {
    if (!(name in socket)) continue
    const own = Object.getOwnPropertyDescriptor(socket, name)
    if (own?.configurable !== false) Object.defineProperty(socket, name, own === undefined ? look : watched(name, own))
  }
  const lookers: Lookers = []
  Object.defineProperty(socket, kLookers, { value: lookers })
  return lookers
}

/** A run begins. Returns what `unwatchSocket` is given when it ends. */
export function watchSocket ({ socket, httpVersionMajor }: Connected, looking: Looking): Lookers {
  // HTTP/2 has a stand-in for the socket: what is defined on that ends on the stream, where no look at the socket comes by.
  if (httpVersionMajor === 2) return NOBODY
  const lookers = (socket as Prepared)[kLookers] ?? prepare(socket)
  if (lookers !== NOBODY) lookers.push(looking)
  return lookers
}

/** Its looks are its own affair from now on. */
export function unwatchSocket (lookers: Lookers, looking: Looking): void {
  if (lookers.at(-1) === looking) {
    lookers.pop()
    return
  }
  const place = lookers.lastIndexOf(looking)
  if (place >= 0) lookers.splice(place, 1)
}

/** For a run whose looks nobody wants to know of. */
export const UNWATCHED = NOBODY
