/**
 * The name of the app, which tells its processes from those of other apps that use the same Redis.
 *
 * Invariant: apps of different packages, and apps of one package that are started by different scripts, have different names.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'

const ALLOWED = /^[\w.-]{1,64}$/
/** So much of a longer name can be read in front of its digest. */
const LEGIBLE = 48
const DIGEST = 12
/** What a module of an installed package is called, for greed from the last `node_modules` on. */
const INSTALLED = /.*[\\/]node_modules[\\/]/s
const MODULE = /\.[cm]?[jt]sx?$/

/** How a process was started, and what it finds. */
export interface Surroundings {
  /** The main script and its arguments. */
  readonly argv: readonly string[]
  readonly cwd: string
  /** The real path of a module's file, by its path with or without extension, or that of its folder. */
  readonly find: (path: string) => string | undefined
  /** The text of a file. */
  readonly read: (path: string) => string | undefined
}

/**
 * The name in the nearest package.json above the main script that has one; with the script's path, unless both are in one folder.
 *
 * If an installed program runs the app (`fastify start app.js`), the script is the first module among its arguments. If there is none, the
 * search begins where the process was started, and the program's own path is what follows the name.
 */
export function appName ({ argv: [main, ...others], cwd, find, read }: Surroundings): string | undefined {
  const started = main === undefined ? undefined : find(resolve(cwd, main))
  const isInstalled = started !== undefined && INSTALLED.test(started)
  const script = isInstalled ? firstModule(others, cwd, find) : started
  const start = script === undefined ? cwd : dirname(script)
  for (let folder = start, last = ''; folder !== last; last = folder, folder = dirname(folder)) {
    const name = nameIn(read(join(folder, 'package.json')))
    if (name === undefined) continue
    if (script !== undefined) return folder === start ? legible(name) : legible(name, relative(folder, script))
    return isInstalled ? legible(name, started.replace(INSTALLED, '')) : legible(name)
  }
  return undefined
}

/** The name of the app that this process is of. */
export function ownName (): string | undefined {
  const { resolve: find } = createRequire(import.meta.url)
  return appName({
    argv: process.argv.slice(1), cwd: process.cwd(), find: path => orNothing(() => find(path)), read: path => orNothing(() => readFileSync(path, 'utf8'))
  })
}

function firstModule (paths: readonly string[], cwd: string, find: Surroundings['find']): string | undefined {
  for (const path of paths) {
    const found = MODULE.test(path) ? find(resolve(cwd, path)) : undefined
    if (found !== undefined && !INSTALLED.test(found)) return found
  }
  return undefined
}

function nameIn (text: string | undefined): string | undefined {
  const name: unknown = text === undefined ? undefined : orNothing(() => (JSON.parse(text) as { readonly name?: unknown } | null)?.name)
  return typeof name === 'string' && name !== '' ? name : undefined
}

/** What cannot stand in a namespace is told apart by a digest. */
function legible (name: string, path?: string): string {
  if (path === undefined && ALLOWED.test(name)) return name
  const whole = path === undefined ? [name] : [name, path.replaceAll('\\', '/')]
  const digest = createHash('sha256').update(JSON.stringify(whole)).digest('hex').slice(0, DIGEST)
  return `${whole.join('-').replace(/^\W+/, '').replace(/[^\w.-]+/g, '-').slice(0, LEGIBLE)}-${digest}`
}

function orNothing<T> (get: () => T): T | undefined {
  try {
    return get()
  } catch {
    return undefined
  }
}
