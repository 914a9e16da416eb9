/**
 * The handler of a request that waits, as Fastify and tracers of handlers see it.
 *
 * Invariant: it settles for each request: as the handler itself does if that runs and returns something, else once the request has been
 * answered, or can no longer be. It settles without a value, so that Fastify sends nothing twice.
 */
import { AsyncResource } from 'node:async_hooks'

/** Answers a parked request by going on to its handler. */
export type Resume = () => void

/** A run that waits, in the asynchronous context of its request. */
export class ParkedRun extends AsyncResource {
  readonly #resume: Resume
  readonly #over: (() => void) | undefined

  /** @param over called once the request has been answered, or can no longer be */
  constructor (resume: Resume, over: (() => void) | undefined) {
    super('CoalescedRequest')
    this.#resume = resume
    this.#over = over
  }

  resume (): void {
    this.runInAsyncScope(this.#resume)
  }

  end (): void {
    this.#over?.()
  }
}

interface Parkable {
  readonly role: { readonly type: string }
  park (resume: Resume, over?: () => void): void
}

/** It is about to be answered with what is cached, or refused. */
export function isAnsweredAtOnce ({ role: { type } }: Pick<Parkable, 'role'>): boolean {
  return type === 'served' || type === 'refused'
}

/** Parks a request. Returns what Fastify is to be told that its handler returned. */
export function parkHandler (participant: Parkable, run: () => unknown): unknown {
  if (isAnsweredAtOnce(participant)) {
    // It is answered at once, as by a handler that calls reply.send.
    participant.park(run)
    return undefined
  }
  return new Promise((resolve, reject) => {
    participant.park(() => {
      try {
        const result = run()
        // As in Fastify: a handler that returns nothing calls reply.send.
        if (result !== undefined) resolve(result)
      } catch (error) {
        reject(error)
      }
    }, () => { resolve(undefined) })
  })
}
