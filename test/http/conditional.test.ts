import t from 'tap'
import fc from 'fast-check'
import { evaluate, matchesStrongly, matchesWeakly, parseEntityTag, parseEntityTags, parseHttpDate, validatorsOf, type Verdict } from '../../lib/http/conditional.js'
import { anyText, space, textOf } from './arbitraries.js'

const NOW = Date.UTC(2026, 10, 24, 12)
const THEN = 'Sun, 06 Nov 1994 08:49:37 GMT'
const BEFORE = 'Sun, 06 Nov 1994 08:49:36 GMT'
const AFTER = 'Sun, 06 Nov 1994 08:49:38 GMT'

t.test('an entity tag is read strictly', async t => {
  t.strictSame(parseEntityTag('"a"'), { weak: false, opaque: 'a' })
  t.strictSame(parseEntityTag(' W/"a"\t'), { weak: true, opaque: 'a' })
  t.strictSame(parseEntityTag('""'), { weak: false, opaque: '' })
  t.strictSame(parseEntityTag('"a,b\\!\xe9"'), { weak: false, opaque: 'a,b\\!\xe9' }, 'a backslash is a character as any other')
  const malformed = [undefined, '', 'a', '"a', 'a"', 'w/"a"', 'W/a', 'W /"a"', '"a b"', '"a"b"', '"a",', '"a", "b"', '*', '"\x7f"', '"\u0100"', ['"a"', '"b"'], '\xa0"a"']
  t.same(malformed.filter(each => parseEntityTag(each) !== undefined), [])
})

t.test('a list of tags is read strictly, or not at all', async t => {
  const a = { weak: false, opaque: 'a' }
  const b = { weak: true, opaque: 'b' }
  t.same(['*', ' * ', '\t*'].filter(each => parseEntityTags(each) !== '*'), [])
  for (const text of ['"a", W/"b"', '"a",W/"b"', ',, "a" ,\t,W/"b" ,', ['"a"', 'W/"b"']]) t.strictSame(parseEntityTags(text), [a, b])
  const malformed = [undefined, '', ',', ' , ', '*, "a"', '"a", *', '**', '"a" "b"', '"a"; "b"', '"a', 'a', '"a", b', '\xa0*', '"a" W/"b"']
  t.same(malformed.filter(each => parseEntityTags(each) !== undefined), [])
})

t.test('strong tags are the same to the byte, weak ones are as good as the same', async t => {
  const tags = ['W/"1"', 'W/"2"', '"1"'].map(text => parseEntityTag(text) as NonNullable<ReturnType<typeof parseEntityTag>>)
  const [w1, w2, s1] = tags as [typeof tags[0], typeof tags[0], typeof tags[0]]
  // The table of RFC 9110 section 8.8.3.2.
  const table = [[w1, w1], [w1, w2], [w1, s1], [s1, s1]] as const
  t.strictSame(table.map(([a, b]) => matchesStrongly(a, b)), [false, false, false, true])
  t.strictSame(table.map(([a, b]) => matchesWeakly(a, b)), [true, false, true, true])
})

t.test('a date is read in each of its three forms', async t => {
  const date = Date.UTC(1994, 10, 6, 8, 49, 37)
  for (const text of [THEN, 'Sunday, 06-Nov-94 08:49:37 GMT', 'Sun Nov  6 08:49:37 1994']) t.equal(parseHttpDate(text, NOW), date, text)
  t.equal(parseHttpDate('Thu, 29 Feb 2024 23:59:60 GMT', NOW), Date.UTC(2024, 1, 29, 23, 59, 59), 'a leap second')
  t.equal(parseHttpDate('Sat, 01 Jan 0000 00:00:00 GMT', NOW), new Date('0000-01-01T00:00:00Z').getTime(), 'a year below 100 is that year')
  t.equal(parseHttpDate('Tuesday, 24-Nov-76 00:00:00 GMT', NOW), Date.UTC(2076, 10, 24), 'fifty years ahead')
  t.equal(parseHttpDate('Thursday, 24-Nov-77 00:00:00 GMT', NOW), Date.UTC(1977, 10, 24), 'not fifty-one')
})

t.test('what is not a date, or names a day that there is not, is none', async t => {
  const malformed = [
    undefined, '', '0', '784111777', THEN.toLowerCase(), `${THEN} `, ` ${THEN}`, `${THEN}\n`, THEN.replace('GMT', 'UTC'), THEN.replace('GMT', '+0000'),
    THEN.replace('Sun', 'Mon'), THEN.replace('06', '6'), THEN.replace('06', '31'), THEN.replace('08', '24'), THEN.replace('49', '60'), THEN.replace('37', '61'),
    'Thu, 30 Feb 2023 00:00:00 GMT', 'Wed, 29 Feb 2023 00:00:00 GMT', 'Sun Nov 6 08:49:37 1994', 'Sun, 06-Nov-94 08:49:37 GMT', '1994-11-06T08:49:37Z', [THEN, THEN]
  ]
  t.same(malformed.filter(each => parseHttpDate(each, NOW) !== undefined), [])
})

const both = validatorsOf({ etag: '"a"', 'last-modified': THEN }, NOW)
const verdict = (headers: Record<string, string>, validators = both): Verdict => evaluate(validators, headers, NOW)

t.test('each condition is evaluated by its own comparison', async t => {
  t.equal(verdict({}), 'go-on')
  t.strictSame(['"a"', '"b", "a"', '*', 'W/"a"', '"b"'].map(tags => verdict({ 'if-match': tags })), ['go-on', 'go-on', 'go-on', 'failed', 'failed'], 'strongly')
  t.strictSame(['"a"', 'W/"a"', '"b", W/"a"', '*', '"b"'].map(tags => verdict({ 'if-none-match': tags })), ['not-modified', 'not-modified', 'not-modified', 'not-modified', 'go-on'], 'weakly')
  t.strictSame([BEFORE, THEN, AFTER].map(date => verdict({ 'if-unmodified-since': date })), ['failed', 'go-on', 'go-on'])
  t.strictSame([BEFORE, THEN, AFTER].map(date => verdict({ 'if-modified-since': date })), ['go-on', 'not-modified', 'not-modified'])
  const weak = validatorsOf({ etag: 'W/"a"' }, NOW)
  t.equal(verdict({ 'if-match': 'W/"a"' }, weak), 'failed', 'a weak tag never matches strongly')
  t.equal(verdict({ 'if-none-match': '"a"' }, weak), 'not-modified')
})

t.test('conditions are evaluated in the order of precedence', async t => {
  t.equal(verdict({ 'if-match': '"a"', 'if-unmodified-since': BEFORE }), 'go-on', 'If-Match hides If-Unmodified-Since')
  t.equal(verdict({ 'if-match': '"b"', 'if-unmodified-since': AFTER }), 'failed')
  t.equal(verdict({ 'if-none-match': '"b"', 'if-modified-since': AFTER }), 'go-on', 'If-None-Match hides If-Modified-Since')
  t.equal(verdict({ 'if-none-match': '"a"', 'if-modified-since': BEFORE }), 'not-modified')
  t.equal(verdict({ 'if-match': '"b"', 'if-none-match': '"a"' }), 'failed', 'the first that fails decides')
  t.equal(verdict({ 'if-unmodified-since': BEFORE, 'if-modified-since': AFTER }), 'failed')
  t.equal(verdict({ 'if-match': '"a"', 'if-none-match': '"a"' }), 'not-modified')
  t.equal(verdict({ 'if-unmodified-since': AFTER, 'if-modified-since': AFTER }), 'not-modified')
})

t.test('what the response does not have, and what is not well formed, is not evaluated', async t => {
  const none = validatorsOf({ etag: 'a', 'last-modified': 'yesterday' }, NOW)
  t.strictSame(none, { etag: undefined, lastModified: undefined })
  for (const [name, value] of [['if-match', '"b"'], ['if-none-match', '"a"'], ['if-unmodified-since', BEFORE], ['if-modified-since', AFTER], ['if-match', '*']] as const) {
    t.equal(verdict({ [name]: value }, none), 'go-on', `${name}: ${value}`)
  }
  t.equal(verdict({ 'if-none-match': '*' }, none), 'not-modified', 'a star asks for any representation, and there is one')
  for (const [name, value] of [['if-match', 'b'], ['if-none-match', 'a'], ['if-unmodified-since', '0'], ['if-modified-since', 'now']] as const) {
    t.equal(verdict({ [name]: value }), 'go-on', `${name}: ${value}`)
  }
  t.equal(verdict({ 'if-match': 'b', 'if-unmodified-since': BEFORE }), 'go-on', 'but it hides what it hides')
  t.equal(verdict({ 'if-none-match': 'b', 'if-modified-since': AFTER }), 'go-on')
})

t.test('nothing that is read throws', async t => {
  const pieces = fc.array(fc.constantFrom('"', 'W/', '*', ',', ' ', 'a', '\t', '\\', '\xa0', 'Sun', ', 06 ', 'Nov', ' 1994 ', '08:49:37', ' GMT', '-'), { maxLength: 10 }).map(all => all.join(''))
  const value = fc.oneof(anyText, pieces)
  const headers = fc.dictionary(fc.constantFrom('if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since'), value)
  fc.assert(fc.property(value, value, headers, (etag, lastModified, asked) => {
    const validators = validatorsOf({ etag, 'last-modified': lastModified }, NOW)
    const said = evaluate(validators, asked, NOW)
    // No verdict without something to base it on.
    return said === 'go-on' || validators.etag !== undefined || validators.lastModified !== undefined || asked['if-none-match']?.includes('*') === true
  }), { numRuns: 100_000 })
  t.pass('100,000 requests were read')
})

t.test('whatever list a tag is in, it is found, and no other is', async t => {
  const opaque = textOf('a,*\\', 0, 3)
  const tag = fc.record({ weak: fc.boolean(), opaque })
  const written = ({ weak, opaque }: { weak: boolean, opaque: string }): string => `${weak ? 'W/' : ''}"${opaque}"`
  fc.assert(fc.property(fc.array(tag, { minLength: 1, maxLength: 4 }), fc.array(space, { minLength: 8, maxLength: 8 }), tag, (tags, spaces, own) => {
    const text = tags.map((each, index) => `${spaces[index * 2]}${written(each)}${spaces[index * 2 + 1]}`).join(',')
    if (JSON.stringify(parseEntityTags(text)) !== JSON.stringify(tags.map(({ weak, opaque }) => ({ weak, opaque })))) return false
    const validators = validatorsOf({ etag: written(own) }, NOW)
    const matches = evaluate(validators, { 'if-none-match': text }, NOW) === 'not-modified'
    const holds = evaluate(validators, { 'if-match': text }, NOW) === 'go-on'
    return matches === tags.some(each => each.opaque === own.opaque) && holds === tags.some(each => each.opaque === own.opaque && !each.weak && !own.weak)
  }), { numRuns: 2000 })
  fc.assert(fc.property(fc.date({ min: new Date('0000-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }), date => {
    const seconds = Math.floor(date.getTime() / 1000) * 1000
    return parseHttpDate(new Date(seconds).toUTCString(), NOW) === seconds
  }), { numRuns: 10_000 })
  t.pass('all of them')
})
