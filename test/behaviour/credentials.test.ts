import t from 'tap'
import type { CoalesceRouteOptions } from '../../types/index.js'
import { held, meet } from '../fixtures/crowd.js'
import { outcomes } from '../fixtures/endings.js'
import { serve, type TestServer } from '../fixtures/server.js'

type Headers = Record<string, string>

interface Met {
  readonly runs: number
  readonly bodies: string[]
  readonly outcomes: Record<string, number>
}

/** What clients with these headers get who ask for the same thing at once; each body names the run that it is from. */
async function together (
  test: Parameters<typeof serve>[0], config: CoalesceRouteOptions | true, clients: readonly Headers[]
): Promise<Met> {
  let run = 0
  const handler = held(() => `run ${++run}`)
  const server: TestServer = await serve(test, app => { app.get('/', { config: { coalesce: config } }, handler) })
  const answers = await meet(server, handler, clients.map(headers => () => server.get('/', { headers })))
  return { runs: handler.runs, bodies: answers.map(({ body }) => body), outcomes: await outcomes(server.app) }
}

t.test('a request with credentials neither leads nor follows', async t => {
  for (const header of ['authorization', 'proxy-authorization', 'cookie', 'x-api-key', 'X-API-Key', 'AUTHORIZATION']) {
    const { runs, outcomes } = await together(t, true, [{ [header]: 'secret=1' }, { [header]: 'secret=1' }, {}, {}, { [header]: '' }])
    t.same([header, runs, outcomes], [header, 4, { 'bypass credentials': 3, 'leader shared': 1, 'follower shared': 1 }])
  }
})

t.test('the headers that mean credentials are an option', async t => {
  const { outcomes } = await together(t, { credentials: ['X-Session'] }, [{ 'x-session': 'a' }, { 'x-session': 'a' }])
  t.same(outcomes, { 'bypass credentials': 2 })
})

t.test('requests with credentials coalesce with those of the same identity', async t => {
  const identity: CoalesceRouteOptions['identity'] = request => request.headers.authorization ?? 'anonymous'
  const clients = ['ann', 'bob', 'ann', 'bob', 'ann'].map(authorization => ({ authorization }))
  const { runs, bodies } = await together(t, { identity }, [...clients, {}, {}])
  t.equal(runs, 3)
  const [ann, bob, , , , nobody] = bodies
  t.same(bodies, [ann, bob, ann, bob, ann, nobody, nobody])
  t.equal(new Set([ann, bob, nobody]).size, 3)
})

t.test('a request whose identity is not known has no key to share', async t => {
  const answers: Array<[name: string, identity: () => unknown]> = [
    ['no-identity', () => ''], ['no-identity', () => null], ['no-identity', () => undefined], ['no-identity', () => NaN],
    ['no-identity', () => Promise.resolve('ann')], ['no-identity', async () => { throw new Error('later') }], ['no-identity', () => ({})], ['identity-threw', () => { throw new Error('who?') }]
  ]
  for (const [reason, identity] of answers) {
    const { runs, outcomes } = await together(t, { identity: identity as () => string }, [{}, {}, { authorization: 'x' }])
    t.same([runs, outcomes], [3, { [`bypass ${reason}`]: 3 }])
  }
})

t.test('a request whose key is not known has no key to share', async t => {
  const answers: Array<[name: string, key: () => unknown]> = [
    ['no-key', () => ''], ['no-key', () => null], ['no-key', () => undefined], ['no-key', () => []], ['no-key', () => NaN], ['no-key', () => [undefined]],
    ['no-key', async () => { throw new Error('later') }], ['key-threw', () => { throw new Error('what?') }]
  ]
  for (const [reason, key] of answers) {
    const { runs, outcomes } = await together(t, { key: key as () => string }, [{}, {}, {}])
    t.same([runs, outcomes], [3, { [`bypass ${reason}`]: 3 }])
  }
})

t.test('a declared header covers its credentials', async t => {
  const { runs, bodies } = await together(t, { headers: ['X-Api-Key'] }, ['a', 'b', 'a', 'b'].map(key => ({ 'x-api-key': key })))
  t.equal(runs, 2)
  t.same([bodies[0] === bodies[2], bodies[1] === bodies[3], bodies[0] === bodies[1]], [true, true, false])
})

t.test('a declared header covers no other credentials', async t => {
  const { runs, outcomes } = await together(t, { headers: ['x-api-key'] }, [1, 2].map(() => ({ 'x-api-key': 'a', authorization: 'x' })))
  t.same([runs, outcomes], [2, { 'bypass credentials': 2 }])
})

t.test('declared cookies cover a Cookie header that holds no others', async t => {
  const clients = ['theme=dark', 'theme=light', 'theme=dark', 'theme=dark; theme=light', 'theme=dark; sid=1', 'theme=dark; sid=1', 'theme', ' theme =dark']
  const { runs, outcomes } = await together(t, { cookies: ['theme'] }, clients.map(cookie => ({ cookie })))
  t.match(outcomes, { 'bypass credentials': 3 })
  t.equal(runs, 6)
})
