/**
 * The handler of a request that waits, as Fastify, and whoever traces handlers, see it.
 *
 * Invariant: it ends for each request: as the handler itself does if that runs and returns something, else once the request has
 * been answered, or cannot be any more. What others sent is never sent again because it ended.
 */
import type { FastifyVisit } from './visit.js'

/** Lets a request wait. Returns what Fastify is to be told that its handler returned. */
export function parkHandler (visit: FastifyVisit, run: () => unknown): unknown {
  if (visit.role.type === 'served') {
    // It is answered at once, as by a handler that calls reply.send.
    visit.park(run)
    return undefined
  }
  return new Promise((resolve, reject) => {
    visit.park(() => {
      try {
        const result = run()
        // As Fastify has it: who returns nothing will call reply.send.
        if (result !== undefined) resolve(result)
      } catch (error) {
        reject(error)
      }
    }, () => { resolve(undefined) })
  })
}
