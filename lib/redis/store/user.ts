/**
 * One user's side of a store in Redis.
 *
 * Invariant: an entry that it gives was kept by this very key's run, and was purged neither before Redis was asked nor, as far as anybody has
 * told, since; `since` of it is when Redis was asked. Nothing is given or stored by a wall clock. Whatever cannot be known is a miss.
 */
import type { Entry, OpenStore, StoreUser } from '../../../types/index.js'
import { readEntry } from '../../stores/entry.js'
import type { Command } from '../clients/connection.js'
import type { Replies, Step } from '../link.js'
import { decodeEntry, encodeEntry, writeOf, type Stored } from './bytes.js'
import type { Core, CoreUser, EntryNames } from './core.js'
import { entryOf, type Kept } from './kept.js'
import { fill, lookUp } from './scripts.js'
import { Tickets } from './tickets.js'

/** So much of an entry is read with the first round trip. */
const FIRST_BYTES = 2 ** 20
/** An entry of more bytes is kept out of Lua. */
const LUA_BYTES = 65_536
/** How long bytes wait for the script that makes an entry of them, in milliseconds. */
const LANDING_TIME = 10_000
/** The longest that an entry is kept, in milliseconds: 300 years. */
const LONGEST = 1e13

interface Verdict {
  readonly generation: string
  readonly e: number
  /** Undefined if there is no entry. */
  readonly found: { readonly write: string, readonly timeLeft: number, readonly standing: number, readonly bytes: number } | undefined
}

export class RedisStoreUser implements OpenStore, CoreUser {
  readonly #core: Core
  readonly #user: StoreUser
  /** By lane. */
  #tickets: Tickets[] = []
  /** The entries that this user was given from memory before. */
  readonly #given = new WeakMap<Kept, Entry>()

  constructor (core: Core, user: StoreUser) {
    this.#core = core
    this.#user = user
  }

  /** Somebody else has purged this. */
  purged (labels: readonly string[], soft: boolean): void {
    this.#user.purged(labels, soft)
  }

  missedPurges (): void {
    this.#user.missedPurges()
  }

  /** The clock of purges may have gone back: another server may have taken over, which lagged behind. */
  reconnected (): void {
    this.#tickets = []
  }

  get (key: string): Entry | undefined | Promise<Entry | undefined> {
    const { counts, front, settings: { clock } } = this.#core
    const kept = this.#core.hears ? front.get(key) : undefined
    if (kept !== undefined) {
      counts.frontHits++
      let entry = this.#given.get(kept)
      if (entry === undefined) {
        const since = this.#user.stamp()
        entry = entryOf(kept, since, since - (clock.now() - kept.endedAt)) as Entry
        this.#given.set(kept, entry)
      }
      return entry
    }
    if (!this.#core.isUsable) {
      counts.skipped++
      return undefined
    }
    return this.#lookUp(key)
  }

  async #lookUp (key: string): Promise<Entry | undefined> {
    const { counts, front, link: { clock, seal } } = this.#core
    const names = this.#core.namesOf(key)
    const { moment } = front
    const since = this.#user.stamp()
    const asked = clock.now()
    const [first, said] = await this.#ask(names.lane, [
      ['GETRANGE', names.entry, 0, FIRST_BYTES - 1],
      { script: lookUp, keys: [names.entry, names.purges], args: [this.#core.newGeneration()] }
    ])
    const verdict = verdictOf(said)
    if (!Buffer.isBuffer(first) || verdict === undefined) throw this.#failed(first instanceof Error ? first : said)
    this.#ticketsOf(names.lane).hear(this.#user.stamp(), verdict.generation, verdict.e)
    counts.bytesRead += first.length
    const { found } = verdict
    const write = writeOf(first)
    if (first.length > 0 && write === undefined) {
      counts.rejected++
      return undefined
    }
    // What was stored between the two is not what the script has judged.
    if (found === undefined || found.write !== write || found.standing > 1) {
      counts.misses++
      return undefined
    }
    const bytes = found.bytes > first.length ? await this.#rest(names, first, found.bytes) : first
    const stored = decodeEntry(bytes, key, seal)
    const age = Math.max((stored?.keepFor ?? 0) - found.timeLeft, 0)
    const kept = stored === undefined
      ? undefined
      : { stored, size: bytes.length, outdated: found.standing === 1, endedAt: asked - age, until: asked + found.timeLeft }
    const entry = kept === undefined ? undefined : entryOf(kept, since, since - age)
    if (kept === undefined || entry === undefined) {
      counts.rejected++
      return undefined
    }
    counts.hits++
    front.put(key, kept, moment)
    this.#given.set(kept, entry)
    return entry
  }

  /** The bytes of a large entry. If they are of two, they do not come open. */
  async #rest ({ lane, entry }: EntryNames, first: Buffer, bytes: number): Promise<Buffer> {
    const [rest] = await this.#ask(lane, [['GETRANGE', entry, first.length, bytes - 1]], bytes - first.length)
    if (!Buffer.isBuffer(rest)) throw this.#failed(rest)
    this.#core.counts.bytesRead += rest.length
    return Buffer.concat([first, rest])
  }

  set (entry: Entry, keepFor: number): void | Promise<void> {
    const { counts, front, settings } = this.#core
    front.delete(entry.key)
    if (!this.#core.isUsable) {
      counts.skipped++
      return
    }
    const whole = readEntry(entry, entry.key)
    if (whole === undefined || !(keepFor > 0)) return this.delete(entry.key)
    const { version, since, storedAt, ...members } = whole
    const { link } = this.#core
    const names = this.#core.namesOf(entry.key)
    const ticket = this.#ticketsOf(names.lane).before(since)
    if (ticket === undefined) {
      counts.fenced++
      return this.delete(entry.key)
    }
    const stored: Stored = { members, ran: Math.max(storedAt - since, 0), keepFor: Math.ceil(Math.min(keepFor, LONGEST)) }
    const places = new Set([entry.key, ...members.labels].map(label => link.names.placeOf(label)))
    const bytes = encodeEntry(stored, ticket, [...places], link.seal)
    if (bytes === undefined || bytes.length > settings.maxEntryBytes) {
      counts.unstorable++
      return this.delete(entry.key)
    }
    return this.#fill(names, stored, bytes)
  }

  async #fill (names: EntryNames, stored: Stored, bytes: Buffer): Promise<void> {
    const { counts, front, settings: { clock } } = this.#core
    const { members: { key }, keepFor } = stored
    const { moment } = front
    const asked = clock.now()
    counts.bytesWritten += bytes.length
    const replies = bytes.length <= LUA_BYTES
      ? await this.#ask(names.lane, [{ script: fill, keys: [names.entry, names.purges], args: [bytes, keepFor] }])
      : await this.#fillLarge(names, bytes, keepFor)
    switch (replies.at(-1)) {
      case 1:
        counts.stored++
        front.put(key, { stored, size: bytes.length, outdated: false, endedAt: asked, until: asked + keepFor }, moment)
        return
      case 0:
        counts.fenced++
        return
      case 2:
        counts.outrun++
        return
      default:
        throw this.#failed(replies.find(reply => reply instanceof Error))
    }
  }

  async #fillLarge ({ lane, entry, purges }: EntryNames, bytes: Buffer, keepFor: number): Promise<Replies> {
    const landing = this.#core.landingName(lane)
    const put: Command = ['SET', landing, bytes, 'PX', LANDING_TIME]
    return await this.#ask(lane, [put, { script: fill, keys: [entry, purges, landing], args: ['', keepFor] }], bytes.length)
  }

  async delete (key: string): Promise<void> {
    const { counts, front } = this.#core
    front.delete(key)
    if (!this.#core.isUsable) {
      counts.skipped++
      return
    }
    const { lane, entry } = this.#core.namesOf(key)
    const [reply] = await this.#ask(lane, [['UNLINK', entry]])
    if (reply instanceof Error) throw this.#failed(reply)
  }

  purge (labels: readonly string[], soft: boolean): void {
    this.#core.purge(labels, soft, this)
  }

  async ready (): Promise<void> {
    await this.#core.ready()
  }

  async close (): Promise<void> {
    await this.#core.leave(this)
  }

  #ticketsOf (lane: number): Tickets {
    return (this.#tickets[lane] ??= new Tickets())
  }

  async #ask (lane: number, steps: readonly Step[], bulk?: number): Promise<Replies> {
    const replies = await this.#core.link.send(lane, steps, bulk)
    if (replies === undefined) throw this.#failed(undefined)
    return replies
  }

  #failed (cause: unknown): Error {
    this.#core.counts.errors++
    return cause instanceof Error ? cause : new Error('Redis has not answered')
  }
}

function verdictOf (reply: Replies[number] | undefined): Verdict | undefined {
  if (!Array.isArray(reply)) return undefined
  const [generation, e, write, timeLeft, standing, bytes] = reply as [Buffer, number, Buffer | undefined, number, number, number]
  const found = write === undefined ? undefined : { write: write.toString('latin1'), timeLeft, standing, bytes }
  return { generation: generation.toString('latin1'), e, found }
}
