import t from 'tap'
import * as errors from '../lib/errors.js'

t.test('each error has a code of its own, a status and a message that says what to do or what happened', async t => {
  const made = [
    new errors.InvalidOptionError('waitTimeout', 'a duration', '"x"'),
    new errors.AlreadyRegisteredError(),
    new errors.UnheardRouteError('GET /x asks for coalescing'),
    new errors.UnknownRouteError('GET /x'),
    new errors.WaitTimeoutError(30),
    new errors.NobodyWaitsError(),
    new errors.FlightTimeoutError(60),
    new errors.FellBehindError(),
    new errors.OtherVariantError(),
    new errors.WrongLengthError(5, 4),
    new errors.MetricTakenError('coalesce_runs_total'),
    new errors.NotListableError(),
    new errors.NotKeptError(),
    new errors.RefreshError('it was answered 401 before its handler'),
    new errors.NotExplainableError(),
    new errors.UnsafeError('GET /x: $.a differs'),
    new errors.RedisUnusableError('Redis does not accept the name or password of the client'),
    new errors.BatchResultError('find answered 3 results for 4 keys'),
    new errors.QueueFullError('database'),
    new errors.QueueTimeoutError('database', 5000),
    new errors.BreakerOpenError('users', 5),
    new errors.UnguardedPageError('coalesce options.dashboard.routeOptions'),
    new errors.PageRefusedError('no'),
    new errors.UnknownBreakerError('users')
  ]
  t.equal(made.length, Object.keys(errors).length, 'no error is left out')
  t.strictSame(made.map(({ code, statusCode, message }) => [code, statusCode, message]), [
    ['FST_COALESCE_INVALID_OPTION', 500, 'waitTimeout must be a duration, got "x"'],
    ['FST_COALESCE_ALREADY_REGISTERED', 500, 'fastify-coalesce is already registered in this context; register it in a child context to give other defaults'],
    ['FST_COALESCE_UNHEARD_ROUTE', 500, 'GET /x asks for coalescing'],
    ['FST_COALESCE_UNKNOWN_ROUTE', 500, 'no coalesced route GET /x'],
    ['FST_COALESCE_WAIT_TIMEOUT', 503, 'no response within 30 ms'],
    ['FST_COALESCE_NOBODY_WAITS', 499, 'every client that waited for this run is gone'],
    ['FST_COALESCE_FLIGHT_TIMEOUT', 504, 'the run took longer than 60 ms'],
    ['FST_COALESCE_FELL_BEHIND', 500, 'the client fell too far behind the stream'],
    ['FST_COALESCE_OTHER_VARIANT', 500, 'the stream depends on a header that differs for this client'],
    ['FST_COALESCE_WRONG_LENGTH', 500, 'Content-Length is 5, the stream came to 4 bytes'],
    ['FST_COALESCE_METRIC_TAKEN', 500, 'the registry has another metric named coalesce_runs_total; set metrics.prefix'],
    ['FST_COALESCE_NOT_LISTABLE', 500, 'the store has no way to list its entries'],
    ['FST_COALESCE_NOT_KEPT', 504, 'nothing is kept that this request may be answered with'],
    ['FST_COALESCE_REFRESH_FAILED', 500, 'nothing was refreshed: it was answered 401 before its handler'],
    ['FST_COALESCE_NOT_EXPLAINABLE', 500, 'this version of Fastify does not let requests be explained'],
    ['FST_COALESCE_UNSAFE', 500, 'GET /x: $.a differs'],
    ['FST_COALESCE_REDIS_UNUSABLE', 500, 'Redis does not accept the name or password of the client'],
    ['FST_COALESCE_BATCH_RESULT', 500, 'find answered 3 results for 4 keys'],
    ['FST_COALESCE_QUEUE_FULL', 503, 'too many runs wait in the queue database'],
    ['FST_COALESCE_QUEUE_TIMEOUT', 503, 'no run of the queue database could begin within 5000 ms'],
    ['FST_COALESCE_BREAKER_OPEN', 503, 'circuit breaker users lets no run begin; try again in 5 s'],
    [
      'FST_COALESCE_UNGUARDED_PAGE',
      500,
      'coalesce options.dashboard.routeOptions must hold a hook that lets only those see the live page who may, such as { onRequest: checkAdmin }, even if the ' +
        'instance has it as well; or write public: true for clients on this machine only'
    ],
    ['FST_COALESCE_PAGE_REFUSED', 403, 'no'],
    ['FST_COALESCE_UNKNOWN_BREAKER', 404, 'no circuit breaker users']
  ])
  t.strictSame(made.map(error => error instanceof Error), made.map(() => true))
  t.ok(made[0] instanceof TypeError)
  t.ok(made[3] instanceof RangeError)
})

t.test('what a message quotes is not taken for a format', async t => {
  t.equal(new errors.InvalidOptionError('%s', '%d', '%j').message, '%s must be %d, got %j')
})
