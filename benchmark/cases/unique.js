// @ts-check
/** Keys that nobody else asks for: coalescing only costs. */
import { contestOf } from '../contest.js'
import { atLeast } from '../rows.js'

const contestants = {
  coalesced: { options: { plugin: 'coalesced' } },
  'bare Fastify': { options: { plugin: 'none' } }
}

export const unique = contestOf({
  name: 'unique',
  what: 'unique keys, metrics on, a handler that does nothing, 64 clients',
  contestants,
  asked: { path: '/instant/', keys: 'unique', clients: 64 },
  heats: 3,
  rows: [
    { name: 'unique keys, empty handler, against bare Fastify', ours: 'coalesced', base: 'bare Fastify', target: atLeast(0.92) },
    { name: 'unique keys, empty handler, against bare Fastify: CPU', ours: 'coalesced', base: 'bare Fastify', by: 'cpu' }
  ]
})

export const work = contestOf({
  name: 'work',
  what: 'unique keys, metrics on, a handler of 50 us of CPU, 64 clients',
  contestants,
  asked: { path: '/work50/', keys: 'unique', clients: 64 },
  rows: [{ name: 'unique keys, 50 us handler, against bare Fastify', ours: 'coalesced', base: 'bare Fastify', target: atLeast(0.97) }]
})
