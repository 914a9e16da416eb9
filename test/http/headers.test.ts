import t from 'tap'
import { headerDelta, type Headers } from '../../lib/http/headers.js'

t.test('a delta has what was added and what was changed, as text', async t => {
  t.strictSame(headerDelta({ a: '1', b: '2', n: 1 }, { a: '1', b: '3', n: 2, c: 5, d: ['x', 'y'] }), {
    set: [['b', '3'], ['n', '2'], ['c', '5'], ['d', ['x', 'y']]], removed: []
  })
  t.strictSame(headerDelta({}, {}), { set: [], removed: [] })
  t.strictSame(headerDelta({ a: 1 }, { a: '1' }).set, [['a', '1']], 'a number is not its text')
})

t.test('what is neither text nor a list is the text that Node sends of it', async t => {
  const odd = { date: new Date(0), url: new URL('http://localhost/'), none: null, list: [null, 5] } as unknown as Headers
  t.strictSame(headerDelta({}, odd), {
    set: [['date', String(new Date(0))], ['url', 'http://localhost/'], ['none', 'null'], ['list', ['null', '5']]], removed: []
  })
  t.strictSame(headerDelta(odd, odd), { set: [], removed: [] })
  t.strictSame(headerDelta({ a: null } as unknown as Headers, { a: ['x'] }).set, [['a', ['x']]])
})

t.test('lists count as changed if any member did', async t => {
  t.strictSame(headerDelta({ a: ['x', 'y'] }, { a: ['x', 'y'] }).set, [])
  t.strictSame(headerDelta({ a: ['x'] }, { a: ['x', 'y'] }).set, [['a', ['x', 'y']]])
  t.strictSame(headerDelta({ a: ['x', 'y'] }, { a: ['y', 'x'] }).set, [['a', ['y', 'x']]])
  t.strictSame(headerDelta({ a: 'x' }, { a: ['x'] }).set, [['a', ['x']]])
  t.strictSame(headerDelta({ a: ['x'] }, { a: 'x' }).set, [['a', 'x']])
})

t.test('what the bytes of a body are goes with them, whoever said so', async t => {
  const said = { 'content-type': 'text/csv', 'content-encoding': 'br', 'content-language': 'de' }
  t.strictSame(headerDelta(said, said), { set: [['content-type', 'text/csv'], ['content-encoding', 'br']], removed: [] })
})

t.test('what was removed is named', async t => {
  t.strictSame(headerDelta({ a: '1', b: '2', c: undefined }, { b: undefined }), { set: [], removed: ['a', 'b'] })
})

t.test('fields of the connection are neither set nor removed', async t => {
  const fields = {
    connection: 'close', 'keep-alive': '5', 'proxy-authenticate': 'x', 'proxy-authorization': 'x', 'proxy-connection': 'x', te: 'x', trailer: 'x', 'transfer-encoding': 'chunked', upgrade: 'x', 'http2-settings': 'x'
  }
  t.strictSame(headerDelta({}, fields), { set: [], removed: [] })
  t.strictSame(headerDelta(fields, {}), { set: [], removed: [] })
})

t.test('a delta shares no list with the reply', async t => {
  const list = ['x']
  const { set } = headerDelta({}, { a: list })
  list.push('y')
  t.strictSame(set, [['a', ['x']]])
})
