/**
 * Runs the sources as they are: each .ts file is stripped of its types once and kept in .tap/compiled, by what it contains, so that the
 * next process that imports it need not load TypeScript, which costs more than most tests. Types are checked by `npm run typecheck`.
 *
 * A module keeps the URL of its source, and carries its source map: stacks and coverage speak of the .ts file.
 */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { createRequire, register } from 'node:module'
import { fileURLToPath } from 'node:url'
import { isMainThread, threadId } from 'node:worker_threads'

if (isMainThread) {
  register(import.meta.url)
  // What tests start themselves is a user's node.
  delete process.env.NODE_OPTIONS
}

const require = createRequire(import.meta.url)
const folder = new URL('../.tap/compiled/', import.meta.url)
/** @type {import('typescript').CompilerOptions} */
const options = { target: /* ES2023 */ 10, module: /* ESNext */ 99, verbatimModuleSyntax: true, sourceMap: true }
const { version } = require('typescript/package.json')

/** @type {import('node:module').ResolveHook} */
export async function resolve (specifier, context, next) {
  if (/^\.\.?\/.*\.js$/.test(specifier) && context.parentURL?.endsWith('.ts')) {
    const source = new URL(specifier.replace(/\.js$/, '.ts'), context.parentURL)
    if (existsSync(source)) return { url: source.href, format: 'module', shortCircuit: true }
  }
  return await next(specifier, context)
}

/** @type {import('node:module').LoadHook} */
export async function load (url, context, next) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return await next(url, context)
  const source = await readFile(new URL(url), 'utf8')
  return { format: 'module', source: await compiled(url, source), shortCircuit: true }
}

/**
 * @param {string} url
 * @param {string} source
 */
export async function compiled (url, source) {
  const name = createHash('sha256').update(JSON.stringify([version, options, url, source])).digest('hex')
  const kept = new URL(`${name}.js`, folder)
  try {
    return await readFile(kept, 'utf8')
  } catch {
    const output = compile(url, source)
    await mkdir(folder, { recursive: true })
    // Renamed, since another process may read it while it is written.
    const draft = new URL(`${name}.${process.pid}.${threadId}`, folder)
    await writeFile(draft, output)
    await rename(draft, kept)
    return output
  }
}

/**
 * @param {string} url
 * @param {string} source
 */
function compile (url, source) {
  /** @type {import('typescript')} */
  const ts = require('typescript')
  const { outputText, sourceMapText = '' } = ts.transpileModule(source, { fileName: fileURLToPath(url), compilerOptions: options })
  const map = JSON.stringify({ ...JSON.parse(sourceMapText), sources: [url] })
  return outputText.replace(/\/\/# sourceMappingURL=.*\s*$/, '') +
    `//# sourceMappingURL=data:application/json;base64,${Buffer.from(map).toString('base64')}\n`
}
