/**
 * What an app loads: only what it has set an option for. No clock: the modules that a process has loaded tell.
 */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

const root = fileURLToPath(new URL('..', import.meta.url))
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(?:NODE_OPTIONS|NODE_V8_COVERAGE|_?TAP)/.test(name)))

/** One app after the other in one process, each with what it makes that process load. */
const APPS = {
  bare: 'await app.register(coalesce)',
  inner: 'await app.register(coalesce); await app.register(async inner => { await inner.register(coalesce, { metrics: { path: false } }) })',
  cacheControl: "await app.register(coalesce, { cacheControl: { privacy: 'public', expiresIn: '1m' } })"
}

const program = `
  import { createRequire } from 'node:module'
  import Fastify from 'fastify'
  const { cache } = createRequire(import.meta.url)
  const seen = new Set()
  function loaded () {
    const names = Object.keys(cache).map(path => path.replaceAll(${JSON.stringify('\\')}, '/').match(/.*[/]node_modules[/]((?:@[^/]+[/])?[^/]+)/)?.[1] ?? path)
    const added = names.filter(name => !seen.has(name))
    for (const name of names) seen.add(name)
    return [...new Set(added)].sort()
  }
  await Fastify().close()
  loaded()
  const { default: coalesce } = await import('fastify-coalesce')
  const result = {}
  ${Object.entries(APPS).map(([name, register]) => `{
    const app = Fastify()
    ${register}
    await app.close()
    result.${name} = loaded()
  }`).join('\n')}
  console.log(JSON.stringify(result))
`

t.test('an app loads only the packages that its options need', async t => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], { cwd: root, env })
  const { bare, inner, cacheControl } = JSON.parse(stdout) as Record<keyof typeof APPS, string[]>

  await t.test('without one: nothing beyond what Fastify has loaded but small things', async t => {
    t.strictSame(bare, ['fastify-plugin', 'ms', 'safe-stable-stringify'])
  })
  await t.test('prom-client for metrics, also those of a registration further in', async t => {
    t.strictSame(inner.filter(name => !bare.includes(name) && ['negotiator', 'prom-client', '@fastify/caching'].includes(name)), ['negotiator', 'prom-client'])
  })
  await t.test('@fastify/caching for Cache-Control', async t => {
    t.ok(cacheControl.includes('@fastify/caching'))
  })
})
