/**
 * What is told of runs before the reply that says that this process waits for them: messages and replies come over two connections.
 *
 * Invariant: bounded in number and bytes, and empty while no reply is outstanding. What does not fit is asked for again, later.
 */
import type { Message } from './inbox.js'

export type Ending = Extract<Message, { type: 'inline' | 'claim' | 'released' | 'log' }>

const MOST = 1_000
const MOST_BYTES = 16_777_216

export class EarlyMessages {
  readonly #endings = new Map<string, Ending>()
  #bytes = 0
  #outstanding = 0

  /** A question is sent whose reply may name a run. */
  asked (): void {
    this.#outstanding++
  }

  answered (): void {
    if (--this.#outstanding === 0) this.clear()
  }

  keep (ending: Ending): void {
    const bytes = bytesOf(ending)
    const { token } = ending
    // A log has grown, or its run has ended in another way.
    if (this.#endings.get(token)?.type === 'log') this.#endings.delete(token)
    if (this.#outstanding === 0 || this.#endings.has(token) || this.#endings.size >= MOST || this.#bytes + bytes > MOST_BYTES) return
    this.#endings.set(token, ending)
    this.#bytes += bytes
  }

  take (token: string): Ending | undefined {
    const ending = this.#endings.get(token)
    if (ending === undefined) return undefined
    this.#endings.delete(token)
    this.#bytes -= bytesOf(ending)
    return ending
  }

  clear (): void {
    this.#endings.clear()
    this.#bytes = 0
  }
}

function bytesOf (ending: Ending): number {
  return ending.type === 'inline' ? ending.sealed.length : 0
}
