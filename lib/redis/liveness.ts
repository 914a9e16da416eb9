/**
 * Whether the processes that lead are still there: a process that is gone has nobody at its inbox.
 *
 * Invariant: a leader counts as gone after it was absent twice in a row, so that one that connects anew is not. While nobody waits nothing
 * is asked.
 */
import type { Link } from './link.js'
import type { Watch } from './watch.js'

/** It is asked so many times in the time after which a leader counts as gone. */
const ABSENCES = 2

export interface LivenessListener {
  watches (): IterableIterator<Watch>
  gone (watch: Watch): void
}

export class Liveness {
  readonly #link: Link
  readonly #interval: number
  readonly #listener: LivenessListener
  #timer: unknown

  constructor (link: Link, interval: number, listener: LivenessListener) {
    this.#link = link
    this.#interval = interval
    this.#listener = listener
  }

  /** Somebody waits. */
  start (): void {
    this.#timer ??= this.#link.clock.setTimeout(() => { this.#tick() }, this.#interval / ABSENCES)
  }

  stop (): void {
    this.#link.clock.clearTimeout(this.#timer)
    this.#timer = undefined
  }

  async #tick (): Promise<void> {
    const lanes = new Map<number, Map<string, Watch[]>>()
    for (const watch of this.#listener.watches()) {
      if (watch.isEnding || watch.isSuspect || watch.isWhole) continue
      const { lane } = watch.names
      let leaders = lanes.get(lane)
      if (leaders === undefined) lanes.set(lane, leaders = new Map())
      const watches = leaders.get(watch.leader)
      if (watches === undefined) leaders.set(watch.leader, [watch])
      else watches.push(watch)
    }
    await Promise.all([...lanes].map(async ([lane, leaders]) => { await this.#ask(lane, leaders) }))
    if (this.#timer === undefined) return
    this.#timer = undefined
    if (this.#listener.watches().next().done !== true) this.start()
  }

  async #ask (lane: number, leaders: ReadonlyMap<string, readonly Watch[]>): Promise<void> {
    const { names, isCluster } = this.#link
    const inboxes = [...leaders.keys()].map(leader => names.inbox(lane, leader))
    const replies = await this.#link.send(lane, [['PUBSUB', isCluster ? 'SHARDNUMSUB' : 'NUMSUB', ...inboxes]])
    const counts = replies?.[0]
    if (!Array.isArray(counts)) return
    let place = 1
    for (const watches of leaders.values()) {
      const isThere = Number(counts[place]) > 0
      place += 2
      for (const watch of watches) {
        watch.absences = isThere ? 0 : watch.absences + 1
        if (watch.absences >= ABSENCES) this.#listener.gone(watch)
      }
    }
  }
}
