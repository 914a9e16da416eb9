import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import t from 'tap'
import { PAGE_CSS, PAGE_HTML, PAGE_JS } from '../../lib/page/assets.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

const APP = `
  import Fastify from 'fastify'
  import coalesce from './lib/index.ts'
  const app = Fastify()
  await app.register(coalesce, { dashboard: { public: true } })
  console.log(await app.listen({ port: 0, host: '127.0.0.1' }))
`

t.test('an app that is bundled into one file serves the page', { timeout: 60_000 }, async t => {
  const folder = t.testdir()
  const outfile = join(folder, 'app.mjs')
  await build({
    stdin: { contents: APP, resolveDir: ROOT },
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile,
    logLevel: 'error',
    // What is CommonJS in it wants one.
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)" }
  })
  const child = spawn(process.execPath, [outfile], { cwd: folder, env: { PATH: process.env.PATH }, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => { child.kill() })
  const [origin] = await once(child.stdout, 'data') as [Buffer]
  const text = async (path: string): Promise<string> => await (await fetch(new URL(path, String(origin).trim()))).text()
  t.equal(await text('/coalesce/'), PAGE_HTML)
  t.equal(await text('/coalesce/page.js'), PAGE_JS)
  t.equal(await text('/coalesce/page.css'), PAGE_CSS)
  t.equal(JSON.parse(await text('/coalesce/state')).version, 1)
})
