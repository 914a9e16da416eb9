/**
 * The metrics of what happens between processes: of coordinators, and of stores that processes share.
 *
 * Invariant: labels are closed sets of names, whatever a coordinator or a store says. Without one of them there is no series.
 */
import type { CoordinationFigures, Durations, Store, StoreFigures } from '../../types/index.js'
import { figuresOfStore } from './process-figures.js'
import { FiguresSeen, type Counting } from './figures-seen.js'
import { histogramOf, type Definition, type Labels, type Sample } from './read-metric.js'

/** The upper bounds of the histograms, in seconds. */
const BOUNDS: readonly number[] = Object.freeze([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10])

/** Why a circuit opens. */
const CAUSES: readonly string[] = Object.freeze([
  'timeout', 'closed', 'READONLY', 'LOADING', 'MASTERDOWN', 'CLUSTERDOWN', 'OOM', 'MISCONF', 'NOREPLICAS', 'NOPERM', 'NOAUTH', 'BUSY', 'NOSCRIPT'
])

/** One metric, and the numbers that it is made of. */
interface Family<F> {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'histogram'
  readonly width: number
  /** As many numbers as `width`. */
  read (figures: F): readonly unknown[]
  write (name: string, numbers: readonly number[]): readonly Sample[]
}

function counter<F> (name: string, help: string, labels: readonly Labels[], read: (figures: F) => readonly unknown[]): Family<F> {
  return {
    name,
    help,
    type: 'counter',
    width: labels.length,
    read,
    write: (_name, numbers) => labels.map((each, place) => ({ labels: each, value: numbers[place] as number }))
  }
}

function total<F> (name: string, help: string, read: (figures: F) => number): Family<F> {
  return counter(name, help, [{}], figures => [read(figures)])
}

/** One series for each name. */
function each<F, Name extends string> (
  name: string, help: string, label: string, names: readonly Name[], read: (figures: F) => Readonly<Record<NoInfer<Name>, number>>
): Family<F> {
  return counter(name, help, names.map(value => ({ [label]: value })), figures => {
    const numbers = read(figures)
    return names.map(value => numbers[value])
  })
}

function times<F> (name: string, help: string, read: (figures: F) => Durations): Family<F> {
  return {
    name,
    help,
    type: 'histogram',
    width: BOUNDS.length + 2,
    read: figures => bucketsOf(read(figures)),
    write: (name, numbers) => {
      const counts = numbers.slice(0, -1)
      const count = counts.reduce((sum, number) => sum + number, 0)
      return count === 0 ? [] : histogramOf(name, {}, { bounds: BOUNDS, counts, count, sum: numbers.at(-1) as number })
    }
  }
}

/** The counts of our own buckets, and the sum. What lies in a bucket that is none of ours may be as long as its upper bound. */
function bucketsOf ({ bounds, counts, sum }: Durations): number[] {
  const own = new Array<number>(BOUNDS.length + 1).fill(0)
  for (const [place, count] of counts.entries()) {
    const longest = (bounds[place] ?? Infinity) / 1000
    const index = BOUNDS.findIndex(bound => longest <= bound)
    own[index < 0 ? BOUNDS.length : index] = (own[index < 0 ? BOUNDS.length : index] as number) + count
  }
  return [...own, sum / 1000]
}

function openingsOf ({ openings }: CoordinationFigures): number[] {
  const known = new Map(Object.entries(openings))
  const others = [...known].reduce((sum, [cause, count]) => CAUSES.includes(cause) ? sum : sum + count, 0)
  return [...CAUSES.map(cause => known.get(cause) ?? 0), others]
}

const COORDINATORS: ReadonlyArray<Family<CoordinationFigures>> = [
  each('coordinator_joins_total', 'Runs for which it was asked which process leads, by what was found', 'result',
    ['leads', 'follows', 'noted', 'nothing', 'unknown', 'skipped'], ({ joins }) => joins),
  total('coordinator_lease_renewals_total', 'Leases of longer runs that were renewed', ({ renewals }) => renewals),
  total('coordinator_leases_lost_total', 'Leases that were lost while the run went on', ({ lostLeases }) => lostLeases),
  total('coordinator_takeovers_total', 'Processes that were found to be gone while they led', ({ takeovers }) => takeovers),
  total('coordinator_hand_offs_failed_total', 'What runs came to and was not handed over in time', ({ failedHandOffs }) => failedHandOffs),
  each('coordinator_messages_total', 'What runs came to, sent to other processes and received from them', 'direction', ['sent', 'received'],
    ({ sent, received }) => ({ sent: sent.messages, received: received.messages })),
  each('coordinator_message_bytes_total', 'The bytes of that', 'direction', ['sent', 'received'],
    ({ sent, received }) => ({ sent: sent.bytes, received: received.bytes })),
  total('coordinator_uploads_total', 'What runs came to and was too large to go inside a message', ({ uploads }) => uploads.count),
  total('coordinator_upload_bytes_total', 'The bytes of that', ({ uploads }) => uploads.bytes),
  total('coordinator_too_large_total', 'What runs came to and was too large for other processes', ({ tooLarge }) => tooLarge),
  total('coordinator_rejected_total', 'Messages that could not be opened: of other senders, or altered', ({ rejected }) => rejected),
  each('coordinator_purges_total', 'Purges that were told to other processes, heard from them, or may have been missed', 'event',
    ['sent', 'received', 'missed', 'resets'], ({ purges }) => purges),
  total('coordinator_timeouts_total', 'What the server did not answer in time', ({ timeouts }) => timeouts),
  counter('coordinator_circuit_openings_total', 'How often the server could not be asked any more, by cause',
    [...CAUSES, 'other'].map(cause => ({ cause })), openingsOf),
  times('coordinator_join_seconds', 'How long it took to learn which process leads', ({ joinTimes }) => joinTimes),
  times('coordinator_lease_seconds', 'How long this process led', ({ leaseTimes }) => leaseTimes),
  times('coordinator_hand_off_seconds', 'How long it took, from the end of a run, until the server had what it came to',
    ({ handOffTimes }) => handOffTimes)
]

const STORES: ReadonlyArray<Family<StoreFigures>> = [
  each('shared_store_lookups_total', 'Lookups in a store that processes share, by who had the entry', 'result', ['memory', 'server', 'none'],
    ({ frontHits, hits, misses }) => ({ memory: frontHits, server: hits, none: misses })),
  each('shared_store_writes_total', 'Entries for a store that processes share, by what became of them', 'result',
    ['stored', 'purged', 'outrun', 'unstorable'], ({ stored, fenced, outrun, unstorable }) => ({ stored, purged: fenced, outrun, unstorable })),
  each('shared_store_bytes_total', 'The bytes that were read from the server and written to it', 'direction', ['read', 'written'],
    ({ bytesRead, bytesWritten }) => ({ read: bytesRead, written: bytesWritten })),
  total('shared_store_skipped_total', 'Operations that were not tried, since the server could not be asked', ({ skipped }) => skipped),
  total('shared_store_failed_total', 'Operations that failed, or had no answer in time', ({ errors }) => errors),
  total('shared_store_rejected_total', 'Entries that could not be opened: of other writers, or altered', ({ rejected }) => rejected)
]

/** What there is now. */
export interface Processes {
  coordinations (): Iterable<CoordinationFigures>
  stores (): Iterable<Store>
}

export class ProcessMetrics {
  readonly #processes: Processes
  readonly #coordinators = new FiguresSeen()
  readonly #stores = new FiguresSeen()

  constructor (processes: Processes) {
    this.#processes = processes
  }

  /** @param before what comes before each name */
  definitions (before: string): readonly Definition[] {
    return [
      ...definitionsOf(before, COORDINATORS, () => this.#coordinators.sums(this.#ofCoordinators())),
      {
        name: `${before}coordinator_circuits_open`,
        help: 'Servers that cannot be asked now',
        type: 'gauge',
        aggregator: 'sum',
        read: () => {
          const all = [...linksOf(this.#processes)]
          return all.length === 0 ? [] : [[{ labels: {}, value: all.filter(({ isOpen }) => isOpen).length }]]
        }
      },
      ...definitionsOf(before, STORES, () => this.#stores.sums(this.#ofStores()))
    ]
  }

  /** Somebody is about to end. */
  note (): void {
    this.#coordinators.sums(this.#ofCoordinators())
    this.#stores.sums(this.#ofStores())
  }

  /** What has ended is not told of any more. */
  forget (): void {
    this.#coordinators.forget()
    this.#stores.forget()
  }

  * #ofCoordinators (): Iterable<Counting> {
    for (const figures of linksOf(this.#processes)) yield * counting(figures, figures, COORDINATORS)
  }

  * #ofStores (): Iterable<Counting> {
    for (const store of new Set(this.#processes.stores())) {
      const figures = figuresOfStore(store)
      if (figures !== undefined) yield * counting(store, figures, STORES)
    }
  }
}

/** Of coordinators, and of the connections of stores. */
function linksOf ({ coordinations, stores }: Processes): Set<CoordinationFigures> {
  const all = new Set(coordinations())
  for (const store of stores()) {
    const link = figuresOfStore(store)?.link
    if (link !== undefined) all.add(link)
  }
  return all
}

/** One that does not count as it should is not counted. */
function counting<F> (who: object, figures: F, families: ReadonlyArray<Family<F>>): Counting[] {
  try {
    return [[who, families.flatMap(family => family.read(figures))]]
  } catch {
    return []
  }
}

function definitionsOf<F> (before: string, families: ReadonlyArray<Family<F>>, sums: () => readonly number[] | undefined): Definition[] {
  let next = 0
  return families.map(({ name, help, type, width, write }) => {
    const from = next
    next += width
    return {
      name: before + name,
      help,
      type,
      aggregator: 'sum',
      read: () => {
        const numbers = sums()
        return numbers === undefined ? [] : [write(before + name, numbers.slice(from, from + width))]
      }
    }
  })
}
