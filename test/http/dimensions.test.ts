import t from 'tap'
import { ENCODINGS } from '../../lib/http/accept-encoding.js'
import { splitBy } from '../../lib/http/dimensions.js'

t.test('what runs split by is told by its kind, and by the names that people know', async t => {
  t.same(splitBy(['(forwarded)', 'x-tenant']), { cause: 'address', names: ['forwarded', 'x-tenant'] })
  t.same(splitBy(['(ip)', ENCODINGS, 'cookie']).cause, 'address')
  t.same(splitBy(['accept', 'cookie']), { cause: 'cookie', names: ['accept', 'cookie'] })
  t.same(splitBy([ENCODINGS]), { cause: 'header', names: ['accept-encoding'] })
  t.same(splitBy(['?lang', '?']), { cause: 'query', names: ['?lang', '?'] })
})
