/**
 * Who waits here for runs of other processes.
 *
 * Invariant: each wait ends: by a message, or by asking again when the leader's lease may have run out, when the inbox was away, or when the
 * leader's process seems to be gone; and at once when Redis cannot be asked. It ends with the result of the very run that it waits for, or
 * with none.
 */
import type { RemoteRun } from '../../types/coordination.js'
import type { Reply } from './clients/connection.js'
import { EarlyMessages, type Ending } from './early-messages.js'
import { instanceOf } from './inbox.js'
import type { Link } from './link.js'
import { LogReader } from './log-reader.js'
import { Liveness } from './liveness.js'
import type { KeyNames } from './names.js'
import type { Call } from './scripts.js'
import { Wait, type Outcome, type Watch } from './watch.js'

export interface WaitSettings {
  readonly livenessInterval: number
  /** How long a registration is kept that nobody renews, in milliseconds. */
  readonly keepWaiters: number
  readonly maxInline: number
  readonly maxMessageBytes: number
}

export class Waits {
  readonly early = new EarlyMessages()
  readonly #link: Link
  readonly #settings: WaitSettings
  readonly #watches = new Map<string, Watch>()
  readonly #liveness: Liveness
  /** For which keys this process asks just now, and whom it has left meanwhile. */
  readonly #asking = new Map<string, { questions: number, readonly left: Set<Watch> }>()

  constructor (link: Link, settings: WaitSettings) {
    this.#link = link
    this.#settings = settings
    this.#liveness = new Liveness(link, settings.livenessInterval, {
      watches: () => this.#watches.values(),
      gone: watch => { this.#gone(watch) }
    })
  }

  /** It is asked who leads a key. */
  asked ({ waiters }: KeyNames): void {
    this.early.asked()
    const asking = this.#asking.get(waiters)
    if (asking === undefined) this.#asking.set(waiters, { questions: 1, left: new Set() })
    else asking.questions++
  }

  /** That was answered, and `add` was called if another process leads. */
  answered ({ waiters }: KeyNames): void {
    this.early.answered()
    const asking = this.#asking.get(waiters)
    if (asking === undefined || --asking.questions > 0) return
    this.#asking.delete(waiters)
    for (const watch of asking.left) if (!this.#watches.has(watch.token)) this.#unregister(watch)
  }

  /** Waits for a run that another process was just seen to lead, for at most `left` milliseconds more unless it renews its lease. */
  add (key: string, names: KeyNames, token: string, left: number, ended: () => void): RemoteRun {
    let watch = this.#watches.get(token)
    if (watch === undefined) {
      watch = {
        key,
        names,
        token,
        leader: instanceOf(token),
        waits: new Set(),
        timer: undefined,
        absences: 0,
        isSuspect: false,
        isEnding: false,
        entries: 0,
        isWhole: false
      }
      this.#watches.set(token, watch)
      this.#checkAfter(watch, left)
      this.#liveness.start()
    }
    const run = watch
    const wait = new Wait(watch, this.#left, ended, listener => new LogReader(this.#link, run, this.#settings.maxMessageBytes, listener))
    watch.waits.add(wait)
    const early = this.early.take(token)
    if (early !== undefined) this.ended(early)
    return wait
  }

  /** A run has ended, or its log has grown. */
  ended (ending: Ending): void {
    const watch = this.#watches.get(ending.token)
    if (watch === undefined) this.early.keep(ending)
    else if (ending.type === 'released') this.#settle(watch, { lost: 'released' })
    else if (ending.type === 'inline') this.#landed(watch, ending.sealed)
    else if (ending.type === 'log') this.#logged(watch, ending.entries, ending.isWhole)
    else this.#fetch(watch, ending.bytes)
  }

  /** Messages may have been missed. */
  checkAll (): void {
    for (const watch of [...this.#watches.values()]) this.#check(watch)
  }

  /** Nothing can be hoped for any more. */
  loseAll (): void {
    for (const watch of [...this.#watches.values()]) this.#settle(watch, { lost: 'unreachable' })
  }

  /** One who waits, but does not want to any more, is told so. */
  give (run: RemoteRun): void {
    const wait = run as Wait
    wait.settle({ lost: 'unreachable' })
    if (wait.watch.waits.delete(wait)) this.#leave(wait.watch)
  }

  close (): void {
    this.loseAll()
    this.#liveness.stop()
    this.early.clear()
  }

  readonly #left = (wait: Wait): void => {
    wait.watch.waits.delete(wait)
    this.#leave(wait.watch)
  }

  #leave (watch: Watch): void {
    if (watch.waits.size > 0 || !this.#forget(watch)) return
    // A question that is under way may have registered this process once more.
    const asking = this.#asking.get(watch.names.waiters)
    if (asking === undefined) this.#unregister(watch)
    else asking.left.add(watch)
  }

  #unregister ({ isWhole, names: { lane, waiters }, token }: Watch): void {
    const { instance, names, scripts } = this.#link
    this.#link.send(lane, [isWhole
      ? { script: scripts.fetched, keys: [waiters, names.log(lane, token)], args: [token, instance] }
      : ['SREM', waiters, `${token} ${instance}`]])
  }

  #logged (watch: Watch, entries: number, isWhole = false): void {
    watch.entries = entries
    watch.isWhole ||= isWhole
    for (const wait of [...watch.waits]) wait.more()
  }

  #forget (watch: Watch): boolean {
    this.#link.clock.clearTimeout(watch.timer)
    return this.#watches.get(watch.token) === watch && this.#watches.delete(watch.token)
  }

  #settle (watch: Watch, outcome: Outcome): void {
    this.#forget(watch)
    for (const wait of watch.waits) wait.settle(outcome)
  }

  #landed (watch: Watch, sealed: Uint8Array): void {
    const { figures, seal } = this.#link
    const bytes = seal.open(`run ${watch.token}`, watch.key, sealed)
    if (bytes === undefined) {
      this.#link.rejected()
      this.#settle(watch, { lost: 'rejected' })
      return
    }
    figures.received.messages++
    figures.received.bytes += sealed.length
    this.#settle(watch, { bytes })
  }

  /** The result is in Redis. */
  async #fetch (watch: Watch, bytes: number): Promise<void> {
    if (watch.isEnding) return
    watch.isEnding = true
    if (bytes > this.#settings.maxMessageBytes) {
      this.#link.rejected()
      this.#settle(watch, { lost: 'rejected' })
      return
    }
    const { lane, waiters } = watch.names
    const { instance, names, scripts } = this.#link
    const result = names.result(lane, watch.token)
    const fetched: Call = { script: scripts.fetched, keys: [waiters, result], args: [watch.token, instance] }
    const replies = await this.#link.send(lane, [['GET', result], fetched], bytes)
    if (this.#watches.get(watch.token) !== watch) return
    if (replies?.[0] instanceof Buffer) this.#landed(watch, replies[0])
    else this.#settle(watch, { lost: 'rejected' })
  }

  /** Instances that wait for the same run do not ask all at once. */
  #checkAfter (watch: Watch, left: number): void {
    this.#link.clock.clearTimeout(watch.timer)
    watch.timer = this.#link.clock.setTimeout(() => { this.#check(watch) }, Math.max(left, 0) + 5 + Math.random() * 30)
  }

  /** Asks what became of the run. */
  async #check (watch: Watch): Promise<void> {
    if (watch.isEnding) return
    const { names, token } = watch
    const { instance, names: all, opTimeout, clock, scripts } = this.#link
    const replies = await this.#call(watch, {
      script: scripts.check,
      keys: [names.pointer, names.waiters, all.result(names.lane, token), all.log(names.lane, token)],
      args: [token, instance, this.#settings.keepWaiters, all.inboxes(names.lane), this.#settings.maxInline]
    })
    if (this.#watches.get(token) !== watch || watch.isEnding) return
    const [state, more, entries] = answerOf(replies?.[0])
    if (state === 'F') {
      this.#checkAfter(watch, Number(more))
      this.#logged(watch, Number(entries))
    } else if (state === 'R') this.#landed(watch, more as Buffer)
    else if (state === 'C') this.#fetch(watch, Number(more))
    else if (state === 'G') this.#settle(watch, { lost: 'gone' })
    // It is done, and its message is on the way, unless that was lost.
    else if (state === 'D') this.#loseAfter(watch, opTimeout)
    // The connection is away for a moment, or the circuit is about to open.
    else {
      clock.clearTimeout(watch.timer)
      watch.timer = clock.setTimeout(() => { this.#check(watch) }, opTimeout)
    }
  }

  #loseAfter (watch: Watch, delay: number): void {
    this.#link.clock.clearTimeout(watch.timer)
    watch.timer = this.#link.clock.setTimeout(() => { this.#settle(watch, { lost: 'rejected' }) }, delay)
  }

  /** Whoever finds that first ends its lease. The others ask what became of the run, as all do if it has ended. */
  async #gone (watch: Watch): Promise<void> {
    if (this.#watches.get(watch.token) !== watch) return
    watch.isSuspect = true
    const { figures, instance, names: all, scripts } = this.#link
    const { names, token } = watch
    // What is left of its log is for nobody.
    const keys = [names.pointer, names.waiters, all.log(names.lane, token)]
    const replies = await this.#call(watch, { script: scripts.steal, keys, args: [token, instance] })
    if (replies?.[0] === 0) {
      await this.#check(watch)
      return
    }
    figures.takeovers++
    this.#settle(watch, { lost: 'gone' })
  }

  async #call (watch: Watch, call: Call): Promise<readonly Reply[] | undefined> {
    return await this.#link.send(watch.names.lane, [call])
  }
}

function answerOf (reply: Reply | undefined): [string, Reply, Reply] {
  return Array.isArray(reply) ? [String(reply[0]), reply[1] as Reply, reply[2] as Reply] : ['', null, null]
}
