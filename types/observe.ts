/**
 * For users of observe mode: what would have been shared is compared with what each client was answered.
 */
import type { Duration } from './values.js'

/** A response, as `clean` sees it. */
export interface ComparedResponse {
  readonly status: number
  /** Its `Content-Type`; undefined if it has none. */
  readonly type: string | undefined
  readonly body: string
}

/**
 * Options of observe mode. Without `verify` nothing of the route is shared: each request runs its own handler, and what it would have been
 * given is compared with that.
 */
export interface ObserveOptions {
  /**
   * The part of the requests that is compared; from 0 to 1. Not with `verify`.
   * @default 1
   */
  rate?: number
  /**
   * Has the route share as ever, but for this part of the followers and hits, from 0 to 1: each of them runs its own handler, is answered with
   * that, and is compared with what it would have been given. 0: nothing is shared at all.
   * @default 0
   */
  verify?: number
  /**
   * The longest time between two requests that are compared.
   * @default '5s'
   */
  window?: Duration
  /**
   * What may differ: paths of a JSON body, such as `'$.took'` or `'$.items[].seen'`. `*` at the end stands for any rest.
   * @default []
   */
  ignore?: readonly string[]
  /** Makes the text that is compared, for instance without what differs in each response. If it throws, the response is not compared. Default: the body. */
  clean? (response: ComparedResponse): string
  /**
   * What happens when a response differs from the one that its client would have been given: it is reported, or the route is switched off as
   * well, as by `fastify.coalesce.disable`. `'disable'` has an effect with `verify` only.
   * @default 'report'
   */
  onMismatch?: 'report' | 'disable'
  /**
   * The part of one core that comparing may take, from 0 to 1. Past it responses are not compared, and are counted as skipped. Of a
   * registration, for all its routes together.
   * @default 0.01
   */
  budget?: number
  /**
   * The most bytes that are held to compare with. Of a registration, for all its routes together.
   * @default 8388608
   */
  maxBytes?: number
}
