import t from 'tap'
import { headerOfName, isMeaning, meaningOf } from '../../lib/http/dimensions.js'
import { besidesAddresses } from '../../lib/http/forwarded.js'

t.test('addresses are nothing that Forwarded says besides, however they are written', async t => {
  const addresses = [
    'for=192.0.2.60', 'For="[2001:db8:cafe::17]:4711"', 'for=192.0.2.43, for=198.51.100.17', 'by=203.0.113.43;for=192.0.2.60',
    'for=unknown', 'for=_hidden, for="_SEVKISEK:_port"', 'for=192.0.2.60:443 ; by=_a', 'for=2001:db8::1', '', ',;,', 'FOR="unknown"'
  ]
  t.strictSame(addresses.filter(value => besidesAddresses(value) !== null), [])
  t.equal(besidesAddresses(null), null)
})

t.test('all else that Forwarded says counts, with its place, and whatever is no address', async t => {
  const says = (value: string, rest: string): void => { t.equal(besidesAddresses(value), rest, value) }
  says('for=192.0.2.60;proto=http;by=203.0.113.43', 'proto=http;')
  says('for=192.0.2.60;host="a, b;c"', 'host="a, b;c";')
  says('host=one.example', 'host=one.example;')
  says('for=1.1.1.1, host=one.example', ', host=one.example;')
  says('host=one.example, for=1.1.1.1', 'host=one.example;,')
  says('for="x;host=two.example"', 'for="x;host=two.example";')
  says('for=two.example', 'for=two.example;')
  says('for="\\"1.1.1.1, host=a', 'for="\\"1.1.1.1, host=a')
  says('host="a\\"b";for=::1', 'host="a\\"b";')
  says(`for=${'1'.repeat(300)}`, `for=${'1'.repeat(300)};`)
  says('secret=x', 'secret=x;')
})

t.test('a name that no header can have stands for a header\'s meaning, or the address', async t => {
  t.strictSame(['(ip)', '(accept-encoding)', '(forwarded)', 'forwarded', 1].map(isMeaning), [true, true, true, false, false])
  t.strictSame(['(ip)', '(accept-encoding)', '(forwarded)', 'forwarded'].map(headerOfName), ['(ip)', 'accept-encoding', 'forwarded', 'forwarded'])
  const get = (name: string): string => name === 'forwarded' ? 'for=::1;host=a' : 'GZIP'
  t.strictSame(['(accept-encoding)', '(forwarded)', 'forwarded'].map(name => meaningOf(name, get)), ['gzip', 'host=a;', 'for=::1;host=a'])
})
