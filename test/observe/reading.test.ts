import fc from 'fast-check'
import t from 'tap'
import { jsonLeaves } from '../../lib/observe/json-leaves.js'
import { mask } from '../../lib/observe/masks.js'
import { differing, isId, nameOf, OTHERS, read, sumOf, type Readable } from '../../lib/observe/reading.js'
import { namedBy } from '../../lib/http/name-patterns.js'

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5)
const MOMENT = { wall: NOW, age: 0 }
const MILLION = 1_000_000

function leavesOf (text: string): string[] | undefined {
  const leaves: string[] = []
  return jsonLeaves(text, (path, value) => { leaves.push(`${path} ${value}`) }) ? leaves : undefined
}

const response = (text: string, more: Partial<Readable> = {}): Readable => ({ status: 200, type: 'a', headers: '', text, own: [], moment: MOMENT, ...more })
const reading = (text: string, more?: Partial<Readable>, ignore: readonly string[] = []): ReturnType<typeof read> => read(response(text, more), namedBy(ignore))
const differ = (one: string, other: string, ignore?: readonly string[]): string[] =>
  [...new Set(differing(reading(one, {}, ignore), reading(other, {}, ignore)).map(nameOf))].sort()

t.test('JSON is told as paths with the texts of their values', async t => {
  t.strictSame(leavesOf(' { "a" : [1, {"b": "x\\"y"}, []], "c": {}, "d": -1.5e+3, "a": null } '), [
    '$.a[] 1', '$.a[].b "x\\"y"', '$.a[] [', '$.a.length 3', '$.c {', '$.d -1.5e+3', '$.a null'
  ])
  t.strictSame(leavesOf('true'), ['$ true'])
  t.strictSame(leavesOf('{"__proto__":{"constructor":1}}'), ['$.__proto__.constructor 1'])
})

t.test('what is no JSON is not taken for it', async t => {
  for (const text of ['', ' ', '{', '[', '[1', '[1,', '[1,]', '{"a"}', '{"a":', '{a:1}', '{"a":1,}', '{"a":1]', '[1}', '"a', '"a\\', 'nul', '1 2', '<p>', '{"a":1 "b":2}', '[1] x', '{"a', '- 1', '{"a":1,b:2}']) {
    t.equal(leavesOf(text), undefined, text)
  }
})

t.test('each JSON text is read, and what JSON.parse tells apart is told apart', async () => {
  fc.assert(fc.property(fc.json(), fc.json(), (one, other) => {
    const [leaves, others] = [leavesOf(one), leavesOf(other)]
    return leaves !== undefined && others !== undefined && (JSON.stringify(leaves) !== JSON.stringify(others) || JSON.stringify(JSON.parse(one)) === JSON.stringify(JSON.parse(other)))
  }))
})

t.test('a hostile text costs no more than its length', { timeout: 20_000 }, async t => {
  const half = MILLION / 2
  const texts = [
    '['.repeat(MILLION), '['.repeat(half) + ']'.repeat(half), '{"a":'.repeat(half), '{"a":'.repeat(half) + '1' + '}'.repeat(half), `"${'\\"'.repeat(half)}"`,
    ' '.repeat(MILLION), '1'.repeat(MILLION), '-'.repeat(MILLION), '<'.repeat(MILLION), '\n'.repeat(MILLION), 'a'.repeat(MILLION), 'nonce-'.repeat(MILLION / 6),
    '2026-01-01T'.repeat(MILLION / 11), '1700000000 '.repeat(MILLION / 11), `${'f'.repeat(MILLION)}g`, 'Mon, 01 '.repeat(MILLION / 8),
    JSON.stringify(Array.from({ length: 50_000 }, (_, index) => ({ [`key${index}`]: index }))), `{"${'k'.repeat(MILLION)}":1}`, 'req-1 '.repeat(MILLION / 6)
  ]
  for (const text of texts) {
    const begin = process.cpuUsage()
    const { leaves } = reading(text, { own: ['req-1', 'aaaaaaaa'] })
    const { user, system } = process.cpuUsage(begin)
    t.ok(leaves.size <= 514 && (user + system) / 1000 < 1500, `${text.slice(0, 12)} ${leaves.size} leaves in ${(user + system) / 1000} ms`)
  }
})

t.test('times of now are masked, other times are not', async t => {
  const iso = new Date(NOW).toISOString()
  for (const now of [iso, iso.replace('T', ' ').replace('.000Z', ''), iso.replace('.000Z', '+00:00'), iso.replace('.', ','), new Date(NOW).toUTCString(), String(NOW), String(NOW / 1000), `${NOW / 1000}.25`]) {
    t.equal(mask(`at ${now}!`, [], MOMENT).text, 'at <now>!', now)
  }
  for (const other of ['2020-01-02T03:04:05Z', '2026-01-02 07:04', 'Thu, 01 Jan 2026 00:00:00 GMT', '1700000000', '1700000000000', '2026-99-99T99:99Z']) {
    t.equal(mask(`at ${other}!`, [], MOMENT).text, `at ${other}!`, other)
  }
  const old = new Date(NOW - 3_600_000).toISOString()
  t.equal(mask(`at ${old}!`, [], MOMENT).text, `at ${old}!`)
  t.equal(mask(`at ${old}!`, [], { wall: NOW, age: 7_200_000 }).text, 'at <now>!', 'but for what may have been made then')
})

t.test('ids and nonces are told apart from the text around them', async t => {
  const id = '0b2ce5bb-6a4f-4a9c-8d2e-1f2a3b4c5d6e'
  t.strictSame(mask(`"a ${id} b deadbeefdeadbeef c nonce=\\"abcdefgh12\\" nonce-ABCDEFGH"`, [], MOMENT), {
    text: '"a <id> b <id> c <id>\\" <id>"', ids: [id, 'deadbeefdeadbeef', 'nonce=\\"abcdefgh12', 'nonce-ABCDEFGH'], echoes: false
  })
})

t.test('what is of the own request is masked, and known to be', async t => {
  t.match(mask('id req-1f', ['req-1f'], MOMENT), { text: 'id <own>', echoes: true })
  t.match(mask('id req-1f0', ['req-1f', 'id'], MOMENT), { text: 'id req-1f0', echoes: false }, 'but only whole words of some length')
})

t.test('a place that is ignored is no leaf, even if it echoes', async t => {
  const body = '{"a":1,"took":"req-17","meta":{"x":2,"y":[3]},"items":[{"seen":1,"id":1},{"seen":2,"id":2}]}'
  const { leaves, echoes } = reading(body, { own: ['req-17'] }, ['$.took', '$.meta*', '$.items[].seen'])
  t.strictSame([...leaves.keys()], ['<status>', '<type>', '<headers>', '$.a', '$.items[].id', '$.items.length'])
  t.equal(echoes, false)
  t.equal(reading(body, { own: ['req-17'] }).echoes, true)
})

t.test('responses differ where they do, and nowhere else', async t => {
  t.strictSame(differ('{"a":1,"b":[1,2]}', '{"a":1,"b":[1,3]}'), ['$.b[]'])
  t.strictSame(differ('{"a":1,"b":[1,2]}', '{"a":1,"b":[2,1]}'), ['$.b[]'])
  t.strictSame(differ('{"a":1}', '{"a":1,"c":1}'), ['$.c'])
  t.strictSame(differ('{"a":1,"c":1}', '{"a":1}'), ['$.c'])
  t.strictSame(differ('{"b":2,"a":1}', '{ "a": 1, "b": 2 }'), [], 'order and white space are none')
  t.strictSame(differ('{"a":12345678901234567890}', '{"a":12345678901234567891}'), ['$.a'])
  t.strictSame(differ('{"a":1,"a":2}', '{"a":3,"a":2}'), ['$.a'])
  t.strictSame(differ('<p>1</p>', '<p>2</p>'), ['<text>'])
  t.strictSame(differ('<p>1</p>', '{"a":1}'), ['$.a', '<text>'])
  t.strictSame(differ('{"a":1,"b":2}', '{"a":2,"b":3}', ['*']), [])
  t.strictSame(differing(reading('1'), reading('1', { status: 404, type: 'b', headers: 'location: /a' })), ['<status>', '<type>', '<headers>'])
})

t.test('no difference is lost, however many places there are, and whichever one differs', async () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 1500 }), fc.nat(), fc.boolean(), (size, which, isJson) => {
    const text = (changed: number): string => isJson
      ? JSON.stringify(Object.fromEntries(Array.from({ length: size }, (_, index) => [`k${index}`, index === changed ? -1 : index])))
      : Array.from({ length: size }, (_, index) => `<p>${index === changed ? -1 : index}`).join('')
    return differ(text(-1), text(which % size)).length === 1
  }), { numRuns: 50 })
})

t.test('places past the bound are one, and deep ones as well', async t => {
  const wide = JSON.stringify(Object.fromEntries(Array.from({ length: 600 }, (_, index) => [`k${index}`, index])))
  t.ok(reading(wide).leaves.has(OTHERS))
  t.equal(leavesOf('['.repeat(502) + ']'.repeat(502)), undefined, 'what is very deep is a text')
  t.not(leavesOf('['.repeat(500) + ']'.repeat(500)), undefined)
  const deep = (value: number): string => '{"abcdefghij":'.repeat(40) + value + '}'.repeat(40)
  t.equal(differ(deep(1), deep(2)).length, 1)
  t.ok((differ(deep(1), deep(2))[0] as string).endsWith('.…'))
})

t.test('the sum of leaves is the same for the same leaves, and leaves out what it is told to', async t => {
  const none = new Set<string>()
  t.equal(sumOf(reading('{"a":1,"b":2}'), none), sumOf(reading('{"b":2,"a":1}'), none))
  t.not(sumOf(reading('{"a":1,"b":2}'), none), sumOf(reading('{"a":2,"b":1}'), none))
  t.equal(sumOf(reading('{"a":1,"b":2}'), new Set(['$.b'])), sumOf(reading('{"a":1,"b":3}'), new Set(['$.b'])))
  t.equal(sumOf(reading('{"b":2}'), new Set(['$.b'])), undefined, 'nothing is left of the body')
  t.not(sumOf(reading('<p>'), none), undefined)
})

t.test('a place of ids is known as one, and called as users call it', async t => {
  const places = differing(reading('{"a":"deadbeefdeadbeef1"}'), reading('{"a":"deadbeefdeadbeef2"}'))
  t.strictSame(places.map(place => [nameOf(place), isId(place)]), [['$.a', true]])
  const five = (last: string): string => JSON.stringify({ a: `${'deadbeefdeadbeef1 '.repeat(8)}deadbeefdeadbeef${last}` })
  t.equal(differ(five('2'), five('3')).length, 1, 'those past the bound are one place')
})
