/**
 * All errors that this package makes.
 */
import createError, { type FastifyErrorConstructor } from '@fastify/error'

type WrongLength = [declared: number, got: number]
type OpenBreaker = [breaker: string, seconds: number]
type WrongOption = [option: string, wanted: string, got: string]

/** An option has an invalid value. The message has the name of the option, the values that are valid, and the value that was given. */
export const InvalidOptionError: FastifyErrorConstructor<{ code: string }, WrongOption> = createError<WrongOption>(
  'FST_COALESCE_INVALID_OPTION', '%s must be %s, got %s', 500, TypeError)

/** The plugin was registered a second time in the same context. */
export const AlreadyRegisteredError: FastifyErrorConstructor<{ code: string }, []> = createError<[]>(
  'FST_COALESCE_ALREADY_REGISTERED', 'fastify-coalesce is already registered in this context; register it in a child context to give other defaults')

/** Routes have a `coalesce` setting, but no registration of the plugin has adopted them. The message names the routes, the cause and the remedy. */
export const UnheardRouteError: FastifyErrorConstructor<{ code: string }, [what: string]> = createError<[what: string]>(
  'FST_COALESCE_UNHEARD_ROUTE', '%s')

/** `disable` or `enable` named a route that is not coalesced. */
export const UnknownRouteError: FastifyErrorConstructor<{ code: string }, [route: string]> = createError<[route: string]>(
  'FST_COALESCE_UNKNOWN_ROUTE', 'no coalesced route %s', 500, RangeError)

/** A follower has waited for `waitTimeout` (`onWaitTimeout: 'error'`). */
export const WaitTimeoutError: FastifyErrorConstructor<{ code: string }, [waitTimeout: number]> = createError<[waitTimeout: number]>(
  'FST_COALESCE_WAIT_TIMEOUT', 'no response within %d ms', 503)

/** All clients that waited for a run have left. The signal of the run is aborted with this error as its reason. */
export const NobodyWaitsError: FastifyErrorConstructor<{ code: string }, []> = createError<[]>(
  'FST_COALESCE_NOBODY_WAITS', 'every client that waited for this run is gone', 499)

/** A run took longer than `flightTimeout`. The signal of the run is aborted with this error as its reason. */
export const FlightTimeoutError: FastifyErrorConstructor<{ code: string }, [flightTimeout: number]> = createError<[flightTimeout: number]>(
  'FST_COALESCE_FLIGHT_TIMEOUT', 'the run took longer than %d ms', 504)

/** A background refresh failed. The error is only logged: clients get the stale response. */
export const RefreshError: FastifyErrorConstructor<{ code: string }, [why: string]> = createError<[why: string]>(
  'FST_COALESCE_REFRESH_FAILED', 'nothing was refreshed: %s')

/** A client read a shared stream so slowly that the bytes it needs next have been dropped. */
export const FellBehindError: FastifyErrorConstructor<{ code: string }, []> = createError<[]>(
  'FST_COALESCE_FELL_BEHIND', 'the client fell too far behind the stream')

/** A handler read a request header after its shared stream had started, and this client sent another value of the header. */
export const OtherVariantError: FastifyErrorConstructor<{ code: string }, []> = createError<[]>(
  'FST_COALESCE_OTHER_VARIANT', 'the stream depends on a header that differs for this client')

/** A stream has more or fewer bytes than its Content-Length says. */
export const WrongLengthError: FastifyErrorConstructor<{ code: string }, WrongLength> = createError<WrongLength>(
  'FST_COALESCE_WRONG_LENGTH', 'Content-Length is %d, the stream came to %d bytes')

/** The metrics registry has a metric with the same name that is not from this plugin. */
export const MetricTakenError: FastifyErrorConstructor<{ code: string }, [name: string]> = createError<[name: string]>(
  'FST_COALESCE_METRIC_TAKEN', 'the registry has another metric named %s; set metrics.prefix', 500)

/** The store has no method that lists its entries. */
export const NotListableError: FastifyErrorConstructor<{ code: string }, []> = createError<[]>(
  'FST_COALESCE_NOT_LISTABLE', 'the store has no way to list its entries', 500)

/** A request has `only-if-cached`, and the cache has no response for it. */
export const NotKeptError: FastifyErrorConstructor<{ code: string }, []> = createError<[]>(
  'FST_COALESCE_NOT_KEPT', 'nothing is kept that this request may be answered with', 504)

/** `explain` cannot tell which route a request comes to before hooks run: this Fastify has not what it looks at. */
export const NotExplainableError: FastifyErrorConstructor<{ code: string }, []> = createError<[]>(
  'FST_COALESCE_NOT_EXPLAINABLE', 'this version of Fastify does not let requests be explained')

/** What was compared may not be shared, or nothing was compared. The message names routes, where responses differ, and why. */
export const UnsafeError: FastifyErrorConstructor<{ code: string }, [what: string]> = createError<[what: string]>(
  'FST_COALESCE_UNSAFE', '%s', 500)

/** Redis is configured so that it can never be used as a coordinator or store. The message says what is wrong, and what to change. */
export const RedisUnusableError: FastifyErrorConstructor<{ code: string }, [what: string]> = createError<[what: string]>(
  'FST_COALESCE_REDIS_UNUSABLE', '%s', 500)

/** A batched function answered something that is no result for its keys. The message says what. */
export const BatchResultError: FastifyErrorConstructor<{ code: string }, [what: string]> = createError<[what: string]>(
  'FST_COALESCE_BATCH_RESULT', '%s', 500)

/** A run was refused because too many wait for a slot of its queue, or gave its place there to a more urgent one. */
export const QueueFullError: FastifyErrorConstructor<{ code: string }, [queue: string]> = createError<[queue: string]>(
  'FST_COALESCE_QUEUE_FULL', 'too many runs wait in the queue %s', 503)

/** A run has waited for a slot of its queue for `queueTimeout`. */
export const QueueTimeoutError: FastifyErrorConstructor<{ code: string }, [queue: string, queueTimeout: number]> =
  createError<[queue: string, queueTimeout: number]>('FST_COALESCE_QUEUE_TIMEOUT', 'no run of the queue %s could begin within %d ms', 503)

/** A circuit breaker lets no run begin, because those before it failed. The message has its name, and in how many seconds it is worth trying again. */
export const BreakerOpenError: FastifyErrorConstructor<{ code: string }, OpenBreaker> = createError<OpenBreaker>(
  'FST_COALESCE_BREAKER_OPEN', 'circuit breaker %s lets no run begin; try again in %d s', 503)

/** The live page would be open to everybody. The message says what to write. */
export const UnguardedPageError: FastifyErrorConstructor<{ code: string }, [option: string]> = createError<[option: string]>(
  'FST_COALESCE_UNGUARDED_PAGE', '%s must hold a hook that lets only those see the live page who may, such as { onRequest: checkAdmin }, even if the ' +
  'instance has it as well; or write public: true for clients on this machine only')

/** The live page does not answer a request. The message says why. */
export const PageRefusedError: FastifyErrorConstructor<{ code: string }, [why: string]> = createError<[why: string]>(
  'FST_COALESCE_PAGE_REFUSED', '%s', 403)

/** The live page was to open or close a circuit breaker that there is not. */
export const UnknownBreakerError: FastifyErrorConstructor<{ code: string }, [name: string]> = createError<[name: string]>(
  'FST_COALESCE_UNKNOWN_BREAKER', 'no circuit breaker %s', 404)
