import t from 'tap'
import fc from 'fast-check'
import { parseCacheControl } from '../../lib/http/cache-control.js'
import { anyCase, anyText, space, textOf } from './arbitraries.js'

const restrictionOf = (value: Parameters<typeof parseCacheControl>[0]) => parseCacheControl(value).restriction

t.test('a response without Cache-Control is neither restricted nor explicitly fresh', async t => {
  t.same(parseCacheControl(undefined), { restriction: undefined, explicit: false })
  t.same(parseCacheControl(''), { restriction: undefined, explicit: false })
  t.same(parseCacheControl([]), { restriction: undefined, explicit: false })
  t.same(parseCacheControl(' , ,\t, '), { restriction: undefined, explicit: false }, 'empty members say nothing')
})

t.test('private and no-store restrict in every spelling', async t => {
  const spellings = [
    'private', 'Private', 'PRIVATE', 'private="set-cookie"', 'private="Set-Cookie, X-Foo"', 'private=x-foo', 'private=""',
    'public, private', 'max-age=60,private', 'max-age=60 , private ', '\tprivate', 'private,', ',,private',
    'x="a, b", private', 'x="\\"", private'
  ]
  t.same(spellings.filter(each => restrictionOf(each) !== 'private'), [])
  const stores = ['no-store', 'No-Store', 'NO-STORE', 'no-store="x"', 'no-store=1', 'private, no-store', 'no-store, private', 'max-age=60, NO-STORE']
  t.same(stores.filter(each => restrictionOf(each) !== 'no-store'), [])
})

t.test('a restriction on the second field line counts', async t => {
  t.equal(restrictionOf(['public, max-age=60', 'private']), 'private')
  t.equal(restrictionOf(['public', 'No-Store']), 'no-store')
  t.equal(restrictionOf(['', 'private']), 'private')
  t.equal(restrictionOf(['private', 'max-age=x']), 'private', 'and the first of two stands')
})

t.test('a quoted string cannot hide a restriction across two field lines', async t => {
  t.equal(restrictionOf(['x="', 'private, y="']), 'cache-control-malformed')
  t.equal(restrictionOf(['max-age=1, x="', '", no-store']), 'cache-control-malformed')
})

t.test('a name within a quoted string is not a directive', async t => {
  t.equal(restrictionOf('x="private, no-store"'), undefined)
  t.equal(restrictionOf('x="\\", private, \\""'), undefined)
  t.equal(restrictionOf('private-ish, no-store-at-all, xprivate'), undefined, 'neither is a longer name')
})

t.test('what is not well formed restricts', async t => {
  const malformed = [
    'private = "x"', 'private =x', 'private=', 'private= x', 'private:x', 'private;', '"private"', 'priväte', 'no-store\xa0',
    'x="', 'x="a', 'x="a"b', 'x="a\\', 'public private', '=', '=x', 'x==y', 'public,;', 'public\nprivate', '\0', '\u{1f36a}', 'x="\u0100"',
    'x="\x7f"', '(private)', 'max-age', 'max-age=', 'max-age=-1', 'max-age=1.5', 'max-age=a', 'max-age=""', 's-maxage', 's-maxage=1 2',
    'max-age="1', 'max-age=\u0661'
  ]
  t.same(malformed.filter(each => restrictionOf(each) !== 'cache-control-malformed'), [])
})

t.test('only freshness in so many words, or public, makes a response explicit', async t => {
  const explicit = ['public', 'Public', 'max-age=60', 'MAX-AGE=60', 'max-age="60"', 'max-age=0', 's-maxage=1', 'no-cache, max-age=1']
  t.same(explicit.filter(each => !parseCacheControl(each).explicit), [])
  const silent = ['no-cache', 'must-revalidate', 'stale-while-revalidate=30', 'x-max-age=60', 'immutable', 'max-age', 'max-age=x']
  t.same(silent.filter(each => parseCacheControl(each).explicit), [])
  t.same(parseCacheControl('no-cache'), { restriction: undefined, explicit: false }, 'those who wait already may have it')
  t.same(parseCacheControl(5), { restriction: undefined, explicit: false }, 'a number is text')
})

const token = textOf("azAZ09!#$%&'*+.^_`|~-", 1, 8)
const quoted = textOf(' !,;=()[]azPRIVATE', 0, 10).map(text => `"${text}"`)
const extension = fc.tuple(token.map(name => `x-${name}`), fc.option(fc.oneof(token, quoted)))
  .map(([name, argument]) => argument === null ? name : `${name}=${argument}`)
const directive = fc.oneof(extension, fc.constantFrom('public', 'max-age=60', 's-maxage=0', 'no-cache', 'no-cache="x"', ''))
const fieldNames = fc.option(fc.oneof(token, quoted))

/** A list of directives with one in any place, cut into one or two field lines. */
function listWith (wanted: fc.Arbitrary<string>): fc.Arbitrary<string[]> {
  return fc.tuple(fc.array(directive, { maxLength: 4 }), wanted, fc.array(directive, { maxLength: 4 }), space, space, fc.nat())
    .map(([before, found, after, left, right, cut]) => {
      const members = [...before, found, ...after].map(each => `${left}${each}${right}`)
      const at = cut % (members.length + 1)
      return [members.slice(0, at).join(','), members.slice(at).join(',')]
    })
}

t.test('a restriction counts wherever it stands, whatever stands around it', async () => {
  const restriction = fc.constantFrom('private', 'no-store').chain(name => fc.tuple(anyCase(name), fieldNames))
    .map(([name, argument]) => argument === null ? name : `${name}=${argument}`)
  fc.assert(fc.property(listWith(restriction), value => {
    const found = restrictionOf(value)
    return (found === 'private' || found === 'no-store') && restrictionOf(value.join(',')) === found
  }), { numRuns: 20_000 })
})

t.test('a list without a restriction has none', async () => {
  fc.assert(fc.property(listWith(directive), value => restrictionOf(value) === undefined), { numRuns: 10_000 })
})

t.test('nothing that is read throws, and a word that stands by itself is never lost', async t => {
  const separators = /[^!#$%&'*+\-.^_`|~0-9A-Za-z"=]+/
  fc.assert(fc.property(fc.oneof(anyText, fc.array(anyText, { maxLength: 3 })), value => {
    const { restriction } = parseCacheControl(value)
    const text = typeof value === 'string' ? value : value.join(',')
    const words = text.includes('"') || text.includes('=') ? [] : text.toLowerCase().split(separators)
    return restriction !== undefined || (!words.includes('private') && !words.includes('no-store'))
  }), { numRuns: 100_000 })

  const pieces = fc.constantFrom('private', 'no-store', 'PRIVATE', 'x', 'max-age', '=', '"', '\\', ',', ' ', '\t', ';', '1', '\xa0', '\n', 'é')
  fc.assert(fc.property(fc.array(pieces, { maxLength: 12 }), all => {
    const text = all.join('')
    const { restriction } = parseCacheControl(text)
    // Outside of quotes nothing may hide one.
    const bare = text.replace(/"(?:[^"\\]|\\.)*"/g, '')
    return restriction !== undefined || !/(?:^|,)[ \t]*(?:private|no-store)[ \t]*(?:,|=|$)/i.test(bare)
  }), { numRuns: 100_000 })
  t.pass('200,000 texts were read')
})
