/**
 * Turns of the event loop: how much of the work for a scrape is done in one.
 *
 * Invariant: at most about `MOST` samples are read, or written as text, before requests get their turn.
 */

/** How many samples that are. */
export const MOST = 500

class Turns {
  #queue: Promise<unknown> = Promise.resolve()
  #spent = 0

  /** Does some work once all that was asked for before is done. prom-client asks for the samples of all metrics at once. */
  async alone<T> (work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(work)
    this.#queue = done.catch(() => {})
    return await done
  }

  /** So many samples were read or written. Resolves in a later turn if that is enough for this one. */
  async spend (samples: number): Promise<void> {
    this.#spent += samples
    if (this.#spent < MOST) return
    this.#spent = 0
    await new Promise(resolve => { setImmediate(resolve) })
  }
}

/** One for all: the event loop is one. */
export const turns = new Turns()
