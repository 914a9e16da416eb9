/**
 * What of a text is of its moment or of its request only: times of now, ids, nonces.
 *
 * Invariant: linear. Only a time of now is taken for noise as it is: another time may be of a user, such as the last login, and so may an id
 * or a nonce, which are told apart from the text around them, for the comparing to learn whether they differ for one client too.
 */
import { holds } from '../http/own-marks.js'

const MINUTE = 60_000
/** How far clocks and long runs are apart. */
const RECENT = 2 * MINUTE
/** Ids that are shorter stand in texts by chance. */
const SHORTEST_OWN = 5
/** No time, id or nonce is shorter. */
const SHORTEST_MARK = 10

const MARKS = new RegExp([
  /\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?/,
  /\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT/,
  /\b1\d{9}(?:\d{3})?(?:\.\d{1,9})?\b/,
  /\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b/,
  /\b[0-9a-fA-F]{16,}\b/,
  /\bnonce(?:-|=\\?["']?)[\w+/=-]{8,}/
].map(({ source }) => source).join('|'), 'g')

const IS_EPOCH = /^1\d{9}(?:\d{3})?(?:\.\d+)?$/
const IS_HTTP = /^[A-Z][a-z]{2}, /
const IS_ISO = /^\d{4}-\d\d-\d\d[T ]/
const HAS_ZONE = /(?:Z|[+-]\d\d:?\d\d)$/

/** When a response was made, in milliseconds since 1970. */
export interface Moment {
  readonly wall: number
  /** How much earlier it may have been made than that. */
  readonly age: number
}

export interface Masked {
  readonly text: string
  /** Ids and nonces, in their order. */
  readonly ids: readonly string[]
  /** It holds what is of its own request. */
  readonly echoes: boolean
}

const NO_IDS: readonly string[] = Object.freeze([])

export function mask (text: string, own: readonly string[], moment: Moment): Masked {
  let echoes = false
  for (const value of own) {
    if (value.length < SHORTEST_OWN || !holds(text, value)) continue
    text = text.replaceAll(value, '<own>')
    echoes = true
  }
  if (text.length < SHORTEST_MARK) return { text, ids: NO_IDS, echoes }
  let ids: string[] | undefined
  const masked = text.replace(MARKS, mark => {
    const times = timesOf(mark)
    if (times !== undefined) return times.some(time => isNow(time, moment)) ? '<now>' : mark
    ids ??= []
    ids.push(mark)
    return '<id>'
  })
  return { text: masked, ids: ids ?? NO_IDS, echoes }
}

/** What a time may mean; undefined if it is none. One without a zone may be of this place, or of UTC. */
function timesOf (mark: string): readonly number[] | undefined {
  if (IS_EPOCH.test(mark)) return [Number(mark) * (Number.parseInt(mark, 10) < 1e11 ? 1000 : 1)]
  if (IS_HTTP.test(mark)) return [Date.parse(mark)]
  if (!IS_ISO.test(mark)) return undefined
  const iso = mark.replace(' ', 'T').replace(',', '.')
  return HAS_ZONE.test(iso) ? [Date.parse(iso)] : [Date.parse(iso), Date.parse(`${iso}Z`)]
}

function isNow (time: number, { wall, age }: Moment): boolean {
  return time <= wall + RECENT && time >= wall - RECENT - age
}
