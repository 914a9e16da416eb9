/**
 * "It does not end at the process": any number of processes, in any order of what happens, with a hub in memory between them.
 *
 * A command is one number, as in the model of flights. A wrong thing is told by what was done before, and by fast-check's seed.
 */
import fc from 'fast-check'
import t from 'tap'
import type { Coordination, CoordinationLease, Joined, RemoteRun } from '../../types/index.js'
import { calm, Cluster, FLIGHT, NAMES, STORED, type Process, type Run, type Traveller, type Wishes } from './cluster.js'

const KEYS = ['["a"]', '["b"]', STORED, '["a","alice"]'] as const
const PATIENT: Wishes = { limits: { waitTimeout: 10 * FLIGHT, onError: 'promote' } }
const WISHES: Readonly<Record<typeof KEYS[number], Wishes>> = {
  '["a"]': {}, '["b"]': PATIENT, [STORED]: { stored: true }, '["a","alice"]': { limits: { onError: 'promote' } }
}

type Command = readonly [name: string, run: (cluster: Cluster, number: number) => void | Promise<void>]

const times = (count: number, command: Command): Command[] => Array<Command>(count).fill(command)

/** Does something with one of these, if there is one. */
function pick<T> (all: readonly T[], number: number, act: (one: T, number: number) => void): void {
  const one = all[number % all.length]
  if (one !== undefined) act(one, Math.floor(number / all.length))
}

const running = (cluster: Cluster, live: boolean): Run[] =>
  [...cluster.runs.values()].filter(run => !run.over && run.live === live && run.runner.ran === run && !run.runner.process.dead)
const present = ({ present }: Cluster, which: (traveller: Traveller) => boolean): Traveller[] => present.filter(which)
const namesBy = (number: number): readonly string[] => number % 3 === 0 ? NAMES : []

/** One arrives. */
function arrive (cluster: Cluster, number: number, wishes: Wishes = {}): void {
  pick(cluster.living, number, (process, rest) => {
    const key = KEYS[rest % 7 % KEYS.length] as typeof KEYS[number]
    cluster.arrive(process, key, rest % 5 === 0 ? 'x' : 'y', { ...WISHES[key], ...wishes })
  })
}

const COMMANDS: readonly Command[] = [
  ...times(8, ['arrive', arrive]),
  ['arrive with HEAD', (cluster, number) => { arrive(cluster, number, { followsOnly: 'head' }) }],
  ['arrive for what is cached', (cluster, number) => { arrive(cluster, number, { onlyIfCached: true }) }],
  ...times(2, ['land', (cluster, number) => { pick(running(cluster, false), number, (run, rest) => { cluster.land(run, namesBy(rest), false) }) }]),
  ['fail', (cluster, number) => { pick(running(cluster, false), number, (run, rest) => { cluster.land(run, namesBy(rest), true) }) }],
  ['keep', (cluster, number) => {
    pick(running(cluster, false), number, (run, rest) => { cluster.unshareable(run, rest % 2 === 0, namesBy(rest >> 1)) })
  }],
  ['throw', (cluster, number) => { pick(running(cluster, false), number, run => { cluster.abandon(run) }) }],
  ['open', (cluster, number) => { pick(running(cluster, false), number, (run, rest) => { cluster.open(run, namesBy(rest)) }) }],
  ['complete', (cluster, number) => { pick(running(cluster, true), number, run => { cluster.complete(run) }) }],
  ['cut off, outgrow or vary late', (cluster, number) => {
    pick(running(cluster, true), number, (run, rest) => {
      if (rest % 3 === 0) cluster.cutShort(run)
      else if (rest % 3 === 1) cluster.outgrow(run)
      else cluster.readLate(run)
    })
  }],
  ...times(2, ['leave', (cluster, number) => {
    pick(present(cluster, ({ answers, gone }) => answers === 0 && !gone), number, traveller => { cluster.leave(traveller) })
  }]),
  ['answer elsewhere', (cluster, number) => {
    pick(present(cluster, ({ waits }) => waits), number, (traveller, rest) => { cluster.answerElsewhere(traveller, rest % 2 === 0) })
  }],
  ['end a refresh', (cluster, number) => {
    pick(cluster.refreshing, number, (refreshing, rest) => { cluster.endRefresh(refreshing, namesBy(rest), rest % 4 === 1) })
  }],
  ...times(14, ['deliver', (cluster, number) => {
    pick([...cluster.hub.wires, ...cluster.living.map(({ store }) => store).filter(({ length }) => length > 0)], number, wire => { wire.deliver() })
  }]),
  ...times(2, ['wait', async ({ time }, number) => { await time.advance(number % 60 + 1) }]),
  ['wait long', async ({ time }, number) => { await time.advance(number % 1100 + 100) }],
  ['purge', (cluster, number) => {
    pick(cluster.living, number, (process, rest) => { cluster.purge(process, KEYS[rest % KEYS.length] as string) })
  }],
  ['switch off', (cluster, number) => { if (number % 3 === 0) pick(cluster.living, number, process => { cluster.release(process) }) }]
]

const FAULTS: readonly Command[] = [
  ...COMMANDS,
  ...times(2, ['cut', (cluster, number) => { pick(cluster.living.filter(({ cut }) => !cut), number, process => { cluster.cut(process) }) }]),
  ...times(2, ['heal', (cluster, number) => { pick(cluster.living.filter(({ cut }) => cut), number, process => { cluster.heal(process) }) }]),
  ['kill', (cluster, number) => { if (cluster.living.length > 1) pick(cluster.living, number, process => { cluster.kill(process) }) }],
  ['flush', cluster => { cluster.flush() }],
  ['lose an answer', (cluster, number) => {
    pick(cluster.living, number, ({ coordinator }) => {
      cluster.calm = false
      coordinator.loseAnswer()
    })
  }]
]

/** Lets everything through and everybody end. */
async function end (cluster: Cluster, patient: boolean): Promise<void> {
  for (const process of cluster.living) if (process.cut) cluster.heal(process)
  const drain = async (step: number): Promise<void> => {
    await cluster.time.advance(step)
    cluster.check()
    for (const run of running(cluster, false)) cluster.land(run, [], false)
    for (const run of running(cluster, true)) cluster.complete(run)
    for (const refreshing of cluster.refreshing) cluster.endRefresh(refreshing, [], false)
    await calm()
  }
  for (let step = 0; step < 8; step++) await drain(patient ? FLIGHT + 50 : 100)
  // What is patient waits for what never comes.
  for (let step = 0; step < 12; step++) await drain(FLIGHT + 10)
  cluster.end()
}

/** Which commands were given, and which outcomes came of them. */
const given = new Set<string>()
const outcomes = new Set<string>()

function schedules (commands: readonly Command[], make: (seed: number) => Cluster = seed => new Cluster(2 + seed % 2)): fc.IAsyncProperty<[number[]]> {
  return fc.asyncProperty(fc.array(fc.noBias(fc.nat(0x7fffffff)), { maxLength: 60, size: 'max' }), async schedule => {
    const seed = schedule[0] ?? 0
    const cluster = make(seed)
    try {
      for (const number of schedule) {
        const [name, run] = commands[number % commands.length] as Command
        given.add(name)
        cluster.story.push(`- ${cluster.time.now}: ${name}`)
        await run(cluster, Math.floor(number / commands.length))
        await calm()
        cluster.check()
      }
      cluster.story.push('- the end')
      await end(cluster, seed % 3 === 0)
    } catch (error) {
      throw new Error(`${(error as Error).message} after ${cluster.story.join('; ')}`, { cause: error })
    }
    for (const outcome of cluster.outcomes) outcomes.add(outcome)
  })
}

/** A coordinator that does what none may do: it throws, rejects, is late, and tells anything twice, or what nobody can read. */
function spoil (coordination: Coordination, seed: number): Coordination {
  let asked = seed
  const spoils = (): number => (asked = (asked * 1_103_515_245 + 12_345) & 0x7fffffff) % 11
  const broken = (): never => { throw new Error('broken') }
  const garbage = (): Uint8Array => [new Uint8Array(), Buffer.from('null'), Buffer.from('{"type":"varies","names":["v"]}'), Buffer.from([0, 255])][spoils() % 4] as Uint8Array
  const leasing = (lease: CoordinationLease): CoordinationLease => ({
    get isWaitedFor () { return spoils() === 0 ? broken() : lease.isWaitedFor },
    land: (message, note) => {
      lease.land(message, note)
      if (spoils() < 3) broken()
    },
    release: () => {
      lease.release()
      if (spoils() < 3) broken()
    }
  })
  const following = (run: RemoteRun): RemoteRun => ({
    follow: listener => {
      const how = spoils()
      run.follow({
        landed: message => {
          listener.landed(how < 3 ? garbage() : message)
          if (how === 3) listener.landed(message)
          if (how === 4) listener.lost('gone')
        },
        lost: reason => {
          listener.lost(reason)
          if (how < 3) listener.lost(reason)
        }
      })
      if (how === 5) broken()
    },
    leave: () => {
      run.leave()
      if (spoils() < 3) broken()
    }
  })
  return {
    ready: async () => {},
    join: joining => {
      const how = spoils()
      if (how === 0) broken()
      if (how === 1) return Promise.reject(new Error('broken'))
      if (how === 2) return Promise.resolve(undefined as unknown as Joined)
      if (how === 3) return Promise.resolve({ type: 'noted', note: garbage() })
      return coordination.join(joining)?.then(joined => {
        if (joined.type === 'leads') return { type: 'leads', lease: leasing(joined.lease) }
        return joined.type === 'follows' ? { type: 'follows', run: following(joined.run) } : joined
      })
    },
    purge: (labels, soft) => {
      coordination.purge(labels, soft)
      if (spoils() < 3) broken()
    },
    close: async () => { await coordination.close() }
  }
}

const SCHEDULES = Number(process.env.SCHEDULES ?? 10_000)

t.test('without faults one process runs for all, in any order of what happens', async () => {
  await fc.assert(schedules(COMMANDS), { numRuns: SCHEDULES * 0.4 })
})

t.test('who comes while a live result of its own process goes on that turned out late to depend on what its key tells runs at once', async t => {
  const cluster = new Cluster(2)
  const [one, other] = cluster.processes as [Process, Process]
  const led = async (process: Process): Promise<Run> => {
    cluster.arrive(process, '["a"]', 'y', {})
    await cluster.time.advance(200)
    cluster.check()
    const [run] = running(cluster, false)
    return run as Run
  }
  cluster.land(await led(other), NAMES, false)
  await cluster.time.advance(200)
  const first = await led(one)
  cluster.open(first, [])
  cluster.readLate(first)
  const second = await led(one)
  t.ok(second)
  cluster.land(second, NAMES, false)
  cluster.complete(first)
  await end(cluster, false)
  t.equal(cluster.runs.size, 3)
})

t.test('with faults everybody is answered once, in time, with what they may have, and nothing is left', async () => {
  await fc.assert(schedules(FAULTS), { numRuns: SCHEDULES * 0.4 })
})

t.test('a coordinator that throws, rejects, or tells what nobody can read fails nobody', async () => {
  const spoilt = (seed: number): Cluster => {
    const cluster = new Cluster(2, coordination => spoil(coordination, seed))
    cluster.calm = false
    return cluster
  }
  await fc.assert(schedules(FAULTS, spoilt), { numRuns: SCHEDULES * 0.1 })
})

t.test('if all processes are asked while one runs, there is one run', async () => {
  const orders = fc.array(fc.nat(0x7fffffff), { minLength: 12, maxLength: 12 })
  await fc.assert(fc.asyncProperty(orders, fc.constantFrom('land', 'abandon', 'fail'), async (order, ending) => {
    const cluster = new Cluster(3)
    for (const [index, number] of order.entries()) {
      const process = cluster.processes[(index < 3 ? index : number) % 3] as Process
      cluster.arrive(process, '["b"]', 'x', PATIENT)
      for (let hops = number % 5; hops > 0; hops--) pick(cluster.hub.wires, number >> hops, wire => { wire.deliver() })
      await calm()
    }
    await cluster.time.advance(200)
    const runs = running(cluster, false)
    if (runs.length !== 1) throw new Error(`${runs.length} run`)
    const [first] = runs as [Run]
    if (ending === 'land') cluster.land(first, [], false)
    else if (ending === 'abandon') cluster.abandon(first)
    else cluster.land(first, [], true)
    await cluster.time.advance(200)
    const further = running(cluster, false)
    if (further.length !== (ending === 'land' ? 0 : 1)) throw new Error(`${further.length} run after ${ending}: ${cluster.story.join('; ')}`)
    for (const run of further) cluster.land(run, [], false)
    await cluster.time.advance(200)
    if (cluster.runs.size > 2) throw new Error(`${cluster.runs.size} runs: ${cluster.story.join('; ')}`)
    await cluster.time.advance(3 * FLIGHT)
    cluster.end()
  }), { numRuns: SCHEDULES * 0.1 })
})

t.test('every command was given, and led to what it can lead to', async t => {
  t.strictSame([...given].sort(), [...new Set(FAULTS.map(([name]) => name))].sort())
  for (const outcome of [
    'peer shared', 'peer failed', 'follower shared', 'follower failed', 'leader shared', 'leader flight-timeout', 'hit fresh', 'stale stale-while-revalidate',
    'stale stale-if-error', 'alone peer-lost', 'alone wait-timeout', 'alone private', 'alone status', 'alone unshareable', 'alone disabled', 'bypass head'
  ]) t.ok(outcomes.has(outcome), outcome)
})
