/**
 * What the command line says: `fastify-coalesce explain <app file> [method] <url>`, and `fastify-coalesce report <url of the live page>`.
 *
 * Invariant: it never throws. What went wrong is said in one line on standard error, and by the exit code.
 */
import { createRequire } from 'node:module'
import type { Explanation } from '../../types/index.js'
import { askPage, pageOf } from './ask-page.js'
import { Misuse, read, type AskReport, type Explain } from './command-line.js'
import { harmlessJson } from './harmless.js'
import { loadApp } from './load-app.js'
import { leaksOf, toldBy } from './page-state.js'
import { printedReport } from './print-report.js'
import { printed } from './print.js'

/** What of a process is used. */
export interface Terminal {
  cwd (): string
  readonly stdout: Output
  readonly stderr: Output
}

interface Output {
  write (text: string, written: () => void): unknown
}

export const EXIT = Object.freeze({ done: 0, failed: 1, misused: 2 })

export const USAGE = `Usage: fastify-coalesce explain <app file> [method] <url> [options]
       fastify-coalesce report <url of the live page> [options]

explain tells what would happen to a request, and why. The hooks of its route run, its handler does not.

<app file>  a module that exports a plugin, as for fastify-cli, or a Fastify instance, or as \`build\` a function that makes one
[method]    GET unless said otherwise
<url>       such as '/search?q=a'

  -H, --header 'name: value'   a header of the request; may be repeated
  -d, --data <text>            its body
      --values                 show values as well, not only names
      --json                   all that is known, as JSON
      --options                make the app with the \`options\` that the file exports (of a plugin)

report tells of a running app what each route does, and what is advised.

<url>       of its live page (dashboard: { … }), such as http://localhost:3000/coalesce;
            http://user:pass@localhost:3000/coalesce for a guard that asks for a name and a password

  -H, --header 'name: value'   a header for the page's guard, such as 'authorization: …'; may be repeated
      --json                   all that the page knows, as JSON
      --check                  exit with 1 if a route leaks, or would

  -h, --help                   this text
  -v, --version                the version

Exit codes: 0 it is told, 1 the app or page cannot be loaded or asked, or --check found a leak, 2 the command is wrong

Examples: npx fastify-coalesce explain app.js GET '/search?q=a' -H 'cookie: _ga=1'
          npx fastify-coalesce report http://localhost:3000/coalesce --check
`

/** What there is to say, and what is wrong with it. */
interface Said {
  readonly text: string
  readonly wrong?: string | undefined
}

/** Does what the arguments say. Returns the exit code. */
export async function main (args: readonly string[], { cwd, stderr, stdout }: Terminal): Promise<number> {
  try {
    const { text, wrong } = await answer(args, cwd())
    await write(stdout, text)
    if (wrong === undefined) return EXIT.done
    await write(stderr, `fastify-coalesce: ${wrong}\n`)
    return EXIT.failed
  } catch (error) {
    const misused = error instanceof Misuse
    await write(stderr, `fastify-coalesce: ${messageOf(error)}\n${misused ? `\n${USAGE}` : ''}`)
    return misused ? EXIT.misused : EXIT.failed
  }
}

async function answer (args: readonly string[], cwd: string): Promise<Said> {
  const command = read(args)
  switch (command.name) {
    case 'help':
      return { text: USAGE }
    case 'version':
      return { text: `${version()}\n` }
    case 'explain':
      return { text: await explained(command, cwd) }
    case 'report':
      return await reported(command)
  }
}

async function explained ({ file, json, options, request, values }: Explain, cwd: string): Promise<string> {
  const { close, explain } = await loadApp(file, cwd, options)
  try {
    const explanation: Explanation = await explain(request, { values })
    return json ? `${JSON.stringify(explanation, null, 2)}\n` : printed(request, explanation)
  } finally {
    await close()
  }
}

async function reported ({ check, headers, json, url }: AskReport): Promise<Said> {
  const state = await askPage(url, headers)
  const page = pageOf(url)
  const told = toldBy(state, page)
  const leaks = check ? leaksOf(told) : []
  return { text: json ? `${harmlessJson(state)}\n` : printedReport(page, told), wrong: leaks.length > 0 ? `it leaks, or would: ${leaks.join(', ')}` : undefined }
}

function version (): string {
  // By its name, so that it is found from the sources as from what is built.
  const { version } = createRequire(import.meta.url)('fastify-coalesce/package.json') as { readonly version: string }
  return version
}

function messageOf (error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

async function write (output: Output, text: string): Promise<void> {
  await new Promise<void>(resolve => { output.write(text, resolve) })
}
