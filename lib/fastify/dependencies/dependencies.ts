/**
 * What a run's response depends on besides its key: what its handler, and hooks before it, looked at, what it declared, and what
 * its Vary names.
 *
 * Invariant: a look that cannot be told apart from one that matters counts. What the key covers never does.
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
import { unwatchSocket, UNWATCHED, watchSocket, type Lookers, type Looking } from './socket-reads.js'

export const NO_NAMES: readonly string[] = Object.freeze([])

/** Who asks the handler something by headers of its own. */
export interface Asker {
  readonly asks: (name: string) => boolean
}

export class Reading {
  /** Undefined: the route trusts what the response itself says. */
  readonly reads: Reads | undefined
  readonly #request: FastifyRequest
  readonly #settings: RouteSettings
  readonly #looking: Looking
  /** Those on its connection. */
  readonly #lookers: Lookers
  #declared: Set<string> | undefined
  #untold: 'vary-any' | 'vary-malformed' | undefined
  #onMore: (() => void) | undefined

  /** @param looking told of looks at the connection */
  constructor (request: FastifyRequest, settings: RouteSettings, looking: Looking) {
    this.#request = request
    this.#settings = settings
    this.#looking = looking
    this.reads = settings.learnVary === false ? undefined : leadOn(request) ?? new Reads(request.raw)
    this.#lookers = this.reads === undefined ? UNWATCHED : watchSocket(request.raw, looking)
  }

  /** What is looked at from now on is no longer the handler's doing. */
  stop (): void {
    this.#onMore = undefined
    this.reads?.stop()
    unwatchSocket(this.#lookers, this.#looking)
  }

  /** Tells of all that is looked at or declared from now on, until it is stopped. */
  follow (onMore: () => void): void {
    this.#onMore = onMore
    if (this.reads === undefined) return
    this.reads.onRead = onMore
    this.reads.start()
  }

  /** Why there is no telling what the response depends on; undefined if there is. */
  get untold (): 'reads-all-headers' | 'vary-any' | 'vary-malformed' | undefined {
    return this.#untold ?? (this.reads?.all === true ? 'reads-all-headers' : undefined)
  }

  /** Declares what the response depends on, in the words of Vary. */
  declare (names: readonly string[]): void {
    const declared = parseVary(names)
    if (typeof declared === 'string') this.#untold = declared
    else this.#declared = new Set([...this.#declared ?? NO_NAMES, ...declared])
    this.#onMore?.()
  }

  /**
   * The names of what the response depends on.
   *
   * @param vary what its Vary names, or is known from before
   * @param asker has put headers there that are not the client's
   */
  names (vary: readonly string[], asker?: Asker): readonly string[] {
    const { learnVary } = this.#settings
    const reads = this.reads?.names
    if (vary.length === 0 && this.#declared === undefined && (reads === undefined || reads.size === 0)) return NO_NAMES
    const ignored = learnVary === false ? NO_NAMES : learnVary.ignore
    const names = new Set(vary)
    for (const name of reads ?? NO_NAMES) {
      if (asker?.asks(name) !== true && !isIgnored(name, ignored)) names.add(name)
    }
    for (const name of this.#declared ?? NO_NAMES) names.add(name)
    return byMeaning([...names].filter(name => !keyCovers(name, this.#request, this.#settings)), vary)
  }
}

function isIgnored (name: string, ignored: readonly string[]): boolean {
  return isOfQuery(name) ? ignoresQuery(ignored, name) : ignored.includes(name === CLIENT_ADDRESS ? 'ip' : headerOfName(name))
}
