/**
 * The front door of fastify-coalesce/otel for `require`.
 *
 * Invariant: nothing is loaded twice. It names the types of lib/otel/index.ts; test/package.test.ts compares them.
 */
import type * as front from './index.js' with { 'resolution-mode': 'import' }

const exported: typeof front = require('./index.js')

declare namespace exported {
  export type TraceOptions = front.TraceOptions
  export type Tracing = front.Tracing
  export type TracingApi = front.TracingApi
  export type TracingContext = front.TracingContext
  export type TracingLink = front.TracingLink
  export type TracingSpan = front.TracingSpan
  export type TracingSpanContext = front.TracingSpanContext
}

export = exported
