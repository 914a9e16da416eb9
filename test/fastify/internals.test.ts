import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import t from 'tap'
import { forgetOriginalUrl, instanceHooks, isHandlingError, routerOptions, serializerOf } from '../../lib/fastify/internals.js'

const parseQuery = (query: string): Record<string, unknown> => ({ query })

t.test('what this Fastify keeps to itself is found', async t => {
  const app = Fastify({ routerOptions: { querystringParser: parseQuery } })
  await app.ready()
  t.match(instanceHooks(app), { preParsing: [], preValidation: [], preHandler: [], onSend: [] })
  t.match(routerOptions(app), { querystringParser: parseQuery })
})

t.test('a Fastify that keeps it elsewhere, or in another form, leaves it untold', async t => {
  const other = (description: string, value: unknown): FastifyInstance =>
    ({ initialConfig: {}, [Symbol(description)]: value }) as unknown as FastifyInstance
  t.equal(instanceHooks(other('fastify.renamed', {})), undefined)
  t.equal(instanceHooks(other('fastify.hooks', { preParsing: [], preValidation: [] })), undefined)
  t.equal(instanceHooks(other('fastify.hooks', { preParsing: [], preHandler: [] })), undefined)
  t.strictSame(routerOptions(other('fastify.renamed', {})), {})
  t.strictSame(routerOptions({ initialConfig: { routerOptions: { useSemicolonDelimiter: true } } } as unknown as FastifyInstance),
    { useSemicolonDelimiter: true }, 'what it does tell is taken')
})

t.test('a request that keeps its original URL elsewhere is left as it is', t => {
  const request = { [Symbol('fastify.renamed')]: '/asked' }
  const before = { ...request }
  forgetOriginalUrl(request as unknown as FastifyRequest)
  t.strictSame(request, before)
  t.end()
})

t.test('who handles an error that this Fastify tells nothing of may be a handler of the app', t => {
  t.ok(isHandlingError({ [Symbol('fastify.renamed')]: false } as unknown as FastifyReply))
  t.end()
})

t.test('a reply that keeps its serializer elsewhere has none that is known', t => {
  t.equal(serializerOf({ [Symbol('fastify.renamed')]: () => '' } as unknown as FastifyReply), null)
  t.end()
})
