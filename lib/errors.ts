/**
 * Every error that this package makes, on one page.
 */
import createError, { type FastifyErrorConstructor } from '@fastify/error'

type WrongOption = [option: string, wanted: string, got: string]

/** An option is wrong. The message names it, says what it wants and what it got. */
export const InvalidOptionError: FastifyErrorConstructor<{ code: string }, WrongOption> = createError<WrongOption>(
  'FST_COALESCE_INVALID_OPTION', '%s must be %s, got %s', 500, TypeError)

/** The plugin was registered a second time in the same context. */
export const AlreadyRegisteredError: FastifyErrorConstructor<{ code: string }, []> = createError<[]>(
  'FST_COALESCE_ALREADY_REGISTERED', 'fastify-coalesce is already registered in this context; register it in a child context to give other defaults')

/** `disable` or `enable` named a route that is not coalesced. */
export const UnknownRouteError: FastifyErrorConstructor<{ code: string }, [route: string]> = createError<[route: string]>(
  'FST_COALESCE_UNKNOWN_ROUTE', 'no coalesced route %s', 500, RangeError)

/** A follower's patience ended (`onWaitTimeout: 'error'`). */
export const WaitTimeoutError: FastifyErrorConstructor<{ code: string }, [waitTimeout: number]> = createError<[waitTimeout: number]>(
  'FST_COALESCE_WAIT_TIMEOUT', 'no response within %d ms', 503)

/** Nobody needs the run any more. The reason of its aborted signal. */
export const NobodyWaitsError: FastifyErrorConstructor<{ code: string }, []> = createError<[]>(
  'FST_COALESCE_NOBODY_WAITS', 'every client that waited for this run is gone', 499)

/** The run took longer than `flightTimeout`. The reason of its aborted signal. */
export const FlightTimeoutError: FastifyErrorConstructor<{ code: string }, [flightTimeout: number]> = createError<[flightTimeout: number]>(
  'FST_COALESCE_FLIGHT_TIMEOUT', 'the run took longer than %d ms', 504)

/** Metrics of the same name but not of this plugin are in the registry. */
export const MetricTakenError: FastifyErrorConstructor<{ code: string }, [name: string]> = createError<[name: string]>(
  'FST_COALESCE_METRIC_TAKEN', 'the registry has another metric named %s; set metrics.prefix', 500)
