import t from 'tap'
import { byteLength, bytesOf, snapshot, type Body, type Recording } from '../../lib/http/recording.js'
import { NO_VARIANT } from '../../lib/variant.js'

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

t.test('the bytes of a body are made once', async t => {
  const recording = (body: Body): Recording => ({ status: 200, headers: { set: [], removed: [] }, body, bytes: 0, leaderId: '1', variant: NO_VARIANT })
  const bytes = Buffer.from('bytes')
  t.equal(bytesOf(recording(bytes)), bytes)
  const text = recording('ä')
  t.equal(bytesOf(text).toString(), 'ä')
  t.equal(bytesOf(text), bytesOf(text))
  t.equal(bytesOf(recording(null)).length, 0)
})
