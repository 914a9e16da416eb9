/**
 * Whether a run may begin, by how those before it ended. What is behind them is asked no more while it is down, and then by one run at a time.
 *
 * Invariant: each run that begins is told once how it ended, and one that is never told takes nobody's place for ever. Neither who is told
 * of a change of state, nor `by` and `isFailure`, can break it.
 */
import type { BreakerFigures, BreakerState, CircuitBreaker, Clock } from '../../types/index.js'
import { BreakerOpenError } from '../errors.js'
import { PROBE_WAIT, type Circuit, type CircuitSettings } from './circuit.js'
import { CircuitsBy, OneCircuit, type By, type Circuits } from './circuits.js'
import { hasFailed, type FailureSettings } from './failure.js'
import type { Refusal, RunEnd } from './permits.js'

export interface BreakerSettings extends CircuitSettings, FailureSettings {
  readonly by: By | undefined
  readonly name: string | undefined
}

/** A run that may begin. */
export interface BreakerRun {
  readonly type: 'begun'
  readonly isProbe: boolean
  /** Its answer has begun: how long it lasts from then on is up to those who read it. */
  answered (): void
  /** How it ended. The second time it does nothing. */
  end (end: RunEnd): void
}

export type BreakerListener = (to: BreakerState, from: BreakerState) => void

export class Breaker implements CircuitBreaker {
  readonly name: string
  readonly #settings: BreakerSettings
  readonly #clock: Clock
  readonly #circuits: Circuits
  #listeners: readonly BreakerListener[] = []
  readonly #transitions = noStates()
  readonly #runs = { good: 0, failed: 0, neutral: 0 }
  readonly #shed = { open: 0, probing: 0 }

  constructor (settings: BreakerSettings, clock: Clock, name = settings.name ?? 'breaker') {
    this.name = name
    this.#settings = settings
    this.#clock = clock
    const turned = (_: Circuit, to: BreakerState, from: BreakerState): void => { this.#turned(to, from) }
    this.#circuits = settings.by === undefined ? new OneCircuit(settings, turned) : new CircuitsBy(settings.by, settings, turned)
  }

  get state (): BreakerState {
    return worst(this.#states(this.#clock.now()))
  }

  /** Why no run may begin now. Changes nothing. */
  refusalFor (subject: readonly unknown[]): Refusal | undefined {
    const circuit = this.#circuits.find(subject)
    return circuit === undefined ? undefined : this.#refusal(circuit, this.#clock.now())
  }

  /** The next run would be a probe: it is half open, and nobody probes. Changes nothing. */
  wouldProbe (subject: readonly unknown[]): boolean {
    const circuit = this.#circuits.find(subject)
    if (circuit === undefined) return false
    const now = this.#clock.now()
    return circuit.stateAt(now) === 'half-open' && !circuit.isProbing(now)
  }

  /** @param lasts a probe that is not ended after so many milliseconds gives its place up, and has failed */
  begin (subject: readonly unknown[], lasts: number): BreakerRun | Refusal {
    const circuit = this.#circuits.of(subject)
    const now = this.#clock.now()
    // First: who is told of it may open or close it.
    circuit.notice(now)
    return this.#refusal(circuit, now) ?? new Run(this.#ended, circuit, circuit.begin(now, lasts), this.#clock)
  }

  /** Somebody was refused. */
  shed ({ reason }: Refusal): void {
    if (reason === 'breaker-open') this.#shed.open++
    else if (reason === 'breaker-probing') this.#shed.probing++
  }

  /** @returns stops listening */
  listen (listener: BreakerListener): () => void {
    // The same function may listen twice.
    const own: BreakerListener = (to, from) => { listener(to, from) }
    this.#listeners = [...this.#listeners, own]
    return () => { this.#listeners = this.#listeners.filter(other => other !== own) }
  }

  open (): void {
    this.#circuits.open()
  }

  close (): void {
    this.#circuits.close()
  }

  figures (): BreakerFigures {
    const now = this.#clock.now()
    const states = this.#states(now)
    return {
      name: this.name,
      state: worst(states),
      retryAfter: this.#circuits.all().reduce((longest, circuit) => Math.max(longest, circuit.waitAt(now)), 0),
      states,
      transitions: { ...this.#transitions },
      runs: { ...this.#runs },
      shed: { ...this.#shed }
    }
  }

  #states (now: number): Record<BreakerState, number> {
    const states = noStates()
    for (const circuit of this.#circuits.all()) states[circuit.stateAt(now)]++
    return states
  }

  #refusal (circuit: Circuit, now: number): Refusal | undefined {
    const wait = circuit.waitAt(now)
    return wait === 0 ? undefined : new BreakerRefusal(this.name, circuit.isProbing(now) ? 'breaker-probing' : 'breaker-open', wait)
  }

  readonly #ended = (run: Run, circuit: Circuit, end: RunEnd): void => {
    const now = this.#clock.now()
    const failed = hasFailed(end, (run.until ?? now) - run.since, this.#settings)
    this.#runs[failed === undefined ? 'neutral' : failed ? 'failed' : 'good']++
    circuit.end(run.epoch, failed, now)
  }

  #turned (to: BreakerState, from: BreakerState): void {
    this.#transitions[to]++
    for (const listener of this.#listeners) {
      try {
        listener(to, from)
      } catch {}
    }
  }
}

class Run implements BreakerRun {
  readonly type = 'begun'
  readonly isProbe: boolean
  readonly epoch: number
  readonly since: number
  /** When its answer began, if that is known. */
  until: number | undefined
  readonly #clock: Clock
  readonly #ended: (run: Run, circuit: Circuit, end: RunEnd) => void
  #circuit: Circuit | undefined

  constructor (ended: (run: Run, circuit: Circuit, end: RunEnd) => void, circuit: Circuit, epoch: number, clock: Clock) {
    this.isProbe = !circuit.isClosed
    this.epoch = epoch
    this.since = clock.now()
    this.#clock = clock
    this.#ended = ended
    this.#circuit = circuit
  }

  answered (): void {
    this.until ??= this.#clock.now()
  }

  end (end: RunEnd): void {
    const circuit = this.#circuit
    if (circuit === undefined) return
    this.#circuit = undefined
    this.#ended(this, circuit, end)
  }
}

/** Its error is made when it is asked for: while what is behind is down, thousands a second may be refused who are given something else. */
class BreakerRefusal implements Refusal {
  readonly type = 'refused'
  readonly reason: 'breaker-open' | 'breaker-probing'
  readonly retryAfter: number
  readonly #breaker: string
  #error: Error | undefined

  constructor (breaker: string, reason: 'breaker-open' | 'breaker-probing', wait: number) {
    this.#breaker = breaker
    this.reason = reason
    this.retryAfter = Math.max(wait, PROBE_WAIT)
  }

  get error (): Error {
    this.#error ??= new BreakerOpenError(this.#breaker, Math.ceil(this.retryAfter / 1000))
    return this.#error
  }
}

function noStates (): Record<BreakerState, number> {
  return { closed: 0, open: 0, 'half-open': 0 }
}

function worst (states: Readonly<Record<BreakerState, number>>): BreakerState {
  if (states.open > 0) return 'open'
  return states['half-open'] > 0 ? 'half-open' : 'closed'
}
