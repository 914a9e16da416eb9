/**
 * What all users of one store in Redis have in common: the link while there are any, the memory in front, the figures.
 *
 * Invariant: whatever one of them purges, the others are told. While Redis does not have all purges that were made here, it is not asked.
 */
import { randomBytes } from 'node:crypto'
import type { CoordinationLog, StoreFigures } from '../../../types/index.js'
import { sharedLink, type SharedLink } from '../shared-links.js'
import type { Link } from '../link.js'
import type { PurgeListener } from '../purges.js'
import { StoreCounts } from './figures.js'
import { MemoryFront, NO_FRONT, type Front } from './front.js'
import type { StoreSettings } from './options.js'
import { probe } from './scripts.js'

/** Whom purges are told to, of those that share a link. */
const GROUP = 'store'

/** Where an entry is, and the clock of its lane. */
export interface EntryNames {
  readonly lane: number
  readonly entry: string
  readonly purges: string
}

export interface CoreUser {
  purged (labels: readonly string[], soft: boolean): void
  missedPurges (): void
  /** Redis can be asked, for the first time or again. */
  reconnected (): void
}

export class Core {
  readonly counts = new StoreCounts()
  readonly front: Front
  readonly settings: StoreSettings
  readonly #users = new Map<CoreUser, () => Promise<void>>()
  #shared: SharedLink | undefined
  /** Of the last link that there was. */
  #linkFigures: StoreFigures['link']
  #ends: ReadonlyArray<() => void> = []
  readonly #listener: PurgeListener = {
    group: GROUP,
    purged: (labels, soft) => {
      this.front.purged(labels)
      for (const user of this.#users.keys()) user.purged(labels, soft)
    },
    missed: () => {
      this.front.clear()
      for (const user of this.#users.keys()) user.missedPurges()
    }
  }

  #landings = 0
  /** What is being purged in this turn of the event loop, and which users have said so. */
  #purging: { readonly text: string, readonly by: Set<CoreUser> } | undefined

  constructor (settings: StoreSettings) {
    this.settings = settings
    this.front = settings.memory === false ? NO_FRONT : new MemoryFront(settings.memory, settings.clock)
  }

  get figures (): StoreFigures {
    return { ...this.counts, ...this.#linkFigures !== undefined && { link: this.#linkFigures } }
  }

  /** Of one who has joined. */
  get link (): Link {
    return (this.#shared as SharedLink).link
  }

  get isUsable (): boolean {
    return this.#shared?.link.isUsable === true && this.#shared.purges.unsent === 0
  }

  /** Whether purges by others are heard of, as far as is known. */
  get hears (): boolean {
    return this.#shared !== undefined && this.#shared.link.isInboxReady && this.#shared.link.isUsable
  }

  join (user: CoreUser, log: CoordinationLog): void {
    this.#shared ??= this.#open()
    this.#users.set(user, this.#shared.use(log))
  }

  async leave (user: CoreUser): Promise<void> {
    const release = this.#users.get(user)
    this.#users.delete(user)
    if (this.#users.size === 0) {
      for (const end of this.#ends) end()
      this.#shared = undefined
      this.front.clear()
    }
    await release?.()
  }

  async close (): Promise<void> {
    await Promise.all([...this.#users.keys()].map(async user => { await this.leave(user) }))
  }

  /** @throws what is wrong with the configuration of Redis */
  async ready (): Promise<void> {
    await this.#shared?.ready(probe)
  }

  namesOf (key: string): EntryNames {
    const { names, seal } = this.link
    const digest = seal.digest('key', key)
    const lane = names.laneOf(digest)
    return { lane, entry: names.name(lane, 'c', digest), purges: names.purges(lane) }
  }

  /** A name that nobody else has, for bytes that a script makes an entry of. */
  landingName (lane: number): string {
    const { names, instance } = this.link
    return names.name(lane, 't', `${instance}:${(++this.#landings).toString(36)}`)
  }

  /** For a clock of purges, if there is none. One that was lost never comes back. */
  newGeneration (): string {
    return randomBytes(12).toString('base64url')
  }

  purge (labels: readonly string[], soft: boolean, by: CoreUser): void {
    const text = JSON.stringify([soft, labels])
    // Registrations inside one another tell it one after the other, each of them once.
    if (this.#purging?.text === text && !this.#purging.by.has(by)) {
      this.#purging.by.add(by)
      return
    }
    const purging = this.#purging = { text, by: new Set([by]) }
    queueMicrotask(() => { if (this.#purging === purging) this.#purging = undefined })
    this.front.purged(labels)
    this.#shared?.purges.purge(GROUP, labels, soft, this.#listener)
    for (const user of this.#users.keys()) if (user !== by) user.purged(labels, soft)
  }

  #open (): SharedLink {
    const shared = sharedLink(this.settings)
    this.#linkFigures = shared.link.figures
    this.#ends = [
      shared.link.listen({ usable: () => { for (const user of this.#users.keys()) user.reconnected() } }),
      shared.purges.listen(this.#listener)
    ]
    return shared
  }
}
