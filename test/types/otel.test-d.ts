/**
 * What traces coalescing takes @opentelemetry/api as it is, whole or in part.
 */
import * as api from '@opentelemetry/api'
import { expectAssignable, expectError, expectType } from 'tsd'
import * as front from '../../dist/lib/otel/index.js'
import type { TraceOptions, Tracing, TracingApi, TracingContext, TracingLink, TracingSpan, TracingSpanContext } from '../../dist/lib/otel/index.js'

const { traceCoalescing } = front

// The entry has this name and no others.
expectType<'traceCoalescing'>({} as keyof typeof front)

expectType<() => void>(traceCoalescing(api))
expectType<() => void>(traceCoalescing(api, {}))
expectAssignable<TracingApi>(api)
expectAssignable<Tracing>(api.trace.getTracer('shop'))
expectAssignable<TracingSpan>(api.trace.getTracer('shop').startSpan('a'))
expectAssignable<TracingContext>(api.context.active())
expectAssignable<TracingSpanContext>(api.INVALID_SPAN_CONTEXT)
expectAssignable<TracingLink>({ context: api.INVALID_SPAN_CONTEXT, attributes: { a: 'b' } })
expectAssignable<TraceOptions>({ links: false, waits: true })

expectError(traceCoalescing())
expectError(traceCoalescing(api.trace))
expectError(traceCoalescing(api, { wait: true }))
expectError(traceCoalescing(api, { waits: 'all' }))
