/**
 * Tells when a reply has closed. A reply to a pipelined HTTP/1 request waits in a queue until the replies before it are complete.
 *
 * Invariant: when a connection closes, all its replies close, also those that still wait in the queue. Node alone emits `close` only
 * for the first reply in the queue, and with HTTP/2 only if there already is a listener.
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply } from 'fastify'

type Raw = Pick<ServerResponse, 'socket' | 'writableFinished' | 'once' | 'emit'>

/** For each connection, the open replies that were in the queue when `onClose` was called. */
const queues = new WeakMap<Socket, Set<Raw>>()

/** Whether a reply still waits behind others of its connection. */
function isQueued (raw: Raw): boolean {
  return raw.socket === null && !raw.writableFinished
}

/** Closes a reply in the same way as Node. */
function close (raw: Raw): void {
  Object.assign(raw, { destroyed: true, _closed: true })
  raw.emit('close')
}

/** Closes `raw` when `socket` closes while `raw` is queued; at once if `socket` has already closed. */
function closeWithConnection (raw: Raw, socket: Socket): void {
  if (!isQueued(raw)) return
  if (socket.destroyed) {
    close(raw)
    return
  }
  const queue = queues.get(socket) ?? new Set()
  if (!queues.has(socket)) {
    queues.set(socket, queue)
    socket.once('close', () => {
      for (const each of queue) if (isQueued(each)) close(each)
    })
  }
  queue.add(raw)
  raw.once('close', () => { queue.delete(raw) })
}

/** The stream of an HTTP/2 reply. It has the state that the reply itself does not show. */
interface Stream {
  readonly aborted: boolean
  readonly destroyed: boolean
  readonly writableEnded: boolean
}

function streamOf (raw: ServerResponse): Stream | undefined {
  return (raw as { stream?: Stream }).stream
}

/** Whether a reply is closed: it was sent, its client has left, or it was destroyed. */
export function isClosed ({ raw, request }: FastifyReply): boolean {
  const stream = streamOf(raw)
  return stream === undefined ? raw.destroyed || (isQueued(raw) && request.raw.socket.destroyed) : stream.destroyed
}

/** Whether the reply was ended by the app. With HTTP/2, a client that leaves ends the stream as well; that does not count. */
export function isEnded (raw: ServerResponse): boolean {
  const stream = streamOf(raw)
  return raw.writableEnded || (stream !== undefined && stream.writableEnded && !stream.aborted)
}

/** What is to be called when a reply closes. */
const kClosed = Symbol('fastify-coalesce.closed')

interface Watched {
  [kClosed]?: (() => void) | ReadonlyArray<() => void>
}

const NOBODY: ReadonlyArray<() => void> = Object.freeze([])

/** The one listener of all replies, since each that Node calls once only would take a wrapper. */
function tellClosed (this: Watched): void {
  const closed = this[kClosed] as Required<Watched>[typeof kClosed]
  this[kClosed] = NOBODY
  if (typeof closed === 'function') closed()
  else for (const each of closed) each()
}

/** Calls `closed` when a reply closes; at once if it is already closed. */
export function onClose (reply: FastifyReply, closed: () => void): void {
  const { raw, request } = reply
  if (streamOf(raw) === undefined) closeWithConnection(raw, request.raw.socket)
  if (isClosed(reply)) {
    closed()
    return
  }
  const watched = raw as Watched
  const present = watched[kClosed]
  watched[kClosed] = present === undefined ? closed : [present, closed].flat()
  if (present === undefined) raw.on('close', tellClosed)
}
