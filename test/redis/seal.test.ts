/**
 * What goes to Redis is sealed.
 */
import fc from 'fast-check'
import t from 'tap'
import { Seal, SEAL_BYTES } from '../../lib/redis/seal.js'

const SECRET = 'a secret of the app'
const bytes = (text: string): Buffer => Buffer.from(text)

t.test('what one process seals, another one with the same secret opens', async () => {
  const [one, other] = [new Seal('app', SECRET), new Seal('app', SECRET)]
  fc.assert(fc.property(fc.string(), fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 4 }), (key, parts) => {
    const sealed = one.seal('message', key, parts)
    const whole = Buffer.concat(parts)
    return sealed.length === whole.length + SEAL_BYTES && other.open('message', key, sealed)?.equals(whole) === true
  }))
})

t.test('sealed bytes show nothing of the key and of what they hold', async t => {
  const sealed = new Seal('app', SECRET).seal('message', 'GET /account', [bytes('four thousand euros')])

  for (const clear of ['GET /account', 'euros', SECRET]) t.notOk(sealed.includes(clear), clear)
  t.notOk(sealed.includes(Buffer.from('GET', 'utf16le')))
})

t.test('the same bytes are sealed differently each time', async t => {
  const seal = new Seal('app', SECRET)

  t.notOk(seal.seal('message', 'a', [bytes('x')]).equals(seal.seal('message', 'a', [bytes('x')])))
})

t.test('bytes of another key do not come open', async t => {
  const seal = new Seal('app', SECRET)
  fc.assert(fc.property(fc.string(), fc.string(), (key, other) => {
    fc.pre(key !== other)
    return seal.open('message', other, seal.seal('message', key, [bytes('x')])) === undefined
  }))
  t.equal(seal.open('message', '\udfff', seal.seal('message', '\ud800', [bytes('x')])), undefined, 'halves of surrogate pairs differ')
})

t.test('bytes of another kind do not come open', async t => {
  const seal = new Seal('app', SECRET)

  t.equal(seal.open('entry', 'a', seal.seal('message', 'a', [bytes('x')])), undefined)
})

t.test('bytes that were sealed with another secret, or in another namespace, do not come open', async t => {
  const sealed = new Seal('app', SECRET).seal('message', 'a', [bytes('x')])

  t.equal(new Seal('app', 'the secret of another').open('message', 'a', sealed), undefined)
  t.equal(new Seal('app').open('message', 'a', sealed), undefined)
  t.equal(new Seal('other', SECRET).open('message', 'a', sealed), undefined)
})

t.test('bytes that were cut or changed do not come open', async t => {
  const seal = new Seal('app', SECRET)
  const sealed = seal.seal('message', 'a', [bytes('some bytes')])
  for (let length = 0; length < sealed.length; length++) t.equal(seal.open('message', 'a', sealed.subarray(0, length)), undefined, `cut at ${length}`)
  for (let at = 0; at < sealed.length; at++) {
    const changed = Buffer.from(sealed)
    changed[at] = (changed[at] as number) ^ 1
    t.equal(seal.open('message', 'a', changed), undefined, `changed at ${at}`)
  }
  t.equal(seal.open('message', 'a', Buffer.concat([sealed, bytes('!')])), undefined, 'longer')
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), garbage => seal.open('message', 'a', garbage) === undefined))
})

t.test('a process that has sealed very much goes on with a new key', async t => {
  const [seal, other] = [new Seal('app', SECRET, 2), new Seal('app', SECRET)]
  const sealed = ['1', '2', '3', '4', '5'].map(text => seal.seal('message', 'a', [bytes(text)]))
  const ids = sealed.map(each => each.toString('hex', 1, 17))

  t.strictSame([ids[0] === ids[1], ids[1] === ids[2], ids[2] === ids[3], ids[3] === ids[4]], [true, false, true, false])
  t.strictSame(sealed.map(each => String(other.open('message', 'a', each))), ['1', '2', '3', '4', '5'])
})

t.test('a digest is the same for all who have the secret, and for nobody else', async t => {
  const digest = new Seal('app', SECRET).digest('key', 'GET /account')

  t.match(digest, /^[\w-]{24}$/)
  t.equal(new Seal('app', SECRET).digest('key', 'GET /account'), digest)
  const others = [
    new Seal('app').digest('key', 'GET /account'), new Seal('other', SECRET).digest('key', 'GET /account'),
    new Seal('app', SECRET).digest('label', 'GET /account'), new Seal('app', SECRET).digest('key', 'GET /accounts')
  ]
  t.equal(new Set([digest, ...others]).size, 5)
})
