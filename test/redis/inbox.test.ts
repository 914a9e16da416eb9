/**
 * Messages between processes are read strictly, and in linear time.
 */
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { instanceOf, purgedMessage, readMessage, resetMessage } from '../../lib/redis/inbox.js'

const INSTANCE = randomBytes(16).toString('base64url')
const TOKEN = `${INSTANCE}:1z`
const read = (text: string): unknown => readMessage(Buffer.from(text))

t.test('messages are read as they were written', async t => {
  t.strictSame(read(`W${TOKEN}`), { type: 'waited', token: TOKEN })
  t.strictSame(read(`I${TOKEN}\nbytes\nand more`), { type: 'inline', token: TOKEN, sealed: Buffer.from('bytes\nand more') })
  t.strictSame(read(`R${TOKEN}\n123`), { type: 'claim', token: TOKEN, bytes: 123 })
  t.strictSame(read(`X${TOKEN}\n`), { type: 'released', token: TOKEN })
  t.strictSame(readMessage(purgedMessage(INSTANCE, Buffer.from([0, 10]))), { type: 'purged', instance: INSTANCE, sealed: Buffer.from([0, 10]) })
  t.strictSame(read(resetMessage(INSTANCE)), { type: 'reset', instance: INSTANCE })
  t.equal(instanceOf(TOKEN), INSTANCE)
})

t.test('whatever is not exactly so is no message', async t => {
  const wrong = [
    '', 'W', `W${TOKEN}\n`, `W${INSTANCE}`, `W${TOKEN}!`, `I${TOKEN}`, 'I\n', `I${INSTANCE}\nx`, `I${TOKEN} \nx`, `R${TOKEN}\n`, `R${TOKEN}\n1.5`, `R${TOKEN}\n-1`,
    `R${TOKEN}\n1234567890123`, `X${TOKEN}\nx`, `X${TOKEN}`, `Y${TOKEN}\n`, `P${TOKEN}\nx`, `A${INSTANCE}`, `A${INSTANCE}\nx`, `A${TOKEN}\n`,
    `${'x'.repeat(100_000)}\n`, `W${INSTANCE}:${'1'.repeat(13)}`
  ]
  for (const text of wrong) t.equal(read(text), undefined, JSON.stringify(text.slice(0, 60)))
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), bytes => readMessage(Buffer.from(bytes)) === undefined))
})

t.test('a message that is to say a number, and says something else, is none', async t => {
  t.strictSame(read(`R${TOKEN}\n12`), { type: 'claim', token: TOKEN, bytes: 12 })
  for (const wrong of ['', 'x', '1x', '-1', '1234567890123']) t.equal(read(`R${TOKEN}\n${wrong}`), undefined, wrong)
  t.equal(read(`Z${TOKEN}\n12`), undefined, 'no kind of message')
})
