/**
 * Below the routes: runs in the air, what is kept, queues and breakers, other instances, advice.
 *
 * Invariant: a section with nothing in it says so in a sentence, or is hidden where the app has no such thing.
 */
import type { PageState } from '../state.js'
import { actionButton } from './actions.js'
import { button, byId, el, type Row, rows, say, table } from './dom.js'
import { keyOf } from './figures.js'
import { bytes, count, duration, named, plural, source } from './format.js'
import { refused } from './problems.js'

const PHASES = { prepares: 'looks around', runs: 'runs', queued: 'waits for a slot', elsewhere: 'another process runs', streams: 'streams' }

function summary ({ entries, bytes: size, maxBytes, list }: PageState['kept']): string {
  if (entries === 0) return "Nothing. A route caches with coalesce: { ttl: '1m' }."
  return entries === undefined
    ? 'The store cannot tell.'
    : `${plural(entries, 'response')}${size === undefined ? '' : `, ${bytes(size)}`}${maxBytes === undefined ? '' : ` of at most ${bytes(maxBytes)}`}.${list.length > 0 ? ' The last used:' : ''}`
}

interface Server { what: string, isOpen: boolean | undefined, hits: number, skipped: number, failed: number }

/** Coordinators and shared stores: what they had of other instances. */
function serversOf ({ coordinators, stores }: PageState): Server[] {
  return [
    ...coordinators.map(({ isOpen, joins, timeouts }) => ({ what: 'Coordinator', isOpen, hits: joins.follows, skipped: joins.skipped, failed: timeouts })),
    ...stores.map(({ link, hits, skipped, errors }) => ({ what: 'Shared store', isOpen: link?.isOpen, hits, skipped, failed: errors }))
  ]
}

type Advice = PageState['advice'][number]

/** Copies, also where the page came over plain HTTP, where there is no clipboard to write to. */
function copyButton (code: HTMLElement): HTMLButtonElement {
  const press = button('Copy', () => {
    getSelection()?.selectAllChildren(code)
    say(press, document.execCommand('copy') ? 'Copied' : 'Selected')
  })
  return press
}

function adviceRow ({ kind, method, route, id, patch, silence }: Advice): Row<Advice> {
  const text = el('p')
  const evidence = el('p', 'soft')
  const node = el('li', kind, el('h3', '', el('span', 'badge', kind), ' ', named(keyOf({ method, route }))), text, evidence)
  if (patch) {
    const code = el('code', '', `coalesce: ${source(patch)}`)
    const block = el('pre', '', code)
    block.tabIndex = 0
    node.append(el('div', 'patch', block, copyButton(code)))
  }
  node.append(el('p', 'soft', `${id}. To silence it: ${silence}`))
  return {
    node,
    update (advice) {
      say(text, advice.text)
      say(evidence, `${advice.evidence} (confidence: ${advice.confidence})`)
    }
  }
}

export function lists ({ reveal, actions }: PageState): (state: PageState) => void {
  const ids = reveal.includes('ids')
  const keys = reveal.includes('keys')
  const byIndex = (_: unknown, index: number): string => `${index}`
  const byName = ({ name }: { name: string }): string => name
  const flights = table<PageState['flights'][number]>(
    'flights', 'Runs in the air', ['Route', '#Waiting', '#For', 'Now', ...ids ? ['Leader'] : [], ...keys ? ['Key'] : []], byIndex,
    ({ method, route, waiters, age, phase, leaderId = '–', key = '–' }) =>
      [named(keyOf({ method, route })), count(waiters), duration(age), PHASES[phase], ...ids ? [leaderId] : [], ...keys ? [key] : []]
  )
  const kept = table<PageState['kept']['list'][number]>(
    'kept', 'Cached responses', ['Route', '#Status', '#Size', '#Age', '#Fresh for', ...keys ? ['Tags', 'Key'] : []], byIndex,
    ({ route, status, bytes: size, age, fresh, tags, key = '–' }) =>
      [named(route), `${status}`, bytes(size), duration(age), fresh > 0 ? duration(fresh) : 'stale', ...keys ? [tags.join(', '), key] : []],
    actions && (latest => [
      actionButton('Purge this route', () => [{ action: 'purge', purge: { route: latest().route } }, `${latest().route} is purged`]),
      actionButton('Mark stale', () => [{ action: 'purge', purge: { route: latest().route, soft: true } }, `${latest().route} is stale`], true)
    ])
  )
  const queues = table<PageState['queues'][number]>(
    'protection', 'Queues', ['Queue', '#Under way', '#Waiting', 'By level', '#Refused', '#Mean run'], byName,
    queue => [
      queue.name, `${count(queue.running)} of ${count(queue.limit)}`, count(queue.waiting),
      queue.levels.map(({ level, waiting }) => `${level} ${count(waiting)}`).join(', '), count(refused(queue)), duration(queue.meanRun)
    ]
  )
  const breakers = table<PageState['breakers'][number]>(
    'protection', 'Breakers', ['Breaker', 'State', '#Tries again in', '#Good runs', '#Failed', '#Refused'], byName,
    ({ name, state, retryAfter, runs, shed }) => [
      name, state, state === 'closed' ? '–' : !Number.isFinite(retryAfter) ? 'by hand' : retryAfter > 0 ? duration(retryAfter) : 'now', count(runs.good), count(runs.failed), count(shed.open + shed.probing)
    ],
    actions && (latest => [
      actionButton('Open', () => [{ action: 'open', breaker: latest().name }, `breaker ${latest().name} is open`]),
      actionButton('Close', () => [{ action: 'close', breaker: latest().name }, `breaker ${latest().name} is closed`], true)
    ])
  )
  const servers = table<Server>(
    'processes', 'Other instances', ['What', 'State', '#Hits', '#Not asked', '#Failed'], byIndex,
    ({ what, isOpen, hits, skipped, failed }) => [what, isOpen ? 'cannot be asked' : 'answers', count(hits), count(skipped), count(failed)]
  )
  const advice = rows<Advice>(byId('advice-list'), ({ id, method, route }) => `${id} ${method} ${route}`, adviceRow)

  return state => {
    flights(state.flights)
    kept(state.kept.list)
    say('kept-summary', summary(state.kept))
    queues(state.queues)
    breakers(state.breakers)
    byId('protection').hidden = state.queues.length + state.breakers.length === 0
    const all = serversOf(state)
    servers(all)
    byId('processes').hidden = all.length === 0
    advice(state.advice)
    byId('no-advice').hidden = state.advice.length > 0
  }
}
