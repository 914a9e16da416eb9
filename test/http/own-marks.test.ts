import t from 'tap'
import { holds, holdsId, noncesOf } from '../../lib/http/own-marks.js'

t.test('the nonces of a policy are all that it names, in whatever line', t => {
  t.strictSame(noncesOf(undefined), [])
  t.strictSame(noncesOf("default-src 'self'; script-src 'sha256-abc=' nonce-none"), [])
  t.strictSame(noncesOf("script-src 'self' 'nonce-aA0+/_-=='; style-src 'nonce-b'"), ['aA0+/_-==', 'b'])
  t.strictSame(noncesOf(["script-src 'nonce-a'", "script-src 'nonce-b'"]), ['a', 'b'])
  t.end()
})

t.test('a text is held where it stands as a word of its own, in text and in bytes', t => {
  const bodies: Array<[body: string, held: boolean]> = [
    ['req-1', true], ['{"id":"req-1"}', true], ['é req-1 é', true], ['req-12 req-1', true], ['req-1req-1.req-1', true],
    ['', false], ['req-12', false], ['req-1-', false], ['_req-1', false], ['Areq-1', false], ['zreq-1', false], ['0req-1', false], ['req-', false]
  ]
  for (const [body, held] of bodies) {
    t.equal(holds(body, 'req-1'), held, body)
    t.equal(holds(Buffer.from(body), 'req-1'), held, `${body}, as bytes`)
  }
  t.equal(holds(Buffer.from('an id: öäü-1!'), 'öäü-1'), true)
  t.notOk(holds(null, 'req-1'))
  t.notOk(holds('text', ''))
  t.end()
})

t.test('an id that is too short to tell is not looked for', t => {
  t.ok(holdsId('{"id":"req-1"}', 'req-1'))
  t.notOk(holdsId('{"count":1234}', '1234'))
  t.end()
})
