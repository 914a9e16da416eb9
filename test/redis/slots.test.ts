/**
 * "A key goes to the node that has it."
 */
import t from 'tap'
import { ownersOf, redirectionOf, slotOf } from '../../lib/redis/clients/slots.js'
import { redisServer, withServer } from '../fixtures/redis/server.js'

const ASKED = { host: 'asked', port: 1 }

t.test('the slot of a key is what the server says', withServer, async t => {
  const server = await redisServer(t, { cluster: true })
  for (const key of ['a', '', 'user:1', 'café ☕', 'x{a}y', 'x{}y', '{a', 'a}', '}{a}', '{a}{b}', 'a{{b}}', 'cz1:{12}:p:\n']) {
    t.equal(slotOf(key), await server.command('CLUSTER', 'KEYSLOT', key), key)
  }
})

t.test('the owners of slots are read from what a node says, which may not know its own name', async t => {
  const owners = ownersOf([
    [0, 1, [Buffer.from('one'), 2, Buffer.from('id')], [Buffer.from('replica'), 3]], [5, 5, [null, 4]], [7, 7, [Buffer.from('?'), 5]], [8, 8, [Buffer.alloc(0), 6]]
  ], ASKED)
  t.strictSame([...owners as Map<number, unknown>].map(([slot, address]) => [slot, address]), [
    [0, { host: 'one', port: 2 }], [1, { host: 'one', port: 2 }], [5, { host: 'asked', port: 4 }], [7, { host: 'asked', port: 5 }], [8, { host: 'asked', port: 6 }]
  ])
  t.equal(ownersOf(new Error('ERR This instance has cluster support disabled'), ASKED), undefined)
  t.equal(ownersOf(undefined, ASKED), undefined)
})

t.test('redirections are read from errors, and from nothing else', async t => {
  t.strictSame(redirectionOf(new Error('MOVED 15495 127.0.0.1:6380'), ASKED), { type: 'moved', to: { host: '127.0.0.1', port: 6380 } })
  t.strictSame(redirectionOf(new Error('ASK 1 2001:db8::1:6380'), ASKED), { type: 'ask', to: { host: '2001:db8::1', port: 6380 } })
  t.strictSame(redirectionOf(new Error('MOVED 1 :6380'), ASKED), { type: 'moved', to: { host: 'asked', port: 6380 } })
  for (const reply of [new Error('ERR MOVED 1 a:1'), new Error('MOVED'), Buffer.from('MOVED 1 a:1'), null, undefined]) t.equal(redirectionOf(reply, ASKED), undefined)
})
