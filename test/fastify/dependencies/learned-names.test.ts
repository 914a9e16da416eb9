/**
 * What a route's responses were seen to depend on is counted.
 */
import t from 'tap'
import { LearnedNames } from '../../../lib/fastify/dependencies/learned-names.js'

t.test('each name is counted once', async t => {
  const learned = new LearnedNames()
  t.equal(learned.size, 0)
  learned.note('accept', () => 'handler')
  learned.note('accept', () => 'hook')
  learned.note('user-agent', () => 'hook')
  t.equal(learned.size, 2)
  t.strictSame(learned.all.map(({ name, learnedFrom }) => `${name} ${learnedFrom}`), ['accept handler', 'user-agent hook'])
})
