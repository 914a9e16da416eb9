// @ts-check
/**
 * With authentication: a request with credentials is not coalesced, unless the route says who is asking. Then requests of one
 * user share a run, and requests of two users never do. Each request still passes the authentication itself.
 *
 * Run it: node examples/authentication.js
 */
import { setTimeout as sleep } from 'node:timers/promises'
import bearerAuth from '@fastify/bearer-auth'
import Fastify from 'fastify'
import coalesce from 'fastify-coalesce'

const USERS = new Map([['token-of-ada', 'ada'], ['token-of-grace', 'grace']])

export async function build () {
  const app = Fastify()
  app.decorateRequest('user', '')
  await app.register(bearerAuth, {
    keys: [],
    auth (token, request) {
      request.setDecorator('user', USERS.get(token) ?? '')
      return USERS.has(token)
    }
  })
  await app.register(coalesce)

  // `identity` becomes part of the key. It runs after the hook that authenticates.
  app.get('/account', { config: { coalesce: { identity: userOf } } }, async request => await account(userOf(request)))

  // Without it, each of these runs by itself: who asks is not known here.
  app.get('/account/uncoalesced', { config: { coalesce: true } }, async request => await account(userOf(request)))

  return app
}

/**
 * @param {import('fastify').FastifyRequest} request
 * @returns {string}
 */
function userOf (request) {
  return request.getDecorator('user')
}

/** @param {string} user */
async function account (user) {
  await sleep(100) // a slow query
  return `the account of ${user}`
}

/**
 * @param {import('fastify').FastifyInstance} app
 * @param {string} url
 * @param {string[]} tokens
 */
async function demonstrate (app, url, tokens) {
  const before = app.coalesce.stats().actualExecutions
  const bursts = await Promise.all(tokens.map(async token =>
    await Promise.all(Array.from({ length: 10 }, () => app.inject({ url, headers: { authorization: `Bearer ${token}` } })))))
  const runs = app.coalesce.stats().actualExecutions - before
  console.log(`${url}: ${tokens.length * 10} requests, ${runs} ${runs === 1 ? 'run' : 'runs'}`)
  for (const [index, burst] of bursts.entries()) {
    console.log(`  ${tokens[index]} got ${[...new Set(burst.map(reply => `${reply.statusCode} ${reply.body}`))].join(', ')}`)
  }
}

if (process.argv[1] === import.meta.filename) {
  const app = await build()
  await demonstrate(app, '/account', ['token-of-ada', 'token-of-grace', 'token-of-nobody'])
  await demonstrate(app, '/account/uncoalesced', ['token-of-ada', 'token-of-grace'])
  await app.close()
}
