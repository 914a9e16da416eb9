/**
 * What the arguments of a command say.
 *
 * Invariant: what is wrong about them throws a `Misuse` that says how it should be.
 */
import { parseArgs } from 'node:util'
import type { InjectOptions } from 'fastify'

/** The command is wrong. */
export class Misuse extends Error {}

export type Headers = Readonly<Record<string, string | string[]>>

export interface Explain {
  readonly name: 'explain'
  readonly file: string
  readonly request: InjectOptions
  readonly json: boolean
  readonly values: boolean
  readonly options: boolean
}

export interface AskReport {
  readonly name: 'report'
  readonly url: URL
  readonly headers: Headers
  readonly json: boolean
  readonly check: boolean
}

export type Command = Explain | AskReport | { readonly name: 'help' } | { readonly name: 'version' }

/** Options that one command has and the other has not. */
const OWN = Object.freeze({ explain: ['data', 'values', 'options'], report: ['check'] } as const)

export function read (args: readonly string[]): Command {
  const { positionals: [name, ...operands], values } = parsed(args)
  if (values.help === true) return { name: 'help' }
  if (values.version === true) return { name: 'version' }
  if (name === undefined) throw new Misuse('say what to do: explain or report')
  if (name !== 'explain' && name !== 'report') throw new Misuse(`there is no command ${name}`)
  const stray = OWN[name === 'explain' ? 'report' : 'explain'].find(option => values[option as keyof typeof values] !== undefined)
  if (stray !== undefined) throw new Misuse(`${name} has no option --${stray}`)
  return name === 'explain' ? explainOf(operands, values) : reportOf(operands, values)
}

type Values = ReturnType<typeof parsed>['values']

function explainOf ([file, ...target]: readonly string[], values: Values): Explain {
  if (file === undefined) throw new Misuse('say which file the app is in')
  atMost(2, target)
  const url = target.pop()
  const [method = 'GET'] = target
  if (url === undefined) throw new Misuse('say which URL to ask for')
  if (!/^(?:\/|https?:\/\/)/.test(url)) throw new Misuse(`a URL begins with '/' or 'http://', and ${url} does not`)
  return {
    name: 'explain',
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

function reportOf ([page, ...others]: readonly string[], values: Values): AskReport {
  if (page === undefined) throw new Misuse('say which URL the live page has')
  atMost(0, others)
  const url = /^https?:\/\//i.test(page) && URL.canParse(page) ? new URL(page) : undefined
  if (url === undefined) throw new Misuse(`the URL of a live page is like http://localhost:3000/coalesce, and ${page} is not`)
  return { name: 'report', url, headers: headersOf(values.header ?? []), json: values.json === true, check: values.check === true }
}

function atMost (most: number, operands: readonly string[]): void {
  if (operands.length > most) throw new Misuse(`too many arguments: ${operands.slice(most).join(' ')}`)
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
        check: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean', short: 'v' }
      }
    })
  } catch (error) {
    throw new Misuse((error as Error).message)
  }
}

function headersOf (lines: readonly string[]): Headers {
  const headers = new Map<string, string[]>()
  for (const line of lines) {
    const [, name, value] = /^([^\s:]+):\s*(.*)$/.exec(line) ?? []
    if (name === undefined || value === undefined) throw new Misuse(`a header is 'name: value', and ${JSON.stringify(line)} is not`)
    headers.set(name.toLowerCase(), [...headers.get(name.toLowerCase()) ?? [], value])
  }
  return Object.fromEntries([...headers].map(([name, values]) => [name, values.length === 1 ? values[0] as string : values]))
}
