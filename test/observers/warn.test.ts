import t from 'tap'
import { warn } from '../../lib/observers/warn.js'

t.test('a warning has what was thrown, or goes without where that cannot be looked at', async t => {
  const written: unknown[] = []
  const log = {
    debug () {},
    error () {},
    warn (fields: { err?: { message?: string } }, message: string) {
      if (fields.err?.message === 'never') return
      written.push([fields, message])
    }
  }
  const error = new Error('why')
  warn(log, error, { event: 'a' }, 'message')
  warn(log, new Proxy(error, { get: () => { throw new Error('trap') } }), { event: 'b' }, 'message')
  t.strictSame(written, [[{ err: error, coalesce: { event: 'a' } }, 'message'], [{ coalesce: { event: 'b' } }, 'message']])
})
