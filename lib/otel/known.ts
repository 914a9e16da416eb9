/**
 * The requests and calls that are traced.
 *
 * Invariant: what is known of a request goes with the request. A call is forgotten when it has its outcome.
 */
import type { Message } from '../../types/tracing.js'
import { spanOf } from './request-span.js'
import { Traced, type Means } from './traced.js'

export class Known {
  readonly #means: Means
  readonly #requests = new WeakMap<object, Traced>()
  readonly #calls = new Map<string, Traced>()

  constructor (means: Means) {
    this.#means = means
  }

  /** What a message is about. The first one comes in its own asynchronous context. */
  of ({ id, request, route }: Message): Traced {
    const known = this.#find(request, id)
    if (known !== undefined) return known
    const traced = new Traced(this.#means, spanOf(request, this.#means.api), request === undefined ? route : undefined)
    if (request === undefined) this.#calls.set(id, traced)
    else this.#requests.set(request, traced)
    return traced
  }

  /** Who runs for it. Ids of calls are unique, those of requests are not. */
  leaderOf ({ leaderId, leaderRequest, request }: Message): Traced | undefined {
    return this.#find(leaderRequest, request === undefined ? leaderId : undefined)
  }

  forgetCall (id: string): void {
    this.#calls.delete(id)
  }

  #find (request: object | undefined, call: string | undefined): Traced | undefined {
    if (request !== undefined) return this.#requests.get(request)
    return call === undefined ? undefined : this.#calls.get(call)
  }
}
