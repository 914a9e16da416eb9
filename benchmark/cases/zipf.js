// @ts-check
/**
 * Keys as frequent as in real traffic, and a query of 20 ms that costs nothing. It is where coalescing in front of the handler has to compete
 * with doing it inside, and where it can lose: few runs have followers, and a run saves nothing but time.
 */
import { contestOf } from '../contest.js'
import { atLeast } from '../rows.js'

/** What handlers call the query through, and what that needs. */
const INSIDE = [
  { name: 'promise map' },
  { name: 'deduplicate' },
  { name: 'async-cache-dedupe', needs: 'async-cache-dedupe' },
  { name: 'bentocache', needs: 'bentocache' },
  { name: 'ocache', needs: 'ocache' }
]

export const zipf = contestOf({
  name: 'zipf',
  what: 'Zipf (0.99) over 10,000 keys, a query of 20 ms, 256 clients; coalesced, against a bare route whose handler calls the query through something',
  contestants: {
    coalesced: { options: { plugin: 'coalesced' } },
    'bare Fastify': { options: { plugin: 'none' } },
    ...Object.fromEntries(INSIDE.map(({ name, needs }) => [name, { options: { plugin: 'none', inHandler: name }, needs }]))
  },
  asked: { path: '/query/', keys: 'zipf', clients: 256 },
  rounds: 6,
  milliseconds: 300,
  rows: [
    { name: 'Zipf, against bare Fastify', ours: 'coalesced', base: 'bare Fastify', target: atLeast(1) },
    { name: 'Zipf, against bare Fastify: runs', ours: 'coalesced', base: 'bare Fastify', by: 'runs' },
    { name: 'Zipf, against bare Fastify: CPU', ours: 'coalesced', base: 'bare Fastify', by: 'cpu' },
    ...INSIDE.flatMap(({ name }) => [
      { name: `Zipf, against ${name} in the handler`, ours: 'coalesced', base: name, target: atLeast(1) },
      { name: `Zipf, against ${name} in the handler: CPU`, ours: 'coalesced', base: name, by: /** @type {const} */ ('cpu') }
    ])
  ]
})
