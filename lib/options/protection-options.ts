/**
 * The options that protect what is behind runs: `queue`, `breaker`, `priority` and `fallback`, of routes and of functions.
 *
 * Invariant: as for all options: a wrong one throws with its name, and nothing is repaired. A queue or breaker that `runQueue` or
 * `circuitBreaker` made is handed on as it is; of options each route and each function makes one of its own.
 */
import { types } from 'node:util'
import type { Clock } from '../../types/index.js'
import { Breaker, type BreakerSettings } from '../protection/breaker.js'
import { Queue, type QueueSettings } from '../protection/queue.js'
import { atOnce } from '../http/at-once.js'
import { checkEffect } from './common-options.js'
import {
  below, callable, clock, duration, durationOr, fail, integer, isName, isObject, optional, read, type Parser, type Parsers
} from './parsers.js'

/** Options of a queue, read. */
export interface QueueSetup extends QueueSettings {
  /** Undefined: that of the registration, or the system's. */
  readonly clock: Clock | undefined
}

/** Options of a breaker, read. */
export interface BreakerSetup extends BreakerSettings {
  /** Undefined: that of the registration, or the system's. */
  readonly clock: Clock | undefined
}

/** `Subject` is what a run is for: a request, or the arguments of a call. `Told` is what a fallback is called with. */
export interface ProtectionSettings<Subject extends readonly unknown[], Told extends readonly unknown[]> {
  readonly queue: QueueSetup | Queue | undefined
  readonly breaker: BreakerSetup | Breaker | undefined
  /** The name of a level, or what answers one; undefined: the middle level. */
  readonly priority: string | ((...subject: Subject) => unknown) | undefined
  readonly fallback: ((...told: Told) => unknown) | undefined
}

export const PROTECTION_DEFAULTS = Object.freeze({ queue: undefined, breaker: undefined, priority: undefined, fallback: undefined })

const MOST_LEVELS = 8
/** They are labels of metrics. */
const LONGEST_LEVEL = 64
const LONGEST_NAME = 128

/** A function of the app whose answer counts at once. */
const answering = <F>(value: unknown, name: string): F => {
  const own = callable<(...args: unknown[]) => unknown>(value, name)
  return function answeredAtOnce (this: unknown, ...args: unknown[]) {
    return atOnce(Reflect.apply(own, this, args))
  } as F
}

/** One of which nobody would be told that its promises count for nothing. */
const answeringAtOnce = <F>(value: unknown, name: string): F =>
  types.isAsyncFunction(value) ? fail(name, 'a function that is not async', value) : answering<F>(value, name)

const durationOrFalse: Parser<number> = (value, name) => value === false ? Infinity : durationOr('false')(value, name)

const levels: Parser<readonly string[]> = (value, name) => {
  const own: unknown[] = Array.isArray(value) ? [...value] : []
  const differ = new Set(own).size === own.length
  return differ && own.length >= 1 && own.length <= MOST_LEVELS && own.every(level => isName(level) && level.length <= LONGEST_LEVEL)
    ? Object.freeze(own as string[])
    : fail(name, `1 to ${MOST_LEVELS} names of at most ${LONGEST_LEVEL} characters, no two of them the same`, value)
}

const ownName = optional<string>((value, name) =>
  isName(value) && value.length <= LONGEST_NAME ? value : fail(name, `a name of 1 to ${LONGEST_NAME} characters`, value))

const queueReaders: Parsers<QueueSetup> = {
  maxRuns: integer(1),
  maxQueued: integer(0),
  queueTimeout: duration,
  levels,
  aging: durationOrFalse,
  name: ownName,
  clock: optional(clock)
}

const QUEUE_DEFAULTS: Omit<QueueSetup, 'maxRuns'> = Object.freeze({
  maxQueued: 1_000,
  queueTimeout: 5_000,
  levels: Object.freeze(['high', 'normal', 'low']),
  aging: 1_000,
  name: undefined,
  clock: undefined
})

const breakerReaders: Parsers<BreakerSetup> = {
  threshold: (value, name) => typeof value === 'number' && value > 0 && value <= 1 ? value : fail(name, 'a number above 0, and at most 1', value),
  minimumRuns: integer(1),
  window: duration,
  consecutive: (value, name) => value === false || (Number.isSafeInteger(value) && value as number >= 1)
    ? value as number | false
    : fail(name, 'a whole number from 1, or false', value),
  openFor: duration,
  maxOpenFor: duration,
  probes: integer(1),
  slow: durationOrFalse,
  by: optional(answeringAtOnce<NonNullable<BreakerSettings['by']>>),
  isFailure: optional(answeringAtOnce<NonNullable<BreakerSettings['isFailure']>>),
  name: ownName,
  clock: optional(clock)
}

const BREAKER_DEFAULTS: BreakerSetup = Object.freeze({
  threshold: 0.5,
  minimumRuns: 10,
  window: 10_000,
  consecutive: false,
  openFor: 5_000,
  maxOpenFor: 60_000,
  probes: 1,
  slow: Infinity,
  by: undefined,
  isFailure: undefined,
  name: undefined,
  clock: undefined
})

/** Whether it can be options: an instance of a class, such as a queue in the place of a breaker, would be read as an object without any. */
function isPlain (value: unknown): value is Record<string, unknown> {
  if (!isObject(value)) return false
  const prototype = Object.getPrototypeOf(value) as unknown
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** Reads the options of a queue. */
export function readQueue (options: unknown, path: string): QueueSetup {
  return read<QueueSetup>(queueReaders, isPlain(options) ? options : fail(path, 'an object with maxRuns', options), QUEUE_DEFAULTS, path)
}

/** Reads the options of a breaker. */
export function readBreaker (options: unknown, path: string): BreakerSetup {
  const own = isPlain(options) ? options : fail(path, 'an object', options)
  const settings = read<BreakerSetup>(breakerReaders, own, BREAKER_DEFAULTS, path)
  const { openFor, maxOpenFor } = settings
  if (openFor > maxOpenFor) fail(below(path, 'maxOpenFor'), `at least openFor (${openFor} ms)`, own.maxOpenFor ?? maxOpenFor)
  return settings
}

const queue: Parser<QueueSetup | Queue | undefined> = (value, name) => {
  if (value === false) return undefined
  if (value instanceof Queue) return value
  return isPlain(value) ? readQueue(value, name) : fail(name, 'an object with maxRuns, what runQueue() made, or false', value)
}

const breaker: Parser<BreakerSetup | Breaker | undefined> = (value, name) => {
  if (value === false) return undefined
  if (value instanceof Breaker) return value
  return isPlain(value) ? readBreaker(value, name) : fail(name, 'an object of options, what circuitBreaker() made, or false', value)
}

/** For a registration, where options stand for one of each route. */
const unnamed = <T>(parser: Parser<T>): Parser<T> => (value, name) => {
  const setting = parser(value, name)
  if (isPlain(value) && value.name !== undefined) fail(below(name, 'name'), 'left out, because each route has its own', value.name)
  return setting
}

export function protectionReaders<
  Subject extends readonly unknown[], Told extends readonly unknown[]
> (): Parsers<ProtectionSettings<Subject, Told>> {
  type Own = ProtectionSettings<Subject, Told>
  return {
    queue,
    breaker,
    priority: optional((value: unknown, name: string) =>
      typeof value === 'function'
        ? answering<NonNullable<Own['priority']>>(value, name)
        : isName(value) ? value : fail(name, 'the name of a level, or a function', value)),
    fallback: optional(callable<NonNullable<Own['fallback']>>)
  }
}

/** Those of a registration that differ from a route's. */
export const protectionOfRoutes = Object.freeze({ queue: unnamed(queue), breaker: unnamed(breaker) })

type Protecting = Pick<ProtectionSettings<never[], never[]>, keyof typeof PROTECTION_DEFAULTS>

/** Checks that a route or function sets nothing that has no effect, and has a level that there is. */
export function checkProtection (options: Readonly<Record<string, unknown>>, settings: Protecting, path: string): void {
  if (settings.queue === undefined) {
    checkEffect(['priority'], options, settings, PROTECTION_DEFAULTS, path, 'given with queue, because without one no run waits')
    if (settings.breaker === undefined) {
      checkEffect(['fallback'], options, settings, PROTECTION_DEFAULTS, path, 'given with queue or breaker, because without them no run is refused')
    }
  }
  checkLevel(settings, path)
}

export function checkLevel ({ queue, priority }: Protecting, path: string): void {
  if (queue === undefined || typeof priority !== 'string' || queue.levels.includes(priority)) return
  fail(below(path, 'priority'), `one of the levels of its queue (${queue.levels.map(level => `'${level}'`).join(', ')})`, priority)
}
