import t from 'tap'
import { refusalOf, type Visit, type Wanted } from '../../lib/page/visitors.js'
import { PAGE_HEADER } from '../../lib/page/state.js'

const PUBLIC = { public: true, hosts: undefined }
const GUARDED = { public: false, hosts: undefined }
const LISTED = { public: false, hosts: ['admin.example.com', 'ops.example.com:8443'] }
const DEED = { 'content-type': 'application/json', [PAGE_HEADER]: '1' }

function visit (headers: Record<string, string | undefined> = {}, rest: Partial<Visit> = {}): Visit {
  return { address: '127.0.0.1', version: '1.1', headers: { host: 'localhost:3000', ...headers } as Visit['headers'], ...rest }
}

/** Which of the four rules refuses. */
function rule (given: Visit, wanted: Wanted, settings: Parameters<typeof refusalOf>[2]): string {
  const why = refusalOf(given, wanted, settings)
  if (why === undefined) return 'answered'
  return ['machine', 'origin', 'name', 'posted'].find(word => why.includes(word)) ?? why
}

t.test('a public page answers clients of this machine only, by the address of the socket', async t => {
  for (const address of ['127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1']) t.equal(rule(visit({}, { address }), 'data', PUBLIC), 'answered', address)
  for (const address of ['10.0.0.1', '128.0.0.1', '::ffff:10.0.0.1', 'fe80::1', '1127.0.0.1', '127.0.0.1.2', '', undefined]) {
    t.equal(rule(visit({}, { address }), 'data', PUBLIC), 'machine', String(address))
    t.equal(rule(visit({}, { address }), 'data', GUARDED), 'answered', 'a guard knows better')
  }
})

t.test('who may ask for somebody else is not of this machine', async t => {
  for (const name of ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-anything', 'via', 'x-real-ip', 'cf-connecting-ip', 'true-client-ip',
    'x-original-host', 'x-envoy-internal', 'x-proxyuser-ip', 'x-host', 'cf-ray', 'cdn-loop', 'wl-proxy-client-ip', 'max-forwards', 'x-ms-forwarded-client-cert']) {
    t.equal(rule(visit({ [name]: '127.0.0.1' }), 'document', PUBLIC), 'machine', name)
    t.equal(rule(visit({ [name]: '127.0.0.1' }), 'document', GUARDED), 'answered', name)
  }
  for (const name of ['x-hello', 'cookie', 'x-cf-y', 'my-original', 'cdn-loop-x', 'x-max-forwards']) t.equal(rule(visit({ [name]: '1' }), 'document', PUBLIC), 'answered', name)
  t.equal(rule(visit({}, { version: '1.0' }), 'document', PUBLIC), 'machine', 'proxies that add no header speak HTTP/1.0')
  t.equal(rule(visit({}, { version: '2.0' }), 'document', PUBLIC), 'answered')
})

t.test('a public page is asked for by a loopback name, so that no other name can be made to lead to it', async t => {
  for (const host of ['localhost', 'LOCALHOST:80', '127.0.0.1', '127.0.0.1:3000', '[::1]', '[::1]:3000']) t.equal(rule(visit({ host }), 'document', PUBLIC), 'answered', host)
  for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example:3000', 'evil.example:127.0.0.1', '[::1].evil.example', '0.0.0.0', '', undefined]) {
    t.equal(rule(visit({ host }), 'document', PUBLIC), 'name', String(host))
    t.equal(rule(visit({ host, 'sec-fetch-site': 'same-origin' }), 'document', PUBLIC), 'name', String(host))
  }
  t.equal(rule(visit({ host: 'dev.test' }), 'document', { public: true, hosts: ['dev.test'] }), 'answered')
  t.equal(rule(visit({ host: 'localhost' }), 'document', { public: true, hosts: ['dev.test'] }), 'answered')
})

t.test('a guarded page without hosts is asked for by an address or a loopback name, or where no other name can be made to lead to it', async t => {
  const each: ReadonlyArray<readonly [Wanted, Record<string, string>]> = [['document', {}], ['data', {}], ['deed', DEED]]
  for (const [wanted, headers] of each) {
    for (const host of ['localhost:3000', '127.0.0.1', '10.0.0.7', '10.0.0.7:3000', '[fd00::7]', '[FD00::7]:3000', '[::ffff:10.0.0.7]']) {
      t.equal(rule(visit({ ...headers, host }), wanted, GUARDED), 'answered', `${wanted} ${host}`)
    }
    for (const host of ['evil.example', 'evil.example:3000', '10.0.0.7.evil.example', '10.0.0.7.8', 'evil.example:10.0.0.7', '[fd00::7].evil.example', '', undefined]) {
      const rebound = host === undefined ? {} : { origin: `http://${host}` }
      t.equal(rule(visit({ ...headers, host, ...rebound }), wanted, GUARDED), 'name', `${wanted} ${String(host)}`)
      t.equal(rule(visit({ ...headers, host }), wanted, GUARDED), 'name', `${wanted} ${String(host)}, which a rebound page asks without an origin`)
      t.equal(rule(visit({ ...headers, host, 'sec-fetch-site': 'same-origin' }), wanted, GUARDED), 'answered', 'browsers say so of HTTPS only')
    }
  }
  t.equal(rule(visit({ host: 'app.internal', 'sec-fetch-site': 'cross-site' }), 'document', GUARDED), 'answered', 'a link')
  t.equal(rule(visit({ host: 'app.internal', 'sec-fetch-site': 'none' }), 'data', GUARDED), 'answered', 'no page can say this')
})

t.test('with hosts and a guard the page is asked for by these names only', async t => {
  for (const host of ['admin.example.com', 'Admin.Example.com:3000', 'ops.example.com:8443']) t.equal(rule(visit({ host }), 'document', LISTED), 'answered', host)
  for (const host of ['localhost', 'ops.example.com', 'ops.example.com:80', 'xadmin.example.com', undefined]) t.equal(rule(visit({ host }), 'document', LISTED), 'name', String(host))
})

t.test('HTTP/2 has its name elsewhere, and both must do where both are', async t => {
  t.equal(rule(visit({ host: undefined, ':authority': 'localhost:3000' }), 'document', PUBLIC), 'answered')
  t.equal(rule(visit({ host: undefined, ':authority': 'evil.example' }), 'document', PUBLIC), 'name')
  t.equal(rule(visit({ host: 'localhost', ':authority': 'evil.example' }), 'document', PUBLIC), 'name')
  t.equal(rule(visit({ host: 'evil.example', ':authority': 'localhost' }), 'document', PUBLIC), 'name')
})

t.test('another site may link to the page, but neither read its data nor do anything', async t => {
  for (const site of ['cross-site', 'same-site', 'anything']) {
    t.equal(rule(visit({ 'sec-fetch-site': site }), 'document', GUARDED), 'answered')
    t.equal(rule(visit({ 'sec-fetch-site': site }), 'data', GUARDED), 'origin')
    t.equal(rule(visit({ 'sec-fetch-site': site, ...DEED }), 'deed', GUARDED), 'origin')
  }
  for (const site of ['same-origin', 'none', undefined]) {
    t.equal(rule(visit({ 'sec-fetch-site': site }), 'data', GUARDED), 'answered')
    t.equal(rule(visit({ 'sec-fetch-site': site, ...DEED }), 'deed', GUARDED), 'answered')
  }
})

t.test('an origin is that of the host', async t => {
  for (const origin of ['http://localhost:3000', 'https://LOCALHOST:3000']) t.equal(rule(visit({ origin }), 'data', PUBLIC), 'answered', origin)
  for (const origin of ['http://localhost', 'http://localhost:3001', 'http://evil.example', 'null', '', 'ftp://localhost:3000', 'http://localhost:3000/x']) {
    t.equal(rule(visit({ origin }), 'data', PUBLIC), 'origin', origin)
    t.equal(rule(visit({ origin, 'sec-fetch-site': 'same-origin' }), 'data', PUBLIC), 'origin', 'nor where a proxy gave it a loopback name')
    t.equal(rule(visit({ origin }), 'data', GUARDED), 'origin', origin)
    t.equal(rule(visit({ origin, 'sec-fetch-site': 'none' }), 'data', GUARDED), 'origin', origin)
    t.equal(rule(visit({ origin, 'sec-fetch-site': 'same-origin' }), 'data', GUARDED), 'answered', 'a proxy may have given the host another name')
  }
  t.equal(rule(visit({ host: 'ops.example.com:8443', origin: 'https://admin.example.com:444' }), 'data', LISTED), 'answered', 'or one of the hosts')
  t.equal(rule(visit({ host: 'ops.example.com:8443', origin: 'https://ops.example.com' }), 'data', LISTED), 'origin')
  const proxied = { public: false, hosts: ['admin.example.com', '127.0.0.1:3000'] }
  const posted = { ...DEED, origin: 'http://admin.example.com' }
  t.equal(rule(visit({ ...posted, host: '127.0.0.1:3000' }), 'deed', proxied), 'answered', 'what a proxy named otherwise')
  t.equal(rule(visit({ ...posted, host: '127.0.0.1:3001' }), 'deed', proxied), 'name', 'if that name is listed as well')
  t.match(refusalOf(visit({ ...posted, host: '127.0.0.1:3000' }), 'deed', GUARDED), /own origin.*dashboard\.hosts/, 'it says what to write')
})

t.test('what is posted is what no form can send', async t => {
  for (const type of ['application/json', 'Application/JSON; charset=utf-8', 'application/json ;x']) t.equal(rule(visit({ ...DEED, 'content-type': type }), 'deed', GUARDED), 'answered', type)
  for (const type of [undefined, '', 'text/plain', 'application/json-seq', 'text/plain; application/json', 'application/x-www-form-urlencoded']) {
    t.equal(rule(visit({ ...DEED, 'content-type': type }), 'deed', GUARDED), 'posted', String(type))
  }
  t.equal(rule(visit({ 'content-type': 'application/json' }), 'deed', GUARDED), 'posted')
})
