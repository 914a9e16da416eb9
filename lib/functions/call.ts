/**
 * One call of a deduplicated function as a participant.
 *
 * Invariant: its promise is settled once: with the result of a run that was in the air while it waited, with a cached result, or with
 * that of its own run. Its AbortSignal ends its own wait only.
 */
import { AsyncResource } from 'node:async_hooks'
import type { NoPlan, Plan, ResultCache } from '../engine/cache/cache.js'
import { SUITS, type Suitability } from '../engine/cache/lookup.js'
import type { Conductor } from '../engine/conductor.js'
import { LOCAL, type Coordinator } from '../engine/coordinators/coordinator.js'
import { Participant, type Limits } from '../engine/participant.js'
import type { LevelOf } from '../protection/levels.js'
import type { Protection, RunEnd } from '../protection/permits.js'
import type { Refresh } from '../engine/refresh.js'
import type { Log } from '../observers/observer.js'
import { warn } from '../observers/warn.js'
import type { Tally } from '../observers/tally.js'
import type { CallSettings } from '../options/function-options.js'
import { offAbort, onAbort } from './abort-signals.js'
import { withSignal } from './arguments.js'
import { NOT_STORED, planResult, type CallResult } from './results.js'

export type AnyFunction<A extends readonly unknown[], R> = (...args: A) => Promise<R>

/** What a call boards under. */
export interface CallKey {
  readonly text: string
  /** The label of calls with the same arguments on any object; undefined if it is called on none. */
  readonly family: string | undefined
}

/** What the calls of one function have in common. */
export interface FunctionContext<A extends readonly unknown[], R> {
  readonly fn: AnyFunction<A, R>
  readonly settings: CallSettings<A, R>
  readonly limits: Limits
  readonly conductor: Conductor<CallResult>
  readonly coordinator: Coordinator<CallResult>
  readonly protection: Protection
  readonly levelOf: LevelOf<A> | undefined
  readonly cache: ResultCache<CallResult>
  readonly tally: Tally
  readonly log: Log
}

/** The label of all calls whose results are stored. It equals no key: keys end in a quote or a bracket. */
export const STORED = 'stored'

/** The context of refreshes: a run in the background must not see that of the caller that set it off. */
const detached = new AsyncResource('CoalescedRefresh')

const NO_NAMES: readonly string[] = Object.freeze([])
const ENDED_WELL: RunEnd = Object.freeze({ status: undefined, error: undefined })

let calls = 0

export class Call<A extends readonly unknown[], R> extends Participant<CallResult> {
  readonly #number = ++calls
  readonly #context: FunctionContext<A, R>
  readonly #self: unknown
  readonly #args: A
  readonly #signal: AbortSignal | undefined
  /** The label of its results besides its key, if it is made on an object. */
  #family: string | undefined
  /** The asynchronous context of its caller, if it waits. */
  #scope: AsyncResource | undefined
  /** These settle its promise, if that is not its run's. */
  #resolve: ((value: R) => void) | undefined
  #reject: ((error: unknown) => void) | undefined
  /** Undefined without a signal. */
  #onAbort: (() => void) | undefined
  /** That of its run for others, if the function is given a signal. */
  #controller: AbortController | undefined
  /** What its run came to. */
  #ran: CallResult | undefined
  /** What it is settled with. */
  #settled: CallResult | undefined
  #isCancelled = false

  constructor (context: FunctionContext<A, R>, self: unknown, args: A, signal: AbortSignal | undefined) {
    super()
    this.#context = context
    this.#self = self
    this.#args = args
    this.#signal = signal
    if (signal === undefined) return
    this.#onAbort = () => {
      context.conductor.leave(this, 'client-left')
      this.#settle({ error: signal.reason })
    }
    onAbort(signal, this.#onAbort)
  }

  get id (): string { return `call-${this.#number.toString(36)}` }
  get request (): undefined { return undefined }
  get followsOnly (): undefined { return undefined }
  get onlyIfCached (): boolean { return false }
  get refreshable (): boolean { return true }
  get fleet (): undefined { return undefined }
  get revalidated (): boolean { return false }
  get log (): Log { return this.#context.log }
  get tally (): Tally { return this.#context.tally }
  get limits (): Limits { return this.#context.limits }
  get cache (): ResultCache<CallResult> { return this.#context.cache }
  get origin (): object { return this.#context }
  /** Objects are of one process, and so are the calls on them. */
  override get coordinator (): Coordinator<CallResult> { return this.#family === undefined ? this.#context.coordinator : LOCAL }
  override get protection (): Protection { return this.#context.protection }
  override get subject (): readonly unknown[] { return this.#args }
  get hasFallback (): boolean { return this.#context.settings.fallback !== undefined }
  get labels (): readonly string[] { return [this.key, ...this.#families, ...this.cache.stores ? [STORED] : []] }
  get gone (): boolean { return this.#settled !== undefined }
  get #families (): readonly string[] { return this.#family === undefined ? [] : [this.#family] }

  /** Boards: it runs, waits, or is served at once. Without a key it bypasses. Returns the promise of what it comes to. */
  arrive (key: CallKey | undefined): Promise<R> {
    const { conductor, levelOf } = this.#context
    this.#family = key?.family
    if (levelOf !== undefined) this.level = levelOf.apply(this.#self, this.#args as unknown as A & unknown[])
    if (key === undefined ? conductor.passBy(this, 'no-key') : conductor.arrive(this, key.text)) {
      // Without a signal nothing but its run settles it.
      if (this.#signal === undefined) return this.#run()
      this.run()
    } else {
      if (this.role.type !== 'served' && this.role.type !== 'refused') this.#scope = new AsyncResource('CoalescedCall')
      conductor.parked(this)
    }
    return this.#promise()
  }

  refuses (): undefined {}

  suits (): Suitability {
    return SUITS
  }

  accepts (): boolean {
    return true
  }

  joined (): void {}

  run (): void {
    const running = this.#scope === undefined ? this.#run() : this.#scope.runInAsyncScope(this.#run, this)
    // Its caller has another promise.
    running.catch(() => {})
  }

  /** Settles with another call's result, or with a clone of it. */
  give (result: CallResult): void {
    const { clone } = this.#context.settings
    if (clone === undefined || 'error' in result) {
      this.#settle(result)
      return
    }
    try {
      this.#settle({ value: clone(result.value as R) })
    } catch (error) {
      this.#settle({ error })
    }
  }

  refuse (error: Error): void {
    this.#settle({ error })
  }

  cancel (reason: Error): void {
    this.#isCancelled = true
    this.#controller?.abort(reason)
  }

  record (): CallResult {
    return this.#ran as CallResult
  }

  plan (result: CallResult): Plan | NoPlan {
    const { log, settings, tally } = this.#context
    try {
      return planResult(result, this.#args, settings, this.#families)
    } catch (err) {
      warn(log, err, { event: 'not-kept', route: tally.route }, 'coalesce: a result could not be kept')
      return NOT_STORED
    }
  }

  async refresh (refresh: Refresh<CallResult>): Promise<void> {
    const controller = new AbortController()
    refresh.onCancel(reason => { controller.abort(reason) })
    this.tally.runs++
    const args = withSignal(this.#args, controller.signal)
    const { permit } = refresh
    try {
      const value = await detached.runInAsyncScope(async () => await this.#invoke(args))
      permit.tell(ENDED_WELL)
      this.#context.conductor.caching.storeRefreshed(this, { value }, refresh)
    } catch (error) {
      permit.tell({ status: undefined, error })
      throw error
    }
  }

  /** Runs, and comes to what its caller is given. */
  async #run (): Promise<R> {
    let result: CallResult
    try {
      result = { value: await this.#invoke(this.role.type === 'leader' ? this.#sharedArgs() : this.#args) }
    } catch (error) {
      result = { error }
    }
    this.#ended(result)
    const settled = this.#settled as CallResult
    if ('error' in settled) throw settled.error
    return settled.value as R
  }

  /** The arguments of a run for others: it ends when nobody waits for it. */
  #sharedArgs (): A {
    if (this.#signal === undefined) return this.#args
    this.#controller = new AbortController()
    return withSignal(this.#args, this.#controller.signal)
  }

  /** Its own run has ended: lands its flight, or settles with a fallback. */
  #ended (result: CallResult): void {
    const { conductor } = this.#context
    const failed = 'error' in result
    const { permit } = this
    // A run that was given up fails for that reason alone. One that is for its caller only has the caller's own signal.
    const isUnwanted = this.#isCancelled || (this.#settled !== undefined && this.#controller === undefined)
    permit.tell(!failed ? ENDED_WELL : isUnwanted ? undefined : { status: undefined, error: result.error })
    const fallback = failed ? conductor.fallBack(this) : undefined
    if (fallback === undefined) {
      this.#ran = result
      conductor.land(this, NO_NAMES, failed)
      this.#settle(result)
    } else {
      this.give(fallback)
    }
    conductor.finished(this)
    permit.release()
  }

  /** A function that throws rejects as well: those who call meanwhile are to find its run. */
  #invoke (args: A): Promise<R> {
    const { refusal } = this
    const { fn, settings: { fallback } } = this.#context
    try {
      if (refusal !== undefined) return fallback?.apply(this.#self, [refusal.reason, ...args]) as Promise<R>
      return fn.apply(this.#self, args as unknown as A & unknown[])
    } catch (error) {
      return Promise.reject(error)
    }
  }

  #promise (): Promise<R> {
    const settled = this.#settled
    if (settled !== undefined) return 'error' in settled ? Promise.reject(settled.error) : Promise.resolve(settled.value as R)
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  #settle (result: CallResult): void {
    if (this.#settled !== undefined) return
    this.#settled = result
    if (this.#onAbort !== undefined) offAbort(this.#signal as AbortSignal, this.#onAbort)
    if ('error' in result) this.#reject?.(result.error)
    else this.#resolve?.(result.value as R)
  }
}
