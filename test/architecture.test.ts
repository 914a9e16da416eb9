import { readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const MAX_LINES = 450

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
    if (specifier === undefined) return
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
  return readdirSync(posix.join(ROOT, folder), { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.ts')).map(name => {
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
  const found = importsOf('lib/core/a.ts', `
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
    'node:fs package value', 'lib/core/side-effect.ts ours value', 'lib/a.ts ours type', '@scope/b package value', 'lib/core/c.ts ours value',
    'd package type', 'e package value', 'g package value', 'lib/h.ts ours type'
  ])
})

t.test('the rooms are there', async t => {
  const rooms = new Set(lib.map(({ path }) => dirname(path)))
  for (const room of ['lib', 'lib/core', 'lib/http', 'lib/observers']) t.ok(rooms.has(room), room)
})

t.test('core and http import nothing of ours but types and their own modules', async t => {
  for (const room of ['lib/core', 'lib/http']) {
    const strays = lib.filter(({ path }) => path.startsWith(`${room}/`)).flatMap(({ path, imports }) => imports
      .filter(({ target, ours, typeOnly }) => ours && !typeOnly && !target.startsWith(`${room}/`))
      .map(({ target }) => `${path} imports ${target}`))
    t.strictSame(strays, [])
  }
})

t.test('the coalescer, core and http know no framework, and core knows no HTTP', async t => {
  const isOf = (folders: readonly string[]) => ({ path }: Module): boolean => folders.some(folder => path.startsWith(folder))
  const fastify = lib.filter(isOf(['lib/coalescer.ts', 'lib/core/', 'lib/http/']))
    .filter(({ imports }) => imports.some(({ target }) => target.startsWith('fastify') || target === 'lib/fastify-visit.ts' || target === 'lib/plugin.ts'))
  const http = lib.filter(isOf(['lib/core/'])).filter(({ imports }) => imports.some(({ target }) => /^node:http|^lib\/http\//.test(target)))

  t.strictSame(fastify.map(({ path }) => path), [])
  t.strictSame(http.map(({ path }) => path), [])
})

t.test('each foreign power has its one embassy', async t => {
  t.strictSame(valueImporters('fastify').filter(path => path !== 'lib/plugin.ts'), [])
  t.strictSame(valueImporters('fastify-plugin'), ['lib/index.ts'])
  t.strictSame(valueImporters('prom-client'), ['lib/observers/prometheus.ts'])
  t.strictSame(valueImporters('@fastify/error'), ['lib/errors.ts'])
  t.strictSame(modules.filter(({ text }) => /^declare module/m.test(text)).map(({ path }) => path), ['types/index.ts'])
})

t.test('types import types only', async t => {
  const values = modules.filter(({ path }) => path.startsWith('types/')).flatMap(({ imports }) => imports.filter(({ typeOnly }) => !typeOnly))
  t.strictSame(values, [])
})

t.test('imports run downhill: no module imports itself by a detour', async t => {
  const byPath = new Map(modules.map(module => [module.path, module]))
  const cycles: string[] = []
  const done = new Set<string>()
  const walk = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) {
      cycles.push([...trail.slice(trail.indexOf(path)), path].join(' → '))
      return
    }
    if (done.has(path)) return
    for (const { target, ours, typeOnly } of byPath.get(path)?.imports ?? []) {
      if (ours && !typeOnly) walk(target, [...trail, path])
    }
    done.add(path)
  }
  for (const { path } of modules) walk(path, [])

  t.strictSame(cycles, [])
})

t.test('every module is reached from the front door', async t => {
  const byPath = new Map(modules.map(module => [module.path, module]))
  const reached = new Set<string>()
  const reach = (path: string): void => {
    if (reached.has(path)) return
    reached.add(path)
    for (const { target, ours } of byPath.get(path)?.imports ?? []) if (ours) reach(target)
  }
  reach('lib/index.ts')

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

t.test('each module says first what it is for, and is short', async t => {
  t.strictSame(modules.filter(({ text }) => !text.startsWith('/**\n * ')).map(({ path }) => path), [])
  t.strictSame(lib.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 })).filter(({ lines }) => lines > MAX_LINES), [])
})
