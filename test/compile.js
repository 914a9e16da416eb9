/**
 * Runs before all test files: strips the types of every source once, in one process. Else, in a fresh clone, nearly every test file
 * would load TypeScript for itself.
 */
import { readdir, readFile } from 'node:fs/promises'
import { compiled } from './typescript.js'

const ROOT = new URL('../', import.meta.url)

for (const folder of ['lib', 'types', 'test']) {
  for (const name of await readdir(new URL(folder, ROOT), { recursive: true })) {
    if (!name.endsWith('.ts') || name.includes('node_modules')) continue
    const url = new URL(`${folder}/${name}`, ROOT)
    await compiled(url.href, await readFile(url, 'utf8'))
  }
}
