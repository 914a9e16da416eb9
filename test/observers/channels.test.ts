import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import t from 'tap'
import { publishing } from '../../lib/observers/channels.js'
import { TestSubject } from './subjects.js'

const CHANNELS = ['fastify-coalesce:hold', 'fastify-coalesce:board', 'fastify-coalesce:land', 'fastify-coalesce:cut', 'fastify-coalesce:settle', 'fastify-coalesce:refresh', 'fastify-coalesce:peer-lost']

t.test('channels tell of boardings, landings and outcomes, with ids and closed sets of names', async t => {
  const heard: unknown[] = []
  const listen = (message: unknown, name: string | symbol): void => { heard.push([name, message]) }
  for (const name of CHANNELS) subscribe(name, listen)
  t.teardown(() => { for (const name of CHANNELS) unsubscribe(name, listen) })
  const leader = new TestSubject('req-1')
  const follower = new TestSubject('req-2', 'req-1')
  follower.leaderRequest = leader.request

  publishing.held(leader)
  publishing.started(leader)
  publishing.joined(follower, 1, false)
  publishing.joined(follower, 2, true)
  publishing.peerLost(leader, 'unreachable')
  publishing.landed(leader, 'completed', 'shared', 1, undefined)
  publishing.cleanedUp(leader)
  publishing.cutOff(follower, 'vary')
  publishing.settled(follower, 'follower', 'shared', 1.5, undefined)
  follower.gone = true
  publishing.settled(follower, 'follower', 'client-left', 1.5, undefined)
  publishing.refreshed(leader, 'failed', new Error('secret'))

  const route = { method: 'GET', route: '/word/:word', leaderRequest: leader.request }
  const leads = { id: 'req-1', leaderId: 'req-1', ...route, request: leader.request }
  const follows = { id: 'req-2', leaderId: 'req-1', ...route, request: follower.request }
  const [hold, board, land, cut, settle, refresh, lost] = CHANNELS
  t.strictSame(heard, [
    [hold, leads],
    [board, { ...leads, role: 'leader', waiters: 0 }],
    [board, { ...follows, role: 'follower', waiters: 1 }],
    [board, { ...follows, role: 'follower', waiters: 2, elsewhere: true }],
    [lost, { ...leads, reason: 'unreachable' }],
    [land, { ...leads, landing: 'completed', reason: 'shared', followers: 1 }],
    [land, { ...leads, landing: 'timed-out', reason: 'flight-timeout', followers: 0 }],
    [cut, { ...follows, reason: 'vary' }],
    [settle, { ...follows, outcome: 'follower', reason: 'shared', waited: 1.5 }],
    [settle, { ...follows, outcome: 'follower', reason: 'client-left', waited: 1.5, gone: true }],
    [refresh, { ...leads, result: 'failed' }]
  ])
})

t.test('without subscribers no subject is looked at', async t => {
  const subject = new Proxy(new TestSubject('req-1'), {
    get () { throw new Error('nobody listens') }
  })

  t.doesNotThrow(() => {
    publishing.held(subject)
    publishing.started(subject)
    publishing.joined(subject, 1, false)
    publishing.peerLost(subject, 'gone')
    publishing.landed(subject, 'completed', 'shared', 1, undefined)
    publishing.cleanedUp(subject)
    publishing.cutOff(subject, 'vary')
    publishing.settled(subject, 'follower', 'shared', 1, undefined)
  })
})
