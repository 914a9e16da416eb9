/**
 * A user's client, as a pattern for connections of our own. A *wire* is one of the client's own kind to one server, made for us; a *line*
 * is a wire that comes back (`line.ts`).
 *
 * Invariant: the user's client is asked for its options, and for nothing else. It is never used, changed or closed.
 */
import type { Clock } from '../../../types/index.js'
import type { Command, Connection, ConnectionListener, Reply } from './connection.js'

export interface Timing {
  readonly clock: Clock
  /** How long a caller waits for replies, in milliseconds. A server that says nothing for twenty times as long is connected to anew. */
  readonly opTimeout: number
}

export interface Client {
  readonly isCluster: boolean
  /** What the user's client puts before its keys. Our connections do not; names that they are given begin with it. */
  readonly keyPrefix: string
  /** Begins to connect, and subscribes to the channels. */
  connect (channels: readonly string[], listener: ConnectionListener, timing: Timing): Connection
}

/** Where a server is. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** Where a client finds a node that a cluster knows by another address: what both ioredis and node-redis take for that. */
export function mapped (map: unknown, address: Address): Address {
  const name = `${address.host}:${address.port}`
  const found: unknown = typeof map === 'function' ? map(name) : (map as Readonly<Record<string, unknown>> | undefined | null)?.[name]
  return (found as Address | undefined | null) ?? address
}

export interface WireListener {
  up (): void
  /** It is not connected, or not any more. Nothing is sent again, and it does not connect by itself. */
  down (): void
  message (channel: string, message: Buffer): void
  /** The server has ended a subscription, since the channel's slot is another node's now. */
  moved (): void
  failed (error: Error): void
}

export interface Wire {
  /** Begins to connect. `up` or `down` follows. */
  open (): void
  /** Sends commands in one write. Rejects if something other than the server's replies comes back. */
  write (commands: readonly Command[]): Promise<readonly Reply[]>
  subscribe (channels: readonly string[]): Promise<unknown>
  /** Cuts the connection. `down` follows. */
  cut (): void
  /** Ends it once what was written is sent. Nothing is heard of it any more. */
  close (): Promise<void>
}

/** Makes a wire. It is opened later. */
export type MakeWire = (listener: WireListener, timing: Timing) => Wire

/** How long after so many failures one after the other something is tried again, in milliseconds. */
export function retryDelay (failures: number): number {
  return Math.min(50 * failures, 500)
}

/** How long a server may say nothing while something is asked of it: long enough for somebody's slow script. */
export function patience (timing: Timing): number {
  return 20 * timing.opTimeout
}

/** What went wrong, in its own words. Clients put the command on an error, with all that it carries, which is for no log. */
export function bare (error: unknown): Error {
  const { message, code } = error as { readonly message?: string, readonly code?: string }
  const own = new Error(message === undefined || message === '' ? code ?? String(error) : message)
  return code === undefined ? own : Object.assign(own, { code })
}
