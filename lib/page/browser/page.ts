/**
 * The live page: asks, and has each part show what was answered.
 *
 * Invariant: what is shown has an age, and what cannot be asked is said.
 */
import type { PageState } from '../state.js'
import { actionButton } from './actions.js'
import { showChart } from './chart.js'
import { button, byId, el, pairs, type Row, rows, say } from './dom.js'
import { explainForm } from './explain.js'
import { all, FIVE_MINUTES, History, Minute, part, saved } from './figures.js'
import { count, duration, named, percent, plural, rate, seconds } from './format.js'
import { lists } from './lists.js'
import { answeredAt, failure, isPaused, poll } from './poll.js'
import { counters, type Problem, problems } from './problems.js'
import { revealRoute, showRoutes } from './routes.js'

/** More sentences at once would not be read. */
const AT_ONCE = 5
/** For so long it is said that another instance answers. */
const NEWS = 30_000

const MODES = { share: 'sharing', observe: 'observing, nothing is shared', off: 'switched off' }
const TILES = ['Requests/s', 'Runs/s', 'Saved', 'Handler time saved', 'Parked now', 'p99 wait'].map(name => {
  const value = el('dd', '', el('b'), el('small'))
  return { pair: [name, value] as const, value }
})

let state: PageState | undefined
let history = new History()
let growing = new Map<string, Minute>()
/** Which process has answered, and whether all of its five minutes is asked for next. */
let known: string | undefined
let asksAll = true
let found: Problem[] = []
let news: { readonly changes: number, readonly text: string, readonly at: number } | undefined
let showsAll = false
let showLists: ((state: PageState) => void) | undefined
let said: string | undefined

const disable = actionButton('Disable all', () => [{ action: 'disable' }, 'coalescing is disabled'])
const enable = actionButton('Enable all', () => [{ action: 'enable' }, 'coalescing is enabled'], true)
const pause = button('Pause', () => { pauseOrResume() })
const more = button('', () => {
  showsAll = !showsAll
  tick()
})
const showProblems = rows<Problem>(byId('problems'), ({ level, id }) => level + id, sentence)

function sentence ({ level, section, route }: Problem): Row<Problem> {
  const text = el(section ? 'a' : 'span')
  if (section) text.setAttribute('href', `#${section}`)
  text.onclick = event => {
    if (!route) return
    event.preventDefault()
    revealRoute(route)
  }
  return { node: el('li', level, el('b', 'badge', level === 'bad' ? 'Problem' : 'Look'), ' ', text), update: problem => { say(text, problem.text) } }
}

function take (latest: PageState): void {
  const { instance, at } = latest
  const process = `${latest.startedAt} ${instance}`
  const isOther = state !== undefined && process !== known
  if (isOther) {
    const text = state?.instance === instance ? `${named(instance)} has begun anew` : `${named(instance)} answers, and before ${named(String(state?.instance))}`
    news = { text, at: performance.now(), changes: (news?.changes ?? 0) + 1 }
    history = new History()
    growing = new Map()
  }
  // What came now is what followed another one's last sample.
  asksAll = isOther
  known = process
  history.take(latest.history.samples)
  state = latest
  for (const [name, value] of counters(latest)) {
    const minute = growing.get(name) ?? new Minute()
    growing.set(name, minute)
    minute.take(at, value)
  }
  found = problems(latest, name => growing.get(name)?.grown ?? 0)
  show(latest)
}

function show (latest: PageState): void {
  const { totals: { counts, runs, saved: time, waiters, flights, p99 }, mode, at, startedAt, instance } = latest
  byId('live').hidden = false
  say('instance', instance)
  say('uptime', `up ${duration(at - startedAt)}`)
  say('mode', MODES[mode])
  byId('mode').className = `badge ${mode}`
  disable.hidden = !latest.actions || mode === 'off'
  enable.hidden = !latest.actions || mode !== 'off'

  const now = history.recent()
  const lately = history.recent(FIVE_MINUTES)
  const savedLately = lately && part(saved(lately.counts), all(lately.counts))
  const savedSoFar = part(saved(counts), all(counts))
  const tiles = [
    [rate(now && all(now.counts) / now.seconds), `${count(all(counts))} so far`],
    [rate(now && now.runs / now.seconds), `${count(runs)} so far`],
    [percent(savedLately ?? savedSoFar), savedLately === undefined ? 'so far' : `in 5 min; ${percent(savedSoFar)} so far`],
    [duration(time), 'so far'],
    [count(waiters), `for ${plural(flights, 'run')}`],
    [duration(p99), 'of those who waited']
  ] as const
  TILES.forEach(({ value }, index) => { tiles[index]?.forEach((text, part) => { say(value.childNodes[part] as Node, text) }) })
  showChart(history)
  showRoutes(latest)
  showLists ??= lists(latest)
  showLists(latest)
}

/** The age, and what is wrong: once a second, and after each answer. */
function tick (): void {
  const time = performance.now()
  const age = answeredAt === undefined ? '' : seconds(time - answeredAt)
  document.body.classList.toggle('old', Boolean(failure) || isPaused)
  say('age', `${isPaused ? 'paused' : failure ? 'not live' : 'live'}${age && `, ${age} old`}`)
  say(pause, isPaused ? 'Resume' : 'Pause')

  const list = [...found]
  if (news && time - news.at < NEWS) {
    list.unshift({ id: 'instance', level: 'warn', text: `${news.text}${news.changes > 3 ? '. Several answer in turn: open one by its own address' : ''}` })
  } else news = undefined
  if (failure) list.unshift({ id: 'failure', level: 'bad', text: `${failure}${age && ` since ${age}: what you see is as old`}` })
  showProblems(showsAll ? list : list.slice(0, AT_ONCE))
  more.hidden = list.length <= AT_ONCE
  say(more, showsAll ? 'Show fewer' : `Show ${list.length - AT_ONCE} more`)
  byId('fine').hidden = !state || list.length > 0
  document.title = `${list.length > 0 ? `(${list.length}) ` : ''}${state ? `${state.instance} – ` : ''}fastify-coalesce`

  // Read out: the worst alone, and only when it is another one. Its figures change all the time.
  const [worst] = list
  const id = `${worst?.id} ${list.length}`
  if (id === said || !(worst || state)) return
  said = id
  say('status', worst ? `${plural(list.length, 'problem')}. ${worst.text}` : 'Nothing is wrong.')
}

byId('problems').after(more)
byId('acts').append(pause, ' ', disable, ' ', enable)
byId('tiles').append(pairs(TILES.map(({ pair }) => pair)))
disable.hidden = enable.hidden = true
explainForm()
setInterval(() => { if (!document.hidden) tick() }, 1000)
const pauseOrResume = poll(() => asksAll ? undefined : history.last, take, tick)
