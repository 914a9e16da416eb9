/**
 * The batches of one function, as the protection of its runs: a run that asks for a permit gets one once its batch has one.
 *
 * Invariant: keys of different groups are never in one batch. Which key a run gets is told by its group and key, not by who had asked: another
 * caller may run in its place.
 */
import type { Asking, Permit, Place, Protection, Refusal } from '../protection/permits.js'
import { Batch, type BatchContext, type BatchItem, type BatchKey } from './batch.js'
import { Group, type GroupSettings } from './batch-group.js'
import { offAbort, onAbort } from './abort-signals.js'
import type { Waiting } from './batch-waiting.js'

export class Batches implements Protection {
  /** Those in which somebody waits. */
  readonly #groups = new Map<unknown, Group>()
  readonly #open = new Map<unknown, BatchKey>()
  readonly #context: BatchContext
  readonly #settings: GroupSettings

  constructor (context: Omit<BatchContext, 'open'>, settings: Omit<GroupSettings, 'clock' | 'takeOff' | 'emptied'>) {
    this.#context = { ...context, open: this.#open }
    this.#settings = {
      ...settings,
      clock: context.clock,
      takeOff: (permit, together) => { this.#takeOff(permit, together) },
      emptied: ({ id }) => { this.#groups.delete(id) }
    }
  }

  refusalFor (subject: readonly unknown[]): Refusal | undefined {
    return this.#settings.protection.refusalFor(itemIn(subject).args)
  }

  get patience (): number {
    const { protection: { patience }, window } = this.#settings
    return patience + (window === 'turn' ? 0 : window)
  }

  wouldProbe (subject: readonly unknown[]): boolean {
    return this.#settings.protection.wouldProbe(itemIn(subject).args)
  }

  foresee (subject: readonly unknown[], level: number): 'runs' | 'waits' | Refusal {
    return this.#settings.protection.foresee(itemIn(subject).args, level)
  }

  ask (asking: Asking): Place {
    const item = itemIn(asking.subject)
    let group = this.#groups.get(item.groupId)
    if (group === undefined) this.#groups.set(item.groupId, group = new Group(item.groupId, this.#settings))
    return group.enter(asking, item)
  }

  /** A run whose batch takes off begins: gives the result of its key. */
  async load (item: BatchItem, signal: AbortSignal): Promise<unknown> {
    const key = this.#open.get(item.id) ?? await this.#late(item, signal)
    return await key.take(signal)
  }

  /** A run that has not asked, or comes when its batch has begun without it, waits for another one. */
  async #late (item: BatchItem, signal: AbortSignal): Promise<BatchKey> {
    await new Promise<void>((resolve, reject) => {
      const place = this.ask({
        level: 0,
        subject: [item],
        isRefresh: false,
        runTimeout: this.#context.runTimeout,
        answered (permission) {
          offAbort(signal, left)
          if (permission.type === 'granted') resolve()
          else reject(permission.error)
        }
      })
      function left (): void {
        place.leave()
        reject(signal.reason)
      }
      if (signal.aborted) left()
      else onAbort(signal, left)
    })
    return this.#open.get(item.id) as BatchKey
  }

  #takeOff (permit: Permit, together: readonly Waiting[]): void {
    const batch = new Batch(this.#context, permit)
    const permits = together.map(({ item }) => batch.permit(item))
    for (const [index, waiting] of together.entries()) waiting.answer(permits[index] as Permit)
    batch.begin()
  }
}

/** A run's arguments are what is wanted of a batch, and its signal. */
function itemIn (subject: readonly unknown[]): BatchItem {
  return subject[0] as BatchItem
}
