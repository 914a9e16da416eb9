/**
 * "What is read as an entry was written as one, for that key; and a run is given what was heard of the clock of purges before it began."
 */
import t from 'tap'
import { encodeValue } from '../../lib/codec/value.js'
import { Seal } from '../../lib/redis/seal.js'
import { decodeEntry, encodeEntry, writeOf, type Stored } from '../../lib/redis/store/bytes.js'
import { Tickets } from '../../lib/redis/store/tickets.js'

const seal = new Seal('app', 'a secret of the app')
const stored: Stored = {
  members: { key: 'key', freshFor: 1, staleWhileRevalidate: 2, staleIfError: 3, labels: ['tag'], bytes: 4, value: { body: Buffer.from('body') } }, ran: 5.5, keepFor: 6
}
const ticket = { generation: 'generation', e: 7 }

t.test('an entry comes back whole, under its own key and with its own secret only', async t => {
  const bytes = encodeEntry(stored, ticket, [0, 65_535], seal) as Buffer
  t.strictSame(decodeEntry(bytes, 'key', new Seal('app', 'a secret of the app')), stored)
  t.equal(decodeEntry(bytes, 'yek', seal), undefined)
  t.equal(decodeEntry(bytes, 'key', new Seal('app', 'another secret of it')), undefined)
  t.notOk(bytes.includes('body') || bytes.includes('tag'))
  t.not(writeOf(bytes), writeOf(encodeEntry(stored, ticket, [0, 65_535], seal) as Buffer))
})

t.test('what is no entry is nothing, also if it was sealed by one of us', async t => {
  const bytes = encodeEntry(stored, ticket, [], seal) as Buffer
  const head = bytes.subarray(0, 32 + ticket.generation.length)
  const sealed = (value: unknown): Buffer => Buffer.concat([head, seal.seal('entry', `${head.toString('latin1')}key`, encodeValue(value) as Uint8Array[])])
  t.strictSame(decodeEntry(sealed(['key', 5.5, 1, 2, 3, ['tag'], 4, null]), 'key', seal)?.ran, 5.5)
  for (const wrong of [['yek', 5.5, 1, 2, 3, ['tag'], 4, null], ['key'], 'key', null]) t.equal(decodeEntry(sealed(wrong), 'key', seal), undefined)
  for (const wrong of [Buffer.alloc(0), Buffer.alloc(100), head]) t.equal(decodeEntry(wrong, 'key', seal), undefined)
})

t.test('a run is given what was heard last before it began', async t => {
  const tickets = new Tickets()
  t.equal(tickets.before(1), undefined)
  for (const [at, e] of [[1, 0], [2, 0], [3, 5]] as const) tickets.hear(at, 'g', e)
  t.match([0, 1, 2.5, 3, 9].map(since => tickets.before(since)?.e), [undefined, 0, 0, 5, 5])
  tickets.hear(10, 'another', 0)
  t.equal(tickets.before(9), undefined, 'what was before another clock counts no more')
  for (let e = 1; e <= 1_000; e++) tickets.hear(10 + e, 'another', e)
  t.equal(tickets.before(20), undefined, 'of very many the oldest are forgotten')
  t.equal(tickets.before(1_000)?.e, 990)
})
