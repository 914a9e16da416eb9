/**
 * Batched functions: what callers get, what keys are, and which options there are.
 */
import Fastify from 'fastify'
import { expectError, expectType } from 'tsd'
import coalesce, { batched, type BatchCall, type Batched, type BatchedFunction } from '../../dist/lib/index.js'

interface Entry {
  readonly word: string
  readonly senses: number
}

declare function find (words: readonly string[]): Promise<Entry[]>

// A result a key, in order.
const inOrder = batched(find, { key: (word: string) => word })
expectType<BatchedFunction<[word: string], Entry>>(inOrder)
expectType<Promise<Entry>>(inOrder('luck'))
expectType<void>(inOrder.invalidate('luck'))
expectError(inOrder())
expectError(inOrder(1))
expectError(inOrder.invalidate(1))

// Errors are thrown.
const withErrors = batched(async words => words.map(word => word === '' ? new Error('no word') : word.length), { key: (word: string) => word })
expectType<Promise<number>>(withErrors('luck'))

// A Map may not have it.
const byKey = batched(async words => new Map((await find(words)).map(entry => [entry.word, entry])), { key: (word: string) => word })
expectType<Promise<Entry | undefined>>(byKey('luck'))
const mixed = batched(async words => new Map<string, Entry | Error>((await find(words)).map(entry => [entry.word, entry])), { key: (word: string) => word })
expectType<Promise<Entry | undefined>>(mixed('luck'))

// What it is told.
batched(async (keys, call) => {
  expectType<readonly number[]>(keys)
  expectType<BatchCall>(call)
  expectType<AbortSignal>(call.signal)
  expectType<string | number | bigint | boolean | undefined>(call.group)
  return keys
}, { key: (_word: string, id: number) => id, group: word => word })

// A key can be an array.
batched(async pairs => pairs.map(([word, sense]) => `${word} ${sense}`), { key: (word: string, sense: number) => [word, sense] as const })

// Options of functions are options of batched ones.
batched(find, {
  key: (word: string, _tenant: string) => word,
  group: (_word, tenant) => tenant,
  maxBatchSize: 50,
  window: '5ms',
  name: 'look up',
  ttl: (entry, word, tenant) => {
    expectType<Entry>(entry)
    expectType<string>(word + tenant)
    return '1m'
  },
  tags: (entry, word) => [entry.word, word],
  clone: structuredClone,
  staleIfError: '1h'
})
batched(find, { key: (word: string) => word, window: 'turn' })
expectError(batched(find, {}))
expectError(batched(find, { key: (word: number) => word }))
expectError(batched(find, { key: (word: string) => ({ word }) }))
expectError(batched(find, { key: (word: string) => word, group: () => ({}) }))
expectError(batched(find, { key: (word: string) => word, maxBatchSize: '5' }))
expectError(batched(find, { key: (word: string) => word, window: false }))
expectError(batched(async (words: readonly string[]) => words.length, { key: (word: string) => word }))
expectError(batched((words: readonly string[]) => [...words], { key: (word: string) => word }))

const app = Fastify()
await app.register(coalesce)
expectType<Batched>(app.coalesce.batched)
expectType<Batched>(batched)
