/**
 * The entry for OpenTelemetry in a bundle, and by `require`. The copy of a bundle hears what another copy of the package tells.
 */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as api from '@opentelemetry/api'
import { build } from 'esbuild'
import t from 'tap'
import type * as front from '../../lib/otel/index.js'
import { held, queue, times } from '../fixtures/crowd.js'
import { spans, trace, traced } from '../fixtures/tracing.js'

const require = createRequire(import.meta.url)
const root = fileURLToPath(new URL('../..', import.meta.url))

t.test('the entry works by require, and in bundles of both kinds', async t => {
  const folder = t.testdir({ 'package.json': '{ "type": "commonjs" }' })
  const entries: Array<typeof front.traceCoalescing> = [(require('fastify-coalesce/otel') as typeof front).traceCoalescing]
  for (const format of ['cjs', 'esm'] as const) {
    const outfile = join(folder, format === 'cjs' ? 'bundle.cjs' : 'bundle.mjs')
    const { warnings } = await build({
      stdin: { contents: "export { traceCoalescing } from 'fastify-coalesce/otel'", resolveDir: root },
      bundle: true,
      platform: 'node',
      format,
      outfile,
      logLevel: 'silent',
      // As any bundle of this kind with Fastify in it needs.
      ...format === 'esm' && { banner: { js: "import { createRequire } from 'node:module'\nconst require = createRequire(import.meta.url)" } }
    })
    t.strictSame(warnings, [])
    const bundle = (format === 'cjs' ? require(outfile) : await import(outfile)) as typeof front
    entries.push(bundle.traceCoalescing)
  }
  for (const traceCoalescing of entries) {
    trace(t)()
    const stop = traceCoalescing(api)
    const handler = held()
    const server = await traced(t, 'ours', app => { app.get('/', { config: { coalesce: true } }, handler) })
    const answers = await queue(server, times(2, server, '/'))
    handler.gate.open()
    await Promise.all(answers)
    await spans.ended()
    t.strictSame(spans.waits().flatMap(spans.links).length, 1)
    stop()
  }
})
