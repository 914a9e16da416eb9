/**
 * Replies whose connection closes: those to pipelined requests, which wait until the ones before them are complete, and those of HTTP/2.
 *
 * Invariant: a reply closes with its connection, whether it had its turn or not, and a closed one is known as such. Node tells only
 * the one whose turn it is, and of HTTP/2 only those that listen then.
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

type Raw = Pick<ServerResponse, 'socket' | 'writableFinished' | 'once' | 'emit'>

/** Those that wait for their turn, or did. */
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
export function closeWithConnection (raw: Raw, socket: Socket): void {
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

/** Whether it is closed. Over HTTP/2 a reply does not say so itself. */
export function isClosed (raw: ServerResponse): boolean {
  const { stream } = raw as { stream?: { readonly destroyed: boolean } }
  return raw.destroyed || stream?.destroyed === true
}
