import t from 'tap'
import fc from 'fast-check'
import { invalidatedBy } from '../../lib/http/invalidated-by.js'
import { anyText } from './arbitraries.js'

const by = (headers: Parameters<typeof invalidatedBy>[1], path = '/items/new?x=1', host = 'example.com', protocol = 'http') =>
  invalidatedBy({ protocol, host, path }, headers)

t.test('Location and Content-Location name what is out of date besides the target', async t => {
  t.strictSame(by({}), [])
  t.strictSame(by({ location: '/items/7' }), ['/items/7'])
  t.strictSame(by({ 'content-location': '/items/7?full=1' }), ['/items/7'], 'with any query')
  t.strictSame(by({ location: '/a', 'content-location': '/b' }), ['/a', '/b'])
  t.strictSame(by({ location: '/a', 'content-location': '/a' }), ['/a'], 'each once')
  t.strictSame(by({ location: ['/a', '/b'] }), ['/a', '/b'], 'on any line')
})

t.test('the target itself is not named again', async t => {
  t.strictSame(by({ location: '/items/new?x=1', 'content-location': 'http://example.com/items/new?x=1#top' }), [])
  t.strictSame(by({ location: '' }), [], 'in whatever way it is written')
  t.strictSame(by({ location: '?x=2' }), [], 'with any query')
})

t.test('what is relative counts from the target', async t => {
  t.strictSame(by({ location: '7' }), ['/items/7'])
  t.strictSame(by({ location: '../other' }), ['/other'])
  t.strictSame(by({ location: './7#part' }), ['/items/7'])
  t.strictSame(by({ location: 'x' }, '//elsewhere.example/a/b'), ['//elsewhere.example/a/x'], 'a path that looks like a host is a path')
})

t.test('the same origin may be written out', async t => {
  t.strictSame(by({ location: 'http://example.com/a' }), ['/a'])
  t.strictSame(by({ location: 'HTTP://EXAMPLE.com:80/a' }), ['/a'])
  t.strictSame(by({ location: '//example.com/a' }), ['/a'])
  t.strictSame(by({ location: 'https://example.com:8443/a' }, '/', 'example.com:8443', 'https'), ['/a'])
  t.strictSame(by({ location: 'https://[::1]/a' }, '/', '[::1]:443', 'https'), ['/a'])
})

t.test('another origin is nobody\'s to make out of date', async t => {
  const others = ['https://example.com/a', 'http://example.com:8080/a', 'http://example.org/a', '//example.org/a', '\\\\example.org/a', 'http://example.com.evil.example/a',
    'http://example.com@evil.example/a', 'javascript:alert(1)', 'data:,a', 'mailto:a@example.com', 'file:///a', 'blob:http://example.com/a', ' //example.org/a']
  t.same(others.filter(location => by({ location }).length > 0 || by({ 'content-location': location }).length > 0), [])
})

t.test('what is malformed names nothing', async t => {
  t.same(['http://', 'http://[', 'http://a b/', '//', '//:', 'http://example.com:99999/'].filter(location => by({ location }).length > 0), [])
  for (const host of ['', ' ', 'a b', '[', 'a:b:c', 'example.com/x', 'user@example.com', ':p@example.com', 'example.com?', 'example.com#x', 'example.com\\x', ':99999']) {
    t.strictSame(by({ location: '/a' }, '/', host), [], `with the host ${JSON.stringify(host)}`)
  }
  for (const protocol of ['', 'data', 'javascript', 'file', 'http:', 'http://x']) t.strictSame(by({ location: '/a' }, '/', 'example.com', protocol), [])
  t.strictSame(by({ location: '/a' }, '*'), ['/a'], 'a target that has no path names none')
  t.strictSame(by({ location: 'a' }, 'http://evil.example/b/'), ['/a'])
})

t.test('nothing throws, and nothing but paths is named', async t => {
  const piece = fc.constantFrom('http:', 'https:', '/', '//', '\\', 'example.com', 'evil.example', '@', ':', '80', '?', '#', '..', ' ', '\t', '%', '[', 'é')
  const pieces = fc.array(piece, { maxLength: 7 }).map(all => all.join(''))
  const any = fc.oneof(anyText, pieces)
  const header = fc.oneof(any, fc.array(any, { maxLength: 2 }), fc.constant(undefined))
  const url = fc.record({
    protocol: fc.constantFrom('http', 'https', 'x'),
    host: fc.oneof(any, fc.constant('example.com')),
    path: fc.oneof(any, fc.constant('/a'))
  })
  fc.assert(fc.property(header, header, url, (location, other, url) => {
    const paths = invalidatedBy(url, { location, 'content-location': other })
    return paths.every(each => each.startsWith('/') && !each.includes('?'))
  }), { numRuns: 50_000 })
  fc.assert(fc.property(any, rest => by({ location: `http://evil.example/${rest}` }).length === 0), { numRuns: 10_000 })
  t.pass('60,000 responses were read')
})

t.test('of a field with very many lines the first are looked at', async t => {
  const location = Array.from({ length: 1000 }, (_, index) => `/a/${index}`)
  t.strictSame(invalidatedBy({ protocol: 'http', host: 'h', path: '/' }, { location }), location.slice(0, 16))
})
