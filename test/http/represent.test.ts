import t from 'tap'
import fc from 'fast-check'
import { asksForPart, represent, type Part } from '../../lib/http/represent.js'
import { anyText } from './arbitraries.js'

const NOW = Date.UTC(2026, 10, 24, 12)
const THEN = 'Sun, 06 Nov 1994 08:49:37 GMT'
const WHOLE = Buffer.from('0123456789'.repeat(100))
const HEADERS = {
  etag: '"a"',
  'last-modified': THEN,
  'content-type': 'text/plain',
  'content-length': '1000',
  'cache-control': 'max-age=60',
  expires: THEN,
  date: THEN,
  vary: 'accept',
  'content-location': '/it',
  'content-language': 'en',
  'x-own': 'yes',
  'content-digest': 'sha-256=:x:',
  'content-security-policy': 'x'
}

type Options = { status?: number, set?: Record<string, string | undefined>, method?: string, body?: Buffer | null }

function given (asked: Record<string, string>, { status = 200, set = {}, method = 'GET', body = WHOLE }: Options = {}): Part | 'whole' | 'needs-body' {
  return represent({ status, headers: { ...HEADERS, ...set }, body: body === null ? undefined : () => body }, { method, headers: asked }, NOW, () => 'boundary')
}

const statusOf = (answer: Part | 'whole' | 'needs-body'): unknown => typeof answer === 'string' ? answer : answer.status
const partOf = (answer: Part | 'whole' | 'needs-body'): Part => {
  if (typeof answer === 'string') throw new Error(`it is ${answer}`)
  return answer
}

/** Which headers are left. */
function left (answer: Part | 'whole' | 'needs-body', set: Record<string, string | undefined> = {}): string[] {
  const { removed } = partOf(answer)
  return Object.entries({ ...HEADERS, ...set }).filter(([name, value]) => value !== undefined && !removed.includes(name)).map(([name]) => name).sort()
}

t.test('304 keeps what caches are updated with, and nothing of the body', async t => {
  const answer = given({ 'if-none-match': 'W/"a"' })
  t.equal(statusOf(answer), 304)
  t.equal(partOf(answer).body, null)
  t.strictSame(left(answer), ['cache-control', 'content-location', 'content-security-policy', 'date', 'etag', 'expires', 'vary', 'x-own'])
  const dated = { etag: undefined }
  t.strictSame(left(given({ 'if-modified-since': THEN }, { set: dated }), dated).includes('last-modified'), true, 'without a tag the date is all there is')
})

t.test('412 and 416 do not pass for what they are instead of', async t => {
  for (const [asked, status] of [[{ 'if-match': '"b"' }, 412], [{ range: 'bytes=1000-' }, 416]] as const) {
    const answer = given(asked)
    t.equal(statusOf(answer), status)
    t.equal(partOf(answer).body, null)
    t.strictSame(left(answer), ['content-security-policy', 'date', 'vary', 'x-own'])
  }
  t.strictSame(partOf(given({ range: 'bytes=1000-' })).set, [['content-range', 'bytes */1000']])
})

t.test('206 has the bytes that were asked for, and the headers of the whole but for those about all of its bytes', async t => {
  const answer = partOf(given({ range: 'bytes=990-' }))
  t.equal(answer.status, 206)
  t.equal(answer.body?.toString(), '0123456789')
  t.strictSame(answer.set, [['content-range', 'bytes 990-999/1000']])
  t.strictSame(left(answer), Object.keys(HEADERS).filter(name => name !== 'content-length' && name !== 'content-digest').sort())
  const one = partOf(given({ range: 'bytes=0-0,5000-' }))
  t.strictSame([one.body?.toString(), one.set], ['0', [['content-range', 'bytes 0-0/1000']]], 'one that is left is no multipart')
})

t.test('several ranges are a multipart, unless that is no less than the whole', async t => {
  const answer = partOf(given({ range: 'bytes=0-1,-2' }))
  t.equal(answer.status, 206)
  t.strictSame(answer.set, [['content-type', 'multipart/byteranges; boundary=boundary']])
  t.match(answer.body?.toString(), /^\r\n--boundary\r\nContent-Type: text\/plain\r\nContent-Range: bytes 0-1\/1000\r\n\r\n01\r\n--boundary\r\n[^]*bytes 998-999\/1000\r\n\r\n89\r\n--boundary--\r\n$/)
  t.equal(given({ range: 'bytes=0-1,-2' }, { body: Buffer.from('0123456789') }), 'whole')
  t.equal(given({ range: 'bytes=0-499,501-' }), 'whole')
})

t.test('ranges of what is coded are ranges of the code, one at a time', async t => {
  const set = { 'content-encoding': 'gzip' }
  t.equal(statusOf(given({ range: 'bytes=0-1' }, { set })), 206)
  t.equal(given({ range: 'bytes=0-1,5-6' }, { set }), 'whole')
  t.equal(statusOf(given({ range: 'bytes=0-1,5-6' }, { set: { 'content-encoding': 'Identity' } })), 206)
})

t.test('conditions come first, then If-Range, then the ranges', async t => {
  t.equal(statusOf(given({ range: 'bytes=0-1', 'if-none-match': '"a"' })), 304)
  t.equal(statusOf(given({ range: 'bytes=0-1', 'if-match': '"b"' })), 412)
  t.equal(statusOf(given({ range: 'bytes=5000-', 'if-match': '"b"' })), 412)
  t.equal(statusOf(given({ range: 'bytes=0-1', 'if-range': '"a"' })), 206)
  t.equal(statusOf(given({ range: 'bytes=0-1', 'if-range': 'W/"a"' })), 'whole')
  t.equal(statusOf(given({ range: 'bytes=5000-', 'if-range': '"b"' })), 'whole', 'what has changed has no end that is known')
  t.equal(statusOf(given({ range: 'bytes=0-1', 'if-range': THEN })), 'whole', 'the response is as old as its date')
  t.equal(statusOf(given({ range: 'bytes=0-1', 'if-range': THEN }, { set: { date: undefined } })), 206)
  t.equal(statusOf(given({ 'if-range': '"b"' })), 'whole')
})

t.test('only a 200 for GET or HEAD is looked at, and ranges only for GET', async t => {
  const asked: Array<Record<string, string>> = [{ 'if-none-match': '"a"' }, { 'if-match': '"b"' }, { range: 'bytes=0-1' }]
  for (const status of [201, 203, 204, 206, 301, 304, 404, 412, 416, 500]) t.strictSame(asked.map(each => given(each, { status })), Array(3).fill('whole'), String(status))
  for (const method of ['POST', 'QUERY', 'PUT', 'get']) t.strictSame(asked.map(each => given(each, { method })), Array(3).fill('whole'), method)
  t.strictSame(asked.map(each => statusOf(given(each, { method: 'HEAD' }))), [304, 412, 'whole'])
})

t.test('a response that takes no ranges, or is one, is not sliced', async t => {
  t.equal(given({ range: 'bytes=0-1' }, { set: { 'accept-ranges': 'None' } }), 'whole')
  t.equal(statusOf(given({ range: 'bytes=0-1' }, { set: { 'accept-ranges': 'bytes' } })), 206)
  t.equal(given({ range: 'bytes=0-1' }, { set: { 'content-range': 'bytes 0-9/20' } }), 'whole')
})

t.test('without the body conditions are told all the same, and ranges need it', async t => {
  t.equal(statusOf(given({ 'if-none-match': '"a"', range: 'bytes=0-1' }, { body: null })), 304)
  t.equal(given({ range: 'bytes=0-1' }, { body: null }), 'needs-body')
  t.equal(given({ range: 'bytes=0-1', 'if-range': '"b"' }, { body: null }), 'whole')
  t.equal(given({}, { body: null }), 'whole')
})

t.test('a request that asks for a part is known by its headers', async t => {
  t.equal(asksForPart({}), false)
  t.equal(asksForPart({ 'if-range': '"a"', accept: '*/*' }), false, 'If-Range says nothing without Range')
  t.same(['range', 'if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since'].filter(name => !asksForPart({ [name]: '' })), [])
})

t.test('whatever is asked for, nothing throws, and no answer has more bytes than the whole or others than it', async t => {
  const text = fc.oneof(anyText, fc.constantFrom('"a"', 'W/"a"', '"b"', '*', THEN, 'bytes=0-1', 'bytes=0-1,50-60', 'bytes=-1', 'bytes=999999-', 'none', 'bytes', 'gzip'))
  const asked = fc.dictionary(fc.constantFrom('range', 'if-range', 'if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since'), text)
  const set = fc.dictionary(fc.constantFrom('etag', 'last-modified', 'content-type', 'content-encoding', 'accept-ranges', 'date'), text)
  const seen = new Set<unknown>()
  fc.assert(fc.property(asked, set, fc.uint8Array({ maxLength: 300 }), (headers, set, array) => {
    const whole = Buffer.from(array)
    const answer = represent({ status: 200, headers: set, body: () => whole }, { method: 'GET', headers }, NOW)
    seen.add(statusOf(answer))
    if (typeof answer === 'string') return answer === 'whole'
    if (answer.status !== 206) return answer.body === null
    const body = answer.body as Buffer
    const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(answer.set[0]?.[1] as string)
    if (body.length > whole.length) return false
    return range === null
      ? body.length < whole.length
      : Number(range[3]) === whole.length && body.equals(whole.subarray(Number(range[1]), Number(range[2]) + 1))
  }), { numRuns: 50_000 })
  t.same([206, 304, 412, 416, 'whole'].filter(status => !seen.has(status)), [], 'every answer came about')
})

t.test('the parts of what has no type have none', async t => {
  const answer = partOf(given({ range: 'bytes=0-1,-2' }, { set: { 'content-type': undefined } }))
  t.match(answer.body?.toString(), /^\r\n--boundary\r\nContent-Range: bytes 0-1\/1000\r\n\r\n01\r\n/)
})
