/**
 * The front door of fastify-coalesce/otel: spans, links and attributes that say how requests are coalesced.
 */
export { traceCoalescing } from './trace-coalescing.js'
export type {
  TraceOptions, Tracing, TracingApi, TracingContext, TracingLink, TracingSpan, TracingSpanContext
} from '../../types/tracing.js'
