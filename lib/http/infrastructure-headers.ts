/**
 * Request headers that hooks read for purposes other than the response: routing, traces, logs, guards.
 *
 * Invariant: a name is here only if hooks that shape no response read it of requests that are otherwise the same, and its values
 * differ from client to client. A handler that reads one is another matter: then it counts. What tells tenants, languages,
 * versions or experiments apart is not here, nor is what the key covers or what hardly ever differs within a key.
 */

/** Request ids and traces. */
const TRACES = [
  'x-request-id', 'request-id', 'x-correlation-id', 'correlation-id', 'x-transaction-id', 'x-trace-id', 'x-span-id',
  'traceparent', 'tracestate', 'baggage', 'sentry-trace', 'newrelic', 'elastic-apm-traceparent', 'uber-trace-id', 'grpc-trace-bin',
  'b3', 'x-b3-traceid', 'x-b3-spanid', 'x-b3-parentspanid', 'x-b3-sampled', 'x-b3-flags',
  'x-datadog-trace-id', 'x-datadog-parent-id', 'x-datadog-sampling-priority', 'x-datadog-origin', 'x-datadog-tags',
  'x-amzn-trace-id', 'x-amzn-requestid', 'x-amz-cf-id', 'x-cloud-trace-context', 'cf-ray', 'x-vercel-id', 'fly-request-id',
  'x-request-start', 'x-queue-start'
] as const

/** The connection, and how a message is framed on it. Fastify itself reads some of them before the handler. */
const FRAMING = [
  'connection', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'content-length', 'content-type',
  'content-encoding', 'expect', 'upgrade'
] as const

/** The client's address, and the way that the request came. Forwarded says more, and counts for that. */
const FORWARDING = [
  'x-forwarded-for', 'forwarded-for', 'x-real-ip', 'x-client-ip', 'x-cluster-client-ip', 'x-envoy-external-address', 'via',
  'cf-connecting-ip', 'cf-connecting-ipv6', 'true-client-ip', 'fastly-client-ip', 'fly-client-ip', 'do-connecting-ip',
  'x-appengine-user-ip', 'x-azure-clientip', 'x-azure-socketip'
] as const

/** What browsers say of themselves and of where a request came from: for logs and guards, and for CORS, which says `Vary` itself. */
const BROWSERS = [
  'user-agent', 'sec-ch-ua', 'sec-ch-ua-mobile', 'sec-ch-ua-platform', 'sec-ch-ua-platform-version', 'sec-ch-ua-arch', 'sec-ch-ua-bitness',
  'sec-ch-ua-model', 'sec-ch-ua-full-version', 'sec-ch-ua-full-version-list', 'sec-ch-ua-wow64', 'sec-ch-ua-form-factors',
  'sec-fetch-dest', 'sec-fetch-mode', 'sec-fetch-site', 'sec-fetch-user',
  'referer', 'origin'
] as const

/** Conditions, ranges, and what is asked of caches. */
const CACHES = [
  'if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since', 'if-range', 'range', 'cache-control', 'pragma'
] as const

/** All of them, in lower case. docs/headers-hooks-read.md lists the same. */
export const INFRASTRUCTURE_HEADERS: readonly string[] = Object.freeze([...TRACES, ...FRAMING, ...FORWARDING, ...BROWSERS, ...CACHES])

const NAMES = new Set(INFRASTRUCTURE_HEADERS)
const FORWARDS: ReadonlySet<string> = new Set(FORWARDING)
const OF_ONE_REQUEST: ReadonlySet<string> = new Set([...TRACES, ...FRAMING, ...CACHES, 'priority'])

/** Whether a hook's reading of this header says nothing about the response. */
export function isInfrastructure (name: string): boolean {
  return NAMES.has(name)
}

/** Whether it changes from request to request of one client, and says nothing of who asks or for what. */
export function isOfOneRequest (name: string): boolean {
  return OF_ONE_REQUEST.has(name)
}

/** Whether a proxy adds it to say whom it asks for, or which way the request came. */
export function isForwardingHeader (name: string): boolean {
  return FORWARDS.has(name)
}
