/**
 * "Nothing that the plugin does turns on async hooks, which would slow down every promise of the process for good."
 */
import { executionAsyncId } from 'node:async_hooks'
import { Readable } from 'node:stream'
import t from 'tap'
import { gate, until } from '../fixtures/gate.js'
import { keeping } from '../fixtures/kept.js'

/** Without hooks nobody gives promises ids: what runs after one has none. */
async function hooksAreOn (): Promise<boolean> {
  return await new Promise(resolve => {
    setImmediate(() => { Promise.resolve().then(() => { resolve(executionAsyncId() !== 0) }, () => {}) })
  })
}

t.test('no async hook is on after requests that lead, follow, are served stale and refreshed, and streams and functions of all kinds', async t => {
  t.equal(await hooksAreOn(), false, 'or this would see nothing')
  const opening = gate()
  const server = await keeping(t, {
    route: { ttl: '10s', staleWhileRevalidate: '10m' },
    handler: async run => {
      if (run === 1) await opening.promise
      return { run }
    },
    before: app => {
      app.get('/stream', { config: { coalesce: true } }, async () => Readable.from(['a', 'b']))
    }
  })
  const answers = [server.get('/thing/1'), server.get('/thing/1')]
  await server.arrived(2)
  opening.open()
  await Promise.all(answers)
  t.equal(await hooksAreOn(), false, 'led and followed')

  server.clock.advance(11_000)
  t.match(await server.get('/thing/1'), { body: '{"run":1}' })
  await until(() => server.runs() === 2)
  t.equal(await hooksAreOn(), false, 'a refresh is in the air')
  await until(() => server.app.coalesce.entries().some(({ fresh }) => fresh > 0))
  t.match(await server.get('/thing/1'), { body: '{"run":2}' })
  t.equal(await hooksAreOn(), false, 'refreshed')

  await Promise.all([server.get('/stream'), server.get('/stream')])
  t.equal(await hooksAreOn(), false, 'streams')

  let runs = 0
  const lookUp = server.app.coalesce.deduplicate(async (word: string) => `${word} ${++runs}`, { key: word => word, name: 'lookUp', ttl: '10s', staleWhileRevalidate: '10m' })
  await Promise.all([lookUp('a'), lookUp('a')])
  server.clock.advance(11_000)
  t.equal(await lookUp('a'), 'a 1')
  await until(() => runs === 2)
  t.equal(await hooksAreOn(), false, 'functions')
})
