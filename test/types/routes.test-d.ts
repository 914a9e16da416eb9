import Fastify, { type FastifyInstance, type FastifyRequest, type FastifyTypeProviderDefault, type RouteOptions } from 'fastify'
import { expectAssignable, expectError, expectNotAssignable, expectType } from 'tsd'
import coalesce, { ANALYTICS_COOKIES, defineCoalesce, type CoalesceRouteOptions, type Duration, type KeptResponseFacts, type Outcome, type QueryOption, type RequestCoalesce } from '../../dist/lib/index.js'

const app: FastifyInstance = Fastify()
app.register(coalesce)

const word = async (): Promise<string> => 'serendipity'

// On, off, or on with options; each way of defining a route.
app.get('/on', { config: { coalesce: true } }, word)
app.get('/off', { config: { coalesce: false } }, word)
app.get('/defaults', { config: { coalesce: undefined } }, word)
app.get('/empty', { config: { coalesce: {} } }, word)
app.route({ method: 'GET', url: '/route', config: { coalesce: { query: ['q'] } }, handler: word })
app.get<{ Params: { word: string } }>('/word/:word', { config: { coalesce: true } }, async request => {
  expectType<string>(request.params.word)
  return request.params.word
})
app.route({
  method: ['GET', 'QUERY'],
  url: '/all',
  config: {
    coalesce: {
      hook: 'auto',
      query: { ignore: ['utm_*'] },
      headers: ['accept-language'],
      cookies: ['theme'],
      identity: request => {
        expectType<FastifyRequest>(request)
        return request.id
      },
      key: request => {
        expectType<FastifyRequest>(request)
        return [request.method, request.url]
      },
      body: { maxBytes: 1024 },
      credentials: ['authorization'],
      statuses: [201],
      waitTimeout: '5s',
      onWaitTimeout: 'error',
      flightTimeout: 5000,
      onError: 'promote',
      maxBodyBytes: 1024,
      maxWaitersPerKey: 10,
      releaseConcurrency: 1,
      unshareableTtl: '1m',
      learnVary: { ignore: ['user-agent'] }
    }
  },
  handler: word
})

expectAssignable<CoalesceRouteOptions>({ cookies: { ignore: ANALYTICS_COOKIES } })
expectAssignable<CoalesceRouteOptions>({ cookies: { ignore: [...ANALYTICS_COOKIES, 'mine'], key: ['theme'] }, credentials: { add: ['x-session'] } })
expectAssignable<CoalesceRouteOptions>({ credentials: { remove: ['x-api-key'] } })
expectNotAssignable<CoalesceRouteOptions>({ cookies: { key: ['theme'] } })
expectNotAssignable<CoalesceRouteOptions>({ cookies: { ignore: '_ga' } })
expectType<readonly string[]>(ANALYTICS_COOKIES)

// Wrong values and wrong names.
declare function route (config: RouteOptions['config']): void
route({ coalesce: true })
expectError(route({ coalesce: 'yes' }))
expectError(route({ coalesce: 1 }))
expectError(route({ coalesce: null }))
expectError(route({ coalesce: [] }))
expectError(route({ coalesce: { waitTimout: '5s' } }))
expectError(route({ coalesce: { hook: 'auto', waitTimout: '5s' } }))
expectError(route({ coalesce: { global: true } }))
expectError(route({ coalesce: { metrics: true } }))
expectError(route({ coalesce: { maxFlights: 1 } }))
expectError(route({ coalesce: { hook: 'onSend' } }))
expectError(route({ coalesce: { identity: async (request: FastifyRequest) => request.id } }))
expectError(route({ coalesce: { identity: () => undefined } }))
expectError(route({ coalesce: { key: () => new Date() } }))
route({ coalesce: { key: () => 1, identity: () => 2n } })
expectError(route({ coalesce: { body: { maxSize: 1 } } }))
expectError(route({ coalesce: { learnVary: ['user-agent'] } }))

// Where Fastify infers the type of `config` from the route it takes unknown names in it (they throw when the route is
// defined), but no wrong values. Where the route names a type parameter it takes neither. `defineCoalesce` never takes them.
app.get('/', { config: { coalesce: { waitTimout: '5s' } } }, word)
expectError(app.get('/', { config: { coalesce: defineCoalesce({ waitTimout: '5s' }) } }, word))
expectError(app.route({ method: 'GET', url: '/', config: { coalesce: defineCoalesce({ hook: 'auto', waitTimout: '5s' }) }, handler: word }))
expectError(app.get<{ Params: { word: string } }>('/:word', { config: { coalesce: defineCoalesce({ waitTimout: '5s' }) } }, word))
expectError(app.withTypeProvider<FastifyTypeProviderDefault>().get('/', { config: { coalesce: defineCoalesce({ waitTimout: '5s' }) } }, word))
expectError(defineCoalesce({ cookies: { ignored: ['_ga'] } }))
expectError(defineCoalesce({ waitTimeout: false }))
expectError(defineCoalesce(true))
expectType<CoalesceRouteOptions>(defineCoalesce({ waitTimeout: '5s' }))
app.get('/', { config: { coalesce: defineCoalesce({ waitTimeout: '5s' }) } }, word)
app.route({ method: 'GET', url: '/', config: { coalesce: defineCoalesce({ hook: 'auto' }) }, handler: word })
app.withTypeProvider<FastifyTypeProviderDefault>().get('/', { schema: {}, config: { coalesce: defineCoalesce({ ttl: '5s' }) } }, word)
app.register(coalesce, defineCoalesce({ waitTimeout: '5s' }))

// Functions see the types of the route, which are given to `defineCoalesce`, or say which requests they take.
interface Words { Params: { word: string }, Querystring: { page: number } }
app.get<Words>('/:word', {
  config: {
    coalesce: defineCoalesce<Words>({
      key: request => {
        expectType<string>(request.params.word)
        return [request.params.word, request.query.page]
      },
      identity: request => request.params.word,
      ttl: (_response, request) => request.query.page
    })
  }
}, word)
expectError(defineCoalesce<Words>({ key: request => request.params.wrod }))
expectError(defineCoalesce<Words>({ identity: request => request.query }))
expectError(defineCoalesce<{ Params: string, Word: 1 }>({ key: (request: FastifyRequest<Words>) => request.params.word }))
app.get<Words>('/:word', {
  config: {
    coalesce: {
      key: (request: FastifyRequest<Words>) => request.params.word,
      identity: (request: FastifyRequest<Words>) => request.query.page,
      ttl: (_response: KeptResponseFacts, request: FastifyRequest<Words>) => request.query.page
    }
  }
}, word)
app.get('/:word', { config: { coalesce: { key: (request: FastifyRequest<Words>) => request.params.word } } }, word)
expectError(app.get('/', { config: { coalesce: { key: (request: string) => request } } }, word))
expectAssignable<CoalesceRouteOptions<Words>>({ key: request => request.params.word })

expectError(app.get('/', { config: { coalesce: null } }, word))
expectError(app.get('/', { config: { coalesce: { hook: 'onSend' } } }, word))
expectError(app.get('/', { config: { coalesce: { waitTimeout: false } } }, word))
expectError(app.get<{ Params: { word: string } }>('/:word', { config: { coalesce: { waitTimout: '5s' } } }, word))
expectError(app.get<{ Params: { word: string } }>('/:word', { config: { coalesce: 'yes' } }, word))

// The options by themselves.
expectAssignable<CoalesceRouteOptions>({ key: () => null })
expectAssignable<CoalesceRouteOptions>({ key: () => 'a' })
expectAssignable<CoalesceRouteOptions>({ headers: ['accept'] as const })
expectNotAssignable<CoalesceRouteOptions>({ query: false })
expectNotAssignable<CoalesceRouteOptions>({ headers: 'accept' })
expectNotAssignable<CoalesceRouteOptions>({ onWaitTimeout: 'stale' })
expectNotAssignable<CoalesceRouteOptions>({ onError: true })
expectNotAssignable<CoalesceRouteOptions>({ statuses: ['200'] })
expectNotAssignable<CoalesceRouteOptions>({ waitTimeout: null })
expectType<true | 'raw' | readonly string[] | { readonly ignore: readonly string[] }>({} as QueryOption)
expectType<number | string>({} as Duration)
expectType<'bypass' | 'leader' | 'follower' | 'hit' | 'stale' | 'peer' | 'alone' | 'shed'>({} as Outcome)

// What a handler has.
app.get('/request', { config: { coalesce: true } }, async request => {
  expectType<RequestCoalesce | undefined>(request.coalesce)
  if (request.coalesce === undefined) return
  expectType<Outcome | undefined>(request.coalesce.outcome)
  expectType<string | undefined>(request.coalesce.leaderId)
  expectType<AbortSignal>(request.coalesce.signal)
  expectType<void>(request.coalesce.varyOn('x-tenant', 'x-region'))
  expectError(request.coalesce.varyOn(1))
  expectError(request.coalesce.outcome = 'leader')
  expectError(request.coalesce = undefined)
})
