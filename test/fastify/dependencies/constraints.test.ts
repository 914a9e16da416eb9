import type { IncomingMessage } from 'node:http'
import t from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import { chosenBy, strategiesOf, unknownOf, type Strategy } from '../../../lib/fastify/dependencies/constraints.js'

const raw = { method: 'GET', url: '/a', headers: { 'x-hooked': 'yes' }, socket: {} } as unknown as IncomingMessage
const HEADERS = { 'x-tenant': 'acme', host: 'h' }

function names (...derive: Array<(request: IncomingMessage, context: undefined, done: () => void) => unknown>): readonly string[] | undefined {
  const strategies = new Map(derive.map((deriveConstraint, index) => [String(index), { name: String(index), deriveConstraint }]))
  return chosenBy(strategies, raw, HEADERS)
}

function strategy (name: string): Strategy & { storage: () => object, validate: () => void } {
  return { name, storage: () => ({ get: () => null, set: () => {} }), validate: () => {}, deriveConstraint: () => undefined }
}

t.test('the headers that strategies look at are those that choose a route, in whatever way they look', async t => {
  t.strictSame(names(), [])
  t.strictSame(names(({ headers }) => headers['x-tenant'], ({ headers }) => 'x-none' in headers), ['x-tenant', 'x-none'])
  t.strictSame(names(({ headers }) => Object.hasOwn(headers, 'host')), ['host'])
  t.strictSame(names(({ headers: { host } }, _context, done) => { if (host === 'h') done() }), ['host'])
  const found: unknown[] = []
  names(({ method, url, headers }) => found.push(method, url, headers['x-tenant'], headers['x-hooked' as never], (headers as never)[Symbol.iterator]))
  t.strictSame(found, ['GET', '/a', 'acme', undefined, undefined])
})

t.test('of one that looks at more, changes something, or fails it cannot be told', async t => {
  for (const derive of [
    ({ socket }: IncomingMessage) => socket, ({ rawHeaders }: IncomingMessage) => rawHeaders, ({ headers }: IncomingMessage) => ({ ...headers }),
    (request: IncomingMessage) => { request.url = '/b' }, ({ headers }: IncomingMessage) => { headers.host = 'b' },
    ({ headers }: IncomingMessage) => { delete headers.host }, ({ headers }: IncomingMessage) => { Object.defineProperty(headers, 'a', { value: 'b' }) },
    () => { throw new Error('fails') }
  ]) t.equal(names(derive), undefined)
})

t.test('known are those of an app\'s options, and those that any of its instances is given from now on', async t => {
  const app = Fastify({ constraints: { option: strategy('option') } } as object) as unknown as FastifyInstance
  app.addConstraintStrategy(strategy('early') as never)
  const strategies = strategiesOf(app)
  app.addConstraintStrategy(strategy('late') as never)
  await app.register(async inner => {
    t.equal(strategiesOf(inner), strategies)
    inner.addConstraintStrategy(strategy('inner') as never)
  })
  t.ok(app.hasConstraintStrategy('late') && app.hasConstraintStrategy('inner'))
  t.strictSame([...strategies.keys()], ['option', 'late', 'inner'])
  t.strictSame(unknownOf({ option: 1, early: 1, late: 1, inner: 1, host: 'a', version: '1.0.0' }, strategies), ['early'])
})
