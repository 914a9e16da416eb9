/**
 * Processes meet in a Redis or Valkey: one of them leads a key, and the others get what its run came to.
 *
 * Invariant: it costs one round trip to learn who leads, and none afterwards. Whatever fails, and whatever is not known in time, ends as
 * if there were no coordinator. Leading is an agreement for efficiency: two processes may lead the same key for a moment, and each then
 * has a result of its own.
 */
import { randomBytes } from 'node:crypto'
import type {
  Coordination, CoordinationFigures, CoordinationLease, CoordinationMember, Coordinator, Joined, Joining, RemoteRun
} from '../../types/coordination.js'
import type { Reply } from './clients/connection.js'
import { Desk } from './desk.js'
import type { Link } from './link.js'
import type { KeyNames } from './names.js'
import { readCoordinatorOptions, type CoordinatorSettings, type RedisCoordinatorOptions } from './options.js'
import type { PurgeListener } from './purges.js'
import type { Call } from './scripts.js'

/** More would be more than a script can take. */
const MOST_LABELS = 1_000

const NOTHING: Joined = Object.freeze({ type: 'nothing' })
const UNKNOWN: Joined = Object.freeze({ type: 'unknown' })

export interface RedisCoordinator extends Coordinator {
  /** Leaves, and closes its connections. An app does so when it closes; this is for functions without an app. */
  readonly close: () => Promise<void>
}

/** Has processes that use the same Redis or Valkey coalesce together. */
export function redisCoordinator (options: RedisCoordinatorOptions): RedisCoordinator {
  const settings: CoordinatorSettings = readCoordinatorOptions(options)
  let desk: Desk | undefined
  const open = new Set<Coordination>()
  return Object.freeze<RedisCoordinator>({
    open (member) {
      desk ??= new Desk(settings, () => { desk = undefined })
      const coordination = new RedisCoordination(desk, member, () => { open.delete(coordination) })
      open.add(coordination)
      return coordination
    },
    async close () {
      await Promise.all([...open].map(async coordination => { await coordination.close() }))
    }
  })
}

let tokens = 0

/** What one member does at the desk. */
class RedisCoordination implements Coordination {
  readonly #desk: Desk
  readonly #link: Link
  readonly #listener: PurgeListener
  readonly #keyPrefix: string
  readonly #leave: () => Promise<void>
  readonly #closed: () => void
  readonly #stopListening: () => void
  readonly #leases = new Set<CoordinationLease>()
  readonly #runs = new Set<RemoteRun>()
  readonly #joining = new Set<Promise<Joined>>()
  #isClosed = false

  /** @param closed called when it leaves */
  constructor (desk: Desk, member: CoordinationMember, closed: () => void) {
    this.#desk = desk
    this.#closed = closed
    this.#link = desk.link
    this.#keyPrefix = `${member.group.length}:${member.group}`
    this.#leave = desk.use(member.log)
    this.#listener = {
      group: member.group,
      purged: (labels, soft) => { member.purged(labels, soft) },
      missed: () => { member.missedPurges() }
    }
    this.#stopListening = desk.shared.purges.listen(this.#listener)
  }

  async ready (): Promise<void> {
    await this.#desk.shared.ready()
  }

  join (joining: Joining): Promise<Joined> | undefined {
    if (this.#isClosed || !this.#link.isUsable || !this.#link.isInboxReady || joining.labels.length > MOST_LABELS) {
      this.#link.figures.joins.skipped++
      return undefined
    }
    const joined = this.#join(joining).finally(() => { this.#joining.delete(joined) })
    this.#joining.add(joined)
    return joined
  }

  purge (labels: readonly string[], soft: boolean): void {
    this.#desk.shared.purges.purge(this.#listener.group, labels, soft, this.#listener)
  }

  forget (key: string): void {
    const { lane, note } = this.#link.names.of(this.#keyPrefix + key)
    this.#link.send(lane, [['DEL', note]])
  }

  figures (): CoordinationFigures {
    return this.#link.figures
  }

  async close (): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#closed()
    this.#stopListening()
    for (const lease of this.#leases) lease.release()
    for (const run of this.#runs) this.#desk.waits.give(run)
    await Promise.all(this.#joining)
    await this.#leave()
  }

  async #join (joining: Joining): Promise<Joined> {
    const { clock, figures, instance } = this.#link
    const key = this.#keyPrefix + joining.key
    const names = this.#link.names.of(key)
    const token = `${instance}:${(++tokens).toString(36)}`
    const { waits } = this.#desk
    const start = clock.now()
    waits.asked(names)
    const replies = await this.#link.send(names.lane, [this.#question(joining, names, token)])
    const joined = this.#joined(joining, key, names, token, replies?.[0])
    waits.answered(names)
    figures.joinTimes.add(clock.now() - start)
    figures.joins[joined.type]++
    return joined
  }

  #question ({ labels, as }: Joining, names: KeyNames, token: string): Call {
    const { names: all, scripts, instance } = this.#link
    const { settings, keepWaiters } = this.#desk
    const places = labels.map(label => all.placeOf(label)).join(' ')
    return {
      script: scripts.join,
      keys: [names.pointer, names.waiters, all.purges(names.lane), names.note],
      args: [
        token, instance, Math.ceil(settings.lease), keepWaiters, all.inboxes(names.lane), as, randomBytes(12).toString('base64url'), places
      ]
    }
  }

  #joined (joining: Joining, key: string, names: KeyNames, token: string, reply: Reply | undefined): Joined {
    // Nobody knows whether it was carried out. If it was, this process leads; else, what it says at the end does nothing.
    if (reply === undefined) return joining.as === 'follower' ? UNKNOWN : this.#leads(joining, key, names, token, true)
    if (!Array.isArray(reply)) return UNKNOWN
    const [state, what, left] = reply as readonly Reply[]
    switch (String(state)) {
      case 'L': return this.#leads(joining, key, names, token, false)
      case 'F': return this.#follows(key, names, String(what), Number(left))
      case 'N': return this.#noted(key, what as Buffer)
      default: return NOTHING
    }
  }

  #leads (joining: Joining, key: string, names: KeyNames, token: string, isDoubtful: boolean): Joined {
    const lease = this.#desk.leases.add(key, names, token, joining.leadsFor, isDoubtful, () => { this.#leases.delete(lease) })
    this.#leases.add(lease)
    if (!this.#isClosed) return { type: 'leads', lease }
    lease.release()
    return UNKNOWN
  }

  #follows (key: string, names: KeyNames, token: string, left: number): Joined {
    const run = this.#desk.waits.add(key, names, token, left, () => { this.#runs.delete(run) })
    this.#runs.add(run)
    if (!this.#isClosed) return { type: 'follows', run }
    this.#desk.waits.give(run)
    return UNKNOWN
  }

  #noted (key: string, sealed: Buffer): Joined {
    const note = this.#link.seal.open('note', key, sealed)
    if (note !== undefined) return { type: 'noted', note }
    this.#link.rejected()
    return UNKNOWN
  }
}
