// @ts-check
/**
 * Tracing: OpenTelemetry's spans say who ran the handler, who waited for it, and for how long.
 *
 * Run it: node examples/tracing.js
 */
import { setTimeout as sleep } from 'node:timers/promises'
import * as api from '@opentelemetry/api'
import { FastifyOtelInstrumentation } from '@fastify/otel'
import { NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node'
import Fastify from 'fastify'
import coalesce from 'fastify-coalesce'
import { traceCoalescing } from 'fastify-coalesce/otel'

/** @type {string[]} */
const lines = []

/** Makes a line for each request, and for each wait. ConsoleSpanExporter prints all there is of them. */
const exporter = {
  /**
   * @param {import('@opentelemetry/sdk-trace-node').ReadableSpan[]} spans
   * @param {(result: { code: number }) => void} done
   */
  export (spans, done) {
    for (const { attributes, links, name } of spans) {
      if (attributes['coalesce.role'] === undefined) continue
      const said = Object.entries(attributes).filter(([key]) => key.startsWith('coalesce.')).map(([key, value]) => `${key.slice('coalesce.'.length)}=${value}`)
      lines.push(`${name}: ${said.sort().join(' ')}${links.map(({ context }) => `, links to ${nameOf(context.spanId)}`).join('')}`)
    }
    done({ code: 0 })
  },
  async shutdown () {}
}

/** @type {Map<string, string>} */
const leaders = new Map()

/** @param {string} id */
function nameOf (id) {
  return leaders.get(id) ?? 'nothing'
}

export async function build () {
  const app = Fastify()
  await app.register(coalesce)
  await app.register(new FastifyOtelInstrumentation().plugin())

  app.get('/word/:word', { config: { coalesce: true } }, async request => {
    // Only to print a name in the place of an id.
    leaders.set(String(request.opentelemetry().span?.spanContext().spanId), 'the request that ran')
    await sleep(100) // a slow query
    return request.params
  })

  return app
}

if (process.argv[1] === import.meta.filename) {
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  provider.register()
  const stop = traceCoalescing(api)

  const app = await build()
  await Promise.all(Array.from({ length: 3 }, () => app.inject('/word/serendipity')))

  await app.close()
  stop()
  await provider.shutdown()
  console.log(lines.sort().join('\n'))
}
