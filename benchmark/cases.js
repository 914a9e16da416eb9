// @ts-check
/** What is measured, each against the same route of a server without the plugin. */

/**
 * @typedef {object} Case
 * @property {string} name
 * @property {import('./server.js').Variant} variant
 * @property {string} path
 * @property {import('./load.js').Round['keys']} keys
 * @property {number} clients
 * @property {number} heats how many fresh pairs of processes: no two processes of one program are equally fast
 * @property {number} rounds of each server in a heat
 * @property {number} milliseconds of a round
 * @property {number} [target] the least ratio of throughputs
 */

/** @type {readonly Case[]} */
export const cases = [
  { name: 'registered, route not coalesced', variant: 'registered', path: '/instant/', keys: 'unique', clients: 64, heats: 3, rounds: 8, milliseconds: 200, target: 0.99 },
  { name: 'unique keys, metrics on', variant: 'coalesced', path: '/instant/', keys: 'unique', clients: 64, heats: 3, rounds: 8, milliseconds: 200, target: 0.95 },
  { name: 'unique keys, 50 us of CPU', variant: 'coalesced', path: '/work50/', keys: 'unique', clients: 64, heats: 1, rounds: 10, milliseconds: 200 },
  { name: 'one hot key, 10 ms query', variant: 'coalesced', path: '/query10/', keys: 'hot', clients: 64, heats: 1, rounds: 8, milliseconds: 300 },
  { name: 'one hot key, 10 ms query', variant: 'coalesced', path: '/query10/', keys: 'hot', clients: 1000, heats: 1, rounds: 8, milliseconds: 400 },
  { name: 'Zipf over 1,000 keys, 5 ms query', variant: 'coalesced', path: '/query5/', keys: 'zipf', clients: 256, heats: 1, rounds: 8, milliseconds: 500 },
  { name: 'kept: hits of one key', variant: 'kept', path: '/instant/', keys: 'hot', clients: 64, heats: 1, rounds: 10, milliseconds: 200 }
]
