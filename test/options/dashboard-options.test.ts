import t from 'tap'
import { dashboard } from '../../lib/options/dashboard-options.js'

const read = (value: unknown): unknown => dashboard(value, 'coalesce options.dashboard')
const hook = async (): Promise<void> => {}

t.test('a page that is public, or that a hook guards, has complete settings', async t => {
  t.equal(read(false), false)
  t.strictSame(read({ public: true }), { path: '/coalesce', routeOptions: {}, public: true, hosts: undefined, reveal: [], actions: false })
  const given = { path: '/ops/live-1.0~x', routeOptions: { preHandler: [hook] }, hosts: ['Admin.example.com', '[::1]:3000', '10.0.0.1'], reveal: ['values', 'ids'], actions: true }
  t.strictSame(read(given), { ...given, public: false, hosts: ['admin.example.com', '[::1]:3000', '10.0.0.1'] })
  t.ok(Object.isFrozen(read(given)))
})

t.test('a wrong option says what it wants', async t => {
  const says = (value: unknown, message: string): void => { t.throws(() => read(value), { message: `coalesce options.dashboard${message}` }) }
  says('yes', ' must be false or an object, got "yes"')
  says(undefined, ' must be false or an object, got undefined')
  for (const path of ['', '/', 'coalesce', '/coalesce/', '/a//b', '/:id', '/a*', '/a?b', '/a b', '/a%20b', 7]) {
    says({ public: true, path }, `.path must be a path such as '/coalesce', without parameters and without a slash at its end, got ${JSON.stringify(path)}`)
  }
  says({ public: true, routeOptions: [] }, '.routeOptions must be route options, got []')
  says({ public: 'yes' }, '.public must be true or false, got "yes"')
  for (const hosts of [[], 'localhost', [''], ['http://localhost'], ['a b'], [7], ['a:port']]) {
    says({ public: true, hosts }, `.hosts must be an array of one or more host names such as 'admin.example.com', with or without a port, got ${JSON.stringify(hosts)}`)
  }
  for (const reveal of ['ids', ['id'], [undefined]]) says({ public: true, reveal }, `.reveal must be an array of 'ids', 'keys' and 'values', got ${JSON.stringify(reveal)}`)
  says({ public: true, actions: 1 }, '.actions must be true or false, got 1')
  says({ public: true, action: true }, '.action is unknown; did you mean actions?')
})

t.test('without a guard there is no page', async t => {
  const message = /^coalesce options\.dashboard\.routeOptions must hold a hook that lets only those see the live page who may/
  for (const value of [true, {}, { public: false }, { routeOptions: { onRequest: [] } }, { routeOptions: { onSend: hook, preHandler: 'hook' } }]) {
    t.throws(() => read(value), { code: 'FST_COALESCE_UNGUARDED_PAGE', message })
  }
})
