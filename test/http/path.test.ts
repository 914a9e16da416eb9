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
