/**
 * For tracers: what diagnostics channels tell, and what `fastify-coalesce/otel` takes. `TracingApi` is the part of `@opentelemetry/api`
 * that is used: the package itself is the app's, because a second copy of it records nothing.
 */
import type { Outcome } from './outcome.js'

/** What each message of a diagnostics channel says, of a request or of a call of a function. */
export interface Message {
  /** Of a request the id that Fastify gave it, which may repeat; of a call its own. */
  readonly id: string
  /** The same of who runs for it. */
  readonly leaderId: string | undefined
  readonly method: string
  /** The route's pattern, or the name of the function. */
  readonly route: string
  /** Fastify's request itself; undefined for a call. */
  readonly request: object | undefined
  /** The request that runs for it; undefined if that is not known, is in another process, or is a call. */
  readonly leaderRequest: object | undefined
}

/** It takes a place: its run begins, or it waits for another one's. */
export interface BoardMessage extends Message {
  readonly role: 'leader' | 'follower'
  /** How many wait now for the same run. */
  readonly waiters: number
}

/** What a flight came to. */
export interface LandMessage extends Message {
  readonly landing: string
  readonly reason: string
  readonly followers: number
}

/** It has its outcome. */
export interface SettleMessage extends Message {
  readonly outcome: Outcome
  readonly reason: string
  readonly cause?: string
  /** In milliseconds. */
  readonly waited: number
  /** Its client is known to have left. */
  readonly gone?: true
}

/** As in `@opentelemetry/api`. */
export interface TracingSpanContext {
  readonly traceId: string
  readonly spanId: string
  readonly traceFlags: number
}

/** As in `@opentelemetry/api`. */
export interface TracingLink {
  readonly context: TracingSpanContext
  readonly attributes?: Record<string, string>
}

/** As in `@opentelemetry/api`. */
export interface TracingSpan {
  spanContext (): TracingSpanContext
  setAttributes (attributes: Record<string, string | number | boolean>): unknown
  /** Missing before 1.9 of the API: then a request's own span has no link. */
  addLink? (link: TracingLink): unknown
  isRecording (): boolean
  end (): void
}

/** As in `@opentelemetry/api`. */
export interface TracingContext {
  getValue (key: symbol): unknown
  setValue (key: symbol, value: unknown): TracingContext
  deleteValue (key: symbol): TracingContext
}

/** As in `@opentelemetry/api`. */
export interface Tracing {
  startSpan (name: string, options: { links?: TracingLink[], attributes?: Record<string, string> }, context: TracingContext): TracingSpan
}

/** The part of `@opentelemetry/api` that `traceCoalescing` uses. */
export interface TracingApi {
  readonly trace: {
    getTracer (name: string): Tracing
    getSpan (context: TracingContext): TracingSpan | undefined
    isSpanContextValid (context: TracingSpanContext): boolean
  }
  readonly context: { active (): TracingContext }
  readonly diag: { error (message: string, ...args: unknown[]): void }
}

export interface TraceOptions {
  /**
   * Whether spans of those who wait for another one's run link to its span.
   *
   * @default true
   */
  readonly links?: boolean
  /**
   * Whether each wait for another one's run is a span of its own, `coalesce wait`.
   *
   * @default true
   */
  readonly waits?: boolean
}
