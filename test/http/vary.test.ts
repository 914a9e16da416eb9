import t from 'tap'
import fc from 'fast-check'
import { parseVary } from '../../lib/http/vary.js'
import { anyCase, anyText, space, textOf } from './arbitraries.js'

t.test('the names of a Vary are read in lower case, in order, from all field lines', async t => {
  t.same(parseVary(undefined), [])
  t.same(parseVary(''), [])
  t.same(parseVary(' , ,'), [])
  t.same(parseVary('Accept-Encoding'), ['accept-encoding'])
  t.same(parseVary('Accept-Encoding,X-Tenant'), ['accept-encoding', 'x-tenant'])
  t.same(parseVary(['Accept, Origin', '', 'X-Tenant']), ['accept', 'origin', 'x-tenant'])
})

t.test('a star in any member of any line means that nobody matches', async t => {
  const stars = ['*', ' * ', 'accept, *', '*, accept', 'accept,*,origin', ['accept', '*'], ['*', ''], [',*'], '*,*']
  t.same(stars.filter(each => parseVary(each) !== 'vary-any'), [])
})

t.test('what is not a list of names means that nobody matches', async t => {
  const malformed = [
    'accept encoding', 'accept;', '"accept"', 'accept=x', 'accept="*"', '* *', '*"', 'accépt', 'accept\xa0', '\0', 'accept\norigin', ['ok', 'not ok'],
    ['x="', '*, y="'], '\u{1f36a}', '(ip)', ':authority'
  ]
  t.same(malformed.filter(each => parseVary(each) !== 'vary-malformed'), [])
})

t.test('nothing that is read throws, and a star is never lost', async t => {
  fc.assert(fc.property(fc.oneof(anyText, fc.array(anyText, { maxLength: 3 })), value => {
    const members = (typeof value === 'string' ? value : value.join(',')).split(',')
    return typeof parseVary(value) === 'string' || !members.some(member => member.trim() === '*')
  }), { numRuns: 100_000 })
  const pieces = fc.constantFrom('*', 'accept', ',', ' ', '\t', '"', '=', '\\', ';', 'X', '\xa0')
  fc.assert(fc.property(fc.array(pieces, { maxLength: 10 }), all => {
    const text = all.join('')
    return typeof parseVary(text) === 'string' || !/(?:^|,)[ \t]*\*[ \t]*(?:,|$)/.test(text)
  }), { numRuns: 100_000 })
  t.pass('200,000 texts were read')
})

t.test('well-formed names come out as they went in, and a star among them wins', async t => {
  const name = textOf("az09!#$%&'+.^_`|~-", 1, 12)
  const lists = fc.array(fc.tuple(space, name, space), { maxLength: 6 })
  fc.assert(fc.property(lists, members => {
    const names = parseVary(members.map(([left, each, right]) => `${left}${each}${right}`).join(','))
    return typeof names !== 'string' && names.join() === members.map(([, each]) => each).join()
  }), { numRuns: 10_000 })
  fc.assert(fc.property(lists, fc.nat(), (members, at) => {
    const all = members.map(([, each]) => each)
    all.splice(at % (all.length + 1), 0, '*')
    return parseVary(all.join(', ')) === 'vary-any'
  }), { numRuns: 10_000 })
  fc.assert(fc.property(anyCase('x-tenant'), each => parseVary(each).at(0) === 'x-tenant'))
  t.pass('30,000 lists were read')
})

t.test('a Vary of any length is read', async t => {
  t.equal(parseVary('a,'.repeat(200_000)).length, 200_000)
})
