/**
 * The run queue against a list that is searched from one end to the other: any order of commands, those included that who is told gives
 * while it is told. The model says at each moment who comes next, who has to go and who waits.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { Queue, type Turn, type Waiter } from '../../lib/protection/queue.js'
import type { Refusal, Slot } from '../../lib/protection/permits.js'
import { TestClock } from '../fixtures/gate.js'

const LEVELS = ['high', 'normal', 'low'] as const
const REFRESH = LEVELS.length
const TIMEOUT = 305
const COMMANDS = fc.array(fc.nat(13 * 4000), { minLength: 10, maxLength: 80, size: 'max' })

/** How often each thing came about. */
const seen = new Map<string, number>()

class Runner implements Waiter {
  readonly level: number
  readonly isRefresh: boolean
  readonly since: number
  /** How many have begun to wait before it. */
  order = 0
  /** How many wait for its run, by rank. */
  readonly company = [0, 0, 0, 0]
  rank: number
  state: 'entering' | 'waits' | 'runs' | 'over' = 'entering'
  turn: Turn | undefined
  slot: Slot | undefined
  answers = 0
  readonly #world: World
  readonly #then: readonly number[]

  constructor (world: World, number: number, then: readonly number[]) {
    this.#world = world
    this.#then = then
    this.level = number % 3
    this.isRefresh = number % 5 === 0
    this.rank = this.isRefresh ? REFRESH : this.level
    this.company[this.rank] = 1
    this.since = world.clock.now()
  }

  take (slot: Slot): boolean {
    this.#world.taken(this, slot)
    const [whether = 0, ...then] = this.#then
    for (const number of then) this.#world.run(number)
    if (whether % 4 !== 0) return true
    this.state = 'over'
    this.#world.count('declined')
    return false
  }

  refused (refusal: Refusal): void {
    this.#world.refused(this, refusal)
    for (const number of this.#then) this.#world.run(number)
  }
}

class World {
  readonly clock = new TestClock()
  readonly queue: Queue
  readonly aging: number
  readonly maxQueued: number
  readonly all: Runner[] = []
  /** Those who were told to come in whose place one was evicted, and do not wait yet. */
  readonly #coming: Runner[] = []
  #depth = 0
  #waited = 0

  constructor (aging: number, maxRuns: number, maxQueued: number) {
    this.aging = aging
    this.maxQueued = maxQueued
    this.queue = new Queue({ maxRuns, maxQueued, queueTimeout: TIMEOUT, levels: LEVELS, aging, name: 'queue' }, this.clock)
  }

  /** In order of coming. */
  get waiting (): Runner[] {
    return this.all.filter(({ state }) => state === 'waits').sort((one, other) => one.order - other.order)
  }

  get running (): Runner[] {
    return this.all.filter(({ state }) => state === 'runs')
  }

  count (what: string): void {
    seen.set(what, (seen.get(what) ?? 0) + 1)
  }

  /** A command, by number. What is done while another one is told is not told to do more. */
  run (number: number): void {
    if (this.#depth > 3) return
    this.#depth++
    const more = Math.floor(number / 13)
    switch (number % 13) {
      case 0: case 1: case 2: case 3: this.enter(more); break
      case 4: case 5: case 6: this.#free(this.running, more); break
      case 7: this.#free(this.all, more); break
      case 8: this.#join(more); break
      case 9: this.#part(more); break
      case 10: this.#leave(more); break
      case 11: this.queue.limit = more % 4; break
      default: if (this.#depth <= 1) this.clock.advance(more % 15 * 10)
    }
    this.#depth--
  }

  enter (number: number): void {
    const then = [number % 7, Math.floor(number / 7), Math.floor(number / 11)].slice(0, number % 4)
    const runner = new Runner(this, number, then)
    this.all.push(runner)
    this.#coming.push(runner)
    const free = this.queue.running < this.queue.limit
    const others = this.waiting
    const victim = this.#last()
    const isFull = others.length + this.#coming.length > this.maxQueued
    const given = this.queue.enter(runner)
    this.#coming.splice(this.#coming.indexOf(runner), 1)
    assert.equal(runner.answers, 0, 'it is told nothing before it has its turn')
    if (given.type === 'slot') {
      runner.answers++
      runner.slot = given
      runner.state = 'runs'
      this.count('at once')
      assert.ok(this.waiting.length === 0 && this.queue.running <= this.queue.limit)
    } else if (given.type === 'refused') {
      runner.answers++
      runner.state = 'over'
      this.count(given.reason)
      assert.ok(isFull && !(free && others.length === 0) && given.reason === 'queue-full')
      assert.ok(runner.isRefresh || victim === undefined || victim.rank <= runner.rank, 'nobody is less urgent')
    } else {
      runner.turn = given
      runner.state = 'waits'
      runner.order = this.#waited++
      this.count(isFull ? 'waits in place of another' : 'waits')
      assert.ok(!(free && others.length === 0), 'it has to wait')
      if (isFull) assert.ok(victim !== undefined && victim.state !== 'waits')
    }
  }

  taken (runner: Runner, slot: Slot): void {
    assert.equal(runner, this.#first(), 'it is its turn')
    assert.equal(++runner.answers, 1)
    runner.state = 'runs'
    runner.slot = slot
    this.count('taken')
    assert.ok(this.queue.running <= this.queue.limit)
  }

  refused (runner: Runner, refusal: Refusal): void {
    assert.equal(runner.state, 'waits')
    if (refusal.reason === 'evicted') {
      const newcomer = this.#coming.at(-1) as Runner
      assert.ok(runner === this.#last() && !newcomer.isRefresh && runner.rank > newcomer.rank)
      assert.ok(this.waiting.length + this.#coming.length > this.maxQueued)
    } else if (refusal.reason === 'queue-timeout') assert.ok(Math.abs(runner.since + TIMEOUT - this.clock.now()) < 1)
    else assert.equal(runner.rank, REFRESH)
    assert.equal(++runner.answers, 1)
    runner.state = 'over'
    this.count(`told ${refusal.reason}`)
  }

  /** What holds whenever nobody is told anything. */
  check (): void {
    const { waiting, running, queue } = this
    assert.equal(queue.waiting, waiting.length)
    assert.equal(queue.running, running.length, 'no slot is lost')
    assert.ok(waiting.length <= this.maxQueued)
    assert.ok(waiting.length === 0 || queue.running >= queue.limit, 'no slot is free while one waits')
    assert.ok(waiting.every(({ since }) => since + TIMEOUT > this.clock.now()))
    const figures = queue.figures()
    for (const [index] of LEVELS.entries()) {
      assert.equal(figures.levels[index]?.waiting, waiting.filter(({ rank }) => Math.min(rank, REFRESH - 1) === index).length)
    }
    const got = (name: 'full' | 'timeout' | 'evicted'): number => figures.levels.reduce((sum, { shed }) => sum + shed[name], 0)
    const over = this.all.filter(({ state, answers }) => state !== 'waits' && answers === 1).length
    const runs = figures.levels.reduce((sum, { runs }) => sum + runs, 0)
    assert.ok(runs + got('full') + got('timeout') + got('evicted') <= over, 'each is counted once at most')
  }

  /** Lets all run that wait. */
  end (): void {
    while (this.running.length > 0 || this.waiting.length > 0) {
      this.queue.limit = 2
      this.#free(this.running, 0)
    }
    this.check()
    this.queue.sweep()
    assert.equal(this.clock.timers, 0)
    for (const { turn, answers, state } of this.all) assert.ok(answers === 1 || (state === 'over' && turn !== undefined), 'each is answered once, unless it left')
  }

  #first (): Runner | undefined {
    const due = ({ rank, since }: Runner): number => this.aging === Infinity ? rank : since + rank * this.aging
    return this.waiting.reduce<Runner | undefined>((first, one) => first === undefined || due(one) < due(first) ? one : first, undefined)
  }

  #last (): Runner | undefined {
    return this.waiting.reduce<Runner | undefined>((last, one) => last === undefined || one.rank >= last.rank ? one : last, undefined)
  }

  #one (of: readonly Runner[], number: number): Runner | undefined {
    return of[number % Math.max(of.length, 1)]
  }

  #free (of: readonly Runner[], number: number): void {
    const runner = this.#one(of, number)
    if (runner?.slot === undefined) return
    // One that is still being told, and will say that it does not run, may free its slot itself.
    if (runner.state === 'runs') runner.state = 'over'
    else this.count('freed again')
    runner.slot.free()
  }

  #join (number: number): void {
    const runner = this.#one(this.waiting, number)
    if (runner === undefined) return
    const level = Math.floor(number / 5) % 3
    runner.company[level] = runner.company[level] as number + 1
    this.#settle(runner)
    runner.turn?.joined(level)
  }

  #part (number: number): void {
    const runner = this.#one(this.waiting, number)
    const level = runner?.company.findIndex(count => count > 0) as number
    if (runner === undefined || level < 0 || level === REFRESH) return
    runner.company[level] = runner.company[level] as number - 1
    this.#settle(runner)
    runner.turn?.left(level)
  }

  #settle (runner: Runner): void {
    const rank = runner.company.findIndex(count => count > 0)
    if (rank >= 0 && rank !== runner.rank) {
      this.count(rank < runner.rank ? 'raised' : 'lowered')
      runner.rank = rank
    }
  }

  #leave (number: number): void {
    const runner = this.#one(this.all, number)
    if (runner?.turn === undefined) return
    assert.equal(runner.turn.leave(), runner.state === 'waits')
    if (runner.state !== 'waits') return
    runner.state = 'over'
    this.count('left')
  }
}

t.test('whatever comes, leaves and ends, the queue does what a list does that is searched', t => {
  const aging = fc.constantFrom(0, 35, 1000, Infinity)
  fc.assert(fc.property(aging, fc.nat(3), fc.nat(6), COMMANDS, (aging, maxRuns, maxQueued, commands) => {
    const world = new World(aging, maxRuns, maxQueued)
    for (const command of commands) {
      world.run(command)
      world.check()
    }
    world.end()
  }), { numRuns: 1000 })
  t.comment(Object.fromEntries(seen))
  t.strictSame([...seen.keys()].sort(), [
    'at once', 'declined', 'freed again', 'left', 'lowered', 'queue-full', 'raised', 'taken', 'told evicted',
    'told queue-timeout', 'waits', 'waits in place of another'
  ], 'everything came about')
  t.end()
})
