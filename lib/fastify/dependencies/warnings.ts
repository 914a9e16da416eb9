/**
 * Warns about responses that depend on more than the app's author may expect.
 *
 * Invariant: each warning is logged once per route. It has names of headers and parameters, never their values.
 */
import { isOfQuery, REST } from '../../http/query.js'
import { READS_ALL_HEADERS } from '../../observers/advice.js'
import type { Log } from '../../observers/observer.js'
import { quiet } from '../../observers/warn.js'
import type { Tally } from '../../observers/tally.js'

/** The part of a request that a warning needs. */
interface Warned {
  readonly log: Log
  readonly origin: object
  readonly tally: Tally
}

export class Warnings {
  readonly #warned = new WeakMap<object, Set<string>>()
  readonly #silenced: ReadonlySet<string>

  constructor (silenced: ReadonlySet<string>) {
    this.#silenced = silenced
  }

  /** The handler or a hook reads all headers, so the dependencies of the responses are unknown. */
  readsAll (of: Warned): void {
    this.#warn(of, 'reads-all-headers', `coalesce: ${READS_ALL_HEADERS}`)
  }

  /** The body contains something that belongs to one reply only. */
  holdsOwn (of: Warned, reason: 'csp-nonce' | 'request-id'): void {
    this.#warn(of, reason, reason === 'csp-nonce'
      ? 'coalesce: the body holds a nonce of its own Content-Security-Policy, or is HTML in a stream, which may, so it is not shared; ' +
        "learnVary: { ignore: ['reply.cspNonce'] } says that this does not matter"
      : 'coalesce: the body holds the id of its request, so it is not shared; ' +
        "learnVary: { ignore: ['request.id'] } shares it, with the id of the request that ran")
  }

  /** The responses depend on these names. Warns only if one of them is a part of the query that the key leaves out. */
  learned (of: Warned, names: readonly string[]): void {
    const name = names.find(isOfQuery)
    if (name === undefined) return
    this.#warn(of, 'reads-query', name === REST
      ? "coalesce: a hook reads the URL or all of the query, so what the query option leaves out tells responses apart; learnVary: { ignore: ['?'] } says that it does not"
      : 'coalesce: a hook reads a parameter that the query option leaves out, so it tells responses apart; learnVary: { ignore } with this name says that it does not', { reads: name.slice(0, 64) })
  }

  /** The responses depend on more names than the plugin remembers. */
  tooVaried (of: Warned): void {
    this.#warn(of, 'varies-too-much',
      'coalesce: the responses depend on more request headers than can be remembered, as where clients say which are read, so they are not shared for a while; learnVary: false trusts their own Vary')
  }

  #warn ({ log, origin, tally }: Warned, event: string, message: string, more = {}): void {
    const warned = this.#warned.get(origin) ?? new Set()
    if (warned.has(event)) return
    this.#warned.set(origin, warned.add(event))
    quiet(log, this.#silenced).warn({ coalesce: { event, route: tally.route, ...more } }, message)
  }
}
