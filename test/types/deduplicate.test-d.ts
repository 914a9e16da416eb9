import { deserialize, serialize } from 'node:v8'
import Fastify, { type FastifyInstance } from 'fastify'
import { expectAssignable, expectError, expectNotAssignable, expectType } from 'tsd'
import coalesce, {
  deduplicate, deduplicated, memoryStore, type CoalesceOptions, type Coordinator, type Deduplicate, type Deduplicated, type DeduplicateOptions, type ResultCodec
} from '../../dist/lib/index.js'

interface Entry {
  readonly word: string
  readonly senses: number
}

async function lookUp (word: string, limit: number): Promise<Entry> {
  return { word, senses: limit }
}

// The function's type is kept.
const shared = deduplicate(lookUp, { key: word => word })
expectType<Deduplicated<(word: string, limit: number) => Promise<Entry>>>(shared)
expectAssignable<(word: string, limit: number) => Promise<Entry>>(shared)
expectType<Promise<Entry>>(shared('a', 1))
expectError(shared('a'))
expectError(shared(1, 1))
expectError(shared('a', 1, 2))

const optional = deduplicate(async (word: string, options?: { signal?: AbortSignal }) => [word, options?.signal?.aborted] as const, {
  key: (word, options) => {
    expectType<string>(word)
    expectType<{ signal?: AbortSignal } | undefined>(options)
    return [word, 1, 1n, true, null, undefined]
  }
})
expectType<Promise<readonly [string, boolean | undefined]>>(optional('a'))
expectType<Promise<readonly [string, boolean | undefined]>>(optional('a', { signal: new AbortController().signal }))

// Parameters that the key does not name are kept, too.
const unnamed = deduplicate(async (word: string, limit?: number) => word.length + (limit ?? 0), { key: word => word })
expectType<Deduplicated<(word: string, limit?: number) => Promise<number>>>(unnamed)
expectType<Promise<number>>(unnamed('a', 1))

const rest = deduplicate(async (...words: string[]) => words.length, { key: (...words) => words })
expectType<Deduplicated<(...words: string[]) => Promise<number>>>(rest)
expectType<Deduplicated<() => Promise<void>>>(deduplicate(async () => {}, { key: () => 'one' }))

// Its options.
deduplicate(lookUp, {
  key: (word, limit) => [word, limit],
  name: 'lookUp',
  waitTimeout: '5s',
  onWaitTimeout: 'error',
  flightTimeout: 1000,
  onError: 'promote',
  clone: entry => {
    expectType<Entry>(entry)
    return { ...entry }
  }
})
// What travels between processes.
const coordinator: Coordinator = { open () { throw new Error('not opened here') } }
deduplicate(lookUp, {
  key: word => word,
  name: 'lookUp',
  coordinator,
  codec: {
    encode (entry) {
      expectType<Entry>(entry)
      return `${entry.word} ${entry.senses}`
    },
    decode (encoded) {
      expectAssignable<string>(encoded)
      return { word: encoded, senses: 1 }
    }
  }
})
deduplicate(lookUp, { key: word => word, coordinator: false })
deduplicate(lookUp, { key: word => word, codec: { encode: serialize, decode: deserialize } })
deduplicate(lookUp, { key: word => word, codec: { encode: JSON.stringify, decode: JSON.parse } })
deduplicate(lookUp, { key: word => word, codec: { encode: entry => Buffer.from(entry.word), decode: bytes => ({ word: bytes.toString('hex'), senses: 1 }) } })
expectError(deduplicate(lookUp, { key: word => word, codec: { encode: entry => entry.word, decode: (bytes: Uint8Array) => ({ word: String(bytes), senses: 1 }) } }))
expectAssignable<ResultCodec<Entry, string>>({ encode: (entry: Entry) => entry.word, decode: (text: string) => ({ word: text, senses: 1 }) })
expectError(deduplicate(lookUp, { key: word => word, codec: { encode: () => 5, decode: () => ({ word: '', senses: 1 }) } }))
expectError(deduplicate(lookUp, { key: word => word, codec: { encode: () => '', decode: () => 'an entry' } }))
expectError(deduplicate(lookUp, { key: word => word, codec: { encode: () => '' } }))
expectError(deduplicate(lookUp, { key: word => word, coordinator: true }))
expectAssignable<CoalesceOptions>({ coordinator })
expectError<CoalesceOptions>({ coordinator: memoryStore() })
expectAssignable<CoalesceOptions>({ coordinator: false })

expectAssignable<DeduplicateOptions<[string], Entry>>({ key: word => word === '' ? null : word })
expectNotAssignable<DeduplicateOptions<[string], Entry>>({})
expectNotAssignable<DeduplicateOptions<[string], Entry>>({ key: (word: number) => String(word) })
expectError(deduplicate(lookUp))
expectError(deduplicate(lookUp, {}))
expectError(deduplicate(lookUp, { key: 'word' }))
expectError(deduplicate(lookUp, { key: async (word: string) => word }))
expectError(deduplicate(lookUp, { key: (word: string) => ({ word }) }))
// What is kept.
deduplicate(lookUp, {
  key: word => word,
  name: 'lookUp',
  ttl: (entry, word, limit) => {
    expectType<Entry>(entry)
    expectType<string>(word)
    expectType<number>(limit)
    return entry.senses > 0 ? '1h' : undefined
  },
  staleWhileRevalidate: '1m',
  staleIfError: 60_000,
  ttlJitter: 0.1,
  eagerRefresh: 0.8,
  store: memoryStore(),
  storeTimeout: '100ms',
  tags: (entry, word) => [entry.word, word]
})
deduplicate(lookUp, { key: word => word, ttl: 1, eagerRefresh: false, tags: ['words'] })
expectType<void>(shared.invalidate('a', 1))
expectError(shared.invalidate(1, 1))
expectError(deduplicate(lookUp, { key: (word: string) => word, ttl: true }))
expectError(deduplicate(lookUp, { key: (word: string) => word, ttl: 'headers' as const, tags: 'words' }))
expectError(deduplicate(lookUp, { key: (word: string) => word, ttl: async () => 1 }))
expectError(deduplicate(lookUp, { key: (word: string) => word, store: new Map() }))
expectError(deduplicate(lookUp, { key: (word: string) => word, staleIfError: true }))
expectError(deduplicate(lookUp, { key: (word: string) => word, clone: () => 'another type' }))
expectError(deduplicate((word: string) => word, { key: word => word }))

// An app's is the same.
const app: FastifyInstance = Fastify()
app.register(coalesce)
expectType<Deduplicate>(deduplicate)
expectType<Deduplicated<(word: string, limit: number) => Promise<Entry>>>(app.coalesce.deduplicate(lookUp, { key: word => word }))

// Methods keep theirs.
class Dictionary {
  readonly entries = new Map<string, Entry>()

  @deduplicated({ key: (word: string) => word })
  async find (word: string): Promise<Entry | undefined> {
    return this.entries.get(word)
  }

  @deduplicated({ key: (word: string, limit: number) => [word, limit], waitTimeout: '5s', clone: (entries: Entry[]) => [...entries] })
  async search (word: string, limit: number): Promise<Entry[]> {
    return [...this.entries.values()].filter(entry => entry.word.startsWith(word)).slice(0, limit)
  }

  @deduplicated({ key: (word: string) => word, ttl: '1h', staleIfError: '1d', store: memoryStore(), name: 'Dictionary.spell' })
  async spell (word: string): Promise<string> {
    return word
  }

  @deduplicated({ key: () => 'static' })
  static async load (): Promise<Dictionary> {
    return new Dictionary()
  }
}
expectType<(word: string) => Promise<Entry | undefined>>(new Dictionary().find)
expectType<(word: string, limit: number) => Promise<Entry[]>>(new Dictionary().search)
expectType<Promise<Dictionary>>(Dictionary.load())
expectError(deduplicated())
expectError(deduplicated({}))
expectError(deduplicated({ key: () => new Date() }))
deduplicated({ key: () => 1 })

// A key for other arguments than the method's, a method that is not async.
declare const context: ClassMethodDecoratorContext<Dictionary>
expectError(deduplicated({ key: (word: number) => [word] })(async (word: string) => word, context))
expectError(deduplicated({ key: (word: string) => word })((word: string) => word, context))
