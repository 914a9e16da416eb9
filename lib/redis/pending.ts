/**
 * What was sent over a line and is not answered yet.
 *
 * Invariant: each promise settles, at the latest when the line is cut, and a line on which nothing is answered for too long is cut. Clients
 * do not see to that: some leave promises open for ever.
 */
import type { Reply } from './connection.js'
import { patience, type Timing } from './client.js'

type Replies = readonly Reply[]

/** What the server answered with is what it says, and nothing else: clients put the command on it, with all that it carries. */
export function bare (error: unknown): Error {
  const { message, code } = error as { readonly message?: string, readonly code?: string }
  const own = new Error(message ?? String(error))
  return code === undefined ? own : Object.assign(own, { code })
}

export class Pending {
  readonly #timing: Timing
  readonly #stalled: () => void
  readonly #rejects = new Set<(error: Error) => void>()
  /** When the last reply came, or the first of those that wait was sent. */
  #heard = 0
  #timer: unknown

  /** @param stalled called if nothing is heard for too long */
  constructor (timing: Timing, stalled: () => void) {
    this.#timing = timing
    this.#stalled = stalled
  }

  /** The same as `replies`, unless `reject` is called before. */
  async add (replies: Promise<Replies>): Promise<Replies> {
    const { clock } = this.#timing
    if (this.#rejects.size === 0) this.#heard = clock.now()
    this.#timer ??= clock.setTimeout(this.#check, patience(this.#timing))
    return await new Promise<Replies>((resolve, reject) => {
      const settled = (): void => {
        this.#rejects.delete(reject)
        this.#heard = clock.now()
      }
      this.#rejects.add(reject)
      replies.then(value => {
        settled()
        resolve(value)
      }, (error: unknown) => {
        settled()
        reject(bare(error))
      })
    })
  }

  readonly #check = (): void => {
    this.#timer = undefined
    if (this.#rejects.size === 0) return
    const { clock } = this.#timing
    const left = this.#heard + patience(this.#timing) - clock.now()
    if (left > 0) this.#timer = clock.setTimeout(this.#check, left)
    else this.#stalled()
  }

  /** The line is cut. */
  reject (why: string): void {
    this.#timing.clock.clearTimeout(this.#timer)
    this.#timer = undefined
    for (const reject of this.#rejects) reject(new Error(why))
    this.#rejects.clear()
  }
}
