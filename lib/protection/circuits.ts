/**
 * The circuits of a breaker: one, or one for each value of `by`.
 *
 * Invariant: values are data of requests. There are at most `MOST` at a time, with names of bounded length, and one that is not closed is
 * forgotten only where none is closed. To look never makes one.
 */
import type { BreakerState } from '../../types/index.js'
import { Circuit, type CircuitSettings, type Turned } from './circuit.js'

const MOST = 1000
/** In characters. Names that are longer share a circuit with those that are none. */
const LONGEST_NAME = 1000

export type By = (...subject: readonly unknown[]) => unknown

export interface Circuits {
  /** Undefined: it would be a new one. Changes nothing. */
  find (subject: readonly unknown[]): Circuit | undefined
  of (subject: readonly unknown[]): Circuit
  all (): readonly Circuit[]
  /** Opens all, those that are still to be made as well, until `close`. */
  open (): void
  close (): void
}

export class OneCircuit implements Circuits {
  readonly #circuit: Circuit
  readonly #all: readonly Circuit[]

  constructor (settings: CircuitSettings, turned: Turned) {
    this.#circuit = new Circuit('', settings, turned)
    this.#all = [this.#circuit]
  }

  find (): Circuit {
    return this.#circuit
  }

  of (): Circuit {
    return this.#circuit
  }

  all (): readonly Circuit[] {
    return this.#all
  }

  open (): void {
    this.#circuit.open()
  }

  close (): void {
    this.#circuit.close()
  }
}

export class CircuitsBy implements Circuits {
  readonly #by: By
  readonly #settings: CircuitSettings
  readonly #turned: Turned
  /** That are closed, the one that ran last at the end. */
  readonly #closed = new Map<string, Circuit>()
  /** That are not, the one that opened first at the start. */
  readonly #tripped = new Map<string, Circuit>()
  #isOpenByHand = false

  constructor (by: By, settings: CircuitSettings, turned: Turned) {
    this.#by = by
    this.#settings = settings
    this.#turned = (circuit, to, from) => {
      this.#move(circuit, to, from)
      turned(circuit, to, from)
    }
  }

  find (subject: readonly unknown[]): Circuit | undefined {
    const name = this.#nameOf(subject)
    return this.#closed.get(name) ?? this.#tripped.get(name)
  }

  of (subject: readonly unknown[]): Circuit {
    return this.#named(this.#nameOf(subject))
  }

  all (): readonly Circuit[] {
    return [...this.#closed.values(), ...this.#tripped.values()]
  }

  /** While it is open by hand all subjects have the circuit of '', so that those that come up meanwhile need none of their own. */
  open (): void {
    this.#isOpenByHand = true
    this.#named('')
    // Who is told of the first may close all again.
    for (const circuit of this.all()) if (this.#isOpenByHand) circuit.open()
  }

  close (): void {
    this.#isOpenByHand = false
    for (const circuit of this.all()) if (!this.#isOpenByHand) circuit.close()
  }

  #nameOf (subject: readonly unknown[]): string {
    if (this.#isOpenByHand) return ''
    try {
      const said = this.#by(...subject)
      const name = typeof said === 'number' || typeof said === 'bigint' ? String(said) : said
      return typeof name === 'string' && name.length <= LONGEST_NAME ? name : ''
    } catch {
      return ''
    }
  }

  #named (name: string): Circuit {
    const tripped = this.#tripped.get(name)
    if (tripped !== undefined) return tripped
    const circuit = this.#closed.get(name) ?? this.#make(name)
    this.#closed.delete(name)
    this.#closed.set(name, circuit)
    return circuit
  }

  #make (name: string): Circuit {
    if (this.#closed.size + this.#tripped.size >= MOST) {
      const circuits = this.#closed.size > 0 ? this.#closed : this.#tripped
      const oldest = circuits.values().next().value as Circuit
      oldest.retire()
      circuits.delete(oldest.name)
    }
    return new Circuit(name, this.#settings, this.#turned)
  }

  #move (circuit: Circuit, to: BreakerState, from: BreakerState): void {
    if (from === 'closed') {
      this.#closed.delete(circuit.name)
      this.#tripped.set(circuit.name, circuit)
    } else if (to === 'closed') {
      this.#tripped.delete(circuit.name)
      this.#closed.set(circuit.name, circuit)
    }
  }
}
