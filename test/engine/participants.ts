/**
 * Participants that share texts, and an engine for them with whatever stands at its seams.
 */
import { NO_CACHE, type NoPlan, type Plan, type ResultCache } from '../../lib/engine/cache/cache.js'
import { SUITS, type Suitability } from '../../lib/engine/cache/lookup.js'
import { Conductor } from '../../lib/engine/conductor.js'
import { LOCAL, type Coordinator } from '../../lib/engine/coordinators/coordinator.js'
import { Participant, type Limits } from '../../lib/engine/participant.js'
import { NO_PROTECTION, type Protection } from '../../lib/protection/permits.js'
import { SILENT } from '../../lib/observers/store-tally.js'
import { Tally } from '../../lib/observers/tally.js'
import { tallying } from '../../lib/observers/tallying.js'
import { TestClock } from '../fixtures/gate.js'

const LIMITS: Limits = {
  waitTimeout: 300, onWaitTimeout: 'run', flightTimeout: 1000, onError: 'share', maxWaitersPerKey: 100, releaseConcurrency: 10, unshareableTtl: 1000
}

export class TestParticipant extends Participant<string> {
  readonly id: string
  readonly request = undefined
  readonly log = SILENT
  readonly tally = new Tally('TEST', 'test')
  limits = LIMITS
  readonly origin = LIMITS
  readonly labels = []
  readonly fleet = undefined
  readonly followsOnly = undefined
  readonly onlyIfCached = false
  readonly refreshable = true
  readonly revalidated = false
  cache: ResultCache<string> = NO_CACHE
  gone = false
  coordinatedBy: Coordinator<string> = LOCAL
  protectedBy: Protection = NO_PROTECTION
  mayFallBack = false
  /** Whether it may have what others ran for. */
  takes = true
  readonly #events: string[]

  constructor (id: string, events: string[]) {
    super()
    this.id = id
    this.#events = events
  }

  get hasFallback (): boolean { return this.mayFallBack }
  override get subject (): readonly unknown[] { return [this.id] }
  override get protection (): Protection { return this.protectedBy }
  override get coordinator (): Coordinator<string> { return this.coordinatedBy }
  refuses (): undefined {}
  suits (): Suitability { return SUITS }
  accepts (): boolean { return this.takes }
  joined (): void {}
  run (): void { this.#events.push(`${this.id} runs`) }
  give (recording: string): void { this.#events.push(`${this.id} has ${recording}`) }
  refuse (error: Error, retryAfter: number | undefined): void { this.#events.push(`${this.id} refused ${error.message} ${String(retryAfter)}`) }
  cancel (reason: Error): void { this.#events.push(`${this.id} cancelled ${reason.name}`) }
  record (): string { return `what ${this.id} brought` }
  plan (): Plan | NoPlan { return { failed: false, entry: undefined } }
  async refresh (): Promise<void> {}
}

export class Engine {
  readonly clock = new TestClock()
  readonly conductor: Conductor<string>
  readonly events: string[] = []
  readonly #coordinator: Coordinator<string>
  readonly #protection: Protection

  constructor ({ protection = NO_PROTECTION, coordinator = LOCAL }: { protection?: Protection, coordinator?: Coordinator<string> } = {}) {
    this.conductor = new Conductor({ maxFlights: 100, maxWaiters: 100 }, { clock: this.clock, observer: tallying })
    this.#protection = protection
    this.#coordinator = coordinator
  }

  participant (id: string): TestParticipant {
    return new TestParticipant(id, this.events)
  }

  /** Lets one arrive, and run or wait. */
  arrive (participant: TestParticipant, key = '["k"]'): TestParticipant {
    participant.coordinatedBy = this.#coordinator
    participant.protectedBy = this.#protection
    if (this.conductor.arrive(participant, key)) participant.run()
    else this.conductor.parked(participant)
    return participant
  }

  /** Lets promises go on, and gives what happened since. */
  async happened (): Promise<string[]> {
    await new Promise(resolve => setImmediate(resolve))
    return this.events.splice(0)
  }
}
