import t from 'tap'
import fc from 'fast-check'
import { fencedPath } from '../../lib/http/path.js'

t.test('spellings that a router may take for the same path have the same fence', async t => {
  for (const path of ['/P', '/p/', '/%70', '/%50', '//p', '/p//', 'http://example.com/p']) t.equal(fencedPath(path), fencedPath('/p'), path)
  t.equal(fencedPath('/%C3%89'), fencedPath('/%c3%a9'))
  t.not(fencedPath('/p'), fencedPath('/q'))
  t.not(fencedPath('/p/1'), fencedPath('/p1'))
})

t.test('any path, spelled with other case, escapes and slashes, has the same fence', async () => {
  const segment = fc.string({ unit: fc.constantFrom(...'abXY09-_.~'), minLength: 1, maxLength: 6 })
  const spell = (text: string, how: readonly number[]): string => [...text].map((char, index) => {
    switch (how[index % how.length]) {
      case 1: return `%${char.charCodeAt(0).toString(16)}`
      case 2: return char.toUpperCase()
      case 3: return char === '/' ? '///' : char
      default: return char
    }
  }).join('')
  fc.assert(fc.property(fc.array(segment, { maxLength: 4 }), fc.array(fc.nat(3), { minLength: 1, maxLength: 9 }), (segments, how) => {
    const path = `/${segments.join('/')}`
    return fencedPath(spell(path, how)) === fencedPath(path) && fencedPath(`${path}/`) === fencedPath(path)
  }), { numRuns: 5000 })
})

t.test('no path makes it throw', async () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), path => typeof fencedPath(path) === 'string'), { numRuns: 5000 })
})

t.test('valid spellings of a path have the same fence', async t => {
  for (const [one, other] of [
    ['/word/caf\u00e9', '/word/caf%C3%A9'], ['/\u017e', '/%c5%be'], ['/\u65e5', '/%E6%97%A5'], ['/\u{1f600}', '/%F0%9F%98%80'], ['/caf\u00c9', '/caf%C3%A9'],
    ['/a b', '/a%20b'], ['/a/./b/../c', '/a/c'], ['/%2e%2E/a', '/a'], ['http://example.com', '/'], ['/~a', '/%7Ea']
  ] as const) t.equal(fencedPath(one), fencedPath(other), one)
  t.equal(fencedPath('/caf%C3%A9'), '/caf\u00e9', 'as people read it')
  for (const [one, other] of [['/caf\u00e9', '/cafe'], ['/a%3Fb', '/a'], ['/a%2541', '/aA'], ['/a%23', '/a'], ['/a%3Bb', '/a']] as const) {
    t.not(fencedPath(one), fencedPath(other), one)
  }
})

t.test('the fence of any path is a whole path, and its own fence', async () => {
  const unit = fc.oneof(fc.constantFrom('%', '%25', '%3f', '?', '#', ';', '/', '.', '..', '%2F', '%C3', '%A9', '\u00e9', '\u0130', '\ud800'), fc.string({ unit: 'binary', maxLength: 1 }))
  fc.assert(fc.property(fc.array(unit, { maxLength: 12 }), units => {
    const fence = fencedPath(`/${units.join('')}`)
    return fencedPath(fence) === fence && fence.startsWith('/') && !/[?#;]/.test(fence)
  }), { numRuns: 5000 })
})
