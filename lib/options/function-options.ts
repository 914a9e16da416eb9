/**
 * Options of a deduplicated function in; frozen, complete settings out.
 *
 * Invariant: a wrong option throws with its name, and nothing is repaired.
 */
import type { Coordinator, DeduplicateOptions, ResultCodec, ShedReason, Store } from '../../types/index.js'
import { atOnce } from '../http/at-once.js'
import {
  checkEffect, coordinatorOrFalse, FUNCTION_DEFAULTS, functionReaders, KEEPING_DEFAULTS, keepingReaders, store, type FunctionSettings,
  type KeepingSettings
} from './common-options.js'
import { below, callable, duration, durationOr, fail, isName, isObject, listOf, names, optional, read, span, type Parser, type Parsers } from './parsers.js'
import { checkProtection, PROTECTION_DEFAULTS, protectionReaders, type ProtectionSettings } from './protection-options.js'

export interface CallSettings<A extends readonly unknown[], R>
  extends FunctionSettings, KeepingSettings, ProtectionSettings<A, [reason: ShedReason, ...args: A]> {
  readonly key: DeduplicateOptions<A, R>['key']
  readonly name: string | undefined
  readonly clone: ((result: R) => R) | undefined
  /** In milliseconds; undefined: nothing is cached. */
  readonly ttl: number | ((result: R, args: A) => number | undefined) | undefined
  readonly store: Store | undefined
  /** In milliseconds; undefined: the registration's. */
  readonly storeTimeout: number | undefined
  readonly tags: (result: R, args: A) => readonly string[]
  /** Undefined: the registration's, if the function has a name. */
  readonly coordinator: Coordinator | false | undefined
  readonly codec: ResultCodec<R> | undefined
}

const resultTtl: Parser<CallSettings<readonly unknown[], unknown>['ttl']> = (value, name) => {
  if (typeof value !== 'function') return durationOr('a function')(value, name)
  const ttlOf = value as (result: unknown, ...args: readonly unknown[]) => unknown
  return function checkedTtl (result, args) {
    const answer = atOnce(ttlOf(result, ...args))
    return answer === undefined || answer === null ? undefined : span(answer, `the answer of ${name}`) || undefined
  }
}

const cloner: Parser<(result: unknown) => unknown> = (value, name) => {
  const cloneOf = callable<(result: unknown) => unknown>(value, name)
  return function checkedClone (result) {
    const own = atOnce(cloneOf(result))
    return own instanceof Promise ? fail(`the answer of ${name}`, 'a copy, and no promise of one', own) : own
  }
}

const codec: Parser<ResultCodec> = (value, name) =>
  isObject(value) && typeof value.encode === 'function' && typeof value.decode === 'function'
    ? value as unknown as ResultCodec
    : fail(name, 'an object with encode(result) and decode(encoded)', value)

const NO_TAGS = Object.freeze([])

const resultTags: Parser<CallSettings<readonly unknown[], unknown>['tags']> = (value, name) => {
  if (typeof value !== 'function') {
    const own = listOf('an array of names, or a function', isName)(value, name)
    return () => own
  }
  const tagsOf = value as (result: unknown, ...args: readonly unknown[]) => unknown
  return (result, args) => names(atOnce(tagsOf(result, ...args)), `the answer of ${name}`)
}

const noTags = (): readonly string[] => NO_TAGS

/** What has no effect where nothing is cached. */
const NEED_TTL = [...Object.keys(KEEPING_DEFAULTS) as Array<keyof KeepingSettings>, 'store', 'storeTimeout', 'tags'] as const

/**
 * Reads the options of a deduplicated function.
 *
 * @param others the readers of options that functions of another kind have as well, and their defaults
 */
export function readFunctionOptions<A extends readonly unknown[], R, Others extends object = object> (
  options: unknown, path = 'deduplicate options', others = {} as Parsers<Others>, otherDefaults = {} as Others
): CallSettings<A, R> & Others {
  if (!isObject(options)) return fail(path, 'an object', options)
  const readers: Parsers<CallSettings<A, R>> = {
    ...functionReaders,
    ...protectionReaders<A, [ShedReason, ...A]>(),
    key: callable<DeduplicateOptions<A, R>['key']>,
    name: optional((value: unknown, name: string) => isName(value) ? value : fail(name, 'a non-empty string', value)),
    clone: optional(cloner) as Parser<CallSettings<A, R>['clone']>,
    ttl: resultTtl as Parser<CallSettings<A, R>['ttl']>,
    ...keepingReaders,
    store: optional(store),
    storeTimeout: optional(duration),
    tags: resultTags as Parser<CallSettings<A, R>['tags']>,
    coordinator: optional(coordinatorOrFalse),
    codec: optional(codec) as Parser<CallSettings<A, R>['codec']>
  }
  const defaults = {
    ...FUNCTION_DEFAULTS, ...PROTECTION_DEFAULTS, ...KEEPING_DEFAULTS, ttl: undefined, tags: noTags, ...otherDefaults
  } as Partial<CallSettings<A, R> & Others>
  const settings = read({ ...others, ...readers } as Parsers<CallSettings<A, R> & Others>, options, defaults, path)
  if (settings.ttl === undefined) checkEffect<CallSettings<A, R>>(NEED_TTL, options, settings, KEEPING_DEFAULTS, path, 'given with ttl, because without it nothing is cached')
  checkProtection(options, settings, path)
  if (settings.coordinator) {
    if (settings.name === undefined) fail(below(path, 'name'), 'given with coordinator, because processes know the function by it', undefined)
  } else if (settings.coordinator === false && settings.codec !== undefined) {
    fail(below(path, 'codec'), 'given without coordinator: false, because nothing travels', options.codec)
  }
  return settings
}

/** The coordinator of a function: its own, or that of its registration if other processes can know the function. */
export function coordinatorOf (
  { coordinator, name }: Pick<CallSettings<readonly unknown[], unknown>, 'coordinator' | 'name'>, inherited: Coordinator | undefined
): Coordinator | undefined {
  if (coordinator !== undefined) return coordinator === false ? undefined : coordinator
  return name === undefined ? undefined : inherited
}
