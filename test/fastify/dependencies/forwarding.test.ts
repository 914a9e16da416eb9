import type { FastifyReply } from 'fastify'
import t from 'tap'
import { Forwarded, type Forwarding } from '../../../lib/fastify/dependencies/forwarding.js'

/** A run that has been forwarded, and its request. */
function forwarded ({ leads = true, hasFollowers = false, headers = {} as Record<string, string> } = {}) {
  const raw = { aborted: false }
  const run = {
    reply: { request: { headers, raw } } as unknown as FastifyReply,
    leads,
    hasFollowers,
    forwarded: undefined
  }
  return { raw, run, forwarded: new Forwarded(run as Forwarding) }
}

t.test('the client\'s leaving is hidden from the upstream\'s response while others wait for it', t => {
  const { raw, run, forwarded: at } = forwarded({ hasFollowers: true })
  t.equal(raw.aborted, false)
  raw.aborted = true
  t.equal(raw.aborted, false, 'others wait')
  run.hasFollowers = false
  t.equal(raw.aborted, true, 'nobody waits any more')
  run.hasFollowers = true
  at.answered(undefined)
  t.equal(raw.aborted, true, 'the response is here')
  t.end()
})

t.test('the leaving of who runs for itself, or leads nobody, is not hidden', t => {
  for (const options of [{ leads: false, hasFollowers: true }, { hasFollowers: false }]) {
    const { raw } = forwarded(options)
    raw.aborted = true
    t.equal(raw.aborted, true, JSON.stringify(options))
  }
  t.end()
})

t.test('what an upstream answers to Authorization is for others only if it says so in a field that can be read', t => {
  const answered = (cacheControl: string | string[] | undefined, headers = { authorization: 'secret' } as Record<string, string>): string =>
    forwarded({ headers }).forwarded.answered(cacheControl)
  for (const allows of ['public', 's-maxage=10', 'must-revalidate', 'max-age=1, PUBLIC', ['no-transform', 'public']]) {
    t.equal(answered(allows), 'shared', String(allows))
  }
  for (const silent of [undefined, '', 'max-age=60', 'publicity', 'public="', '=public']) t.equal(answered(silent), 'private', String(silent))
  t.equal(answered(undefined, {}), 'shared', 'without Authorization it need not')
  t.end()
})
