import t from 'tap'
import type { Coordinator } from '../../types/index.js'
import { serve } from '../fixtures/server.js'

t.test('a purge is told to the processes that call the same functions', async t => {
  const told: string[] = []
  const coordinator: Coordinator = {
    open: () => ({
      async ready () {},
      join: () => undefined,
      purge (labels, soft) { told.push(`${labels.join()} ${String(soft)}`) },
      async close () {}
    })
  }
  const { app } = await serve(t, app => {
    app.coalesce.deduplicate(async (id: string) => id, { key: id => id, name: 'f', coordinator })
  })
  app.coalesce.invalidate({ tags: ['a'] })
  t.strictSame(told, ['tag:a false', 'flight stored false'])
})
