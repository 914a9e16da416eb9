// @ts-check
/** What a call of a deduplicated function costs, in process, above that of the function, which does nothing. */
import { caller } from '../lab.js'
import { atMost } from '../rows.js'

/** @typedef {import('../servers/caller.js').Kind} Kind */
/** @typedef {import('../servers/functions.js').Name} Name */

/** @type {Record<Kind, { words: string, calls: number, most: number }>} */
const KINDS = {
  unique: { words: 'a unique call', calls: 10_000, most: 1.5 },
  join: { words: 'one of 100 calls that join', calls: 20_000, most: 2 },
  hit: { words: 'a hit', calls: 20_000, most: 0.8 }
}
const kinds = /** @type {Kind[]} */ (Object.keys(KINDS))

/** @type {Array<{ name: Name, needs?: string }>} */
const THROUGH = [
  { name: 'deduplicate' },
  { name: 'promise map' },
  { name: 'async-cache-dedupe', needs: 'async-cache-dedupe' },
  { name: 'bentocache', needs: 'bentocache' },
  { name: 'ocache', needs: 'ocache' }
]

const HEATS = 3
const ROUNDS = 7
const WARM_UPS = 5

/** @type {Array<import('../rows.js').Row & { kind: Kind }>} */
const rows = kinds.flatMap(kind => THROUGH.slice(1).map(({ name, needs }) => ({
  name: `${KINDS[kind].words}, against ${name}`,
  unit: 'us',
  ours: 'deduplicate',
  base: name,
  ...(name === 'async-cache-dedupe' ? { target: atMost(KINDS[kind].most) } : {}),
  needs,
  kind
})))

/** @typedef {Record<string, Record<Kind, number>>} Round microseconds, by what is called through */

/**
 * @param {import('../lab.js').Lab} lab
 * @returns {Promise<Round[]>}
 */
async function heat ({ quick, has }) {
  const present = THROUGH.filter(({ needs }) => has(needs))
  const callers = await Promise.all(present.map(async ({ name }) => ({ name, child: await caller(name) })))
  try {
    /** @type {Round[]} */
    const rounds = []
    for (let round = quick ? -1 : -WARM_UPS; round < (quick ? 1 : ROUNDS); round++) {
      /** @type {Round} */
      const neighbours = {}
      for (const { name, child } of round % 2 === 0 ? callers : callers.toReversed()) {
        /** @type {Record<Kind, number>} */
        const times = { unique: 0, join: 0, hit: 0 }
        for (const kind of kinds) times[kind] = (await child.ask({ kind, calls: quick ? 500 : KINDS[kind].calls })).microseconds
        neighbours[name] = times
      }
      if (round >= 0) rounds.push(neighbours)
    }
    return rounds
  } finally {
    for (const { child } of callers) child.stop()
  }
}

/** @type {import('../cases.js').Case} */
export const functions = {
  name: 'functions',
  what: 'a call of a function that does nothing, through something that calls it once for many',
  rows,
  async measure (lab) {
    /** @type {Round[]} */
    const rounds = []
    for (let count = 0; count < (lab.quick ? 1 : HEATS); count++) rounds.push(...await heat(lab))
    return new Map(rows.filter(({ needs }) => lab.has(needs)).map(({ name, base, kind }) => [name, rounds.map(round => ({
      ours: /** @type {Record<Kind, number>} */ (round.deduplicate)[kind], base: /** @type {Record<Kind, number>} */ (round[base])[kind]
    }))]))
  }
}
