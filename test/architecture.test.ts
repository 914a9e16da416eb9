import { readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const MAX_LINES = 300
/** What runs in a browser is no module of the package: `lib/page/assets.ts` has it as a text. */
const BROWSER = 'page/browser/'

interface Import {
  /** A path below the root for a module of ours, else a package. */
  readonly target: string
  readonly ours: boolean
  /** Nothing of it is left once the types are gone. */
  readonly typeOnly: boolean
}

interface Module {
  readonly path: string
  readonly text: string
  readonly imports: readonly Import[]
}

/** What a source imports, in any way that there is. */
function importsOf (path: string, text: string): Import[] {
  const imports: Import[] = []
  const add = (specifier: ts.Node | undefined, typeOnly: boolean): void => {
    // The command line loads the app that it is given.
    if (specifier === undefined || (path === 'lib/cli/load-app.ts' && specifier.getText() === 'pathToFileURL(path).href')) return
    if (!ts.isStringLiteral(specifier)) throw new Error(`${path} imports what cannot be read: ${specifier.getText()}`)
    const ours = specifier.text.startsWith('.')
    const target = ours ? posix.join(dirname(path), specifier.text).replace(/\.js$/, '.ts') : packageOf(specifier.text)
    imports.push({ target, ours, typeOnly })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, node.importClause?.isTypeOnly === true)
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly)
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, true)
    else if (ts.isImportEqualsDeclaration(node)) throw new Error(`${path} has an import in the manner of CommonJS`)
    else if (ts.isCallExpression(node) && (node.expression.kind === ts.SyntaxKind.ImportKeyword || node.expression.getText() === 'require')) {
      add(node.arguments[0], false)
    }
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true))
  return imports
}

/** `@scope/name/file` and `name/file` without the file. */
function packageOf (specifier: string): string {
  return specifier.startsWith('node:') ? specifier : specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
}

const modules: readonly Module[] = sources('lib').concat(sources('types'))
const lib = modules.filter(({ path }) => path.startsWith('lib/'))

function sources (folder: string): Module[] {
  return readdirSync(posix.join(ROOT, folder), { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.ts') && !name.startsWith(BROWSER)).map(name => {
    const path = posix.join(folder, name)
    const text = readFileSync(posix.join(ROOT, path), 'utf8')
    return { path, text, imports: importsOf(path, text) }
  })
}

/** Modules with a value import of a package. */
function valueImporters (name: string): string[] {
  return modules.filter(({ imports }) => imports.some(({ target, typeOnly }) => target === name && !typeOnly)).map(({ path }) => path)
}

t.test('the imports of a source are found, in whatever way it imports', async t => {
  const found = importsOf('lib/http/a.ts', `
    import fs from 'node:fs'
    import './side-effect.js'
    import type { A } from '../a.js'
    import { type B } from '@scope/b/deep.js'
    export * from './c.js'
    export type * from 'd'
    export const e = await import('e/f')
    const g = require('g')
    type H = import('../h.js').H
  `)

  t.strictSame(found.map(({ target, ours, typeOnly }) => [target, ours ? 'ours' : 'package', typeOnly ? 'type' : 'value'].join(' ')), [
    'node:fs package value', 'lib/http/side-effect.ts ours value', 'lib/a.ts ours type', '@scope/b package value', 'lib/http/c.ts ours value',
    'd package type', 'e package value', 'g package value', 'lib/h.ts ours type'
  ])
})

/** Each room, a folder or one file, and the rooms whose modules its own may import, types included. All may import `types/`, and what stands at the top of `lib/`. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  codec: [],
  protection: [],
  http: ['codec'],
  options: ['http', 'protection'],
  observers: ['http', 'options'],
  observe: ['http'],
  report: ['http', 'observers', 'options'],
  page: ['http', 'options'],
  otel: [],
  'engine/cache': ['observers'],
  'engine/flights': ['engine/cache', 'protection'],
  'engine/coordinators': ['codec', 'engine/flights'],
  engine: ['engine/cache', 'protection', 'engine/flights', 'engine/coordinators', 'observers'],
  stores: ['codec', 'engine/cache', 'options'],
  'redis/clients': [],
  redis: ['redis/clients', 'options'],
  'redis/index': ['redis', 'redis/store'],
  'redis/store': ['codec', 'engine/cache', 'options', 'redis', 'redis/clients', 'stores'],
  functions: ['codec', 'engine', 'engine/cache', 'engine/coordinators', 'engine/flights', 'protection', 'http', 'observers', 'options', 'stores'],
  'fastify/internals': ['http'],
  cli: ['fastify/internals'],
  'fastify/replies': ['fastify/internals', 'http', 'options'],
  'fastify/dependencies': ['fastify/internals', 'http', 'observers', 'options'],
  'fastify/observe': ['fastify/internals', 'fastify/replies', 'fastify/dependencies', 'http', 'observe', 'observers', 'options'],
  'fastify/cache': ['codec', 'fastify/internals', 'fastify/replies', 'fastify/dependencies', 'engine', 'engine/cache', 'engine/coordinators', 'http', 'options'],
  'fastify/request': [
    'fastify/internals', 'fastify/replies', 'fastify/dependencies', 'fastify/cache', 'fastify/observe', 'engine', 'engine/cache', 'engine/coordinators',
    'engine/flights', 'protection', 'http', 'observe', 'observers', 'options', 'report'
  ],
  'fastify/explain': [
    'fastify/internals', 'fastify/dependencies', 'fastify/cache', 'fastify/request', 'engine', 'engine/cache', 'engine/coordinators',
    'protection', 'http', 'observers', 'options'
  ],
  'fastify/admission': [
    'fastify/replies', 'fastify/dependencies', 'fastify/cache', 'fastify/request', 'fastify/explain', 'protection', 'http', 'observers'
  ],
  'fastify/scope': [
    'fastify/dependencies', 'fastify/observe', 'fastify/cache', 'fastify/request', 'fastify/explain', 'functions', 'engine', 'engine/cache', 'engine/coordinators',
    'protection', 'http', 'observers', 'options', 'report', 'stores'
  ],
  'fastify/hooks': [
    'fastify/internals', 'fastify/replies', 'fastify/dependencies', 'fastify/cache', 'fastify/request', 'fastify/explain', 'fastify/scope',
    'engine/cache', 'http'
  ],
  'fastify/page': ['fastify/cache', 'fastify/request', 'fastify/scope', 'engine', 'engine/cache', 'observers', 'options', 'page'],
  'fastify/routes': [
    'fastify/internals', 'fastify/dependencies', 'fastify/observe', 'fastify/request', 'fastify/admission', 'fastify/scope', 'fastify/hooks', 'engine/flights', 'protection',
    'http', 'observers', 'options'
  ],
  fastify: [
    'fastify/internals', 'fastify/dependencies', 'fastify/cache', 'fastify/request', 'fastify/scope', 'fastify/hooks', 'fastify/page',
    'fastify/routes', 'observers', 'options'
  ]
}
/** What every room may use. */
const COMMON = ['lib/clock.ts', 'lib/deadlines.ts', 'lib/errors.ts', 'lib/reasons.ts', 'lib/variant.ts', 'lib/warnings.ts']

/** The room of a module: its folder, or itself where the table has it by its own name. Undefined at the top of `lib/`. */
function roomOf (path: string): string | undefined {
  const own = path.replace(/^lib\//, '').replace(/\.ts$/, '')
  if (own in MAY_IMPORT) return own
  const folder = dirname(own)
  return folder === '.' ? undefined : folder
}

t.test('each room imports the rooms that it may, and no others', async t => {
  const strays: string[] = []
  for (const { path, imports } of lib) {
    const room = roomOf(path)
    if (room === undefined) continue
    t.ok(room in MAY_IMPORT, `${room} is in the table`)
    for (const { target, ours } of imports) {
      if (!ours || target.startsWith('types/') || COMMON.includes(target)) continue
      const other = roomOf(target)
      if (other !== room && (other === undefined || MAY_IMPORT[room]?.includes(other) !== true)) strays.push(`${path} imports ${target}`)
    }
  }
  t.strictSame(strays, [])
})

t.test('no room is above itself', async t => {
  const walk = (room: string, above: readonly string[]): void => {
    t.notOk(above.includes(room), [...above, room].join(' → '))
    for (const below of MAY_IMPORT[room] ?? []) walk(below, [...above, room])
  }
  for (const room of Object.keys(MAY_IMPORT)) walk(room, [])
})

t.test('the engine knows neither HTTP nor a framework', async t => {
  const strays = lib.filter(({ path }) => path.startsWith('lib/engine/'))
    .filter(({ imports }) => imports.some(({ target }) => /^(?:node:http|fastify|lib\/(?:http|fastify)\/)/.test(target)))
  t.strictSame(strays.map(({ path }) => path), [])
})

t.test('each foreign power has its one embassy', async t => {
  t.strictSame(valueImporters('fastify').filter(path => path !== 'lib/plugin.ts'), [])
  t.strictSame(valueImporters('fastify-plugin'), ['lib/index.ts'])
  t.strictSame(valueImporters('prom-client'), ['lib/observers/prometheus.ts'])
  t.strictSame(valueImporters('@fastify/error'), ['lib/errors.ts'])
  for (const client of ['ioredis', 'iovalkey', 'redis']) t.strictSame(valueImporters(client), ['lib/redis/clients/connect.ts'])
  t.strictSame(modules.filter(({ text }) => /^declare module/m.test(text)).map(({ path }) => path), ['types/index.ts'])
})

t.test('types import types only', async t => {
  const values = modules.filter(({ path }) => path.startsWith('types/')).flatMap(({ imports }) => imports.filter(({ typeOnly }) => !typeOnly))
  t.strictSame(values, [])
})

t.test('imports run downhill, those of types as well: no module imports itself by a detour', async t => {
  const byPath = new Map(modules.map(module => [module.path, module]))
  const cycles: string[] = []
  const done = new Set<string>()
  const walk = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) {
      cycles.push([...trail.slice(trail.indexOf(path)), path].join(' → '))
      return
    }
    if (done.has(path)) return
    for (const { target, ours } of byPath.get(path)?.imports ?? []) if (ours) walk(target, [...trail, path])
    done.add(path)
  }
  for (const { path } of modules) walk(path, [])

  t.strictSame(cycles, [])
})

t.test('every module is reached from the front door, or from the command line', async t => {
  const byPath = new Map(modules.map(module => [module.path, module]))
  const reached = new Set<string>()
  const reach = (path: string): void => {
    if (reached.has(path)) return
    reached.add(path)
    for (const { target, ours } of byPath.get(path)?.imports ?? []) if (ours) reach(target)
  }
  reach('lib/index.ts')
  reach('lib/redis/index.ts')
  reach('lib/otel/index.ts')
  reach('lib/cli/bin.ts')

  t.strictSame(modules.map(({ path }) => path).filter(path => !reached.has(path)), [])
  t.strictSame([...reached].filter(path => !byPath.has(path)), [])
})

t.test('what is imported is declared in package.json', async t => {
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(posix.join(ROOT, 'package.json'), 'utf8')) as
    Record<'dependencies' | 'peerDependencies', Record<string, string>>
  const packages = new Set(modules.flatMap(({ imports }) => imports.filter(({ ours }) => !ours).map(({ target }) => target)))
  const builtin = [...packages].filter(name => name.startsWith('node:'))
  const declared = Object.keys({ ...dependencies, ...peerDependencies })

  t.strictSame(builtin.filter(name => !builtinModules.includes(name.slice('node:'.length).replace(/\/.*/, ''))), [])
  t.strictSame([...packages].filter(name => !builtin.includes(name) && !declared.includes(name)), [])
})

t.test('what runs in a browser imports but its own modules, types, and the contract that it has with the server', async t => {
  const folder = posix.join('lib', BROWSER)
  const sources = readdirSync(posix.join(ROOT, folder)).filter(name => name.endsWith('.ts')).map(name => ({ path: posix.join(folder, name), text: readFileSync(posix.join(ROOT, folder, name), 'utf8') }))
  const strays = sources.flatMap(({ path, text }) => importsOf(path, text).filter(({ target, typeOnly }) => !(target.startsWith(folder) || typeOnly || target === 'lib/page/state.ts')).map(({ target }) => `${path} imports ${target}`))
  t.ok(sources.length > 5)
  t.strictSame(strays, [])
  t.strictSame(lib.filter(({ imports }) => imports.some(({ target }) => target.startsWith(folder))).map(({ path }) => path), [])
  t.strictSame(sources.filter(({ text }) => !text.startsWith('/**\n * ') || text.split('\n').length - 1 > MAX_LINES).map(({ path }) => path), [])
})

t.test('each module says first what it is for, and is short', async t => {
  t.strictSame(modules.filter(({ text }) => !text.replace(/^#!.*\n/, '').startsWith('/**\n * ')).map(({ path }) => path), [])
  t.strictSame(lib.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 })).filter(({ lines }) => lines > MAX_LINES), [])
})
