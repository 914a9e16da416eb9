/**
 * May a request join, and under which key?
 *
 * Invariant: it counts nothing and tells nobody. A request whose key cannot be made is never given a shared one.
 */
import type { FastifyRequest } from 'fastify'
import { buildKey } from '../../http/key.js'
import { joinReason, uncoveredCredential } from '../../http/policy.js'
import type { RequestDirectives } from '../../http/request-directives.js'
import { credentialDetail, type BypassReason, type Detail } from '../../reasons.js'
import { narrow } from '../dependencies/narrowing.js'
import { replacedByHooks } from '../dependencies/replaced-by-hooks.js'
import type { CoalescedRoute } from '../request/route.js'

/** It bypasses. */
export interface Refusal {
  readonly reason: BypassReason
  readonly detail: Detail | undefined
  /** A function of the app threw this, or answered that in the place of a key. */
  readonly error: unknown
  readonly got: string | undefined
}

/**
 * The key of a request, or why it may not board.
 *
 * @param demands what it asks of a cache, where that is heeded
 */
export function keyOrRefusal (route: CoalescedRoute, request: FastifyRequest, demands: RequestDirectives | undefined): string | Refusal {
  const { requests: { conductor }, settings } = route
  const told = narrow(request, settings)
  const replaced = replacedByHooks(request, settings)
  const reason = conductor.disabled || route.disabled
    ? 'disabled'
    : joinReason(request as never, settings) ??
      (settings.identity === undefined && replaced.credential !== undefined ? 'credentials' : demands?.noStore === true ? 'request-no-store' : undefined)
  if (reason !== undefined) {
    const detail = reason === 'credentials'
      ? credentialDetail(uncoveredCredential(request.headers, settings) ?? replaced.credential)
      : undefined
    return { reason, detail, error: undefined, got: undefined }
  }
  const isTold = told !== undefined && settings.key === undefined
  const key = buildKey(route.keyHead, request, settings, isTold ? JSON.stringify([replaced.text ?? null, told]) : replaced.text)
  return typeof key === 'string' ? key : { reason: key.fault, detail: undefined, error: key.error, got: key.got }
}
