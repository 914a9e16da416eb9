/**
 * A response as leaves: places with numbers for what stands there. Two responses differ where these do.
 *
 * Invariant: linear, and bounded in places; what is past the bound is one place with all of it, so that no difference is lost. What is `ignore`d is
 * no leaf. A place that holds ids has further ones for these, since one may be of the user and the next of the response.
 */
import { hashOf, mixed, MODULUS, plus } from './hashes.js'
import { jsonLeaves } from './json-leaves.js'
import { mask, type Moment } from './masks.js'

/** All places past the bound. */
export const OTHERS = '<others>'

const MAX_LEAVES = 512
/** Pieces of a text that are places of their own; the rest is one. */
const MAX_PIECES = 24
/** The same for ids in a place. */
const MAX_IDS = 4
/** Between what users call a place and what else tells it apart. No text of JSON holds it unescaped. */
const MARK = '\u0001'
const ID = `${MARK}id`

export interface Readable {
  readonly status: number
  readonly type: string | undefined
  readonly headers: string
  readonly text: string
  readonly own: readonly string[]
  readonly moment: Moment
}

export interface Reading {
  readonly leaves: ReadonlyMap<string, number>
  /** It holds what is of its own request. */
  readonly echoes: boolean
}

/** A place, as users call it. */
export function nameOf (place: string): string {
  const end = place.indexOf(MARK)
  return end < 0 ? place : place.slice(0, end)
}

/** Whether what stands there are ids, which are noise more often than not. */
export function isId (place: string): boolean {
  return place.includes(ID)
}

/** @param isIgnored of a place, as users call it */
export function read (response: Readable, isIgnored: (name: string) => boolean): Reading {
  const leaves = new Map<string, number>()
  let echoes = false

  const add = (place: string, text: string): void => {
    const known = leaves.get(place)
    if (known === undefined && leaves.size >= MAX_LEAVES && place !== OTHERS) add(OTHERS, place + text)
    else leaves.set(place, known === undefined ? hashOf(text) : (known * 31 + hashOf(text)) % MODULUS)
  }
  const leaf = (place: string, text: string): void => {
    if (isIgnored(nameOf(place))) return
    const masked = mask(text, response.own, response.moment)
    if (masked.echoes) echoes = true
    add(place, masked.text)
    masked.ids.forEach((id, index) => { add(`${place}${ID}${Math.min(index, MAX_IDS)}`, id) })
  }

  const head = (): void => {
    leaf('<status>', String(response.status))
    leaf('<type>', String(response.type))
    leaf('<headers>', response.headers)
  }
  head()
  if (!jsonLeaves(response.text, leaf)) {
    leaves.clear()
    echoes = false
    head()
    readText(response.text, leaf)
  }
  return { leaves, echoes }
}

/** By its tags and lines, so that a difference in one of them does not hide another. */
function readText (text: string, leaf: (place: string, text: string) => void): void {
  let begin = 0
  let pieces = 0
  while (begin < text.length) {
    const end = pieces < MAX_PIECES ? nextPiece(text, begin + 1) : text.length
    leaf(`<text>${MARK}${pieces++}`, text.slice(begin, end))
    begin = end
  }
  leaf(`<text>${MARK}pieces`, String(pieces))
}

function nextPiece (text: string, from: number): number {
  for (let index = from; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === 60 || code === 10) return index
  }
  return text.length
}

/** All leaves but some, as one number; undefined if none of the body is left. */
export function sumOf ({ leaves }: Reading, without: ReadonlySet<string>): number | undefined {
  let sum = 0
  let left = 0
  for (const [place, value] of leaves) {
    if (without.has(place)) continue
    sum = plus(sum, mixed(hashOf(place), value))
    if (place.startsWith('$') || place.startsWith('<text>')) left++
  }
  return left === 0 ? undefined : sum
}

/** Where two of them differ. */
export function differing (one: Reading, other: Reading): string[] {
  const places: string[] = []
  for (const [place, value] of one.leaves) if (other.leaves.get(place) !== value) places.push(place)
  for (const place of other.leaves.keys()) if (!one.leaves.has(place)) places.push(place)
  return places
}
