/**
 * Options of observe mode: what is read of them, what a route takes from its registration, and what is refused.
 */
import t from 'tap'
import { InvalidOptionError } from '../../lib/errors.js'
import { OBSERVE } from '../../lib/options/observe-options.js'
import { readOptions } from '../../lib/options/options.js'
import { readRouteOptions, type RouteSettings } from '../../lib/options/route-options.js'
import type { CoalesceOptions, CoalesceRouteOptions } from '../../types/index.js'

const registration = (observe: unknown): RouteSettings =>
  readOptions({ observe } as CoalesceOptions, { semicolonDelimits: false, parsesItself: false, trustsByAddress: false }).routes
const route = (observe: unknown, defaults = registration(undefined)): RouteSettings =>
  readRouteOptions({ observe } as CoalesceRouteOptions, defaults, 'GET /x')

function refusal (read: () => unknown): string {
  try {
    read()
    return 'accepted'
  } catch (error) {
    if (!(error instanceof InvalidOptionError)) throw error
    return error.message
  }
}

t.test('nothing is observed unless that is asked for', async t => {
  t.equal(registration(undefined).observe, undefined)
  t.equal(registration(false).observe, undefined)
  t.equal(route(undefined).observe, undefined)
  t.equal(route(false, registration(true)).observe, undefined, 'a route can stay out')
})

t.test('options are read, complete and frozen', async t => {
  t.strictSame({ ...registration(true).observe }, { ...OBSERVE })
  t.strictSame({ ...route(true).observe }, { ...OBSERVE })
  const ignore = ['$.took', '$.items[].seen', '<text>']
  const clean = (): string => ''
  const { observe } = route({ rate: 0.5, window: '2s', ignore, clean })
  t.strictSame({ ...observe }, { ...OBSERVE, rate: 0.5, window: 2_000, ignore, clean })
  t.ok(Object.isFrozen(observe) && Object.isFrozen(observe?.ignore))
  t.strictSame({ ...registration({ budget: 0.5, maxBytes: 0 }).observe }, { ...OBSERVE, budget: 0.5, maxBytes: 0 })
  t.match({ ...registration({ verify: 0.01, onMismatch: 'disable' }).observe }, { verify: 0.01, onMismatch: 'disable' })
})

t.test('a route begins with what its registration has', async t => {
  const defaults = registration({ window: '1s', budget: 0.5, maxBytes: 100, ignore: ['$.took'] })
  t.strictSame({ ...route(true, defaults).observe }, { ...defaults.observe })
  t.strictSame({ ...route({ verify: 0.1 }, defaults).observe }, { ...defaults.observe, verify: 0.1 })
  t.equal(readRouteOptions({}, defaults, 'GET /x').observe, defaults.observe)
  t.equal(readRouteOptions(true, defaults, 'GET /x').observe, defaults.observe)
})

t.test('a wrong option is refused, by name, with what it must be and what it is', async t => {
  const of = 'config.coalesce.observe'
  for (const [given, says] of [
    ['yes', `${of} of GET /x must be true, false or an object, got "yes"`],
    [{ rat: 1 }, `${of}.rat of GET /x is unknown; did you mean rate?`],
    [{ rate: 2 }, `${of}.rate of GET /x must be a number from 0 to 1, got 2`],
    [{ verify: '1 %' }, `${of}.verify of GET /x must be a number from 0 to 1, got "1 %"`],
    [{ window: 0 }, `${of}.window of GET /x must be a duration from 1 ms to 2147483647 ms: milliseconds, or a string like '30s', got 0`],
    [{ ignore: ['took'] }, `${of}.ignore of GET /x must be an array of paths, such as '$.took' and '$.items[].seen', got ["took"]`],
    [{ clean: true }, `${of}.clean of GET /x must be a function, got true`],
    [{ onMismatch: 'stop' }, `${of}.onMismatch of GET /x must be 'report' or 'disable', got "stop"`],
    [{ rate: 0.5, verify: 0.1 }, `${of}.rate of GET /x must be left out with verify, which says itself how many are compared, got 0.5`],
    [{ onMismatch: 'disable' }, `${of}.onMismatch of GET /x must be given with verify, because without it nothing is shared that could be switched off, got "disable"`],
    [{ budget: 0.1 }, `${of}.budget of GET /x must be given at registration, because its routes have it together, got 0.1`],
    [{ maxBytes: 1 }, `${of}.maxBytes of GET /x must be given at registration, because its routes have it together, got 1`]
  ] as const) t.equal(refusal(() => route(given)), says)
  t.equal(refusal(() => registration({ budget: 2 })), 'coalesce options.observe.budget must be a number from 0 to 1, got 2')
  t.equal(refusal(() => registration({ maxBytes: -1 })), 'coalesce options.observe.maxBytes must be a whole number from 0, got -1')
  t.equal(refusal(() => registration(1)), 'coalesce options.observe must be true, false or an object, got 1')
})
