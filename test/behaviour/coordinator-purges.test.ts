import t from 'tap'
import type { CoordinationMember, Coordinator } from '../../types/index.js'
import { held } from '../fixtures/crowd.js'
import { serve } from '../fixtures/server.js'

/** A coordinator that leads nothing, and notes what it is told. */
function listening () {
  const told: string[] = []
  const members: CoordinationMember[] = []
  const coordinator: Coordinator = {
    open (member) {
      members.push(member)
      return {
        async ready () {},
        join: () => undefined,
        purge (labels, soft) { told.push(`${labels.join()} ${String(soft)}`) },
        async close () {}
      }
    }
  }
  return { coordinator, members, told }
}

t.test('a purge is told to the processes that call the same functions', async t => {
  const { coordinator, told } = listening()
  const { app } = await serve(t, app => {
    app.coalesce.deduplicate(async (id: string) => id, { key: id => id, name: 'f', coordinator })
  })
  app.coalesce.invalidate({ tags: ['a'] })
  t.strictSame(told, ['tag:a false', 'flight stored false'])
})

t.test('who asks after another process has purged everything, or may have, does not join the run that began before', async t => {
  for (const purge of [(member: CoordinationMember) => { member.purged(['flight flights'], false) }, (member: CoordinationMember) => { member.missedPurges() }]) {
    const { coordinator, members } = listening()
    const handler = held()
    const server = await serve(t, app => { app.get('/thing', { config: { coalesce: true } }, handler) }, { coordinator })
    const first = server.get('/thing')
    await server.arrived(1)
    for (const member of members) purge(member)
    const second = server.get('/thing')
    await server.arrived(2)
    t.equal(handler.runs, 2)
    handler.gate.open()
    await Promise.all([first, second])
  }
})

t.test('without a coordinator for an app its functions have none either', async t => {
  const { app } = await serve(t, () => {}, { coordinator: false })
  const f = app.coalesce.deduplicate(async (id: string) => id, { key: id => id, name: 'f' })
  t.equal(await f('a'), 'a')
  app.coalesce.invalidate({ tags: ['a'] })
})
