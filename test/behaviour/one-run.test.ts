import t from 'tap'
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

  for (const { status, body } of await Promise.all(answers)) {
    t.equal(status, 200)
    t.equal(body, '{"word":"serendipity"}')
  }
  t.equal(runs, 1)
  t.match(app.coalesce.stats(), { totalRequests: 500, deduplicatedRequests: 499, actualExecutions: 1, deduplicationRate: 0.998 })
})
