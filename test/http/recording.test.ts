import t from 'tap'
import { byteLength, NO_VARIANT, snapshot } from '../../lib/http/recording.js'

t.test('a snapshot shares no memory with the handler', async t => {
  const bytes = Buffer.from('before')
  const body = snapshot(bytes)
  bytes.write('after!')
  t.equal(String(body), 'before')
  t.ok(Buffer.isBuffer(snapshot(new Uint8Array([1]))))
  t.equal(snapshot('text'), 'text')
  t.equal(snapshot(null), null)
  t.equal(snapshot(undefined), null)
})

t.test('the size of a body is in bytes', async t => {
  t.equal(byteLength(null), 0)
  t.equal(byteLength('ä'), 2)
  t.equal(byteLength(Buffer.alloc(5)), 5)
})

t.test('a recording that depends on nothing shares one frozen variant', async t => {
  t.strictSame(NO_VARIANT, { names: [], values: [] })
  t.ok(Object.isFrozen(NO_VARIANT) && Object.isFrozen(NO_VARIANT.names) && Object.isFrozen(NO_VARIANT.values))
})
