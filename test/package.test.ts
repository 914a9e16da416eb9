/**
 * What is published: its contents, and its use by those who install it.
 */
import { execFile } from 'node:child_process'
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { createRequire, isBuiltin } from 'node:module'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import ts from 'typescript'
import plugin from '../lib/index.js'

interface Packed {
  readonly filename: string
  readonly files: ReadonlyArray<{ readonly path: string }>
}

interface Manifest {
  readonly main: string
  readonly types: string
  readonly bin: Record<string, string>
  readonly exports: Readonly<Record<'.' | './redis' | './otel', Record<'import' | 'require', Record<'types' | 'default', string>>>>
  readonly dependencies: Record<string, string>
  readonly peerDependencies: Record<string, string>
}

const CLIENTS = 5

// Seconds on a machine that has nothing else to do.
t.setTimeout(300_000)

const require = createRequire(import.meta.url)
const root = fileURLToPath(new URL('..', import.meta.url))
const execute = promisify(execFile)

// What npm and tap tell their own children is not meant for a user's npm and node.
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) =>
  !/^(?:npm_(?:package|lifecycle|command|execpath|node_execpath|config_local_prefix)|INIT_CWD|NODE_OPTIONS|NODE_V8_COVERAGE|_?TAP)/.test(name)))

async function run (cwd: string, command: string, ...args: string[]): Promise<string> {
  try {
    return (await execute(command, args, { cwd, env })).stdout
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string, stderr: string }
    throw new Error(`${command} ${args.join(' ')} failed:\n${stdout}\n${stderr}`, { cause: error })
  }
}

const sources = async (...folders: string[]): Promise<string[]> =>
  (await Promise.all(folders.map(async folder =>
    (await readdir(join(root, folder), { recursive: true })).map(path => `${folder}/${path}`)))).flat().filter(path => path.endsWith('.ts'))

/** A user's program: as many clients as one run of the handler is to serve. */
const program = (imports: string, types = '', options = '{}', register = 'coalesce'): string => `${imports}
${types}
async function main () {
  let runs = 0
  const app = Fastify()
  await app.register(${register}, { waitTimeout: '10s' })
  app.get('/word/:word', { config: { coalesce: ${options} } }, async request => {
    runs++
    while (app.coalesce.stats().totalRequests < ${CLIENTS}) await new Promise(resolve => { setImmediate(resolve) })
    return { url: request.url, outcome: request.coalesce?.outcome }
  })
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  const bodies = await Promise.all(Array.from({ length: ${CLIENTS} }, async () => {
    const response = await fetch(address + '/word/serendipity')
    return await response.text()
  }))
  await app.close()
  console.log(JSON.stringify({ runs, answers: bodies.length, bodies: [...new Set(bodies)] }))
}
main().catch(error => {
  console.error(error)
  process.exitCode = 1
})
`

const imports = "import Fastify from 'fastify'\nimport coalesce from 'fastify-coalesce'"
const typed = "import type { CoalesceRouteOptions } from 'fastify-coalesce'\nconst options: CoalesceRouteOptions = { query: ['q'] }"

/** A user's program in TypeScript's CommonJS. The last line has a typo. */
const commonJs = `
import Fastify = require('fastify')
import coalesce = require('fastify-coalesce')
const options: coalesce.CoalesceRouteOptions = { query: ['q'] }
const app = Fastify()
app.register(coalesce, { waitTimeout: '10s' })
app.register(async inner => { await inner.register(coalesce.default) })
app.register(async inner => { await inner.register(require('fastify-coalesce').default) })
app.after(() => {
  app.get('/', { config: { coalesce: options } }, async request => request.coalesce?.outcome)
})
const lookUp: (word: string) => Promise<string> = coalesce.deduplicate(async (word: string) => word, { key: word => word })
app.ready().then(async () => {
  console.log(typeof coalesce, coalesce === coalesce.default, await lookUp('serendipity'), typeof app.coalesce.stats)
  await app.close()
})
export const wrong: coalesce.CoalesceRouteOptions = { qeury: ['q'] }
`

/** The entry for many processes, without a server. */
const redisProgram = (imports: string, options: string): string => `
${imports}
const options: ${options} = { url: 'redis://localhost', namespace: 'shop', secret: 'a secret of all its processes' }
const store = redisStore(options)
console.log(typeof redisCoordinator(options).open, typeof store.get, store.size?.entries)
try {
  redisCoordinator({ ...options, lease: 'soon' })
} catch (error) {
  console.log((error as Error).message.slice(0, 30))
}
export {}
`

/** The entry for OpenTelemetry, without it. */
const otelProgram = (imports: string, options: string): string => `
${imports}
const options: ${options} = { waits: false }
try {
  traceCoalescing({} as never, options)
} catch (error) {
  console.log((error as Error).message.slice(0, 19))
}
export {}
`

/** Compiles a user's programs. Answers what is wrong with them, or with the package's own declarations. */
function compile (files: readonly string[], options: ts.CompilerOptions): string[] {
  const program = ts.createProgram(files, {
    strict: true, target: ts.ScriptTarget.ES2023, typeRoots: [join(root, 'node_modules/@types')], types: ['node'], ...options
  })
  // File by file, or TypeScript checks all that Fastify and Node declare.
  for (const file of files) program.emit(program.getSourceFile(file))
  return program.getSourceFiles()
    .filter(({ fileName }) => files.includes(fileName) || fileName.includes('/node_modules/fastify-coalesce/'))
    .flatMap(source => [
      ...program.getSyntacticDiagnostics(source),
      ...program.getSemanticDiagnostics(source),
      ...options.declaration === true && !source.isDeclarationFile ? program.getDeclarationDiagnostics(source) : []
    ])
    .map(({ file, messageText }) => `${basename(file?.fileName ?? '')}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`)
}

const NODENEXT: ts.CompilerOptions = { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext }
const INTEROP: ts.CompilerOptions = {
  module: ts.ModuleKind.CommonJS, moduleResolution: ts.ModuleResolutionKind.Node10, esModuleInterop: true
}

async function serves (t: Test, cwd: string, file: string): Promise<void> {
  t.same(JSON.parse(await run(cwd, process.execPath, '--no-warnings', file)), {
    runs: 1, answers: CLIENTS, bodies: ['{"url":"/word/serendipity","outcome":"leader"}']
  })
}

t.test('Fastify is told of the same range as npm', async t => {
  const { peerDependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Manifest
  t.equal((plugin as unknown as Record<symbol, { fastify: string }>)[Symbol.for('plugin-meta')]?.fastify, peerDependencies.fastify)
})

t.test('the package', { timeout: 300_000 }, async t => {
  const folder = t.testdir({ clone: {}, consumer: { 'package.json': '{ "private": true }' } })
  const clone = join(folder, 'clone')
  const consumer = join(folder, 'consumer')

  // Packed where nothing was built, and where tests and sources are at hand to be packed by mistake.
  const kept = (await readdir(root)).filter(name => !['node_modules', 'dist', '.git', '.tap'].includes(name))
  await Promise.all(kept.map(async name => {
    await cp(join(root, name), join(clone, name), { recursive: true, filter: path => basename(path) !== '.tap' && !path.includes('tap-testdir') })
  }))
  await symlink(join(root, 'node_modules'), join(clone, 'node_modules'), 'junction')
  await mkdir(join(clone, 'dist'))
  await writeFile(join(clone, 'dist/left-over.js'), '')

  const output = await run(clone, 'npm', 'pack', '--json', '--loglevel=error', '--foreground-scripts=false')
  const packed = (JSON.parse(output.slice(output.search(/^\[/m))) as Packed[])[0]
  if (packed === undefined) throw new Error('npm packed nothing')
  const paths = packed.files.map(file => file.path)
  const built = paths.filter(path => path.startsWith('dist/'))
  const manifest = JSON.parse(await readFile(join(clone, 'package.json'), 'utf8')) as Manifest

  await t.test('has its licence, what its sources are built to, its pages, examples, dashboard and rules, and nothing else', async t => {
    // The live page's own sources are in it as texts.
    const compiled = (await sources('lib', 'types')).filter(path => !path.startsWith('lib/page/browser/'))
    const expected = compiled.flatMap(path => ['.js', '.d.ts'].map(end => `dist/${path.replace(/\.ts$/, end)}`))
      .concat(['dist/lib/commonjs', 'dist/lib/redis/commonjs', 'dist/lib/otel/commonjs'].flatMap(path => [`${path}.cjs`, `${path}.d.cts`]))
    const pages = (await Promise.all(['docs', 'docs/images', 'examples', 'grafana', 'prometheus'].map(async folder =>
      (await readdir(join(root, folder), { withFileTypes: true })).filter(each => each.isFile()).map(({ name }) => `${folder}/${name}`)))).flat()
      // What draws the pictures is no part of it.
      .filter(path => !/^docs\/images\/.*\.js$/.test(path))
    t.ok(pages.includes('docs/getting-started.md') && pages.includes('examples/basic.js'))
    t.same([...paths].sort(), [...expected, ...pages, 'CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'].sort())
  })

  await t.test('has what its manifest points to', async t => {
    const targets = [manifest.main, manifest.types, ...Object.values(manifest.bin), ...[manifest.exports['.'], manifest.exports['./redis'], manifest.exports['./otel']].flatMap(entry => Object.values(entry).flatMap(Object.values))] as string[]
    t.same(targets.filter(target => !paths.includes(target.replace('./', ''))), [])
  })

  await t.test('points to no source map and imports nothing but its dependencies', async t => {
    const contents = await Promise.all(built.map(async path => await readFile(join(clone, path), 'utf8')))
    t.same(built.filter((_path, index) => contents[index]?.includes('sourceMappingURL')), [])
    const imported = contents.flatMap(content => ts.preProcessFile(content).importedFiles.map(file => file.fileName))
    const packages = new Set(imported.filter(name => !name.startsWith('.') && !isBuiltin(name)))
    const declared = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.peerDependencies)]
    t.ok(packages.has('fastify-plugin'))
    t.same([...packages].filter(name => !declared.includes(name)), [])
  })

  const { version } = require('fastify/package.json') as { version: string }
  await run(consumer, 'npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error',
    resolve(clone, packed.filename), `fastify@${version}`)
  await Promise.all(Object.entries({
    'esm.mjs': program(imports),
    'plain.cjs': program("const Fastify = require('fastify')", '', 'true', "require('fastify-coalesce')"),
    'commonjs.cts': commonJs,
    'nodenext.mts': program(imports, typed, 'options'),
    'wrong.mts': program(imports, typed.replace('query', 'qeury'), 'options'),
    'interop.ts': program(imports, typed, 'options'),
    'redis.mts': redisProgram("import { redisCoordinator, redisStore, type RedisCoordinatorOptions } from 'fastify-coalesce/redis'", 'RedisCoordinatorOptions'),
    'redis.cts': redisProgram("import redis = require('fastify-coalesce/redis')\nconst { redisCoordinator, redisStore } = redis", 'redis.RedisCoordinatorOptions'),
    'otel.mts': otelProgram("import { traceCoalescing, type TraceOptions } from 'fastify-coalesce/otel'", 'TraceOptions'),
    'otel.cts': otelProgram("import otel = require('fastify-coalesce/otel')\nconst { traceCoalescing } = otel", 'otel.TraceOptions'),
    'library.mts': "import * as front from 'fastify-coalesce'\n" + Object.entries({
      plugin: 'front.fastifyCoalesce',
      store: 'front.memoryStore()',
      none: 'front.nullStore',
      cached: 'front.abstractCacheStore({ get () {}, set () {} })',
      lookUp: 'front.deduplicate(async (word: string) => word, { key: word => word })',
      batch: 'front.batched(async (words: readonly string[]) => words, { key: (word: string) => word })',
      decorator: 'front.deduplicated({ key: (word: string) => word })',
      zlib: 'front.sharedZlib',
      error: 'front.errors.WaitTimeoutError'
    }).map(([name, value]) => `export const ${name} = ${value}\n`).join('') +
      "import { redisCoordinator, redisStore } from 'fastify-coalesce/redis'\n" +
      "export const coordinator = redisCoordinator({ url: 'redis://localhost' })\nexport const shared = redisStore({ url: 'redis://localhost' })\n"
  }).map(async ([name, content]) => { await writeFile(join(consumer, name), content) }))

  await t.test('is used by import', async t => { await serves(t, consumer, 'esm.mjs') })

  await t.test('explains requests on the command line', async t => {
    await writeFile(join(consumer, 'app.mjs'), "import coalesce from 'fastify-coalesce'\nexport default async function (app, options) {\n  await app.register(coalesce)\n" +
      "  app.get('/', { config: { coalesce: true } }, async () => 'ok')\n}\n")
    t.match(await run(consumer, 'npx', '--no-install', 'fastify-coalesce', 'explain', 'app.mjs', 'GET', '/', '-H', 'cookie: a=1'),
      /^GET \/\nbypass\/credentials\/cookie: it carries cookie/)
  })

  await t.test('is used by require', async t => { await serves(t, consumer, 'plain.cjs') })

  const [nodenext, wrong, interop] = [join(consumer, 'nodenext.mts'), join(consumer, 'wrong.mts'), join(consumer, 'interop.ts')]

  await t.test('is used from TypeScript, as ECMAScript modules', async t => {
    t.match(compile([nodenext, wrong], NODENEXT), [/^wrong\.mts: .*'qeury' does not exist in type 'CoalesceRouteOptions\b/s])
    await serves(t, consumer, 'nodenext.mjs')
  })

  await t.test('is required from TypeScript, with node16 and nodenext', async t => {
    const file = join(consumer, 'commonjs.cts')
    const typo = [/^commonjs\.cts: .*'qeury' does not exist in type 'CoalesceRouteOptions\b/s]
    for (const module of [ts.ModuleKind.Node16, ts.ModuleKind.NodeNext]) {
      const wrong = compile([file], { module })
      t.match(wrong, typo)
      t.equal(wrong.length, 1)
    }
    t.equal(await run(consumer, process.execPath, '--no-warnings', 'commonjs.cjs'), 'function true serendipity function\n')
  })

  for (const entry of ['.', './redis', './otel'] as const) {
    await t.test(`has the same types for import and for require of ${entry}`, async t => {
      const files = [manifest.exports[entry].import.types, manifest.exports[entry].require.types]
        .map(path => join(consumer, 'node_modules/fastify-coalesce', path))
      const program = ts.createProgram(files, { strict: true, skipLibCheck: true, typeRoots: [], ...NODENEXT })
      const checker = program.getTypeChecker()
      const [esm, cjs] = files.map(file => {
        const module = checker.getSymbolAtLocation(program.getSourceFile(file) as ts.SourceFile) as ts.Symbol
        return checker.getExportsOfModule(module).map(symbol => symbol.flags & ts.SymbolFlags.Alias ? [symbol.name, checker.getAliasedSymbol(symbol)] as const : [symbol.name, symbol] as const)
          .filter(([, { flags }]) => (flags & ts.SymbolFlags.Type) !== 0).map(([name]) => name).sort()
      })
      t.ok(esm?.includes({ '.': 'CoalesceRouteOptions', './redis': 'RedisStoreOptions', './otel': 'TraceOptions' }[entry]))
      t.same(cjs, esm)
    })
  }

  await t.test('has an entry for many processes that needs no client to be installed, by import and by require', async t => {
    for (const name of ['redis.mts', 'redis.cts']) {
      t.same(compile([join(consumer, name)], NODENEXT), [])
      t.equal(await run(consumer, process.execPath, '--no-warnings', name.replace('ts', 'js')), 'function function 0\nredisCoordinator options.lease\n')
    }
  })

  await t.test('has an entry for OpenTelemetry that needs nothing of it to be installed, by import and by require', async t => {
    for (const name of ['otel.mts', 'otel.cts']) {
      t.same(compile([join(consumer, name)], NODENEXT), [])
      t.equal(await run(consumer, process.execPath, '--no-warnings', name.replace('ts', 'js')), 'traceCoalescing api\n')
    }
  })

  await t.test('has a name for each type that a library may hand on', async t => {
    t.same(compile([join(consumer, 'library.mts')], { ...NODENEXT, declaration: true }), [])
  })

  await t.test('is used from TypeScript, as CommonJS', async t => {
    t.same(compile([interop], INTEROP), [])
    await serves(t, consumer, 'interop.js')
  })
})
