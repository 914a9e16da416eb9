/**
 * What the response of a run depends on besides its key: what its handler, and hooks before it, read, what the app declared, and what
 * its Vary names.
 *
 * Invariant: a read that cannot be told apart from one that matters counts. What the key covers never does.
 */
import type { FastifyRequest } from 'fastify'
import { byMeaning } from '../../http/accept-encoding.js'
import { headerOfName } from '../../http/dimensions.js'
import { leadOn } from './hook-reads.js'
import { keyCovers } from '../../http/policy.js'
import { ignoresQuery, isOfQuery } from '../../http/query.js'
import { CLIENT_ADDRESS, Reads } from '../../http/reads.js'
import { parseVary } from '../../http/vary.js'
import type { RouteSettings } from '../../options/route-options.js'
import { UNWATCHED, unwatchSocket, watchSocket, type SocketObserver, type SocketObservers } from './socket-reads.js'

export const NO_NAMES: readonly string[] = Object.freeze([])

/** Adds conditions of its own to the headers that the handler sees. */
export interface ConditionSource {
  readonly isOwnCondition: (name: string) => boolean
}

/** Why it cannot be known what a response depends on. */
export type UnknownReason = 'reads-all-headers' | 'vary-any' | 'vary-malformed'

export class Dependencies {
  /** Undefined: the route trusts what the response itself says. */
  readonly reads: Reads | undefined
  readonly #request: FastifyRequest
  readonly #settings: RouteSettings
  readonly #observer: SocketObserver
  /** All observers of the client's connection. */
  readonly #observers: SocketObservers
  // What few runs have stands on the prototype: the others have no room for it.
  declare private declared: Set<string> | undefined
  declare private malformed: 'vary-any' | 'vary-malformed' | undefined
  declare private onMore: (() => void) | undefined

  static {
    Object.assign(this.prototype, { declared: undefined, malformed: undefined, onMore: undefined })
  }

  /** @param observer told of reads of the connection */
  constructor (request: FastifyRequest, settings: RouteSettings, observer: SocketObserver) {
    this.#request = request
    this.#settings = settings
    this.#observer = observer
    this.reads = settings.learnVary === false ? undefined : leadOn(request) ?? new Reads(request.raw)
    this.#observers = this.reads === undefined ? UNWATCHED : watchSocket(request.raw, observer)
  }

  /** Stops tracking: later reads are not the handler's. */
  stop (): void {
    if (this.onMore !== undefined) this.onMore = undefined
    this.reads?.stop()
    unwatchSocket(this.#observers, this.#observer)
  }

  /** Tracks again, and calls `onMore` after each further read or declaration, until `stop`. */
  follow (onMore: () => void): void {
    this.onMore = onMore
    if (this.reads === undefined) return
    this.reads.onRead = onMore
    this.reads.start()
  }

  /** Why it cannot be known what the response depends on; undefined if it can. */
  get unknownReason (): UnknownReason | undefined {
    return this.malformed ?? (this.reads?.all === true ? 'reads-all-headers' : undefined)
  }

  /** Declares what the response depends on, in the words of Vary. */
  declare (names: readonly string[]): void {
    const declared = parseVary(names)
    if (typeof declared === 'string') this.malformed = declared
    else this.declared = new Set([...this.declared ?? NO_NAMES, ...declared])
    this.onMore?.()
  }

  /** Where it was learned that the response depends on a name; undefined: its Vary says so. */
  sourceOf (name: string): 'hook' | 'handler' | 'varyOn' | undefined {
    const header = headerOfName(name)
    return this.reads?.when(name) ?? this.reads?.when(header) ?? (this.declared?.has(header) === true ? 'varyOn' : undefined)
  }

  /**
   * The names of what the response depends on.
   *
   * @param vary names from its Vary header, or learned earlier
   * @param conditions added headers that are not the client's: reads of them do not count
   */
  names (vary: readonly string[], conditions?: ConditionSource): readonly string[] {
    const { learnVary } = this.#settings
    const reads = this.reads?.names
    if (vary.length === 0 && this.declared === undefined && (reads === undefined || reads.size === 0)) return NO_NAMES
    const ignored = learnVary === false ? NO_NAMES : learnVary.ignore
    const names = new Set(vary)
    for (const name of reads ?? NO_NAMES) {
      if (conditions?.isOwnCondition(name) !== true && !isIgnored(name, ignored, this.#request)) names.add(name)
    }
    for (const name of this.declared ?? NO_NAMES) names.add(name)
    return byMeaning([...names].filter(name => !keyCovers(name, this.#request, this.#settings)), vary)
  }
}

function isIgnored (name: string, ignored: readonly string[], request: FastifyRequest): boolean {
  if (isOfQuery(name)) return ignoresQuery(ignored, name)
  // With `trustProxy`, and only then, Fastify reads the address from this header, and requests have `ips`.
  if (name === 'x-forwarded-for' && ignored.includes('ip') && 'ips' in request) return true
  return ignored.includes(name === CLIENT_ADDRESS ? 'ip' : headerOfName(name))
}
