import { parse } from 'fast-querystring'
import t from 'tap'
import fc from 'fast-check'
import {
  coversAllBut, coversOnly, ignoresQuery, isOfQuery, namesOf, narrowQuery, normalizeQuery, parameter, queryStart, REST, type Parser
} from '../../lib/http/query.js'
import { parseNested } from '../fixtures/queries.js'
import { textOf } from './arbitraries.js'

/** Few letters, so that names repeat. */
const anyQuery = textOf('ab=&%61+2B[];#.', 0, 14)
const plainName = fc.constantFrom('a', 'b', 'c', 'A', '', 'a[]', '__proto__')
const plainPair = fc.tuple(plainName, fc.option(textOf('xy=%20+', 0, 3)))
  .map(([name, value]) => ({ name, pair: value === null ? name : `${name}=${value}` }))

const sortedPairs = (query: string): string => query.split('&').sort().join('&')

/** What a handler sees: the members in the order of their names. */
const parsed = (query: string): string => JSON.stringify(Object.entries(parse(query)).sort(([a], [b]) => a < b ? -1 : 1))

t.test('the path ends where the router ends it', async t => {
  t.equal(queryStart('/a?b', false), 2)
  t.equal(queryStart('/a#b?c', false), 2)
  t.equal(queryStart('/a;b?c', false), 4)
  t.equal(queryStart('/a;b?c', true), 2)
  t.equal(queryStart('/a%3Fb', true), 6)
  t.equal(queryStart('', true), 0)
})

t.test('pairs are sorted by name, and those of one name keep their order', async t => {
  t.equal(normalizeQuery(''), '')
  t.equal(normalizeQuery('b=2'), 'b=2')
  t.equal(normalizeQuery('b=2&a=1'), 'a=1&b=2')
  t.equal(normalizeQuery('a=2&b=&a=1&b&a'), 'a=2&a=1&a&b=&b')
  t.equal(normalizeQuery('b=%41&a=+&B=a'), 'B=a&a=+&b=%41', 'values are neither decoded nor lower-cased, names are compared by code units')
  t.equal(normalizeQuery('b&&a&'), '&&a&b', 'empty pairs are kept')
  t.equal(normalizeQuery('a=1=2&a'), 'a=1=2&a', 'the name ends at the first equals sign')
})

t.test('names that are encoded keep the order as sent', async t => {
  t.equal(normalizeQuery('b=1&%61=2&a=3'), 'b=1&%61=2&a=3')
  t.equal(normalizeQuery('b+c=1&b%20c=2&a=3'), 'b+c=1&b%20c=2&a=3')
})

t.test('normalizing loses nothing and ends', async t => {
  fc.assert(fc.property(anyQuery, query => {
    const normalized = normalizeQuery(query)
    return sortedPairs(normalized) === sortedPairs(query) && normalizeQuery(normalized) === normalized
  }), { numRuns: 20_000 })
  t.pass()
})

t.test('queries with one normalized form parse alike', async t => {
  let equal = 0
  const queryAndOther = anyQuery.chain(query => {
    const pairs = query.split('&')
    return fc.tuple(fc.constant(query), fc.shuffledSubarray(pairs, { minLength: pairs.length }).map(all => all.join('&')))
  })
  fc.assert(fc.property(queryAndOther, ([query, other]) => {
    if (normalizeQuery(query) !== normalizeQuery(other)) return true
    equal++
    return parsed(query) === parsed(other)
  }), { numRuns: 40_000 })
  t.ok(equal > 1000, 'and there were many')
})

t.test('the order of different plain names does not matter, that of one name does', async t => {
  fc.assert(fc.property(fc.array(plainPair, { maxLength: 8 }), all => {
    const grouped = [...new Set(all.map(({ name }) => name))].reverse().flatMap(wanted => all.filter(({ name }) => name === wanted))
    return normalizeQuery(all.map(({ pair }) => pair).join('&')) === normalizeQuery(grouped.map(({ pair }) => pair).join('&'))
  }), { numRuns: 10_000 })
  fc.assert(fc.property(fc.array(plainPair, { minLength: 2, maxLength: 8 }), fc.nat(), (all, at) => {
    const index = at % (all.length - 1)
    const [one, next] = [all[index], all[index + 1]]
    if (one?.name !== next?.name || one?.pair === next?.pair) return true
    const swapped = all.map((each, place) => place === index ? next : place === index + 1 ? one : each)
    return normalizeQuery(all.map(({ pair }) => pair).join('&')) !== normalizeQuery(swapped.map(each => each?.pair).join('&'))
  }), { numRuns: 10_000 })
  t.pass()
})

const PLAIN: Parser = { parse, isOwn: false }

t.test('a narrowed query has the covered pairs, as they were and in their order', async t => {
  const only = coversOnly(['q', 'page'])
  t.equal(narrowQuery('page=2&x=1&q=%20&q=b&Q=c&&page', only, PLAIN), 'page=2&q=%20&q=b&page')
  t.equal(narrowQuery('%71=1&q[]=2&qq=3', only, PLAIN), '%71=1', 'a name is the same however it is encoded')
  t.equal(narrowQuery('', only, PLAIN), '')
  t.equal(narrowQuery('a=1&=2', coversOnly([]), PLAIN), '')

  const but = coversAllBut(['utm_*', 'gclid', 'a*b'])
  t.equal(narrowQuery('utm_=1&utm_source=2&utm=3&gclid=4&gclid2=5&q=6&UTM_x=7', but, PLAIN), 'utm=3&gclid2=5&q=6&UTM_x=7')
  t.equal(narrowQuery('a*b=1&axb=2', but, PLAIN), 'axb=2', 'a star elsewhere is a star')
  t.equal(narrowQuery('a=1&b', coversAllBut(['*']), PLAIN), '')
  t.equal(narrowQuery('a=1&&b', coversAllBut([]), PLAIN), 'a=1&b')
})

/** How clients send a name that has to be encoded. */
const SENT: Readonly<Record<string, readonly string[]>> = {
  'filter[name]': ['filter[name]', 'filter%5Bname%5D', 'filter%5bname%5d', '%66ilter[name]'],
  'ids[]': ['ids[]', 'ids%5B%5D'],
  größe: ['gr%C3%B6%C3%9Fe', 'größe'],
  'page size': ['page+size', 'page%20size'],
  $top: ['$top', '%24top'],
  '100%': ['100%', '100%25'],
  ab: ['%61b']
}

for (const [name, sent] of Object.entries(SENT)) {
  t.test(`the name ${name} is the parser's, however it is sent`, async t => {
    for (const raw of sent) {
      t.strictSame(Object.keys(parse(`${raw}=1`)), [name], 'the parser has it so')
      t.equal(narrowQuery(`b=2&${raw}=1`, coversOnly([name]), PLAIN), `${raw}=1`)
      t.equal(narrowQuery(`b=2&${raw}=1`, coversAllBut([name]), PLAIN), 'b=2')
      t.equal(narrowQuery(`b=2&${raw}=1`, coversAllBut([`${name.slice(0, -1)}*`]), PLAIN), 'b=2')
    }
  })
}

t.test('a name may be written as it is sent', async t => {
  t.equal(narrowQuery('b=2&filter%5Bname%5D=1', coversOnly(['filter%5Bname%5D']), PLAIN), 'filter%5Bname%5D=1')
  t.equal(narrowQuery('b=2&filter[name]=1', coversAllBut(['filter%5B*']), PLAIN), 'b=2')
  t.equal(narrowQuery('b=2&100%=1', coversOnly(['100%']), PLAIN), '100%=1')
})

t.test('with a parser of nested objects a name is one that it gives, or the way to a value', async t => {
  const parser: Parser = { parse: parseNested, isOwn: true }
  const query = 'filter%5Bname%5D=x&filter[age][min]=1&ids[]=2&ids[]=3&q=4&%71=5'
  const covered = (...names: string[]): string => narrowQuery(query, coversOnly(names), parser)
  t.equal(covered('filter'), 'filter%5Bname%5D=x&filter[age][min]=1')
  t.equal(covered('filter[name]'), 'filter%5Bname%5D=x')
  t.equal(covered('filter[age]'), 'filter[age][min]=1')
  t.equal(covered('filter[age][min]', 'filter[min]'), 'filter[age][min]=1')
  t.equal(covered('ids'), 'ids[]=2&ids[]=3')
  t.equal(covered('ids[]'), 'ids[]=2&ids[]=3')
  t.equal(covered('q'), 'q=4&%71=5')
  t.equal(narrowQuery(query, coversAllBut(['filter[name]', 'ids[*', 'q']), parser), 'filter[age][min]=1')
  t.equal(narrowQuery(query, coversAllBut(['filter', 'ids']), parser), 'q=4&%71=5')
})

t.test('with a parser of the app\'s own a name is what it gives, or what was sent', async t => {
  const lower: Parser = { parse: query => parse(query.toLowerCase()), isOwn: true }
  t.equal(narrowQuery('SIG=1&Q=2', coversOnly(['q']), lower), 'Q=2')
  t.equal(narrowQuery('SIG=1&Q=2', coversAllBut(['sig']), lower), 'Q=2')
  const strange: ReadonlyArray<Parser['parse']> = [() => { throw new Error('what?') }, () => null, () => 'text']
  for (const given of strange) {
    t.equal(narrowQuery('a+b=1&%C3=2&c', coversOnly(['a b', '%C3']), { parse: given, isOwn: true }), 'a+b=1&%C3=2')
  }
  t.equal(narrowQuery('a=1', coversOnly(['list[0]']), { parse: () => ({ list: [1] }), isOwn: true }), 'a=1')
  let deep: unknown = 1
  for (let depth = 0; depth < 100; depth++) deep = { d: deep }
  t.equal(namesOf('d=1', { parse: () => deep, isOwn: true }).length, 10, 'as deep as anybody would name it')
})

t.test('a list names parameters among headers, with a star for any rest, and alone for all', async t => {
  t.ok(ignoresQuery(['x-a', '?sig'], parameter('sig')))
  t.notOk(ignoresQuery(['x-a', 'sig', 'x*'], parameter('sig')))
  t.ok(ignoresQuery(['?utm_*'], parameter('utm_a')))
  t.notOk(ignoresQuery(['?utm_*'], parameter('utm')))
  for (const name of [parameter('a'), REST]) t.ok(ignoresQuery([REST], name) && ignoresQuery(['?*'], name))
  t.notOk(ignoresQuery(['?a'], REST))
  t.strictSame([REST, parameter('a'), 'a'].map(isOfQuery), [true, true, false])
})
