// @ts-check
/** A route that is not coalesced, in an app that has the plugin. */
import { contestOf } from '../contest.js'
import { atLeast } from '../rows.js'

const POLL = 1000

/**
 * Asks for what the live page shows, as often as the page does.
 *
 * @param {import('../lab.js').Server} server
 */
function poll ({ origin }) {
  const end = new AbortController()
  const { signal } = end
  const ask = async () => {
    try {
      const { status } = await fetch(`${origin}/coalesce/state`, { signal })
      if (status !== 200) throw new Error(`the live page answers ${status}`)
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }
  ask()
  const timer = setInterval(ask, POLL)
  return () => {
    clearInterval(timer)
    end.abort()
  }
}

/** @type {Record<string, import('../contest.js').Contestant>} */
const contestants = {
  plugin: { options: { plugin: 'registered' } },
  'after refreshes': { options: { plugin: 'registered', besides: 'refreshes' } },
  'bare Fastify': { options: { plugin: 'none' } },
  'page open': { options: { plugin: 'registered', besides: 'page' }, during: poll },
  'with a coordinator': { options: { plugin: 'registered', besides: 'coordinator' } }
}

export const bypass = contestOf({
  name: 'bypass',
  what: 'a route that is not coalesced, in an app with the plugin, 64 clients',
  contestants,
  asked: { path: '/instant/', keys: 'unique', clients: 64 },
  heats: 3,
  rounds: 4,
  rows: [
    { name: 'route not coalesced, against bare Fastify', ours: 'plugin', base: 'bare Fastify', target: atLeast(0.98) },
    { name: 'route not coalesced, after background refreshes, against bare Fastify', ours: 'after refreshes', base: 'bare Fastify', target: atLeast(0.98) },
    { name: 'route not coalesced, with the live page open, against bare Fastify', ours: 'page open', base: 'bare Fastify', target: atLeast(0.98) },
    { name: 'route not coalesced, with a coordinator, against bare Fastify', ours: 'with a coordinator', base: 'bare Fastify', target: atLeast(0.98) }
  ]
})
