import t from 'tap'
import { grounded } from '../../fixtures/endings.js'
import { answerOf, answers, both } from '../../fixtures/front-ends.js'
import { until } from '../../fixtures/gate.js'
import { metric } from '../../fixtures/server.js'

both(t, 'a purge of a key ends what is cached for it, and leaves the others alone', { ttl: '60s' }, async (t, front) => {
  await answerOf(front, 'a')
  await answerOf(front, 'b')
  front.purge('a')
  t.equal(await answerOf(front, 'b'), 'run 2')
  t.equal(await answerOf(front, 'a'), 'run 3')
  t.equal(await answerOf(front, 'a'), 'run 3')
})

both(t, 'a run that is in the air when its key is purged is not joined any more, and not cached', { ttl: '60s' }, async (t, front) => {
  front.does = 'hold'
  const before = [await front.ask(), await front.ask()]
  front.purge()
  const after = await front.ask()
  t.equal(front.runs.length, 2)
  front.runs[1]?.answer()
  t.equal(await after.answer, 'run 2')
  front.runs[0]?.answer()
  t.strictSame(await answers(before), ['run 1', 'run 1'])
  t.equal(await answerOf(front), 'run 2')
  await grounded(front.app)
})

both(t, 'a purge by a tag ends all that has it', { ttl: '60s', tags: ['things'] }, async (t, front) => {
  await answerOf(front, 'a')
  await answerOf(front, 'b')
  front.app.coalesce.invalidate({ tags: ['thing'] })
  t.equal(await answerOf(front, 'a'), 'run 1', 'of another tag')
  front.app.coalesce.invalidate({ tags: ['things'] })
  t.strictSame([await answerOf(front, 'a'), await answerOf(front, 'b')], ['run 3', 'run 4'])

  front.does = 'hold'
  const before = await front.ask('c')
  front.app.coalesce.invalidate({ tags: ['things'] })
  const after = await front.ask('c')
  t.equal(front.runs.length, 6, 'what is in the air is not joined')
  for (const run of front.runs) run.answer()
  t.strictSame(await answers([before, after]), ['run 5', 'run 6'])
  t.equal(await answerOf(front, 'c'), 'run 6')
})

both(t, 'what is purged softly is stale, and refreshed', { ttl: '60s', staleWhileRevalidate: '60s', tags: ['things'] }, async (t, front) => {
  await answerOf(front)
  front.app.coalesce.invalidate({ tags: ['things'], soft: true })
  t.equal(await answerOf(front), 'run 1')
  await until(() => front.runs.length === 2)
  for (let asked = 0; await answerOf(front) !== 'run 2'; asked++) t.ok(asked < 100)
})

both(t, 'what is purged softly and may only be served instead of a failure runs, and is', { ttl: '60s', staleIfError: '60s', tags: ['things'] }, async (t, front) => {
  await answerOf(front)
  front.app.coalesce.invalidate({ tags: ['things'], soft: true })
  t.equal(await answerOf(front), 'run 2')
  t.equal(await metric(front.app, 'coalesce_cache_misses_total', { reason: 'purged' }), 1)
  front.app.coalesce.invalidate({ tags: ['things'], soft: true })
  front.does = 'fail'
  t.equal(await answerOf(front), 'run 2')
})
