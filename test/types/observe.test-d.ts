/**
 * Observe mode: its options, of a route and of a registration.
 */
import Fastify from 'fastify'
import { expectAssignable, expectError, expectNotAssignable, expectType } from 'tsd'
import coalesce, { type CoalesceOptions, type CoalesceRouteOptions, type ComparedResponse, type ObserveOptions } from '../../dist/lib/index.js'

const app = Fastify()
app.register(coalesce, { observe: true })
app.register(coalesce, { observe: { budget: 0.02, maxBytes: 1_000_000 } })
app.get('/', { config: { coalesce: { observe: { verify: 0.01, onMismatch: 'disable' } } } }, async () => 'ok')
app.get('/clean', {
  config: {
    coalesce: {
      observe: {
        rate: 0.5,
        window: '2s',
        ignore: ['$.took'],
        clean (response) {
          expectType<ComparedResponse>(response)
          expectType<number>(response.status)
          expectType<string | undefined>(response.type)
          return response.body.replaceAll(/\d/g, '0')
        }
      }
    }
  }
}, async () => 'ok')
expectAssignable<CoalesceRouteOptions>({ observe: false })
expectAssignable<CoalesceOptions>({ observe: { verify: 1 } })
expectAssignable<ObserveOptions>({})
expectNotAssignable<CoalesceRouteOptions>({ observe: 'yes' })
expectNotAssignable<ObserveOptions>({ onMismatch: 'stop' })
expectNotAssignable<ObserveOptions>({ clean: () => 1 })
expectError<ObserveOptions>({ sample: 1 })
