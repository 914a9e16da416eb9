/**
 * What is written for people is true: links lead somewhere, snippets compile and run, and the names of options, reasons, metrics and errors are
 * those of the code, all of them and no others.
 */
import { execFile } from 'node:child_process'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import t from 'tap'
import ts from 'typescript'
import * as errors from '../lib/errors.js'
import coalesce, { ANALYTICS_COOKIES } from '../lib/index.js'
import { readOptions } from '../lib/options/options.js'
import { readBreaker, readQueue } from '../lib/options/protection-options.js'
import { REASONS } from '../lib/reasons.js'
import { readCoordinatorOptions } from '../lib/redis/options.js'
import { readStoreOptions } from '../lib/redis/store/options.js'
import { WARNINGS } from '../lib/warnings.js'
import { brokenLinks, namedRows, page, PAGES, ROOT, type Snippet } from './fixtures/markdown.js'
import { hasRedis, redisServer } from './fixtures/redis/server.js'

// Seconds on a machine that has nothing else to do.
t.setTimeout(120_000)

const REDIS = 'redis://localhost:6379'
const redis = hasRedis ? await redisServer(t) : undefined

t.test('every relative link and anchor leads somewhere', t => {
  t.same(PAGES.flatMap(brokenLinks), [])
  t.end()
})

/** What snippets leave to the reader, where they do not bring it themselves. */
const STUBS: Readonly<Record<string, string>> = {
  Fastify: "import Fastify from 'fastify'",
  coalesce: "import coalesce from 'fastify-coalesce'",
  app: 'const app = Fastify()',
  db: 'const db = { find: async (word: string) => ({ word }), query: async (sql: string, values?: unknown[]) => ({ sql, values }), ' +
    'findAll: async (words: readonly string[], _of?: { tenant: unknown, signal: AbortSignal }) => words.map(word => ({ word })) }',
  Definition: 'interface Definition { word: string }',
  AppModule: 'class AppModule {}',
  authenticate: "const authenticate = async (request: import('fastify').FastifyRequest) => { request.user = { id: 'ada', role: 'author' } }",
  lookUp: 'const lookUp = async (word: string) => ({ word })',
  ...Object.fromEntries(['search', 'page', 'report', 'rates', 'profile'].map(name => [name, `const ${name} = async () => '${name}'`]))
}

/** The same for those that are JavaScript only. */
const SCRIPT_STUBS = 'const db = { query: async (/** @type {string} */ sql) => [sql] }'

/** An app's own types, and packages that are not installed here. */
const TYPES = {
  'app.d.mts': "import '@fastify/jwt'\ndeclare module '@fastify/jwt' {\n  interface FastifyJWT { user: { id: string, role: string } }\n}\n",
  'packages.d.ts': "declare module '@nestjs/common'\ndeclare module '@nestjs/core'\ndeclare module '@nestjs/platform-fastify'\n"
}

const isCommon = ({ code }: Snippet): boolean => code.includes('require(')
/** It has its types in comments, or cannot import: TypeScript would not take it for its own. */
const isScript = (snippet: Snippet): boolean => isCommon(snippet) || snippet.code.includes('@param ')
/** Whether it can run here: on its own, and with what is installed. */
const runs = ({ code }: Snippet): boolean => !code.includes('@nestjs/') && (hasRedis || !code.includes("'@fastify/redis'"))

function program (snippet: Snippet): string {
  const code = snippet.code.replace('port: 3000', 'port: 0').replaceAll(REDIS, redis?.url ?? REDIS)
  // The route that it declares is one that the plugin has seen.
  const seen = !code.includes('isMainThread') && /app\.get\(|routes\.get\(|shop\.get\(/.test(code) && code.includes('coalesce: true') ? 'if (app.coalesce.stats().routes.length === 0) throw new Error("no route is coalesced")' : ''
  if (isCommon(snippet)) return `${SCRIPT_STUBS}\n${code}\napp.ready().then(() => { ${seen} }).then(() => app.close())\n`
  if (isScript(snippet)) return `${SCRIPT_STUBS}\n${code}`
  const isDeclared = (name: string): boolean => new RegExp(`^(?:import|const|let|class|type|function)\\b[^'\\n=(:]*\\b${name}\\b`, 'm').test(code)
  const stubs = Object.entries(STUBS).filter(([name]) => !isDeclared(name)).map(([, stub]) => stub)
  const registers = /\.register\(coalesce/.test(code) || code.includes('export default') ? '' : 'await app.register(coalesce, { metrics: true })'
  const end = code.includes('export default') ? '' : `await app.ready()\n${seen}\nawait app.close()\n`
  return `${stubs.join('\n')}\n${registers}\n${code}\n${end}export {}\n`
}

const snippets = PAGES.flatMap(({ snippets }) => snippets).filter(({ language }) => language === 'js' || language === 'ts')
const files = snippets.map((snippet, index) => `snippet-${index}.${isCommon(snippet) ? 'cjs' : isScript(snippet) ? 'mjs' : 'mts'}`)
const folder = t.testdir({ ...TYPES, ...Object.fromEntries(files.map((file, index) => [file, program(snippets[index] as Snippet)])) })

/** One program for all: the snippets, and the sources whose reasons are looked up below. */
const compiled = ts.createProgram([...Object.keys(TYPES), ...files].map(file => join(folder, file)), {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  allowJs: true,
  checkJs: true,
  target: ts.ScriptTarget.ES2023,
  lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts', 'lib.esnext.decorators.d.ts'],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  typeRoots: [join(ROOT, 'node_modules/@types')],
  types: ['node'],
  // As it is, not as it was when it was last built.
  paths: { 'fastify-coalesce': [join(ROOT, 'lib/index.ts')], 'fastify-coalesce/redis': [join(ROOT, 'lib/redis/index.ts')], 'fastify-coalesce/otel': [join(ROOT, 'lib/otel/index.ts')] }
})

t.test('every snippet compiles in strict mode', t => {
  t.ok(snippets.length > 30, 'there are snippets')
  const wrong = files.flatMap((file, index) => {
    const source = compiled.getSourceFile(join(folder, file))
    return [...compiled.getSyntacticDiagnostics(source), ...compiled.getSemanticDiagnostics(source)]
      .map(({ messageText }) => `${(snippets[index] as Snippet).name}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`)
  })
  t.same(wrong, [])
  t.end()
})

t.test('every snippet runs', async t => {
  const programs = files.map((file, index) => {
    const source = program(snippets[index] as Snippet)
    if (isScript(snippets[index] as Snippet)) return [file, source] as const
    const { outputText } = ts.transpileModule(source, { compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext } })
    return [file.replace('.mts', '.mjs'), outputText] as const
  }).filter((_program, index) => runs(snippets[index] as Snippet))
  const folder = t.testdir({
    ...Object.fromEntries(programs),
    // One after the other, in one process.
    'all.mjs': programs.map(([file]) => `await import('./${file}')\nconsole.log('${file} is done')\n`).join('')
  })
  const { stdout } = await promisify(execFile)(process.execPath, [join(folder, 'all.mjs')])
  const notDone = programs.filter(([file]) => !stdout.includes(`${file} is done`))
  t.same(notDone, [])

  const exporting = programs.filter(([, code]) => code.includes('export default')).map(([file]) => join(folder, file))
  t.equal(exporting.length, 2, 'a plugin and a route for autoload')
  const app = Fastify()
  for (const file of exporting) app.register(await import(file) as never)
  await app.ready()
  t.same(app.coalesce.stats().routes.map(({ method, route }) => `${method} ${route}`), ['GET /', 'HEAD /'])
  await app.close()
})

/** What users write is declared here. */
const contract = ['types', 'lib/stores', 'lib/redis'].flatMap(folder => ts.sys.readDirectory(join(ROOT, folder), ['.ts'], ['**/*-d.ts']))
  .map(path => ts.createSourceFile(path, ts.sys.readFile(path) as string, ts.ScriptTarget.Latest, true))

/** The members of an interface, each with the default that its comment gives. */
function membersOf (name: string): Map<string, string | undefined> {
  const members = new Map<string, string | undefined>()
  for (const source of contract) {
    for (const statement of source.statements) {
      if (!ts.isInterfaceDeclaration(statement) || statement.name.text !== name) continue
      for (const member of statement.members) {
        const tag = ts.getJSDocTags(member).find(({ tagName }) => tagName.text === 'default')
        members.set((member.name as ts.Identifier).text, ts.getTextOfJSDocComment(tag?.comment))
      }
    }
  }
  if (members.size === 0) throw new Error(`there is no interface ${name}`)
  return members
}

const options = page('docs/options.md')
const sorted = (names: Iterable<string>): string[] => [...names].sort()

t.test('the options page has every option of the types, and no other', t => {
  const documented = options.sections(3).map(({ title }) => title)
  t.same(sorted(documented), sorted([...membersOf('CoalesceRouteOptions').keys(), ...membersOf('CoalesceOptions').keys()]))
  const tables = {
    QueueOptions: options.section('queue'),
    BreakerOptions: options.section('breaker'),
    ObserveOptions: options.section('observe'),
    MetricsOptions: options.section('metrics'),
    DashboardOptions: options.section('dashboard'),
    CacheControlOptions: options.section('cacheControl'),
    DeduplicateOptions: options.section('Options of a function'),
    BatchedOptions: options.section('Options of a batched function'),
    MemoryStoreOptions: options.section('Options of stores').split('abstractCacheStore')[0] as string,
    AbstractCacheStoreOptions: options.section('Options of stores').split('abstractCacheStore')[1] as string
  }
  for (const [name, text] of Object.entries(tables)) t.same(sorted(namedRows(text).keys()), sorted(membersOf(name).keys()), name)
  t.end()
})

t.test('the options page gives every default as the types do, and what every option must be', t => {
  for (const [name, expected] of [...membersOf('CoalesceRouteOptions'), ...membersOf('CoalesceOptions')]) {
    const text = options.section(name)
    if (expected !== undefined) t.ok(text.includes(`Default: \`${expected}\``), `${name}: Default: \`${expected}\``)
    else t.match(text, /Default: /, name)
    try {
      readOptions({ [name]: Symbol('wrong') }, { semicolonDelimits: false, parsesItself: false, trustsByAddress: false })
      t.fail(name)
    } catch (error) {
      const wanted = /must be (.*), got Symbol\(wrong\)/.exec((error as Error).message)?.[1]
      t.ok(text.includes(`Must be ${wanted}.`), `${name}: Must be ${wanted}.`)
    }
  }
  t.end()
})

/** A default as it is written in a table. */
function written (text: string): unknown {
  return JSON.parse(text.replaceAll("'", '"').replace(/(\w+):/g, '"$1":'))
}

t.test('the pages on options and on protection give every default of a queue and of a breaker, as the types do and as it is read', t => {
  const protection = page('docs/protection.md')
  const readers = {
    QueueOptions: (own: object) => readQueue({ maxRuns: 1, ...own }, 'queue'),
    BreakerOptions: (own: object) => readBreaker(own, 'breaker')
  }
  const tables = [
    ['QueueOptions', options.section('queue')],
    ['BreakerOptions', options.section('breaker')],
    ['QueueOptions', protection.section('The run queue')],
    ['BreakerOptions', protection.section('The circuit breaker').split('### ')[0] as string]
  ] as const
  for (const [name, text] of tables) {
    const members = membersOf(name)
    const read = readers[name]
    t.same(sorted(namedRows(text).keys()), sorted(members.keys()), name)
    for (const [member, row] of namedRows(text)) {
      const given = row.split('|').at(-2)?.trim() as string
      const expected = members.get(member)
      if (expected === undefined) t.notMatch(given, /^`/, `${name}.${member} has none in words of code`)
      else t.equal(given, `\`${expected}\``, `${name}.${member}`)
      if (expected !== undefined) t.same(read({ [member]: written(expected) }), read({}), `${name}.${member} is read so`)
    }
  }
  t.end()
})

t.test('the options page gives every default of observe mode, as the types do and as it is read', t => {
  const members = membersOf('ObserveOptions')
  for (const [member, row] of namedRows(options.section('observe'))) {
    const given = row.split('|')[2]?.trim() as string
    const expected = members.get(member)
    if (expected === undefined) t.notMatch(given, /^`/, `${member} has none in words of code`)
    else t.equal(given, `\`${expected}\``, member)
    const router = { semicolonDelimits: false, parsesItself: false, trustsByAddress: false }
    if (expected !== undefined) t.same(readOptions({ observe: { [member]: written(expected) } }, router), readOptions({ observe: {} }, router), `${member} is read so`)
  }
  t.end()
})

t.test('the page on processes has every option of redisCoordinator and redisStore, with its default and what it must be, and no other', t => {
  const processes = page('docs/processes.md')
  const [common, own] = processes.section('Options').split('Of `redisStore` besides') as [string, string]
  const linkOptions = sorted(membersOf('RedisLinkOptions').keys())
  t.same(sorted(namedRows(common).keys()), sorted([...linkOptions, ...membersOf('RedisCoordinatorOptions').keys()]))
  t.same([...namedRows(common).keys()].slice(0, 7).sort(), linkOptions, 'the first seven are those of both')
  t.same(sorted(namedRows(own).keys()), sorted(membersOf('RedisStoreOptions').keys()))

  const client = new Redis({ lazyConnect: true })
  for (const [rows, read] of [[namedRows(common), readCoordinatorOptions], [namedRows(own), readStoreOptions]] as const) {
    for (const [name, row] of rows) {
      const [, , given = '', wanted = ''] = row.split('|').map(cell => cell.trim())
      const message = (): string => {
        try {
          read({ ...name === 'url' ? {} : { client }, [name]: Symbol('wrong') })
          return ''
        } catch (error) {
          return (error as Error).message
        }
      }
      const must = / must be (.*), got /.exec(message())?.[1]
      t.equal(wanted, must?.startsWith('a duration from 1 ms') === true ? 'a duration' : must, `${name} must be`)
      if (given.startsWith('`')) t.same(read({ client, [name]: written(given.slice(1, -1)) }), read({ client }), `default of ${name}`)
      else t.match(given, /^(?:|none|\[the app\]\(#namespace\)|1, in a cluster 16|the system's)$/, `default of ${name}`)
    }
  }
  t.end()
})

t.test('the page on cookies lists those of the preset, and no other', t => {
  const table = page('docs/recipes.md').section('Cookies').split('\n').filter(line => line.startsWith('| ')).slice(1).join('\n')
  t.strictSame([...table.matchAll(/`([^`]+)`/g)].map(([, name]) => name), [...ANALYTICS_COOKIES])
  t.end()
})

t.test('the options page has every error, and no other', t => {
  const codes = Object.values(errors).map(Made => new (Made as unknown as new (...values: unknown[]) => { code: string })(1, 2, 3).code)
  t.same(sorted([...options.section('All errors').matchAll(/^\| `(\w+)`/gm)].map(([, code]) => code as string)), sorted(codes))
  t.end()
})

t.test('every reason that a request can be told has a section of "Why is nothing shared?", and every section is one', t => {
  const reasons = new Set(Object.values(REASONS).flat())
  const documented = page('docs/why-is-nothing-shared.md').text.split('## Warnings that are no reason')[0] as string
  t.same(sorted([...documented.matchAll(/^### `(.*)`$/gm)].map(([, name]) => name as string)), sorted(reasons))
  t.end()
})

t.test('every warning of a route has a section of "Why is nothing shared?"', t => {
  const { anchors } = page('docs/why-is-nothing-shared.md')
  const events = compiled.getSourceFiles().filter(({ fileName }) => fileName.startsWith(join(ROOT, 'lib/'))).flatMap(({ fileName, text }) =>
    [...text.matchAll(/event: '([\w-]+)'/g), ...basename(fileName) === 'warnings.ts' ? text.matchAll(/#warn\(of, '([\w-]+)'/g) : []].map(([, event]) => event as string))
  t.ok(events.length > 5)
  t.same(events.filter(event => !anchors.has(event)), [])
  t.same(events.filter(event => !WARNINGS.includes(event)), [], 'and can be silenced')
  t.same(WARNINGS.filter(name => !anchors.has(name)), [])
  t.end()
})

t.test('the metrics page has every metric of a scrape with its type, and no other', async t => {
  const app = Fastify()
  await app.register(coalesce, { metrics: true })
  app.get('/', { config: { coalesce: { observe: true } } }, async () => 'ok')
  const { body } = await app.inject('/metrics')
  const served = [...body.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, type]) => `${name} ${type}`)
  const documented = [...page('docs/metrics.md').section('Prometheus').matchAll(/^\| `(\w+)` \| (\w+) \|/gm)].map(([, name, type]) => `${name} ${type}`)
  t.same(sorted(documented), sorted(served))
  const names = new Set(served.map(each => each.split(' ')[0] as string))
  const mentioned = PAGES.flatMap(({ text }) => [...text.matchAll(/(?<!:)\bcoalesce_\w+/g)].map(([name]) => name.replace(/_bucket$/, '')))
  t.same(mentioned.filter(name => !names.has(name)), [], 'in queries and alerts as well')
  await app.close()
})
