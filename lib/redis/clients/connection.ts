/**
 * What this package needs of a Redis or Valkey client: one connection for commands, and one for the inbox.
 *
 * Invariant: nothing here throws into its caller but a promise that rejects, and that means: nobody knows whether the commands were
 * carried out. A connection reconnects by itself for as long as it is not closed; it never sends a command twice, and never holds one
 * back to send it later.
 */

export type Argument = string | number | Uint8Array

/** A command's name and its arguments. */
export type Command = readonly [name: string, ...args: Argument[]]

/** Texts are Buffers, status replies as well. An error that the server answered with is a reply. */
export type Reply = Buffer | number | null | Error | readonly Reply[]

export interface ConnectionListener {
  /** Commands can be sent, for the first time or again. */
  ready (): void
  /** Commands cannot be sent any more. */
  closed (): void
  /** All channels are subscribed, for the first time or again. Messages may have been missed before. */
  inboxReady (): void
  /** Messages may be missed from now on. */
  inboxClosed (): void
  message (channel: string, message: Buffer): void
  /** What went wrong, for the log: a password that is wrong, a host that is not known. */
  failed (error: Error): void
}

export interface Connection {
  /** Whether keys are spread over nodes, so that the keys of one script need the same hash tag, and channels are sharded. */
  readonly isCluster: boolean
  readonly isReady: boolean
  readonly isInboxReady: boolean
  /**
   * Sends commands in one write, in order, to the node that has the slot of `key`. Resolves with one reply for each command.
   *
   * It rejects if it cannot be known what became of them. It may stay pending for longer than the caller can wait.
   */
  send (key: string, commands: readonly Command[]): Promise<readonly Reply[]>
  close (): Promise<void>
}
