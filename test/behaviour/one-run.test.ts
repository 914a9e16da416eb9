import t from 'tap'
import { distinct } from '../fixtures/crowd.js'
import { gate } from '../fixtures/gate.js'
import { serve } from '../fixtures/server.js'

t.test('identical concurrent requests share one run of the handler', async t => {
  const answer = gate()
  let runs = 0
  const { app, get, arrived } = await serve(t, app => {
    app.get<{ Params: { word: string } }>('/word/:word', { config: { coalesce: true } }, async request => {
      runs++
      await answer.promise
      return { word: request.params.word }
    })
  })

  const answers = Array.from({ length: 500 }, () => get('/word/serendipity'))
  await arrived(500)
  answer.open()

  t.strictSame(distinct((await Promise.all(answers)).map(({ status, body }) => [status, body])), [[200, '{"word":"serendipity"}']])
  t.equal(runs, 1)
  t.match(app.coalesce.stats(), { totalRequests: 500, deduplicatedRequests: 499, actualExecutions: 1, deduplicationRate: 0.998 })
})
