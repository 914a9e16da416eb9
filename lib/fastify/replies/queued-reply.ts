/**
 * How replies end: those of HTTP/1, those to pipelined requests, which wait until the ones before them are complete, and those of HTTP/2.
 *
 * Invariant: a reply closes with its connection, whether it had its turn or not, and a closed one is known as such. Node emits
 * `close` only for the reply whose turn it is, and with HTTP/2 only for those that listen then.
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply } from 'fastify'

type Raw = Pick<ServerResponse, 'socket' | 'writableFinished' | 'once' | 'emit'>

/** By connection, the replies that wait for their turn, or did. */
const queues = new WeakMap<Socket, Set<Raw>>()

/** Whether it has not had its turn yet. */
function isQueued (raw: Raw): boolean {
  return raw.socket === null && !raw.writableFinished
}

/** As Node does it. */
function close (raw: Raw): void {
  Object.assign(raw, { destroyed: true, _closed: true })
  raw.emit('close')
}

/** Closes `raw` when `socket` closes before it is its turn; at once if it has. */
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

/** The state of an HTTP/2 reply: the reply itself does not tell it. */
interface Stream {
  readonly aborted: boolean
  readonly destroyed: boolean
  readonly writableEnded: boolean
}

function streamOf (raw: ServerResponse): Stream | undefined {
  return (raw as { stream?: Stream }).stream
}

/** Whether a reply is closed: it has been sent, its client has left, or something destroyed it. */
export function isClosed ({ raw, request }: FastifyReply): boolean {
  const stream = streamOf(raw)
  return stream === undefined ? raw.destroyed || (isQueued(raw) && request.raw.socket.destroyed) : stream.destroyed
}

/** Whether the reply was ended by the app. With HTTP/2, a client that leaves ends the stream as well; that does not count. */
export function isEnded (raw: ServerResponse): boolean {
  const stream = streamOf(raw)
  return raw.writableEnded || (stream !== undefined && stream.writableEnded && !stream.aborted)
}

/** Calls `closed` once a reply has closed; at once if it has. */
export function onClose (reply: FastifyReply, closed: () => void): void {
  const { raw, request } = reply
  if (streamOf(raw) === undefined) closeWithConnection(raw, request.raw.socket)
  if (isClosed(reply)) closed()
  else raw.once('close', closed)
}
