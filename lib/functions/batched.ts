/**
 * Batched functions: calls with different keys that run at the same time become one call, with all of their keys.
 *
 * Invariant: a batched function is a deduplicated one, whose runs are the keys of batches. So only runs get into a batch: what is cached, or
 * runs already, does not. A batch has keys of one group only.
 */
import type { Batched, BatchedFunction, ShedReason } from '../../types/index.js'
import { functionKeyText } from '../http/key-parts.js'
import { atOnce } from '../http/at-once.js'
import { readBatchOptions, type BatchedSettings } from '../options/batch-options.js'
import type { CallSettings } from '../options/function-options.js'
import { forCaller } from '../options/parsers.js'
import { signalIn } from './arguments.js'
import { BatchCounts } from './batch-counts.js'
import type { BatchFunction, BatchItem } from './batch.js'
import { Batches } from './batches.js'
import { deduplicateAt, standalone, type FunctionRegistry } from './deduplicate.js'

type Arguments = readonly unknown[]

/** What a call wants of a batch, and the key that makes it identical with others. */
interface KeyedItem extends BatchItem {
  /** A text for each part, or what is no key. */
  readonly callKey: unknown
}

/** What the function behind is called with. */
type ItemArguments = readonly [item: KeyedItem, options: { readonly signal: AbortSignal }]

/** The signal of callers that have none. */
const NEVER = new AbortController().signal

/** What a call wants, by its arguments. Without a key, or a group, it shares a batch with nobody. */
function itemOf ({ key: keyOf, group: groupOf }: BatchedSettings<Arguments, unknown>, args: Arguments): KeyedItem {
  const key = atOnce(keyOf(...args))
  const group = groupOf === undefined ? undefined : atOnce(groupOf(...args))
  const keyText = functionKeyText(key)
  const groupText = groupOf === undefined ? '' : functionKeyText(group)
  const own = { id: undefined as unknown, groupId: groupText as unknown, group, key, args, callKey: key }
  if (keyText === undefined || groupText === undefined) {
    own.id = own.groupId = own
    own.callKey = keyText === undefined ? key : group
  } else if (groupOf !== undefined) {
    own.callKey = [groupText, keyText]
    // No group's text has a space behind its end.
    own.id = `${groupText} ${keyText}`
  } else {
    own.id = keyText
  }
  return own
}

/** The settings of the function behind. What is given a call's arguments gets those that it was made with. */
function settingsBehind (settings: BatchedSettings<Arguments, unknown>): CallSettings<ItemArguments, unknown> {
  const { fallback, priority, tags, ttl } = settings
  return Object.freeze({
    ...settings,
    key: ({ callKey }: KeyedItem) => callKey as never,
    tags: (result: unknown, [{ args }]: ItemArguments) => tags(result, args),
    ttl: typeof ttl === 'function' ? (result: unknown, [{ args }]: ItemArguments) => ttl(result, args) : ttl,
    priority: typeof priority === 'function' ? ({ args }: KeyedItem) => priority(...args) : priority,
    fallback: fallback === undefined ? undefined : (reason: ShedReason, { args }: KeyedItem) => fallback(reason, ...args)
  })
}

/** Batches a function for a registry. */
function batchedAt (registry: FunctionRegistry, fn: BatchFunction, options: unknown): BatchedFunction {
  if (typeof fn !== 'function') throw new TypeError('batched wants a function')
  const settings = readBatchOptions<Arguments, unknown>(options)
  const { flightTimeout: runTimeout, maxBatchSize, window } = settings
  const { clock } = registry.conductor
  let batches!: Batches
  const load = async (item: KeyedItem, { signal }: { readonly signal: AbortSignal }): Promise<unknown> => await batches.load(item, signal)
  const behind = deduplicateAt<ItemArguments, unknown>(registry, load, settingsBehind(settings), {
    ownName: fn.name,
    path: 'batched',
    protect (protection, name) {
      const counts = new BatchCounts(name)
      registry.batches.add(counts)
      batches = new Batches({ fn, clock, counts, runTimeout }, { maxBatchSize, window, protection })
      return batches
    }
  })

  async function batchedCall (...args: Arguments): Promise<unknown> {
    return await behind(itemOf(settings, args), { signal: signalIn(args) ?? NEVER })
  }

  function invalidate (...args: Arguments): void {
    behind.invalidate(itemOf(settings, args), { signal: NEVER })
  }

  return Object.assign(batchedCall, { invalidate })
}

/** Makes the `batched` of a registration. */
export function batcher (registry: () => FunctionRegistry): Batched {
  const batched = (fn: BatchFunction, options: unknown): unknown => forCaller(batched, () => batchedAt(registry(), fn, options))
  return batched as unknown as Batched
}

/**
 * Makes a function whose calls are batched: those with different keys that run at the same time become one call, with all of their keys.
 *
 * It is a deduplicated function besides: calls with the same key share one run, and results are cached with a `ttl`. `fn` answers an array, with
 * one result a key in the order of the keys, or a Map. An Error among the results rejects the calls of its key only. Keys of different
 * groups are never given to one call.
 *
 * @throws FST_COALESCE_INVALID_OPTION if an option is wrong
 * @example
 * const lookUp = batched(async words => await db.findAll(words), { key: (word: string) => word })
 */
export const batched: Batched = batcher(standalone)
