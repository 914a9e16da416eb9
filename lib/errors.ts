/**
 * Every error that this package makes, on one page.
 */
import createError, { type FastifyErrorConstructor } from '@fastify/error'

type WrongLength = [declared: number, got: number]
type WrongOption = [option: string, wanted: string, got: string]

/** An option is wrong. The message names it, says what it wants and what it got. */
export const InvalidOptionError: FastifyErrorConstructor<{ code: string }, WrongOption> = createError<WrongOption>(
  'FST_COALESCE_INVALID_OPTION', '%s must be %s, got %s', 500, TypeError)

/** The plugin was registered a second time in the same context. */
export const AlreadyRegisteredError: FastifyErrorConstructor<{ code: string }, []> = createError<[]>(
  'FST_COALESCE_ALREADY_REGISTERED', 'fastify-coalesce is already registered in this context; register it in a child context to give other defaults')

/** Routes ask for coalescing, and no registration has adopted them. The message names them, and says why and what to write. */
export const UnheardRouteError: FastifyErrorConstructor<{ code: string }, [what: string]> = createError<[what: string]>(
  'FST_COALESCE_UNHEARD_ROUTE', '%s')

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

/** What is kept could not be refreshed. Only logged. */
export const RefreshError: FastifyErrorConstructor<{ code: string }, [why: string]> = createError<[why: string]>(
  'FST_COALESCE_REFRESH_FAILED', 'nothing was refreshed: %s')

/** A client took a stream so much more slowly than others that what it needed next was held no longer. */
export const FellBehindError: FastifyErrorConstructor<{ code: string }, []> = createError<[]>(
  'FST_COALESCE_FELL_BEHIND', 'the client fell too far behind the stream')

/** A stream turned out, while it flowed, to depend on a request header that is another one for this client. */
export const OtherVariantError: FastifyErrorConstructor<{ code: string }, []> = createError<[]>(
  'FST_COALESCE_OTHER_VARIANT', 'the stream depends on a header that differs for this client')

/** A stream's length is not what its Content-Length says. */
export const WrongLengthError: FastifyErrorConstructor<{ code: string }, WrongLength> = createError<WrongLength>(
  'FST_COALESCE_WRONG_LENGTH', 'Content-Length is %d, the stream came to %d bytes')

/** Metrics of the same name but not of this plugin are in the registry. */
export const MetricTakenError: FastifyErrorConstructor<{ code: string }, [name: string]> = createError<[name: string]>(
  'FST_COALESCE_METRIC_TAKEN', 'the registry has another metric named %s; set metrics.prefix', 500)

/** The store cannot tell what it holds. */
export const NotListableError: FastifyErrorConstructor<{ code: string }, []> = createError<[]>(
  'FST_COALESCE_NOT_LISTABLE', 'the store has no way to list its entries', 500)

/** A request with `only-if-cached` found nothing kept. */
export const NotKeptError: FastifyErrorConstructor<{ code: string }, []> = createError<[]>(
  'FST_COALESCE_NOT_KEPT', 'nothing is kept that this request may be answered with', 504)
