/**
 * Kinds of route, with traffic as of many clients, and what is to be found of them. The same for the same seed.
 */
import { Comparison, type Findings } from '../../lib/observe/comparison.js'
import { Allowance } from '../../lib/observe/allowance.js'
import { digestOf } from '../../lib/observe/hashes.js'
import type { Verdict } from '../../types/index.js'
import { random } from '../fixtures/heap.js'

const START = 1_760_000_000_000

interface Client {
  readonly id: number
  readonly session: string
  readonly ab: string
  readonly country: string
}

/** Chance, the same for the same seed. */
export class Dice {
  readonly #next: () => number

  constructor (seed: number) {
    this.#next = random(seed * 7919 + 1)
    for (let round = 0; round < 8; round++) this.#next()
  }

  readonly roll = (): number => this.#next() / 2 ** 32

  /** Below the number, small ones more often. */
  few (below: number): number {
    return Math.max(0, Math.floor(below ** this.roll()) - 1)
  }

  pick<Value> (...values: readonly Value[]): Value {
    return values[Math.floor(this.roll() * values.length)] as Value
  }

  hex (digits: number): string {
    return Array.from({ length: digits }, () => Math.floor(this.roll() * 16).toString(16)).join('')
  }

  uuid (): string {
    return [8, 4, 4, 4, 12].map(digits => this.hex(digits)).join('-')
  }
}

interface Moment {
  readonly dice: Dice
  readonly client: Client
  readonly key: ReadonlyMap<string, string>
  /** Milliseconds from the start. */
  readonly at: number
  /** The id of the request. */
  readonly id: string
}

export interface Kind {
  readonly name: string
  readonly verdict: Verdict
  /** Places that say who is asking, with what explains them, if that has to be found. */
  readonly leaks?: Readonly<Record<string, string | undefined>>
  /** Parts of the key that make a difference. */
  readonly matter: readonly string[]
  /** Each client comes once. */
  readonly isOnce?: boolean
  readonly type?: string
  key (dice: Dice): Record<string, string | undefined>
  body (moment: Moment): unknown
}

const search = (dice: Dice): Record<string, string | undefined> => {
  const source = dice.roll() < 0.3 ? dice.pick('mail', 'ads', 'tw') : undefined
  return {
    '?q': `w${dice.few(40)}`,
    '?page': String(dice.few(4)),
    '?utm_source': source,
    '?utm_medium': source && (source === 'mail' ? 'email' : 'cpc'),
    '?utm_campaign': source && `${source}${dice.few(5)}`,
    '?_': dice.roll() < 0.2 ? String(dice.roll()) : undefined,
    '?ref': dice.roll() < 0.3 ? dice.pick('home', 'nav', 'foot') : undefined,
    '?sort': dice.roll() < 0.2 ? dice.pick('asc', 'desc') : undefined,
    '?limit': dice.roll() < 0.3 ? dice.pick('100', '200', '500', '10') : undefined
  }
}

/** The twelve kinds of the trials. */
export const KINDS: readonly Kind[] = [
  {
    name: 'search',
    verdict: 'equal',
    matter: ['?q', '?page', '?sort', '?limit'],
    key: search,
    body: ({ key }) => ({
      q: key.get('?q'), page: key.get('?page'), sort: key.get('?sort') ?? 'asc', items: Math.min(Number(key.get('?limit') ?? 20), 100)
    })
  },
  {
    name: 'search with its time, how long it took and its own id',
    verdict: 'echo',
    matter: ['?q'],
    key: dice => ({
      '?q': `w${dice.few(40)}`,
      '?utm_source': dice.roll() < 0.3 ? dice.pick('mail', 'ads') : undefined,
      '?ref': dice.roll() < 0.3 ? dice.pick('home', 'nav') : undefined
    }),
    body: ({ dice, key, at, id }) => ({
      q: key.get('?q'), generatedAt: new Date(START + at).toISOString(), requestId: id, took: Math.floor(dice.roll() * 50)
    })
  },
  {
    name: 'home by A/B cookie and country',
    verdict: 'differs',
    leaks: { '$.hero': 'cookie ab', '$.country': undefined },
    matter: [],
    key: () => ({}),
    body: ({ client }) => ({ hero: client.ab === 'a' ? 'old' : 'new', country: client.country, items: [1, 2, 3] })
  },
  {
    name: 'home that is another for a few',
    verdict: 'differs',
    leaks: { '$.beta': undefined },
    matter: [],
    key: () => ({}),
    body: ({ client }) => ({ beta: client.id < 2, items: [1, 2, 3] })
  },
  {
    name: 'cart',
    verdict: 'differs',
    leaks: { '$.user': undefined, '$.total': undefined },
    matter: [],
    key: () => ({}),
    body: ({ client }) => ({ user: client.session, total: client.id * 3 })
  },
  {
    name: 'page with a nonce',
    verdict: 'noise',
    matter: ['?p'],
    type: 'text/html',
    key: dice => ({ '?p': String(dice.few(5)) }),
    body: ({ dice, key }) => `<script nonce="${dice.hex(24)}">1</script><h1>${key.get('?p')}</h1>`
  },
  {
    name: 'form with a token of the session',
    verdict: 'differs',
    leaks: { '<text>': undefined },
    matter: [],
    type: 'text/html',
    key: () => ({}),
    body: ({ client }) => `<input name=csrf value="${String(digestOf(client.session))}">`
  },
  {
    name: 'form with a new token each time',
    verdict: 'noise',
    matter: [],
    type: 'text/html',
    key: () => ({}),
    body: ({ dice }) => `<input name=csrf value="x${dice.hex(14)}">`
  },
  {
    name: 'price that changes for all',
    verdict: 'noise',
    matter: ['?s'],
    key: dice => ({ '?s': `x${dice.few(5)}` }),
    body: ({ key, at }) => ({ s: key.get('?s'), price: Math.floor(at / 700) })
  },
  {
    name: 'at random',
    verdict: 'noise',
    matter: [],
    key: () => ({}),
    body: ({ dice }) => ({ pick: Math.floor(dice.roll() * 1000) })
  },
  {
    name: 'static',
    verdict: 'equal',
    matter: [],
    key: dice => ({ '?v': String(dice.few(3)) }),
    body: () => ({ ok: true })
  },
  {
    name: 'cart of clients that come once',
    verdict: 'unknown',
    matter: [],
    isOnce: true,
    key: () => ({}),
    body: ({ client }) => ({ user: client.session })
  }
]

const USERS = Array.from({ length: 200 }, (_, id) => new Dice(id + 5000).uuid())

/** Those that are easily taken for what they are not. */
export const TRAPS: readonly Kind[] = [
  {
    name: 'the id of the user, which looks as one of the response does',
    verdict: 'differs',
    leaks: { '$.id': undefined },
    matter: [],
    key: () => ({}),
    body: ({ client }) => ({ id: USERS[client.id] })
  },
  {
    name: 'the id of a user who comes once',
    verdict: 'unknown',
    matter: [],
    isOnce: true,
    key: () => ({}),
    body: ({ dice }) => ({ id: dice.uuid() })
  },
  {
    name: 'the last login, which is a time',
    verdict: 'differs',
    leaks: { '$.login': undefined },
    matter: [],
    key: () => ({}),
    body: ({ client }) => ({ login: new Date(START - 1e9 - client.id * 1e7).toISOString() })
  },
  {
    name: 'a page with the id of the user beside one of the response',
    verdict: 'differs',
    leaks: { '<text>': undefined },
    matter: [],
    type: 'text/html',
    key: () => ({}),
    body: ({ client, dice }) => `<p data-request="${dice.uuid()}" data-user="${USERS[client.id]}">Hello</p>`
  },
  {
    name: 'a page with the name of the user below a token that is new each time',
    verdict: 'differs',
    leaks: { '<text>': 'cookie session' },
    matter: [],
    type: 'text/html',
    key: () => ({}),
    body: ({ client, dice }) => `<input name=csrf value="x${dice.hex(14)}"><p>Hello ${client.session}</p>`
  },
  {
    name: 'numbers that are the same when rounded, beside the time',
    verdict: 'differs',
    leaks: { '$.id': undefined },
    matter: [],
    key: () => ({}),
    body: ({ client, at }) => `{"id": 1234567890123456${String(client.id).padStart(3, '0')}, "at": ${START + at}}`
  },
  {
    name: 'the same name twice, beside the time',
    verdict: 'differs',
    leaks: { '$.id': undefined },
    matter: [],
    key: () => ({}),
    body: ({ client, at }) => `{"id": ${client.id}, "id": 1, "at": ${START + at}}`
  },
  {
    name: 'one of the banners of a slot',
    verdict: 'noise',
    matter: ['?slot'],
    key: dice => ({ '?slot': dice.pick('top', 'side'), '?v': dice.pick('1', '2') }),
    body: ({ dice, key }) => ({ ad: (key.get('?slot') === 'top' ? 0 : 1000) + Math.floor(dice.roll() * 100), ok: true })
  },
  {
    name: 'the order of an id, with ids and the time',
    verdict: 'noise',
    matter: ['?order'],
    key: dice => ({ '?order': USERS[dice.few(20)], '?v': dice.pick('1', '2') }),
    body: ({ key, at, dice }) => ({ order: USERS[USERS.indexOf(key.get('?order') as string) + 1], at: START + at, trace: dice.uuid() })
  },
  {
    name: 'a part that changes seldom among parts that change often',
    verdict: 'equal',
    matter: ['?q'],
    key: dice => ({ '?q': dice.roll() < 0.05 ? 'rare' : 'often', '?utm_a': dice.pick('1', '2'), '?utm_b': dice.pick('1', '2') }),
    body: ({ key }) => ({ q: key.get('?q') })
  }
]

export interface Trial {
  readonly findings: Findings
  readonly comparison: Comparison
}

/** Sends requests, a hundred a second. */
export function tryKind (kind: Kind, seed: number, requests: number): Trial {
  const dice = new Dice(seed)
  let at = 0
  const clock = { now: () => at, wall: () => START + at, setTimeout: () => 0, clearTimeout: () => {} }
  const allowance = new Allowance({ budget: 1, maxBytes: 8 * 2 ** 20, clock, stopwatch: () => 0 })
  const comparison = new Comparison({ window: 5000, ignore: [], clean: undefined, cleanThrew: () => {} }, allowance)
  const countries = Array.from({ length: 200 }, () => dice.pick('DE', 'FR', 'US'))
  for (let count = 0; count < requests; count++) {
    at += dice.roll() * 20
    const number = kind.isOnce === true ? count : dice.few(200)
    const client = { id: number, session: `s${number}`, ab: number % 2 === 0 ? 'a' : 'b', country: countries[number % 200] as string }
    const key = new Map(Object.entries(kind.key(dice)).filter((part): part is [string, string] => part[1] !== undefined))
    const id = dice.uuid()
    const body = kind.body({ dice, client, key, at, id })
    comparison.see({
      at,
      key: JSON.stringify([...key]),
      parts: () => key,
      outside: () => new Map([
        ['cookie ab', client.ab], ['cookie session', client.session], ['address', `10.0.0.${number}`],
        ['header user-agent', ['chrome', 'firefox', 'safari'][number % 3] as string], ['header accept-language', ['de', 'en'][number % 2] as string + number % 5]
      ]),
      client: String(digestOf(client.session)),
      status: 200,
      type: kind.type ?? 'application/json',
      body: typeof body === 'string' ? body : JSON.stringify(body),
      own: [id]
    })
  }
  return { findings: comparison.findings(), comparison }
}

/** What is wrong with what was found; empty if nothing is. */
export function mistakes (kind: Kind, { verdict, differences, inert }: Findings): { wrong: string[], falseInert: string[], isHarmlessLeak: boolean } {
  const wrong = verdict === kind.verdict ? [] : [`${verdict} in the place of ${kind.verdict}`]
  for (const [path, cause] of Object.entries(kind.leaks ?? {})) {
    const found = differences.find(difference => difference.path === path)
    if (found === undefined) wrong.push(`${path} is not told`)
    else if (cause !== undefined && found.causes[0]?.name !== cause) wrong.push(`${path} by ${found.causes[0]?.name}`)
  }
  const falseInert = inert.flatMap(({ names }) => names).filter(name => kind.matter.includes(name))
  const isLeak = kind.verdict === 'differs' || kind.verdict === 'unknown'
  return { wrong, falseInert, isHarmlessLeak: isLeak && ['equal', 'noise', 'too-few'].includes(verdict) }
}
