/**
 * The form that asks what would become of a request.
 *
 * Invariant: what is answered is text.
 */
import type { Explanation } from '../../../types/index.js'
import { post } from './actions.js'
import { byId, el, pairs } from './dom.js'
import { whatIsWrong } from './poll.js'

/** One header a line; the server says what is none. */
function headersOf (text: string): Record<string, string> {
  return Object.fromEntries(text.split('\n').filter(line => line.trim()).map(line => {
    const [name = '', ...value] = line.split(':')
    return [name.trim().toLowerCase(), value.join(':').trim()]
  }))
}

/** What the steps do not say. */
function facts ({ route, key, outside, variant }: Explanation): Array<readonly [string, string | false | undefined]> {
  const valued = (name = '', value: unknown): string => value === undefined ? name : `${name} = ${JSON.stringify(value)}`
  return [
    ['Route', route && `${route.method} ${route.url}`],
    ['Key', key?.map(({ part, name, value }) => valued(name ? `${part} ${name}` : part, value)).join(', ')],
    ['Not in the key', outside.map(({ kind, name, treated }) => `${kind} ${name} (${treated})`).join(', ')],
    ['Told apart by', variant.map(({ name, learnedFrom, value }) => `${valued(name, value)} (${learnedFrom})`).join(', ')]
  ]
}

function shown (explanation: Explanation): Node[] {
  return [
    el('p', 'summary', explanation.summary),
    el('ol', '', ...explanation.steps.map(({ step, decides, text }) => el('li', decides ? 'decides' : '', el('b', '', `${decides ? '→' : '✓'} ${step}`), ' ', el('bdi', '', text)))),
    pairs(facts(explanation).flatMap(([name, text]) => text ? [[name, el('dd', '', el('bdi', '', text))] as const] : []))
  ]
}

/** Also of a whole URL that was copied. */
const pathOf = (url: string): string => url.replace(/^\w+:\/\/[^/]+/, '') || '/'

const valueOf = (id: string): string => (byId(`explain-${id}`) as HTMLInputElement).value

export function explainForm (): void {
  byId('explain-form').onsubmit = async event => {
    event.preventDefault()
    let nodes: Node[]
    try {
      nodes = shown(await post('explain', { method: valueOf('method'), url: pathOf(valueOf('url')), headers: headersOf(valueOf('headers')) }) as Explanation)
    } catch (error) {
      nodes = [el('p', 'summary', `Not explained: ${whatIsWrong(error)}`)]
    }
    byId('explained').replaceChildren(...nodes)
  }
}
