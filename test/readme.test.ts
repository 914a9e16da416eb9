import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import * as options from '../lib/options/options.js'

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
const snippets = [...readme.matchAll(/```js\n([\s\S]*?)```/g)].map(([, code]) => code as string)

/** What the snippets leave to the reader, where they do not bring it themselves. */
const STUBS: Record<string, string> = {
  Fastify: "import Fastify from 'fastify'",
  coalesce: "import coalesce from 'fastify-coalesce'",
  app: 'const app = Fastify()',
  lookUp: 'const lookUp = async word => ({ word })',
  search: 'const search = async () => "search"',
  page: 'const page = async () => "page"',
  report: 'const report = async () => "report"',
  rates: 'const rates = async () => "rates"',
  profile: 'const profile = async () => "profile"',
  authenticate: 'const authenticate = async request => { request.user = { id: "a" } }',
  db: 'const db = { find: async word => ({ word }) }'
}

function program (snippet: string): string {
  const stubs = Object.entries(STUBS)
    .filter(([name]) => !new RegExp(`(?:import|const) (?:\\{ )?${name}\\b`).test(snippet))
    .map(([, code]) => code)
  const registers = snippet.includes('app.register(coalesce') ? '' : 'await app.register(coalesce, { metrics: true })'
  return `${stubs.join('\n')}\n${registers}\n${snippet.replace('port: 3000', 'port: 0')}\nawait app.ready()\nawait app.close()\n`
}

t.test('every JavaScript snippet of the README runs', async t => {
  t.ok(snippets.length >= 5, 'there are snippets')
  const files = snippets.map((_snippet, index) => `snippet-${index}.mjs`)
  const folder = t.testdir({
    ...Object.fromEntries(files.map((file, index) => [file, program(snippets[index] as string)])),
    // One after the other, in one process.
    'all.mjs': files.map(file => `await import('./${file}')\nconsole.log('${file} is done')\n`).join('')
  })
  const { stdout } = await promisify(execFile)(process.execPath, [join(folder, 'all.mjs')])
  for (const [index, file] of files.entries()) t.match(stdout, `${file} is done`, (snippets[index] as string).slice(0, 60))
})

t.test('the option tables of the README name every option with its default', async t => {
  const router = { semicolonDelimits: false, parsesItself: false, trustsByAddress: false }
  const { routes, ...registration } = options.readOptions({}, router)
  const documented = new Set([...readme.matchAll(/^\| ((?:`\w+`(?:, )?)+) \|/gm)].flatMap(([, cell]) => [...(cell as string).matchAll(/`(\w+)`/g)].map(([, name]) => name)))
  const { router: _, ...routeOptions } = routes
  for (const name of [...Object.keys(routeOptions), ...Object.keys(registration)]) t.ok(documented.has(name), name)
})
