/**
 * Protection: queues and breakers, of routes, registrations and functions, and those that they share.
 */
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { expectAssignable, expectError, expectNotAssignable, expectType } from 'tsd'
import coalesce, {
  circuitBreaker, deduplicate, deduplicated, defineCoalesce, runQueue, type BreakerFigures, type BreakerOptions, type BreakerState, type CircuitBreaker, type CoalesceOptions,
  type CoalesceRouteOptions, type QueueFigures, type QueueOptions, type RunQueue, type RunResult, type ShedReason
} from '../../dist/lib/index.js'

// What several share.
const queue = runQueue({ maxRuns: 20, maxQueued: 100, queueTimeout: '2s', levels: ['user', 'job'] as const, aging: '500ms', name: 'database' })
expectType<RunQueue>(queue)
expectType<readonly string[]>(queue.levels)
expectType<QueueFigures>(queue.figures())
queue.limit = 5
expectError(queue.running = 5)
expectError(queue.name = 'x')
const breaker = circuitBreaker()
expectType<CircuitBreaker>(breaker)
expectType<CircuitBreaker>(circuitBreaker({
  threshold: 0.5,
  minimumRuns: 10,
  window: '10s',
  consecutive: 5,
  openFor: 5000,
  maxOpenFor: '1m',
  probes: 2,
  slow: '3s',
  name: 'database',
  isFailure (run) {
    expectType<RunResult>(run)
    expectType<unknown>(run.error)
    return run.status === undefined ? undefined : run.status >= 500
  }
}))
expectType<CircuitBreaker>(circuitBreaker({ by: (request: FastifyRequest) => request.hostname }))
expectType<'closed' | 'open' | 'half-open'>({} as BreakerState)
expectType<BreakerState>(breaker.state)
expectType<BreakerFigures>(breaker.figures())
expectType<void>(breaker.open())
expectType<void>(breaker.close())
expectError(breaker.state = 'open')
expectError(runQueue())
expectError(runQueue({}))
expectError(runQueue({ maxRuns: '20' }))
expectError(runQueue({ maxRuns: 20, maxRun: 5 }))
expectError(runQueue({ maxRuns: 20, levels: 'high' }))
expectError(circuitBreaker({ treshold: 0.5 }))
expectError(circuitBreaker({ consecutive: true }))
expectError(circuitBreaker({ by: (host: string) => [host] }))
expectError(circuitBreaker({ isFailure: () => 'yes' }))
expectAssignable<QueueOptions>({ maxRuns: 1, aging: false })
expectNotAssignable<QueueOptions>({ maxQueued: 1 })
expectAssignable<BreakerOptions>({ consecutive: false, slow: false })
expectType<'queue-full' | 'queue-timeout' | 'evicted' | 'breaker-open' | 'breaker-probing'>({} as ShedReason)

// Of a route, and of a registration.
for (const each of [{ queue, breaker }, { queue: { maxRuns: 5 }, breaker: {} }, { queue: false, breaker: false }, { queue, priority: 'job' }] as const) {
  expectAssignable<CoalesceRouteOptions>(each)
  expectAssignable<CoalesceOptions>(each)
}
const app = Fastify()
app.register(coalesce, { queue: { maxRuns: 5 }, breaker: { by: request => request.hostname } })
app.get('/', {
  config: {
    coalesce: defineCoalesce({
      queue,
      breaker: {
        by: request => {
          expectType<FastifyRequest>(request)
          return request.hostname
        }
      },
      priority: request => {
        expectType<FastifyRequest>(request)
        return request.headers.authorization === undefined ? undefined : 'user'
      },
      fallback: (request, reply, reason) => {
        expectType<FastifyRequest>(request)
        expectType<FastifyReply>(reply)
        expectType<ShedReason>(reason)
        return { sorry: reason }
      }
    })
  }
}, async () => 'hello')
expectError<CoalesceRouteOptions>({ queue: true })
expectError<CoalesceRouteOptions>({ queue: 20 })
expectError<CoalesceRouteOptions>({ queue: { maxRun: 20 } })
expectError<CoalesceRouteOptions>({ breaker: true })
expectError<CoalesceRouteOptions>({ breaker: { treshold: 0.5 } })
expectError<CoalesceRouteOptions>({ priority: 1 })
expectError<CoalesceRouteOptions>({ priority: () => 1 })
expectError<CoalesceRouteOptions>({ priority: async () => 'user' })
expectError<CoalesceRouteOptions>({ fallback: 'sorry' })

// Functions see the types of the route.
interface Words { Params: { word: string } }
app.get<Words>('/:word', {
  config: {
    coalesce: defineCoalesce<Words>({
      queue,
      breaker: { by: request => request.params.word },
      priority: request => request.params.word,
      fallback: async (request, reply) => {
        expectType<FastifyReply<Words>>(reply)
        return request.params.word
      }
    })
  }
}, async () => 'hello')
app.get<Words>('/say/:word', {
  config: {
    coalesce: {
      queue,
      breaker: { by: (request: FastifyRequest<Words>) => request.params.word },
      priority: (request: FastifyRequest<Words>) => request.params.word,
      fallback: (request: FastifyRequest<Words>) => request.params.word
    }
  }
}, async () => 'hello')
expectError(defineCoalesce<Words>({ queue, priority: request => request.params.wrod }))
expectError(defineCoalesce<Words>({ breaker: { by: request => request.params.wrod } }))

// Of a function.
async function lookUp (word: string, limit: number): Promise<string[]> {
  return [word].slice(0, limit)
}
const find = deduplicate(lookUp, {
  key: word => word,
  queue,
  breaker: {
    by: (word, limit) => {
      expectType<string>(word)
      expectType<number>(limit)
      return word
    }
  },
  priority: (word, limit) => {
    expectType<string>(word)
    return limit > 10 ? 'job' : undefined
  },
  fallback: (reason, word, limit) => {
    expectType<ShedReason>(reason)
    expectType<string>(word)
    expectType<number>(limit)
    return [word]
  }
})
expectType<Promise<string[]>>(find('luck', 1))
deduplicate(lookUp, { key: word => word, queue: { maxRuns: 5 }, breaker, priority: 'high', fallback: async () => [] })
deduplicate(lookUp, { key: word => word, queue: false, breaker: false })
expectError(deduplicate(lookUp, { key: word => word, queue, fallback: () => 'another type' }))
expectError(deduplicate(lookUp, { key: word => word, queue, priority: () => 1 }))
expectError(deduplicate(lookUp, { key: word => word, queue: true }))
expectError(deduplicate(lookUp, { key: word => word, breaker: { by: () => true } }))

class Dictionary {
  @deduplicated({ key: (word: string) => word, queue, priority: (word: string) => word, fallback: (_reason: ShedReason, word: string) => word })
  async spell (word: string): Promise<string> {
    return word
  }
}
expectType<Promise<string>>(new Dictionary().spell('luck'))
