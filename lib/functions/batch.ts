/**
 * One call of a batched function, for all keys whose runs take off together.
 *
 * Invariant: the function is called once, with each key once, and only with keys that somebody still wants. Its permit is told once how
 * that went, and gives its slot back once. Nobody's asynchronous context is seen by it. No run is given another key's result.
 */
import { AsyncResource } from 'node:async_hooks'
import type { Clock } from '../../types/index.js'
import { NO_PERMIT, type Permit, type RunEnd } from '../protection/permits.js'
import { BatchResultError, FlightTimeoutError, NobodyWaitsError } from '../errors.js'
import { offAbort, onAbort } from './abort-signals.js'
import type { BatchCounts } from './batch-counts.js'
import { isError, resultsOf } from './batch-results.js'

/** What a call wants of a batch. */
export interface BatchItem {
  /** The text of its group and key; itself, if it has none and shares its key with nobody. */
  readonly id: unknown
  /** Tells groups apart. */
  readonly groupId: unknown
  readonly group: unknown
  /** As the function is given it. */
  readonly key: unknown
  /** The arguments of its call. */
  readonly args: readonly unknown[]
}

export type BatchFunction = (keys: readonly unknown[], call: { readonly signal: AbortSignal, readonly group: unknown }) => unknown

/** What the batches of one function have in common. */
export interface BatchContext {
  readonly fn: BatchFunction
  readonly clock: Clock
  readonly counts: BatchCounts
  /** How long a call may take, in milliseconds. */
  readonly runTimeout: number
  /** Keys that runs may take: their batch has its permit, and its call has not begun. */
  readonly open: Map<unknown, BatchKey>
}

/** What the calls of functions see is no caller's. */
const nobody = new AsyncResource('CoalescedBatches')

/** A key of a batch. */
export class BatchKey {
  readonly item: BatchItem
  readonly result: Promise<unknown>
  /** The runs that still want it. */
  wanted = 0
  resolve!: (value: unknown) => void
  reject!: (error: unknown) => void
  readonly #batch: Batch

  constructor (batch: Batch, item: BatchItem) {
    this.#batch = batch
    this.item = item
    this.result = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }

  /** A run wants its result, until `signal` aborts. */
  async take (signal: AbortSignal): Promise<unknown> {
    this.#batch.taken(this, signal)
    return await this.result
  }

  /** Nobody wants it any more. */
  forsake (): void {
    this.result.catch(() => {})
    this.reject(new NobodyWaitsError())
  }
}

export class Batch {
  readonly #context: BatchContext
  readonly #permit: Permit
  readonly #keys = new Map<unknown, BatchKey>()
  readonly #controller = new AbortController()
  readonly #watched: Array<readonly [signal: AbortSignal, left: () => void]> = []
  /** Runs that were permitted, and have neither taken their key nor given up. */
  #coming = 0
  /** Runs that still want what they have taken. */
  #wanting = 0
  #allTold = false
  #hasBegun = false
  #immediate: NodeJS.Immediate | undefined

  constructor (context: BatchContext, permit: Permit) {
    this.#context = context
    this.#permit = permit
  }

  /** The permit of one of its runs, which is to take its key at once. */
  permit (item: BatchItem): Permit {
    if (!this.#keys.has(item.id)) {
      const key = new BatchKey(this, item)
      this.#keys.set(item.id, key)
      this.#context.open.set(item.id, key)
    }
    this.#coming++
    let released = false
    const release = (): void => {
      if (!released) this.#arrived()
      released = true
    }
    return {
      // One of its runs tells nothing of what is behind it.
      ...NO_PERMIT,
      release,
      // All of its runs have one slot.
      passOn () {
        release()
        return undefined
      }
    }
  }

  /** All of its runs have been told that they may take their keys. Those that do not within a turn never will. */
  begin (): void {
    this.#allTold = true
    if (this.#coming > 0) this.#immediate = setImmediate(() => { this.#call() })
    else this.#call()
  }

  /** A run has taken a key. */
  taken (key: BatchKey, signal: AbortSignal): void {
    if (!signal.aborted) {
      const left = (): void => {
        key.wanted--
        if (--this.#wanting === 0 && this.#hasBegun) this.#controller.abort(signal.reason)
      }
      key.wanted++
      this.#wanting++
      onAbort(signal, left)
      this.#watched.push([signal, left])
    }
    this.#arrived()
  }

  #arrived (): void {
    this.#coming--
    if (this.#allTold && this.#coming <= 0) this.#call()
  }

  #call (): void {
    if (this.#hasBegun) return
    this.#hasBegun = true
    clearImmediate(this.#immediate)
    const { open } = this.#context
    const wanted: BatchKey[] = []
    for (const [id, key] of this.#keys) {
      if (open.get(id) === key) open.delete(id)
      if (key.wanted > 0) wanted.push(key)
      else key.forsake()
    }
    if (wanted.length === 0) this.#end(undefined)
    else this.#run(wanted)
  }

  #run (keys: readonly BatchKey[]): void {
    const { clock, counts } = this.#context
    const since = clock.now()
    this.#invoke(keys).then(answer => this.#give(keys, answer)).catch((error: unknown) => this.#fail(keys, error)).then(end => {
      counts.keys.observe(keys.length)
      counts.durations.observe(clock.now() - since)
      this.#end(end)
    })
  }

  async #invoke (keys: readonly BatchKey[]): Promise<unknown> {
    const { fn } = this.#context
    const call = { signal: this.#controller.signal, group: keys[0]?.item.group }
    // Sorted in place, they would give everybody another one's result.
    const given = Object.freeze(keys.map(({ item }) => item.key))
    // What the function enters there is not seen by the next call.
    return await nobody.runInAsyncScope(() => new AsyncResource('CoalescedBatch').runInAsyncScope(fn, undefined, given, call))
  }

  /** Gives each key its own result. That of the whole is good, unless all keys failed. */
  #give (keys: readonly BatchKey[], answer: unknown): RunEnd {
    const { counts } = this.#context
    const results = resultsOf(counts.name, keys.map(({ item }) => item.key), answer)
    let failed = 0
    for (const [index, key] of keys.entries()) {
      const result = results[index]
      if (isError(result)) {
        failed++
        key.reject(result)
      } else {
        key.resolve(result)
      }
    }
    counts.failures.key += failed
    return { status: undefined, error: failed === keys.length ? results[0] : undefined }
  }

  /** All keys have failed. That tells nothing, if nobody wanted them any more, unless that was because it took too long. */
  #fail (keys: readonly BatchKey[], error: unknown): RunEnd {
    this.#context.counts.failures[error instanceof BatchResultError ? 'result' : 'batch']++
    for (const key of keys) key.reject(error)
    const { signal: { aborted, reason } } = this.#controller
    if (!aborted) return { status: undefined, error }
    return reason instanceof FlightTimeoutError ? { status: undefined, error: reason } : undefined
  }

  #end (end: RunEnd): void {
    for (const [signal, left] of this.#watched) offAbort(signal, left)
    this.#permit.tell(end)
    this.#permit.release()
  }
}
