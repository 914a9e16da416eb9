/**
 * The names of all warnings, by which they can be silenced.
 *
 * Invariant: a closed set; the docs have a section for each. A warning has its name in its log line, as `coalesce.event`.
 */

/** What was not shared of a route, and why, in words of its own. */
export const NOTHING_SHARED = Object.freeze([
  'nothing-shared-credentials-authorization', 'nothing-shared-credentials-cookie', 'nothing-shared-credentials-certificate',
  'nothing-shared-credentials-other', 'nothing-shared-split-address', 'nothing-shared-split-cookie', 'nothing-shared-split-header',
  'nothing-shared-split-query', 'nothing-shared-no-identity', 'nothing-shared-no-key', 'nothing-shared-set-cookie', 'nothing-shared-private',
  'nothing-shared-no-store', 'nothing-shared-cache-control-malformed', 'nothing-shared-vary-any', 'nothing-shared-vary-malformed',
  'nothing-shared-status', 'nothing-shared-event-stream', 'nothing-shared-authorization', 'nothing-shared-too-large',
  'nothing-shared-hijacked', 'nothing-shared-unrecorded', 'nothing-shared-unknown-payload', 'nothing-shared-vary', 'nothing-shared-wait-timeout'
] as const)

export type NothingShared = typeof NOTHING_SHARED[number]

/** What is advised, by its kind. What is advised of routes that share nothing has the names above. */
export const ADVICE = Object.freeze([
  'advice-leak', 'advice-too-narrow', 'advice-too-broad', 'advice-ttl', 'advice-placement', 'advice-limits'
] as const)

export const WARNINGS: readonly string[] = Object.freeze([
  ...NOTHING_SHARED, ...ADVICE, 'reads-all-headers', 'varies-too-much', 'reads-query', 'csp-nonce', 'request-id', 'no-identity', 'identity-threw',
  'no-key', 'key-threw', 'ttl-threw', 'not-kept', 'does-not-travel', 'refresh-failed', 'store-failed', 'entry-rejected', 'misspelled', 'misplaced',
  'unheard-route', 'no-refresh', 'skips-gates', 'cookies-not-ignored', 'coordinator-down', 'coordinator-up', 'coordinator-failed', 'coordinator-no-secret',
  'coordinator-rejected', 'coordinator-missed-purges', 'coordinator-purges-lost', 'breaker-open', 'breaker-closed', 'priority-unknown', 'priority-threw',
  'observed-difference', 'observe-failed'
])
