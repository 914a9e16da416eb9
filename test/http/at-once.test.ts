import t from 'tap'
import { atOnce } from '../../lib/http/at-once.js'

t.test('an answer is what it is, and a promise that fails is nobody\'s', async t => {
  const later = Promise.reject(new Error('later'))
  for (const answer of ['a', null, undefined, 5, later]) t.equal(atOnce(answer), answer)
  // By then Node would have told of a rejection that nobody handles.
  await new Promise(resolve => { setImmediate(resolve) })
})
