/**
 * A user's client, as a pattern for connections of our own: a *line* is one connection to one server.
 *
 * Invariant: the user's client is asked for its options, and for nothing else. It is never used, changed or closed.
 */
import type { Clock } from '../../types/index.js'
import type { Command, Connection, ConnectionListener, Reply } from './connection.js'

export interface Timing {
  readonly clock: Clock
  /** How long a caller waits for replies, in milliseconds. A server that says nothing for many times as long is connected to anew. */
  readonly opTimeout: number
}

export interface Client {
  readonly isCluster: boolean
  /** What the user's client puts before its keys. Ours do not; names that they are given begin with it. */
  readonly keyPrefix: string
  /** Begins to connect, and subscribes to the channels. */
  connect (channels: readonly string[], listener: ConnectionListener, timing: Timing): Connection
}

export interface LineListener {
  /** It can be used, for the first time or again. Nothing is subscribed. */
  ready (): void
  /** It cannot be used any more. Called once after each `ready`, but for the last if that ends by `close`. */
  closed (): void
  message (channel: string, message: Buffer): void
  /** The server has ended a subscription: the channel's slot has moved to another node. */
  moved (): void
  failed (error: Error): void
}

/** It connects, again and again, until it is closed. */
export interface Line {
  readonly isReady: boolean
  /** Rejects if the line is closed, or is cut before all replies are there. */
  send (commands: readonly Command[]): Promise<readonly Reply[]>
  /** Resolves once all are subscribed. They are not subscribed again after the next `ready`. */
  subscribe (channels: readonly string[]): Promise<void>
  /** Connects anew. */
  cut (): void
  close (): Promise<void>
}

/** Makes a line; it connects from the next turn of the event loop on. */
export type Dial = (listener: LineListener, timing: Timing) => Line

/** How long after a failure something is tried again, in milliseconds. */
export function retryDelay (tries: number): number {
  return Math.min(50 * tries, 500)
}

/** How long a server may say nothing while something is asked of it: long enough for a failover, or a script of somebody else. */
export function patience (timing: Timing): number {
  return 20 * timing.opTimeout
}
