import fc from 'fast-check'
import t from 'tap'
import { byMeaning, ENCODINGS, normalizeAcceptEncoding } from '../../lib/http/accept-encoding.js'

t.test('what makes no difference is gone', async t => {
  for (const value of ['gzip,br', 'gzip, br', ' GZIP ,\tBr ', 'gzip;q=1, br', 'gzip ; q=1.000,, br;Q=1.0']) {
    t.equal(normalizeAcceptEncoding(value), 'gzip,br', value)
  }
  t.equal(normalizeAcceptEncoding('br;q=0.50, *;q=0'), 'br;q=0.5,*;q=0')
})

t.test('what makes a difference stays', async t => {
  const values = ['', 'gzip', 'br', 'gzip,br', 'br,gzip', 'gzip;q=0.5', 'gzip;q=0', 'identity;q=0', '*', 'x-gzip']
  t.equal(new Set([null, ...values].map(normalizeAcceptEncoding)).size, values.length + 1)
})

t.test('what is not well formed stays as it is', async t => {
  for (const value of ['gzip br', 'gzip;q=2', 'gzip;q=0.1234', 'gzip;level=1', 'Gzip;q', '"gzip"']) t.equal(normalizeAcceptEncoding(value), value)
})

const coding = fc.constantFrom('gzip', 'br', 'zstd', 'deflate', 'identity', '*')
const weight = fc.option(fc.integer({ min: 0, max: 1000 }), { nil: 1000 })
const space = fc.constantFrom('', ' ', '\t', '  ')
const spelling = fc.record({ upper: fc.boolean(), before: space, inside: space, after: space, padded: fc.boolean() })

t.test('whatever the spelling, the form is the list of codings and weights', async () => {
  fc.assert(fc.property(fc.array(fc.tuple(coding, weight, spelling)), members => {
    const written = members.map(([name, q, { upper, before, inside, after, padded }]) => {
      const number = padded ? (q / 1000).toFixed(3) : String(q / 1000)
      return before + (upper ? name.toUpperCase() : name) + (q === 1000 && !padded ? '' : `${inside};${inside}q=${number}`) + after
    }).join(',')
    const meant = members.map(([name, q]) => q === 1000 ? name : `${name};q=${q / 1000}`).join(',')
    return normalizeAcceptEncoding(written) === meant
  }))
})

t.test('a normalized form is its own, for any text', async () => {
  fc.assert(fc.property(fc.string(), text => {
    const form = normalizeAcceptEncoding(text)
    return normalizeAcceptEncoding(form) === form
  }))
})

t.test('it counts by its meaning where Vary names it, and to the letter where it was merely read', async t => {
  t.same(byMeaning(['accept-encoding', 'x-tenant'], ['accept-encoding']), [ENCODINGS, 'x-tenant'])
  t.same(byMeaning(['accept-encoding', 'x-tenant'], ['x-tenant']), ['accept-encoding', 'x-tenant'])
})
