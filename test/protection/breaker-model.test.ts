/**
 * A breaker against a model of it, which notices at once what time does: any order of commands, and the same answers of both.
 *
 * A command is one number, so that schedules are quick and shrink to the few commands that fail.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { BreakerRun, BreakerSettings } from '../../lib/protection/breaker.js'
import type { BreakerState } from '../../types/index.js'
import { BAD, GOOD, NEUTRAL, TestBreaker } from './breakers.js'

const SCHEDULES = 10_000
const LASTS = 700
const WINDOW = 1000
const OPEN_FOR = 300
const MAX_OPEN_FOR = 1000
const PACES = [1, 10, 50, 99, 100, 101, 190, 250, 299, 300, 400, 699, 700, 999, 1000, 5000]

interface ModelRun {
  readonly run: BreakerRun
  /** Nothing else that has begun may change the state while this is what the model listens to. */
  readonly period: object
  readonly isProbe: boolean
}

class World {
  readonly breaker: TestBreaker
  readonly #settings: Partial<BreakerSettings>
  /** That began and have not ended. */
  readonly #runs: ModelRun[] = []
  #state: BreakerState = 'closed'
  #period = {}
  #results: Array<{ readonly bucket: number, readonly failed: boolean }> = []
  #row = 0
  #pause = 0
  #until = 0
  #byHand = false
  #passed = 0
  #probe: { readonly period: object, readonly until: number } | undefined

  constructor (settings: Partial<BreakerSettings>) {
    this.#settings = settings
    this.breaker = new TestBreaker({ window: WINDOW, openFor: OPEN_FOR, maxOpenFor: MAX_OPEN_FOR, ...settings })
  }

  get #now (): number {
    return this.breaker.clock.now()
  }

  get isByHand (): boolean {
    return this.#byHand
  }

  #refusal (): [reason: string, retryAfter: number] | undefined {
    if (this.#state === 'open') return ['breaker-open', this.#byHand ? MAX_OPEN_FOR : Math.max(1000, this.#until - this.#now)]
    return this.#probe === undefined ? undefined : ['breaker-probing', 1000]
  }

  begin (): void {
    const expected = this.#refusal()
    const answer = this.breaker.begin([], LASTS)
    if (answer.type === 'refused') {
      assert.deepEqual([answer.reason, answer.retryAfter], expected)
      return
    }
    assert.equal(expected, undefined, 'no run begins where none may')
    assert.equal(answer.isProbe, this.#state === 'half-open')
    if (answer.isProbe) {
      this.#period = {}
      this.#probe = { period: this.#period, until: this.#now + LASTS }
    }
    this.#runs.push({ run: answer, period: this.#period, isProbe: answer.isProbe })
    const probing = this.#runs.filter(({ isProbe, period }) => isProbe && period === this.#probe?.period)
    assert(probing.length <= 1, 'one probe at a time')
  }

  end (whom: number, how: 'good' | 'bad' | 'neutral'): void {
    const [ended] = this.#runs.splice(whom % (this.#runs.length || 1), 1)
    if (ended === undefined) return
    const before = this.#seen()
    ended.run.end(how === 'good' ? GOOD : how === 'bad' ? BAD : NEUTRAL)
    if (ended.period !== this.#period || this.#state === 'open') {
      assert.deepEqual(this.#seen(), before, 'what is late changes nothing')
      return
    }
    if (this.#state === 'half-open') this.#probed(how)
    else if (how !== 'neutral') this.#count(how === 'bad')
  }

  /** Begins and ends at once; several times, so that runs come to be enough. */
  run (times: number, how: 'good' | 'bad'): void {
    for (let time = times % 3; time >= 0; time--) {
      const before = this.#runs.length
      this.begin()
      if (this.#runs.length > before) this.end(before, how)
    }
  }

  advance (milliseconds: number): void {
    this.breaker.clock.advance(milliseconds)
    if (this.#probe !== undefined && this.#now >= this.#probe.until) this.#trip(this.#probe.until)
    if (this.#state === 'open' && !this.#byHand && this.#now >= this.#until) {
      this.#state = 'half-open'
      this.#passed = 0
    }
  }

  open (): void {
    this.breaker.open()
    this.#trip(this.#now)
    this.#byHand = true
  }

  close (): void {
    this.breaker.close()
    this.#close()
  }

  check (): void {
    assert.deepEqual(this.#seen(), {
      state: this.#state,
      refusal: this.#refusal(),
      wouldProbe: this.#state === 'half-open' && this.#probe === undefined
    })
  }

  /** Whatever was, unless it is held open: in the end a run may begin. */
  checkEnd (): void {
    if (this.#byHand) this.close()
    this.advance(LASTS)
    this.advance(MAX_OPEN_FOR)
    this.check()
    assert.equal(this.#refusal(), undefined)
    this.begin()
    this.breaker.told.reduce((state, told) => {
      const [from, to] = told.split(' → ')
      assert.equal(from, state, 'each transition begins where the last one ended')
      assert.notEqual(from, to)
      return to as string
    }, 'closed')
    assert.equal(this.breaker.clock.timers, 0)
  }

  #seen (): unknown {
    const refusal = this.breaker.refusalFor([])
    return {
      state: this.breaker.state,
      refusal: refusal === undefined ? undefined : [refusal.reason, refusal.retryAfter],
      wouldProbe: this.breaker.wouldProbe([])
    }
  }

  #probed (how: 'good' | 'bad' | 'neutral'): void {
    this.#probe = undefined
    if (how === 'bad') this.#trip(this.#now)
    else if (how === 'good' && ++this.#passed === this.#settings.probes) this.#close()
  }

  #count (failed: boolean): void {
    const bucket = Math.floor(this.#now / (WINDOW / 10))
    this.#results.push({ bucket, failed })
    this.#row = failed ? this.#row + 1 : 0
    const counted = this.#results.filter(result => result.bucket > bucket - 10)
    const part = counted.filter(result => result.failed).length / counted.length
    if ((counted.length >= 4 && part >= 0.5) || this.#row === this.#settings.consecutive) this.#trip(this.#now)
  }

  #trip (at: number): void {
    this.#pause = this.#pause === 0 ? OPEN_FOR : Math.min(2 * this.#pause, MAX_OPEN_FOR)
    this.#until = at + this.#pause
    this.#state = 'open'
    this.#period = {}
    this.#probe = undefined
  }

  #close (): void {
    this.#byHand = false
    this.#state = 'closed'
    this.#period = {}
    this.#probe = undefined
    this.#results = []
    this.#row = this.#pause = 0
  }
}

/** Commands by number; the more often one stands here the more often it is given. */
const COMMANDS: ReadonlyArray<(world: World, number: number) => void> = [
  world => { world.begin() },
  world => { world.begin() },
  world => { world.begin() },
  (world, number) => { world.end(number, 'bad') },
  (world, number) => { world.end(number, 'bad') },
  (world, number) => { world.end(number, 'good') },
  (world, number) => { world.end(number, 'good') },
  (world, number) => { world.end(number, 'neutral') },
  (world, number) => { world.run(number, 'bad') },
  (world, number) => { world.run(number, 'good') },
  (world, number) => { world.run(number, 'good') },
  (world, number) => { world.run(number, 'good') },
  (world, number) => { world.advance(PACES[number % PACES.length] ?? 1) },
  (world, number) => { world.advance(PACES[number % PACES.length] ?? 1) },
  (world, number) => { world.advance(PACES[number % PACES.length] ?? 1) },
  (world, number) => { if (number % 8 === 0) world.open() },
  (world, number) => { if (number % 8 === 0 || world.isByHand) world.close() }
]

t.test('whatever begins, ends and passes, a breaker does what its model does, and in the end lets a run begin', async t => {
  fc.assert(fc.property(
    fc.record({ probes: fc.constantFrom(1, 2), consecutive: fc.constantFrom<number | false>(false, 2) }),
    fc.array(fc.nat(COMMANDS.length * 1000 - 1), { maxLength: 100, size: 'max' }),
    (settings, commands) => {
      const world = new World(settings)
      for (const command of commands) {
        COMMANDS[command % COMMANDS.length]?.(world, Math.floor(command / COMMANDS.length))
        world.check()
      }
      world.checkEnd()
    }
  ), { numRuns: SCHEDULES, unbiased: true })
  t.pass('all schedules')
})
