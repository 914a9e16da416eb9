/**
 * Processes that meet at a hub in memory, those who arrive at them, and what has to hold of all of them at any time.
 */
import type { Clock, Coordination, Coordinator as Hub } from '../../types/index.js'
import { NO_CACHE, type NoPlan, type Plan, type ResultCache, type Storing } from '../../lib/engine/cache/cache.js'
import { miss, SUITS, type Cached, type Fallback, type Lookup, type Seeker, type Suitability } from '../../lib/engine/cache/lookup.js'
import { Conductor } from '../../lib/engine/conductor.js'
import type { LandingCodec, PeerResult } from '../../lib/engine/coordinators/codec.js'
import { LEADS, type Claim, type Claiming, type Coordinator } from '../../lib/engine/coordinators/coordinator.js'
import type { Lease } from '../../lib/engine/coordinators/lease.js'
import { Peers, sort } from '../../lib/engine/coordinators/peers.js'
import type { Flight } from '../../lib/engine/flights/flight.js'
import { Participant, type Limits } from '../../lib/engine/participant.js'
import type { Refresh } from '../../lib/engine/refresh.js'
import type { Observer } from '../../lib/observers/observer.js'
import { SILENT } from '../../lib/observers/store-tally.js'
import { Tally } from '../../lib/observers/tally.js'
import { tallying } from '../../lib/observers/tallying.js'
import { MemoryHub, Wire, type MemoryCoordinator } from '../fixtures/memory-coordinator.js'

export const WAIT = 305
export const FLIGHT = 1003
const LATENCY = 40
const LIMIT = 151
const LEASE = 307
const FRESH = 100
const LIMITS: Limits = {
  waitTimeout: WAIT, onWaitTimeout: 'run', flightTimeout: FLIGHT, onError: 'share', maxWaitersPerKey: 100, releaseConcurrency: 100, unshareableTtl: 500
}

/** The key of results that are stored. */
export const STORED = '["s"]'

/** What results vary by, if they do. */
export const NAMES: readonly string[] = Object.freeze(['v'])

/** Time that passes step by step, so that promises go on between two timers. */
export class Time {
  #now = 0
  #id = 0
  readonly #timers = new Map<number, { readonly at: number, readonly callback: () => void }>()

  get now (): number {
    return this.#now
  }

  async advance (milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds
    for (;;) {
      let next: number | undefined
      let at = end
      for (const [id, timer] of this.#timers) {
        if (timer.at > at || (timer.at === at && next !== undefined)) continue
        next = id
        at = timer.at
      }
      if (next === undefined) break
      const { callback } = this.#timers.get(next) as { callback: () => void }
      this.#timers.delete(next)
      this.#now = at
      callback()
      await calm()
    }
    this.#now = end
  }

  /** A clock of one process. */
  clock (): Clock & { readonly timers: Set<unknown> } {
    const timers = new Set<unknown>()
    return {
      timers,
      now: () => this.#now,
      setTimeout: (callback, delay) => {
        const id = ++this.#id
        timers.add(id)
        this.#timers.set(id, {
          at: this.#now + delay,
          callback: () => {
            timers.delete(id)
            callback()
          }
        })
        return id
      },
      clearTimeout: id => {
        timers.delete(id)
        this.#timers.delete(id as number)
      }
    }
  }
}

/** Lets promises go on. */
export async function calm (): Promise<void> {
  await new Promise<void>(resolve => { process.nextTick(resolve) })
}

/** What a lease was asked for, and when. */
interface Grant {
  readonly key: string
  readonly asked: number
}

/** One run, and whom what it brings is for. */
export class Run {
  readonly name: string
  readonly runner: Traveller
  /** The flight that it leads; undefined if it is for its own client only. */
  readonly flight: Flight<string, Participant<string>> | undefined
  readonly grant: Grant | undefined
  readonly began: number
  readonly since: number
  /** What its result depends on; undefined: it has come to nothing that others may have. */
  names: readonly string[] | undefined
  failed = false
  /** Its bytes are given to those who wait while they are made. */
  live = false
  /** It has ended, for its own client. */
  over = false

  constructor (name: string, runner: Traveller, began: number, grant: Grant | undefined) {
    this.name = name
    this.runner = runner
    this.began = began
    this.since = runner.process.cluster.time.now
    this.flight = runner.role.type === 'leader' ? runner.flight : undefined
    this.grant = grant
  }

  /** Others wait for it, or may. */
  get leads (): boolean {
    return this.flight !== undefined && this.flight.leader === this.runner
  }

  suits (traveller: Traveller): boolean {
    return (this.names ?? []).every(name => this.runner.value(name) === traveller.value(name))
  }
}

export interface Wishes {
  readonly followsOnly?: 'head' | undefined
  readonly onlyIfCached?: boolean
  readonly limits?: Partial<Limits>
  readonly stored?: boolean
}

const TALLY = new Tally('TEST', 'test')

/** One who arrives at a process. */
export class Traveller extends Participant<string> {
  readonly id: string
  readonly request = undefined
  readonly log = SILENT
  readonly tally = TALLY
  readonly limits: Limits
  readonly origin = LIMITS
  readonly fleet = undefined
  readonly followsOnly: 'head' | undefined
  readonly onlyIfCached: boolean
  readonly refreshable = true
  readonly hasFallback = false
  readonly revalidated = false
  readonly cache: ResultCache<string>
  readonly process: Process
  readonly variant: string
  readonly arrived: number
  readonly since: number
  gone = false
  /** Its own run. */
  ran: Run | undefined
  answers = 0
  outcomes = 0

  constructor (process: Process, id: string, variant: string, { followsOnly, onlyIfCached = false, limits, stored = false }: Wishes) {
    super()
    this.process = process
    this.id = id
    this.variant = variant
    this.followsOnly = followsOnly
    this.onlyIfCached = onlyIfCached
    this.limits = { ...LIMITS, ...limits }
    this.cache = stored ? process.cache : NO_CACHE
    this.arrived = process.cluster.moment()
    this.since = process.cluster.time.now
  }

  override get coordinator (): Coordinator<string> { return this.process.peers }
  get labels (): readonly string[] { return [this.key] }

  /** It has neither been answered nor left, and does not run. */
  get waits (): boolean {
    return !this.gone && this.answers === 0 && this.ran === undefined
  }

  refuses (recording: string): 'vary' | undefined { return this.accepts(recording) ? undefined : 'vary' }
  suits (): Suitability { return SUITS }
  accepts (recording: string): boolean { return this.process.cluster.run(recording).suits(this) }
  override value (name: string): string | null { return name === 'v' ? this.variant : null }
  joined (): void {}
  run (): void { this.process.cluster.began(this) }
  give (recording: string): void { this.process.cluster.given(this, recording) }
  refuse (): void { this.process.cluster.answered(this) }
  cancel (): void {}
  record (): string { return (this.ran as Run).name }

  plan (recording: string): Plan | NoPlan {
    if (this.process.cluster.run(recording).failed) return { failed: true, entry: undefined }
    return {
      failed: false,
      entry: { freshFor: FRESH, staleWhileRevalidate: FRESH, staleIfError: FRESH, labels: this.labels, bytes: 1, value: recording },
      keepFor: 1
    }
  }

  async refresh (refresh: Refresh<string>): Promise<void> {
    await this.process.cluster.refreshes(this, refresh)
  }
}

/** Texts of JSON. */
export const codec: LandingCodec<string> = {
  encode: result => Buffer.from(JSON.stringify(result)),
  decode: bytes => {
    try {
      const result = JSON.parse(Buffer.from(bytes).toString()) as PeerResult<string> | null
      return typeof result === 'object' && result !== null && 'type' in result ? result : undefined
    } catch {
      return undefined
    }
  }
}

/** One of many processes. */
export class Process {
  readonly cluster: Cluster
  readonly clock: ReturnType<Time['clock']>
  readonly conductor: Conductor<string>
  readonly peers: Coordinator<string>
  readonly coordinator: MemoryCoordinator
  readonly cache: ResultCache<string>
  /** What a store that all processes have in common answers. */
  readonly store: Wire
  readonly #grants = new WeakMap<Lease<string>, Grant>()
  readonly refreshAsked = new Map<string, number>()
  readonly #refreshing = new Set<string>()
  cut = false
  dead = false

  constructor (cluster: Cluster, disturb: (coordination: Coordination) => Coordination) {
    this.cluster = cluster
    this.clock = cluster.time.clock()
    this.store = new Wire(this.clock, LATENCY)
    this.coordinator = cluster.hub.coordinator(this.clock)
    const member: Parameters<Hub['open']>[0] = {
      group: 'requests',
      clock: this.clock,
      log: SILENT,
      purged: (labels, soft) => {
        sort(labels, soft, {
          purged () {},
          fenced: label => {
            this.conductor.flights.fence(label)
            cluster.purged(label, this)
          }
        })
      },
      missedPurges: () => {
        this.conductor.flights.fenceAll()
        cluster.missed(this)
      }
    }
    const peers = new Peers(disturb(this.coordinator.open(member)), codec)
    this.peers = this.#watch(peers)
    this.conductor = new Conductor({ maxFlights: 100, maxWaiters: 100 }, {
      clock: this.clock, observer: cluster.observer
    })
    this.cache = this.#cached()
  }

  grantOf (lease: Lease<string>): Grant | undefined {
    return this.#grants.get(lease)
  }

  /** A coordinator that notes when each lease was asked for. */
  #watch (peers: Peers<string>): Coordinator<string> {
    const noted = (claiming: Claiming, asked: number, claim: Claim<string>): Claim<string> => {
      if (claim.type === 'leads' && claim !== LEADS) this.#grants.set(claim.lease, { key: claiming.key, asked })
      return claim
    }
    return {
      get isDown () { return peers.isDown },
      claim: claiming => {
        const asked = this.cluster.moment()
        const claim = peers.claim(claiming)
        return claim instanceof Promise ? claim.then(later => noted(claiming, asked, later)) : noted(claiming, asked, claim)
      },
      find: claiming => peers.find(claiming),
      claimRefresh: claiming => {
        this.refreshAsked.set(claiming.key, this.cluster.moment())
        return peers.claimRefresh(claiming)
      },
      purged: (labels, soft) => { peers.purged(labels, soft) },
      forget: key => { peers.forget(key) },
      fenced: labels => { peers.fenced(labels) }
    }
  }

  #cached (): ResultCache<string> {
    const { cluster } = this
    return {
      ...NO_CACHE,
      stores: true,
      shared: true,
      lookUp: async (key: string, seeker: Seeker<string>) => await new Promise<Lookup<string>>(resolve => {
        this.store.send(() => { resolve(cluster.lookUp(key, seeker)) })
      }),
      stamp: () => cluster.moment(),
      store: ({ key, plainKey, names, startedAt }: Storing, plan: (now: number) => Plan | NoPlan) => {
        const { entry } = plan(cluster.time.now)
        if (entry === undefined) return undefined
        const stored = { startedAt, storedAt: cluster.time.now, label: plainKey }
        cluster.entries.set(key, { ...stored, recording: entry.value as string, names: undefined })
        if (key !== plainKey) cluster.entries.set(plainKey, { ...stored, recording: '', names })
        return entry.freshFor
      },
      supersede: (key: string) => { cluster.entries.delete(key) },
      standIn: (fallback: Fallback<string> | undefined): Cached<string> | undefined => {
        if (fallback === undefined || cluster.isPurged(fallback.entry.key, fallback.entry.since)) return undefined
        return { recording: fallback.recording, reason: 'stale-if-error' }
      },
      beginRefresh: (key: string) => {
        if (this.#refreshing.has(key)) return false
        this.#refreshing.add(key)
        return true
      },
      endRefresh: (key: string) => { this.#refreshing.delete(key) }
    }
  }

  /** What is still there, of what has to end. */
  get left (): Record<string, number> {
    const { flights } = this.conductor
    return { flights: flights.size, waiters: flights.waiters, timers: this.clock.timers.size, asked: this.coordinator.left, refreshes: this.#refreshing.size }
  }
}

interface Entry {
  readonly recording: string
  /** If it only tells that a key has variants. */
  readonly names: readonly string[] | undefined
  readonly startedAt: number
  readonly storedAt: number
  readonly label: string
}

interface Purge {
  readonly label: string
  readonly issued: number
  /** When the hub knew of it. */
  applied: number | undefined
  /** The processes that do not know of it. */
  readonly unaware: Set<Process>
  /** When all knew. */
  complete: number | undefined
}

interface Refreshing {
  readonly traveller: Traveller
  readonly refresh: Refresh<string>
  readonly run: Run
  readonly asked: number
  readonly end: () => void
}

/** All processes, all who ever arrived, and what has to hold. */
export class Cluster {
  readonly time = new Time()
  readonly hub = new MemoryHub(this.time.clock(), { lease: LEASE, limit: LIMIT, latency: LATENCY })
  readonly processes: Process[]
  readonly travellers: Traveller[] = []
  readonly runs = new Map<string, Run>()
  readonly entries = new Map<string, Entry>()
  readonly purges: Purge[] = []
  refreshing: Refreshing[] = []
  /** Nothing has failed that could cost a run. */
  calm = true
  /** The longest that somebody waited, and how. */
  longest = { waited: 0, boardings: 0 }
  readonly outcomes = new Set<string>()
  /** What happened, for whoever has to find out what went wrong. */
  readonly story: string[] = []
  #moment = 0
  #firstWrong: Error | undefined
  readonly observer: Observer = {
    ...tallying,
    settled: (subject, outcome, reason, waited, detail) => {
      const traveller = subject as Traveller
      traveller.outcomes++
      this.story.push(`${traveller.id} ${outcome} ${reason}`)
      this.outcomes.add(`${outcome} ${reason}`)
      tallying.settled(subject, outcome, reason, waited, detail)
    }
  }

  constructor (processes: number, disturb: (coordination: Coordination, process: number) => Coordination = coordination => coordination) {
    this.processes = Array.from({ length: processes }, (_, index) => new Process(this, coordination => disturb(coordination, index)))
  }

  /** A number for each thing that happens, in order. */
  moment (): number {
    return ++this.#moment
  }

  get living (): Process[] {
    return this.processes.filter(({ dead }) => !dead)
  }

  /** Those of living processes. */
  get present (): Traveller[] {
    return this.travellers.filter(({ process }) => !process.dead)
  }

  run (name: string): Run {
    return this.runs.get(name) ?? this.#wrong(`${name} is no run`)
  }

  /** Something does not hold. It is thrown by `check` as well: the engine may catch it, or a promise. */
  #wrong (message: string): never {
    this.#firstWrong ??= new Error(message)
    throw this.#firstWrong
  }

  // What arrives, and what is done to it.

  arrive (process: Process, key: string, variant: string, wishes: Wishes): void {
    const traveller = new Traveller(process, `p${this.travellers.length}`, variant, wishes)
    this.travellers.push(traveller)
    this.story.push(`${traveller.id} arrives at ${this.processes.indexOf(process)} for ${key}, ${variant}`)
    if (process.conductor.arrive(traveller, key)) traveller.run()
    else process.conductor.parked(traveller)
  }

  /** A run ends, as that of a call would. */
  land (run: Run, names: readonly string[], failed: boolean): void {
    const { runner, runner: { process: { conductor } } } = run
    if (run.flight !== undefined && failed && runner.gone) {
      this.#close(run, () => { conductor.abandon(runner, 'client-left') })
      return
    }
    if (run.flight !== undefined && !conductor.variants.learn(runner, names, !failed)) this.#wrong('there are too many names')
    const fallback = failed ? conductor.fallBack(runner) : undefined
    if (fallback !== undefined) this.#may(runner, fallback)
    run.failed = failed
    this.#close(run, () => {
      if (fallback !== undefined) return
      run.names = names
      conductor.land(runner, names, failed)
    })
  }

  unshareable (run: Run, remember: boolean, names: readonly string[]): void {
    const { runner, runner: { process: { conductor }, role } } = run
    const forOthers = role.type === 'leader' || role.type === 'probe'
    this.#close(run, () => { if (forOthers) conductor.unshareable(runner, remember ? 'private' : 'status', remember, names) })
  }

  abandon (run: Run): void {
    this.#close(run, () => { run.runner.process.conductor.abandon(run.runner, 'hook-failed') })
  }

  /** Its first bytes are here. */
  open (run: Run, names: readonly string[]): void {
    const { runner, runner: { process: { conductor } } } = run
    if (!run.leads) return
    conductor.variants.learn(runner, names, true)
    run.names = names
    run.live = true
    conductor.land(runner, names, false, () => {})
  }

  /** Its last byte is here. */
  complete (run: Run): void {
    const { runner, runner: { process: { conductor: { live } } } } = run
    this.#close(run, () => {
      live.completed(runner, run.names as readonly string[], false)
      live.close(runner)
    })
  }

  cutShort (run: Run): void {
    run.names = undefined
    this.#close(run, () => { run.runner.process.conductor.live.cutShort(run.runner, 'cut-off') })
  }

  outgrow (run: Run): void {
    run.runner.process.conductor.live.outgrown(run.runner, run.names as readonly string[])
    run.names = undefined
    this.#close(run, () => {})
  }

  /** It turns out to vary after its first bytes. */
  readLate (run: Run): void {
    const { runner, runner: { process: { conductor } } } = run
    if (run.names === NAMES) return
    run.names = NAMES
    conductor.variants.learn(runner, NAMES)
    conductor.live.readLate(runner, true)
  }

  leave (traveller: Traveller): void {
    const { process: { conductor }, ran } = traveller
    traveller.gone = true
    conductor.finished(traveller)
    conductor.leave(traveller, 'client-left')
    if (ran !== undefined && ran.flight === undefined) ran.over = true
  }

  /** A hook or a timeout answers one that waits. */
  answerElsewhere (traveller: Traveller, handlerTimeout: boolean): void {
    const { conductor } = traveller.process
    this.answered(traveller)
    if (handlerTimeout) conductor.abandon(traveller, 'handler-timeout', true)
    conductor.leave(traveller, 'answered-elsewhere')
  }

  purge (process: Process, key: string): void {
    const purge: Purge = { label: key, issued: this.moment(), applied: undefined, unaware: new Set(this.living), complete: undefined }
    purge.unaware.delete(process)
    process.conductor.flights.fence(key)
    process.peers.fenced([key, `#${this.purges.push(purge) - 1}`])
  }

  /** The kill switch. */
  release (process: Process): void {
    process.conductor.release(process.conductor.flights.leaders())
  }

  endRefresh (refreshing: Refreshing, names: readonly string[], failed: boolean): void {
    const { traveller, refresh, run, end } = refreshing
    const { process: { conductor } } = traveller
    this.refreshing = this.refreshing.filter(each => each !== refreshing)
    if (!failed) {
      conductor.variants.learn(traveller, names, true)
      run.names = names
      conductor.caching.storeRefreshed(traveller, run.name, refresh)
    }
    end()
  }

  cut (process: Process): void {
    this.calm = false
    process.cut = true
    process.coordinator.cut()
  }

  heal (process: Process): void {
    process.cut = false
    process.coordinator.heal()
  }

  kill (process: Process): void {
    this.calm = false
    process.dead = true
    process.coordinator.kill()
    process.store.clear()
    for (const timer of process.clock.timers) process.clock.clearTimeout(timer)
    for (const { unaware } of this.purges) unaware.delete(process)
    this.refreshing = this.refreshing.filter(({ traveller }) => traveller.process !== process)
  }

  flush (): void {
    this.calm = false
    this.hub.flush()
  }

  // What is told by the engine.

  began (traveller: Traveller): void {
    const { process, role } = traveller
    if (process.dead) return
    if (traveller.ran !== undefined || traveller.answers > 0) this.#wrong(`${traveller.id} runs, and was ${traveller.ran === undefined ? 'answered' : 'run'} before`)
    if (role.type === 'new' || role.type === 'follower' || role.type === 'answered') this.#wrong(`${traveller.id} runs as ${role.type}`)
    if (traveller.onlyIfCached) this.#wrong(`${traveller.id} runs, and wants no run`)
    this.#waited(traveller)
    const run = traveller.ran = new Run(`r${this.runs.size}`, traveller, this.moment(), process.grantOf(traveller.lease))
    this.story.push(`${traveller.id} runs ${run.name} as ${role.type}`)
    // After two runs elsewhere that came to nothing, a process asks nobody any more.
    if (run.flight !== undefined && run.flight.promotions < 2 && this.calm) this.#alone(run)
    this.runs.set(run.name, run)
  }

  given (traveller: Traveller, recording: string): void {
    if (traveller.process.dead) return
    if (traveller.ran !== undefined) this.#wrong(`${traveller.id} is given something, and runs itself`)
    this.story.push(`${traveller.id} is given ${recording}`)
    this.#may(traveller, recording)
    this.answered(traveller)
  }

  answered (traveller: Traveller): void {
    if (traveller.answers++ > 0 && !traveller.gone) this.#wrong(`${traveller.id} is answered twice`)
    if (traveller.ran === undefined) this.#waited(traveller)
  }

  async refreshes (traveller: Traveller, refresh: Refresh<string>): Promise<void> {
    const asked = traveller.process.refreshAsked.get(refresh.boardedKey) as number
    const run = new Run(`r${this.runs.size}`, traveller, this.moment(), undefined)
    this.runs.set(run.name, run)
    const same = this.refreshing.filter(each => each.refresh.boardedKey === refresh.boardedKey && !each.refresh.over)
    if (this.calm) for (const each of same) if (!this.#purgedSince(traveller.key, each.asked)) this.#wrong(`${refresh.boardedKey} is refreshed twice at once`)
    await new Promise<void>(resolve => { this.refreshing.push({ traveller, refresh, run, asked, end: resolve }) })
  }

  lookUp (key: string, seeker: Seeker<string>): Lookup<string> {
    const entry = this.entries.get(key)
    if (entry === undefined) return miss('none')
    const { label, names, recording, startedAt, storedAt } = entry
    if (this.isPurged(label, startedAt)) return miss('purged')
    if (names !== undefined) return { type: 'variants', names }
    if (seeker.refuses(recording) !== undefined) return miss('vary')
    const age = this.time.now - storedAt
    if (age < FRESH) return { type: 'hit', recording, reason: 'fresh', refresh: false }
    if (age < 2 * FRESH) return { type: 'hit', recording, reason: 'stale-while-revalidate', refresh: true }
    return miss<string>('expired', recording, { recording, until: Infinity, entry: { key: label, since: startedAt } as never })
  }

  isPurged (label: string, since: number): boolean {
    return this.purges.some(purge => purge.label === label && purge.issued >= since)
  }

  purged (label: string, process: Process): void {
    this.purges[Number(label.slice(1))]?.unaware.delete(process)
  }

  missed (process: Process): void {
    for (const { applied, unaware } of this.purges) if (applied !== undefined) unaware.delete(process)
  }

  // What has to hold.

  /** After each command. */
  check (): void {
    if (this.#firstWrong !== undefined) throw this.#firstWrong
    for (const [index, purge] of this.purges.entries()) {
      if (this.hub.knows(`#${index}`)) purge.applied ??= this.moment()
      if (purge.applied !== undefined && purge.unaware.size === 0) purge.complete ??= this.moment()
    }
    // Otherwise a purge by another process may be heard of here when the hub knows that the run began after it, or a slow store has to
    // answer before a claim that nobody needs is given up.
    const circle = this.calm && this.purges.length === 0 ? this.hub.circles.find(key => !key.startsWith(STORED)) : undefined
    if (circle !== undefined) this.#wrong(`a process follows itself for ${circle}`)
    const { now } = this.time
    for (const run of this.runs.values()) {
      if (run.leads && !run.runner.process.dead && now - run.since > FLIGHT) this.#wrong(`${run.name} leads for longer than flightTimeout`)
    }
    for (const { process, flight } of this.travellers) {
      if (!process.dead && flight !== undefined && flight.promotions > 2) this.#wrong('a flight has had more than three leaders')
    }
  }

  /** At the very end. */
  end (): void {
    this.check()
    for (const { id, answers, gone, outcomes } of this.present) {
      if (answers !== 1 && !gone) this.#wrong(`${id} was answered ${answers} times`)
      if (outcomes !== 1) this.#wrong(`${id} had ${outcomes} outcomes`)
    }
    const nothing = { flights: 0, waiters: 0, timers: 0, asked: 0, refreshes: 0 }
    for (const { left } of this.living) if (JSON.stringify(left) !== JSON.stringify(nothing)) this.#wrong(`a process is left with ${JSON.stringify(left)}`)
    const left = JSON.stringify(this.hub.left)
    if (left !== JSON.stringify({ runs: 0, waiters: 0, notes: 0 })) this.#wrong(`the hub is left with ${left}`)
  }

  /** Its run is over, and has answered its client. */
  #close (run: Run, end: () => void): void {
    run.over = true
    run.live = false
    end()
    if (!run.runner.gone) this.answered(run.runner)
    run.runner.process.conductor.finished(run.runner)
  }

  /** Of all processes one runs for a key, unless that was purged since. */
  #alone (run: Run): void {
    const { grant } = run
    if (grant === undefined) return this.#wrong(`${run.name} leads, and nobody said so`)
    for (const other of this.runs.values()) {
      if (!other.leads || other.grant?.key !== grant.key) continue
      if (!this.#purgedSince(run.runner.key, other.grant.asked)) this.#wrong(`${run.name} and ${other.name} run at once for ${grant.key}`)
    }
  }

  /** Whether the hub may have heard of a purge since then. */
  #purgedSince (label: string, moment: number): boolean {
    return this.purges.some(purge => purge.label === label && (purge.applied ?? Infinity) > moment)
  }

  /** Fails if somebody may not have what is given to it. */
  #may (traveller: Traveller, recording: string): void {
    const run = this.run(recording)
    const { id, key } = traveller
    if (run.runner.key !== key) this.#wrong(`${id} is given what was made for ${run.runner.key}, and is for ${key}`)
    if (run.names === undefined) this.#wrong(`${id} is given ${recording}, which is for its own client only`)
    if (!run.suits(traveller)) this.#wrong(`${id} is given another variant`)
    for (const { complete, issued, label } of this.purges) {
      if (label === key && complete !== undefined && complete < traveller.arrived && run.began < issued) this.#wrong(`${id} is given what was purged`)
    }
  }

  /** Nobody waits for longer than for one further run, and one of this process if that was another one's as well. */
  #waited (traveller: Traveller): void {
    const { boardings, gone, limits: { waitTimeout }, since } = traveller
    const waited = this.time.now - since
    if (gone) return
    const most = waitTimeout === WAIT ? 2 * WAIT + 4 * LIMIT : boardings * 3 * (FLIGHT + LIMIT)
    if (waited > most) this.#wrong(`${traveller.id} has waited for ${waited}`)
    if (waited > this.longest.waited) this.longest = { waited, boardings }
  }
}
