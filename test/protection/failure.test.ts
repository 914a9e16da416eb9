import t from 'tap'
import { hasFailed } from '../../lib/protection/failure.js'
import { BreakerOpenError, FlightTimeoutError, NobodyWaitsError, WaitTimeoutError } from '../../lib/errors.js'
import type { BreakerOptions } from '../../types/index.js'

const failed = (status: number | undefined, error?: unknown): boolean | undefined =>
  hasFailed({ status, error }, 1, { slow: Infinity, isFailure: undefined })

t.test('a run fails if it throws or has a status from 500', async t => {
  t.equal(failed(undefined), false)
  t.equal(failed(200), false)
  t.equal(failed(404), false)
  t.equal(failed(499), false)
  t.equal(failed(500), true)
  t.equal(failed(503), true)
  for (const error of [new Error('down'), 'down', null, 0, '', Symbol('down'), new FlightTimeoutError(10), new WaitTimeoutError(10)]) t.equal(failed(undefined, error), true)
})

t.test('an error that is the client\'s own is no failure', async t => {
  for (const statusCode of [400, 404, 499]) t.equal(failed(undefined, Object.assign(new Error('no'), { statusCode })), false)
  for (const statusCode of [200, 399, 500, 503, '404', NaN]) t.equal(failed(undefined, Object.assign(new Error('no'), { statusCode })), true)
})

t.test('what an app makes of an error decides', async t => {
  t.equal(failed(200, new Error('down')), false)
  t.equal(failed(404, new Error('down')), false)
  t.equal(failed(500, Object.assign(new Error('no'), { statusCode: 404 })), true)
  t.equal(failed(502, new Error('down')), true)
})

t.test('what protection further inside refused tells nothing, nor does a run that nobody waits for', async t => {
  for (const code of ['FST_COALESCE_QUEUE_FULL', 'FST_COALESCE_QUEUE_TIMEOUT', 'FST_COALESCE_BREAKER_OPEN', 'FST_COALESCE_NOBODY_WAITS']) {
    t.equal(failed(undefined, Object.assign(new Error('refused'), { code, statusCode: 503 })), undefined, code)
  }
  t.equal(failed(undefined, new BreakerOpenError('inner', 1)), undefined)
  t.equal(failed(503, new BreakerOpenError('inner', 1)), undefined)
  t.equal(failed(200, new BreakerOpenError('inner', 1)), undefined, 'an app that has an answer all the same')
  t.equal(failed(undefined, new NobodyWaitsError()), undefined)
  t.equal(failed(undefined, Object.assign(new Error('other'), { code: 'ECONNREFUSED' })), true)
})

t.test('a run that took longer than slow has failed, unless it tells nothing', async t => {
  const settings = { slow: 100, isFailure: undefined }
  t.equal(hasFailed({ status: 200, error: undefined }, 100, settings), false)
  t.equal(hasFailed({ status: 200, error: undefined }, 101, settings), true)
  t.equal(hasFailed({ status: 200, error: undefined }, 101, { slow: 100, isFailure: () => false }), true)
  t.equal(hasFailed({ status: 200, error: undefined }, 101, { slow: 100, isFailure: () => undefined }), undefined)
  t.equal(hasFailed(undefined, 101, settings), undefined)
})

t.test('isFailure is told status, error and duration, and decides', async t => {
  const error = new Error('down')
  const told: unknown[] = []
  for (const said of [true, false, undefined]) {
    const isFailure: BreakerOptions['isFailure'] = run => {
      told.push(run)
      return said
    }
    t.equal(hasFailed({ status: 500, error }, 7, { slow: Infinity, isFailure }), said)
  }
  t.strictSame(told, Array.from({ length: 3 }, () => ({ status: 500, error, duration: 7 })))
  const isFailure = (): boolean => t.fail('is not asked')
  t.equal(hasFailed(undefined, 7, { slow: Infinity, isFailure }), undefined)
})

t.test('where isFailure throws, or answers something else, the default holds', async t => {
  const throws = (): never => { throw new Error('bug') }
  const odd = (() => 'yes') as unknown as () => boolean
  for (const isFailure of [throws, odd]) {
    t.equal(hasFailed({ status: 500, error: undefined }, 7, { slow: Infinity, isFailure }), true)
    t.equal(hasFailed({ status: 200, error: undefined }, 7, { slow: Infinity, isFailure }), false)
  }
})

t.test('an error that throws when it is read is a failure', async t => {
  const hostile = new Proxy({}, { get () { throw new Error('hands off') } })
  t.equal(failed(undefined, hostile), true)
  t.equal(failed(200, hostile), false)
})
