/**
 * Makes `lib/page/assets.ts` of the page's sources: run it after each change of them, `node lib/page/browser/embed.js`.
 *
 * The file is committed, so that a build needs no bundler. A test fails if it is out of date.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build, transform } from 'esbuild'

/** @param {string} name */
const path = name => fileURLToPath(new URL(name, import.meta.url))

/** @param {string} text */
const literal = text => `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`

export async function embedded () {
  const html = (await readFile(path('page.html'), 'utf8')).replaceAll(/\n\s*/g, '\n').replaceAll('>\n<', '><')
  const { code: css } = await transform(await readFile(path('page.css'), 'utf8'), { loader: 'css', minify: true, charset: 'utf8' })
  const { outputFiles: [js] } = await build({
    entryPoints: [path('page.ts')],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    charset: 'utf8',
    write: false,
    legalComments: 'none',
    // The sources say of themselves what they are made for.
    tsconfigRaw: { compilerOptions: { target: 'es2022', useDefineForClassFields: true } }
  })
  return `/**
 * The files of the live page, as texts, so that an app that is bundled into one file serves them as well.
 * Made of \`lib/page/browser/\` by its \`embed.js\`: change nothing here.
 *
 * Invariant: each is below the page's path under its own name and asks for the others by that name alone; nothing is inline.
 */

export const PAGE_HTML = ${literal(html)}

export const PAGE_CSS = ${literal(css)}

export const PAGE_JS = ${literal(js?.text ?? '')}
`
}

export const ASSETS = path('../assets.ts')

if (process.argv[1] === import.meta.filename) await writeFile(ASSETS, await embedded())
