/**
 * What the command line says: `fastify-coalesce explain <app file> [method] <url>`.
 *
 * Invariant: it never throws. What went wrong is said in one line on standard error, and by the exit code.
 */
import { createRequire } from 'node:module'
import { parseArgs } from 'node:util'
import type { InjectOptions } from 'fastify'
import type { Explanation } from '../../types/index.js'
import { loadApp } from './load-app.js'
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

export const EXIT = Object.freeze({ explained: 0, failed: 1, misused: 2 })

export const USAGE = `Usage: fastify-coalesce explain <app file> [method] <url> [options]

Tells what would happen to a request, and why. The hooks of its route run, its handler does not.

<app file>  a module that exports a plugin, as for fastify-cli, or a Fastify instance, or as \`build\` a function that makes one
[method]    GET unless said otherwise
<url>       such as '/search?q=a'

  -H, --header 'name: value'   a header of the request; may be repeated
  -d, --data <text>            its body
      --values                 show values as well, not only names
      --json                   all that is known, as JSON
      --options                make the app with the \`options\` that the file exports (of a plugin)
  -h, --help                   this text
  -v, --version                the version

Exit codes: 0 it is explained, 1 the app cannot be loaded or asked, 2 the command is wrong

Example: npx fastify-coalesce explain app.js GET '/search?q=a' -H 'cookie: _ga=1'
`

class Misuse extends Error {}

interface Command {
  readonly file: string
  readonly request: InjectOptions
  readonly json: boolean
  readonly values: boolean
  readonly options: boolean
}

/** Does what the arguments say. Returns the exit code. */
export async function main (args: readonly string[], { cwd, stderr, stdout }: Terminal): Promise<number> {
  try {
    await write(stdout, await answer(args, cwd()))
    return EXIT.explained
  } catch (error) {
    const misused = error instanceof Misuse
    await write(stderr, `fastify-coalesce: ${messageOf(error)}\n${misused ? `\n${USAGE}` : ''}`)
    return misused ? EXIT.misused : EXIT.failed
  }
}

async function answer (args: readonly string[], cwd: string): Promise<string> {
  const command = read(args)
  if (command === 'help') return USAGE
  if (command === 'version') return `${version()}\n`
  const { file, json, options, request, values } = command
  const { close, explain } = await loadApp(file, cwd, options)
  try {
    const explanation: Explanation = await explain(request, { values })
    return json ? `${JSON.stringify(explanation, null, 2)}\n` : printed(request, explanation)
  } finally {
    await close()
  }
}

function read (args: readonly string[]): Command | 'help' | 'version' {
  const { positionals: [name, file, ...target], values } = parsed(args)
  if (values.help === true) return 'help'
  if (values.version === true) return 'version'
  if (name === undefined) throw new Misuse('say what to do: explain')
  if (name !== 'explain') throw new Misuse(`there is no command ${name}`)
  if (file === undefined) throw new Misuse('say which file the app is in')
  if (target.length > 2) throw new Misuse(`too many arguments: ${target.slice(2).join(' ')}`)
  const url = target.pop()
  const [method = 'GET'] = target
  if (url === undefined) throw new Misuse('say which URL to ask for')
  if (!/^(?:\/|https?:\/\/)/.test(url)) throw new Misuse(`a URL begins with '/' or 'http://', and ${url} does not`)
  return {
    file,
    request: {
      method: method.toUpperCase() as NonNullable<InjectOptions['method']>,
      url,
      headers: headersOf(values.header ?? []),
      ...values.data === undefined ? {} : { payload: values.data }
    },
    json: values.json === true,
    values: values.values === true,
    options: values.options === true
  }
}

function parsed (args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        header: { type: 'string', short: 'H', multiple: true },
        data: { type: 'string', short: 'd' },
        values: { type: 'boolean' },
        json: { type: 'boolean' },
        options: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean', short: 'v' }
      }
    })
  } catch (error) {
    throw new Misuse(messageOf(error))
  }
}

function headersOf (lines: readonly string[]): Record<string, string | string[]> {
  const headers = new Map<string, string[]>()
  for (const line of lines) {
    const [, name, value] = /^([^\s:]+):\s*(.*)$/.exec(line) ?? []
    if (name === undefined || value === undefined) throw new Misuse(`a header is 'name: value', and ${JSON.stringify(line)} is not`)
    headers.set(name.toLowerCase(), [...headers.get(name.toLowerCase()) ?? [], value])
  }
  return Object.fromEntries([...headers].map(([name, values]) => [name, values.length === 1 ? values[0] as string : values]))
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
