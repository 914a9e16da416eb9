/**
 * "Any number of processes run the handler once, and whatever happens to Redis, to the way there or to one of them, the clients of the others
 * are answered, soon and rightly."
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { eventually, startApp, Trio, type App, type AppOptions, type Asking, type Ending, type Reply } from '../fixtures/redis/apps.js'
import { redisServer, withServer } from '../fixtures/redis/server.js'

// Many processes on a machine that may be busy.
t.setTimeout(300_000)

const CLIENTS = 10
const LEASE = 2_000
/** Long, since on a busy machine nothing is quick. */
const OP_TIMEOUT = 1_000
/** What a machine that is busy may add, in milliseconds. */
const BUSY = 5_000

const OPTIONS: AppOptions = { coordinator: { lease: LEASE, opTimeout: OP_TIMEOUT, livenessInterval: 500, maxMessageBytes: 2_000_000 } }

/** What the clients of one process got, without repetition. */
function bodies (replies: readonly Reply[]): string[] {
  return [...new Set(replies.map(({ status, body }) => status === 200 ? body.slice(0, 100) : `${status} ${body}`))].sort()
}

interface Gathering {
  readonly id: string
  readonly a: Promise<Reply[]>
  readonly b: Promise<Reply[]>
  readonly c: Promise<Reply[]>
}

let ids = 0

/** All clients of all processes wait for a run in the first one. */
async function gather ({ a, b, c }: Trio, route = '/hold', asking?: Asking): Promise<Gathering> {
  const id = `${route.slice(1).replaceAll('/', '-')}-${++ids}`
  const first = a.crowd(CLIENTS, `${route}/${id}`, asking)
  first.catch(() => {})
  await a.ran(id)
  await a.boarded(id, CLIENTS)
  const [second, third] = [b.crowd(CLIENTS, `${route}/${id}`, asking), c.crowd(CLIENTS, `${route}/${id}`, asking)]
  for (const crowd of [second, third]) crowd.catch(() => {})
  await Promise.all([b.boarded(id, CLIENTS, true), c.boarded(id, CLIENTS, true)])
  return { id, a: first, b: second, c: third }
}

function runs (trio: Trio, id: string): number[] {
  return trio.apps.map(app => app.runs(id))
}

/** How long something takes, in milliseconds. */
async function took (what: Promise<unknown>): Promise<number> {
  const start = performance.now()
  await what
  return performance.now() - start
}

/** What several crowds got, without repetition: one body if all are equal. */
async function all (...crowds: ReadonlyArray<Promise<Reply[]>>): Promise<string[]> {
  return bodies((await Promise.all(crowds)).flat())
}

/** The leader is gone: one of the others runs, and the other one waits for it. Resolves with how long it took until it ran, in milliseconds. */
async function takeover ({ b, c }: Trio, { id }: Gathering): Promise<number> {
  const start = performance.now()
  const next = await Promise.race([b, c].map(async app => {
    await app.ran(id)
    return app
  }))
  const time = performance.now() - start
  const other = next === b ? c : b
  await other.heard(told => told.elsewhere === true && told.id?.startsWith(`${id}#`) === true, 2, `another wait for ${id}`)
  await next.open(id)
  return time
}

t.test('three processes', withServer, async t => {
  const server = await redisServer(t)
  const trio = await Trio.start(t, server, OPTIONS)
  const [wayA, wayB] = trio.ways
  const test = (name: string, body: (t: Test) => Promise<void>): void => { t.test(name, body) }

  /** What is run in the second and the third one ends at once. */
  const release = async (id: string, ending?: Ending): Promise<void> => { await Promise.all([trio.b.open(id, ending), trio.c.open(id, ending)]) }

  test('nothing happens: one run serves all clients of all processes', async t => {
    const { id, a, b, c } = await gather(trio)
    await trio.a.open(id)
    const [one, ...others] = await all(a, b, c)
    t.match(one, new RegExp(`^a:${id}:`))
    t.strictSame(others, [])
    t.strictSame(runs(trio, id), [1, 0, 0])
    t.strictSame(await trio.b.settled(id, CLIENTS), ['peer/shared'])
    const [first] = await trio.c.heard(told => told.event === 'settle' && told.id?.startsWith(`${id}#`) === true, CLIENTS, 'the end')
    t.match(first?.leaderId, `${id}#a`, 'they know the request that ran')
  })

  test('the leader is killed: one of the others runs, soon, for both', async t => {
    const gathering = await gather(trio)
    const { id, a, b, c } = gathering
    await trio.a.kill()
    const time = await takeover(trio, gathering)
    t.ok(time < LEASE + BUSY, `after ${time.toFixed(0)} ms`)
    t.match(await all(b, c), [/^[bc]:/])
    t.equal(trio.b.runs(id) + trio.c.runs(id), 1)
    await t.rejects(a)
    await trio.again('a', { ahead: 3_600_000 })
  })

  test('a process has its clock an hour ahead: one run, also after another was killed', async t => {
    const { id, a, b, c } = await gather(trio)
    await trio.a.open(id)
    t.equal((await all(a, b, c)).length, 1)
    t.strictSame(runs(trio, id), [1, 0, 0])
    const cached = `cached-clock-${ids}`
    await trio.a.open(cached)
    const [body] = bodies(await trio.a.crowd(CLIENTS, `/cached/${cached}`))
    await trio.a.do('settled')
    for (const app of [trio.b, trio.c, trio.a]) t.strictSame(bodies([await app.get(`/cached/${cached}`)]), [body])
    t.strictSame(runs(trio, cached), [1, 0, 0])
    const late = await gather(trio)
    await trio.a.kill()
    const time = await takeover(trio, late)
    t.ok(time < LEASE + BUSY, `after ${time.toFixed(0)} ms`)
    t.match(await all(late.b, late.c), [/^[bc]:/])
    await t.rejects(late.a)
    await trio.again('a')
  })

  test('the leader hangs for longer than its lease: one of the others runs, and what is cached is what that came to', async t => {
    const gathering = await gather(trio, '/cached')
    const { id, a, b, c } = gathering
    trio.a.pause()
    const time = await takeover(trio, gathering)
    t.ok(time < LEASE + BUSY, `after ${time.toFixed(0)} ms`)
    const [next, ...others] = await all(b, c)
    t.match(next, /^[bc]:/)
    t.strictSame(others, [])
    t.equal(trio.b.runs(id) + trio.c.runs(id), 1)
    trio.a.resume()
    await trio.a.open(id)
    for (const body of await all(a)) t.match(body, /^[abc]:/, 'its own clients are answered')
    await trio.meet()
    for (const app of trio.apps) t.strictSame(bodies([await app.get(`/cached/${id}`)]), [next], app.name)
  })

  test('the leader is cut off from Redis for longer than its lease: one of the others runs, and its own clients get what it ran', async t => {
    const gathering = await gather(trio)
    const { id, a, b, c } = gathering
    wayA.blackHole()
    const time = await takeover(trio, gathering)
    t.ok(time < LEASE + BUSY, `after ${time.toFixed(0)} ms`)
    t.match(await all(b, c), [/^[bc]:/])
    await trio.a.open(id)
    t.match(await all(a), [/^a:/])
    t.equal(runs(trio, id).reduce((sum, count) => sum + count), 2)
    wayA.refuse()
    wayA.pass()
    await trio.meet()
  })

  test('one that waits is cut off from Redis: it runs for itself, and the others do not notice', async t => {
    const { id, a, b, c } = await gather(trio)
    await release(id)
    wayB.blackHole()
    const time = await took(b)
    t.ok(time < LEASE + OP_TIMEOUT + BUSY, `after ${time.toFixed(0)} ms`)
    t.match(await all(b), [/^b:/])
    await trio.a.open(id)
    t.match(await all(a, c), [/^a:/])
    t.strictSame(runs(trio, id), [1, 1, 0])
    wayB.refuse()
    wayB.pass()
    await trio.meet()
  })

  test('Redis hangs while they wait: each process that waits runs once', async t => {
    const { id, a, b, c } = await gather(trio)
    await release(id)
    server.pause()
    const time = await took(Promise.all([b, c]))
    t.ok(time < LEASE + OP_TIMEOUT + BUSY, `after ${time.toFixed(0)} ms`)
    await trio.a.open(id)
    t.match(await Promise.all([all(a), all(b), all(c)]), [[/^a:/], [/^b:/], [/^c:/]])
    t.strictSame(runs(trio, id), [1, 1, 1])
    server.resume()
    await trio.meet()
  })

  /** Redis is of no use: each process runs once. */
  const alone = async (t: Test, limit: number): Promise<void> => {
    const id = `alone-${++ids}`
    const crowds = trio.apps.map(async app => await app.crowd(CLIENTS, `/hold/${id}`))
    const time = await took(Promise.all(trio.apps.map(async app => {
      await app.boarded(id, CLIENTS)
      await app.ran(id)
      await app.open(id)
    })))
    t.ok(time < limit, `after ${time.toFixed(0)} ms`)
    for (const [place, crowd] of crowds.entries()) t.match(await all(crowd), [new RegExp(`^${'abc'[place]}:`)])
    t.strictSame(runs(trio, id), [1, 1, 1])
  }

  test('Redis hangs before they ask: each process runs once, after the time limit, and then at once', async t => {
    server.pause()
    await alone(t, OP_TIMEOUT + BUSY)
    await alone(t, BUSY)
    server.resume()
    await trio.meet()
  })

  test('Redis is killed while they wait, and comes back: each process that waits runs once, and later they meet again', async t => {
    const { id, a, b, c } = await gather(trio)
    await release(id)
    await server.kill()
    const time = await took(Promise.all([b, c]))
    t.ok(time < OP_TIMEOUT + BUSY, `after ${time.toFixed(0)} ms`)
    await alone(t, BUSY)
    await trio.a.open(id)
    t.match(await Promise.all([all(a), all(b), all(c)]), [[/^a:/], [/^b:/], [/^c:/]])
    t.strictSame(runs(trio, id), [1, 1, 1])
    await server.start()
    await trio.meet()
  })

  test('Redis is slower than the time limit: each process runs once', async t => {
    for (const way of trio.ways) way.set({ up: 600, down: 600 })
    await alone(t, OP_TIMEOUT + BUSY)
    for (const way of trio.ways) way.pass()
    await trio.meet()
  })

  test('Redis is slow, but not slower than the time limit: one run serves all', async t => {
    for (const way of trio.ways) way.set({ up: 40, down: 40 })
    const { id, a, b, c } = await gather(trio)
    await trio.a.open(id)
    t.match(await all(a, b, c), [/^a:/])
    t.strictSame(runs(trio, id), [1, 0, 0])
    for (const way of trio.ways) way.pass()
    await trio.meet()
  })

  const fill = async (): Promise<void> => {
    await server.command('SET', 'filling', 'x'.repeat(5_000_000))
    await server.command('CONFIG', 'SET', 'maxmemory', '2mb')
  }
  const empty = async (): Promise<void> => {
    await server.command('CONFIG', 'SET', 'maxmemory', '0')
    await server.command('DEL', 'filling')
  }

  test('Redis is full: each process runs once', async t => {
    await fill()
    await alone(t, OP_TIMEOUT + BUSY)
    await empty()
    await trio.meet()
  })

  test('Redis becomes full while they wait: a small response reaches all, a large one is run once more by each', async t => {
    const small = await gather(trio)
    await fill()
    await trio.a.open(small.id)
    t.match(await all(small.a, small.b, small.c), [/^a:/])
    t.strictSame(runs(trio, small.id), [1, 0, 0])
    await empty()
    await trio.meet()

    const large = await gather(trio)
    await release(large.id, { bytes: 1_048_576 })
    await fill()
    await trio.a.open(large.id, { bytes: 1_048_576 })
    const time = await took(Promise.all([large.b, large.c]))
    t.ok(time < LEASE + OP_TIMEOUT + BUSY, `after ${time.toFixed(0)} ms`)
    t.match(await Promise.all([all(large.a), all(large.b), all(large.c)]), [[/^a:/], [/^[bc]:/], [/^[bc]:/]])
    t.ok(runs(trio, large.id).every(count => count <= 1))
    await empty()
    await trio.meet()
  })

  /** Something happens to Redis while they wait, and nobody notices. */
  const unnoticed = (name: string, happens: () => Promise<unknown>, ending?: Ending): void => {
    test(`${name}: one run serves all`, async t => {
      const { id, a, b, c } = await gather(trio)
      await release(id)
      await happens()
      await trio.a.open(id, ending)
      const time = await took(Promise.all([b, c]))
      t.ok(time < LEASE + OP_TIMEOUT + BUSY, `after ${time.toFixed(0)} ms`)
      t.match(await all(a, b, c), [/^a:/])
      t.strictSame(runs(trio, id), [1, 0, 0])
      await trio.meet()
    })
  }

  unnoticed('the scripts are removed while they wait', async () => await server.command('SCRIPT', 'FLUSH'))
  unnoticed('the inboxes are cut off right before a small response', async () => await server.command('CLIENT', 'KILL', 'TYPE', 'pubsub'))
  unnoticed('the inboxes are cut off right before a large response', async () => await server.command('CLIENT', 'KILL', 'TYPE', 'pubsub'), { bytes: 1_048_576 })
  unnoticed('the connections for commands are cut off right before a response', async () => await server.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'))
  unnoticed('the reply to the response is lost', async () => { wayA.loseNextReply() })

  test('the reply is lost that says who leads: it runs, and those who wait for it are served', async t => {
    const id = `lost-${++ids}`
    await release(id)
    wayA.loseNextReply()
    const a = trio.a.crowd(CLIENTS, `/hold/${id}`)
    await trio.a.ran(id)
    const [b, c] = [trio.b, trio.c].map(async app => await app.crowd(CLIENTS, `/hold/${id}`)) as [Promise<Reply[]>, Promise<Reply[]>]
    await Promise.all([trio.b.boarded(id, CLIENTS, true), trio.c.boarded(id, CLIENTS, true)])
    await trio.a.open(id)
    t.match(await all(a, b, c), [/^a:/])
    t.strictSame(runs(trio, id), [1, 0, 0])
    await trio.meet()
  })

  test('Redis is emptied while they wait: those who wait run once more, once the lease is over', async t => {
    const gathering = await gather(trio)
    const { id, a, b, c } = gathering
    await server.command('FLUSHALL')
    await trio.a.open(id)
    const time = await takeover(trio, gathering)
    t.ok(time < LEASE + BUSY, `after ${time.toFixed(0)} ms`)
    t.match(await Promise.all([all(a), all(b, c)]), [[/^a:/], [/^[bc]:/]])
    t.equal(trio.b.runs(id) + trio.c.runs(id), 1)
  })

  test('Redis cannot be written to, before they ask and while they wait: each process runs once', async t => {
    const readOnly = async (): Promise<void> => { await server.command('REPLICAOF', '127.0.0.1', '1') }
    const writable = async (): Promise<void> => { await server.command('REPLICAOF', 'NO', 'ONE') }
    await readOnly()
    await alone(t, OP_TIMEOUT + BUSY)
    await writable()
    await trio.meet()

    const { id, a, b, c } = await gather(trio)
    await release(id)
    await readOnly()
    await trio.a.open(id)
    const time = await took(Promise.all([b, c]))
    t.ok(time < LEASE + OP_TIMEOUT + BUSY, `after ${time.toFixed(0)} ms`)
    t.match(await Promise.all([all(a), all(b), all(c)]), [[/^a:/], [/^[bc]:/], [/^[bc]:/]])
    t.ok(runs(trio, id).every(count => count <= 1))
    await writable()
    await trio.meet()
  })

  test('a large response is handed over, one that is larger than a message may be is run by each', async t => {
    for (const bytes of [70_000, 1_048_576]) {
      const { id, a, b, c } = await gather(trio)
      await trio.a.open(id, { bytes })
      const replies = (await Promise.all([a, b, c])).flat()
      t.equal(new Set(replies.map(({ body }) => body)).size, 1)
      t.equal(replies[0]?.body.length, bytes)
      t.strictSame(runs(trio, id), [1, 0, 0])
    }
    const { id, a, b, c } = await gather(trio)
    await release(id)
    await trio.a.open(id, { bytes: 3_000_000 })
    t.match(await Promise.all([all(a), all(b), all(c)]), [[/^a:/], [/^[bc]:/], [/^[bc]:/]])
    t.ok(runs(trio, id).every(count => count <= 1))
  })

  test('a handler that fails: all get that, or one of the others runs once more', async t => {
    for (const ending of [{ throws: 'it is broken' }, { status: 503, body: 'it is broken' }]) {
      const shared = await gather(trio)
      await trio.a.open(shared.id, ending)
      const [answer, ...others] = await all(shared.a, shared.b, shared.c)
      t.match(answer, /^50[03] .*it is broken/)
      t.strictSame(others, [])
      t.strictSame(runs(trio, shared.id), [1, 0, 0])
    }
    const { id, a, b, c } = await gather(trio, '/promote')
    await release(id)
    await trio.a.open(id, { throws: 'it is broken' })
    const replies = (await Promise.all([b, c])).flat()
    for (const body of bodies(replies)) t.match(body, /^[bc]:/)
    t.ok(trio.b.runs(id) <= 1 && trio.c.runs(id) <= 1)
    t.ok((await a).every(({ status }) => status === 500))
  })

  test('what the handler reads of a request tells responses apart in all processes', async t => {
    const id = `vary-${++ids}`
    const ending = { reads: ['accept-language'] }
    await release(id, ending)
    const speaks = (language: string): Asking => ({ headers: { 'accept-language': language } })
    const a = trio.a.crowd(CLIENTS, `/hold/${id}`, speaks('de'))
    await trio.a.ran(id)
    const asked = [trio.b, trio.c].map(app => (['de', 'fr'] as const).map(async language => await app.crowd(CLIENTS, `/hold/${id}`, speaks(language))))
    await Promise.all([trio.b.boarded(id, 2 * CLIENTS, true), trio.c.boarded(id, 2 * CLIENTS, true)])
    await trio.a.open(id, ending)
    const german = await all(a, ...asked.map(([crowd]) => crowd as Promise<Reply[]>))
    t.match(german, [/^a:.* accept-language=de$/])
    const french = await all(...asked.map(([, crowd]) => crowd as Promise<Reply[]>))
    t.ok(french.length <= 2 && french.every(body => body.endsWith(' accept-language=fr')), french.join())
    t.ok(runs(trio, id).reduce((sum, count) => sum + count) <= 3)
  })

  test('HEAD, Range and If-None-Match are answered from the run of another process', async t => {
    const id = `kinds-${++ids}`
    const path = `/hold/${id}`
    await release(id)
    const ending = { body: '0123456789', headers: { etag: '"1"' } }
    const first = trio.a.get(path)
    await trio.a.ran(id)
    const asked = [
      trio.b.get(path), trio.b.get(path, { method: 'HEAD' }), trio.b.get(path, { headers: { range: 'bytes=2-4' } }),
      trio.b.get(path, { headers: { 'if-none-match': '"1"' } }), trio.c.get(path, { method: 'HEAD' }), trio.c.get(path)
    ]
    await Promise.all([trio.b.boarded(id, 4, true), trio.c.boarded(id, 2, true)])
    await trio.a.open(id, ending)
    t.match(await first, { status: 200, body: '0123456789' })
    const [whole, head, range, match, headOfC, wholeOfC] = await Promise.all(asked)
    for (const reply of [whole, wholeOfC]) t.match(reply, { status: 200, body: '0123456789', headers: { etag: '"1"' } })
    for (const reply of [head, headOfC]) t.match(reply, { status: 200, body: '', headers: { 'content-length': '10' } })
    t.match(range, { status: 206, body: '234', headers: { 'content-range': 'bytes 2-4/10' } })
    t.match(match, { status: 304, body: '' })
    t.strictSame(runs(trio, id), [1, 0, 0])
  })

  test('a HEAD alone in its process is answered from the run of another one', async t => {
    const id = `head-${++ids}`
    await release(id)
    const first = trio.a.get(`/hold/${id}`)
    await trio.a.ran(id)
    const head = trio.b.get(`/hold/${id}`, { method: 'HEAD' })
    await trio.b.boarded(id, 1)
    await trio.a.open(id, { body: '0123456789' })
    t.match(await head, { status: 200, body: '', headers: { 'content-length': '10' } })
    await first
    t.strictSame(runs(trio, id), [1, 0, 0])
  })

  test('users never get what is another one\'s', async t => {
    const id = `user-${++ids}`
    const ending = { reads: ['authorization'] }
    const crowds = trio.apps.map(async app => await Promise.all(['ada', 'bob'].map(async user =>
      ({ user, replies: await app.crowd(CLIENTS, `/user/${id}`, { headers: { authorization: user } }) }))))
    await Promise.all(trio.apps.map(async app => { await app.boarded(id, 2 * CLIENTS) }))
    await Promise.all(trio.apps.map(async app => { await app.open(id, ending) }))
    for (const { user, replies } of (await Promise.all(crowds)).flat()) {
      t.ok(replies.every(({ body }) => body.endsWith(` authorization=${user}`)), user)
    }
    t.equal(runs(trio, id).reduce((sum, count) => sum + count), 2)
  })

  /** A process purges. Resolves once the others know. */
  const purged = async (from: App, purge: () => Promise<unknown>): Promise<void> => {
    const received = async (app: App): Promise<number> => (await app.state()).figures?.purges.received ?? 0
    const others = trio.apps.filter(app => app !== from)
    const counts = await Promise.all(others.map(received))
    await purge()
    for (const [place, app] of others.entries()) await eventually(async () => await received(app) !== counts[place], 'word of a purge')
  }

  test('who comes after a write in another process does not join a run that began before it', async t => {
    const { id, a, b, c } = await gather(trio)
    await purged(trio.a, async () => { t.equal((await trio.a.get(`/hold/${id}`, { method: 'POST' })).body, 'written') })
    const late = trio.b.crowd(CLIENTS, `/hold/${id}`)
    await trio.b.ran(id)
    await trio.b.open(id)
    t.match(await all(late), [/^b:/])
    await trio.a.open(id)
    t.match(await all(a, b, c), [/^a:/], 'those who came before it get what ran before it')
    t.strictSame(runs(trio, id), [1, 1, 0])
  })

  test('a purge in one process purges in all, what is in Redis and what is in memories', async t => {
    for (const [route, tag] of [['/cached', 'cached'], ['/memory/cached', 'memory']] as const) {
      const id = `purge-${++ids}`
      for (const app of trio.apps) await app.open(id)
      const ask = async (app: App): Promise<string> => (await app.get(`${route}/${id}`)).body
      const before: string[] = []
      for (const app of [...trio.apps, ...trio.apps]) {
        before.push(await ask(app))
        await app.do('settled')
      }
      t.strictSame(before.slice(0, 3), before.slice(3), 'it is cached')
      await purged(trio.c, async () => await trio.c.do('invalidate', { tags: [tag] }))
      const after = await Promise.all([trio.c, trio.a, trio.b].map(ask))
      t.ok(after.every(body => !before.includes(body)), `${before.join()} ${after.join()}`)
    }
  })

  test('what is stale is refreshed once in all processes', async t => {
    const id = `stale-${++ids}`
    await trio.a.open(id)
    const [body] = bodies([await trio.a.get(`/cached/${id}`)])
    await trio.a.do('settled')
    for (const app of trio.apps) t.equal((await app.get(`/cached/${id}`)).body, body)
    await Promise.all(trio.apps.map(async app => { await app.do('forget', id) }))
    await purged(trio.c, async () => await trio.c.do('invalidate', { url: `/cached/${id}`, soft: true }))
    const replies = await Promise.all(trio.apps.map(async app => await app.crowd(CLIENTS, `/cached/${id}`)))
    t.strictSame(bodies(replies.flat()), [body], 'all get what is stale')
    await Promise.race(trio.apps.map(async app => await app.heard(told => told.event === 'run' && told.id === id && told.refresh === true, 1, 'a refresh')))
    // What each of them asked of Redis before has been answered then.
    await trio.meet()
    t.equal(trio.apps.flatMap(app => app.told).filter(told => told.event === 'run' && told.id === id && told.refresh === true).length, 1)
    for (const app of trio.apps) await app.open(id)
  })

  test('what cannot be shared is remembered in all processes', async t => {
    const ending = { headers: { 'set-cookie': 'session=1' } }
    const { id, a, b, c } = await gather(trio)
    await release(id, ending)
    await trio.a.open(id, ending)
    const [ofA, ofB, ofC] = await Promise.all([all(a), all(b), all(c)])
    t.equal(new Set([...ofA, ...ofB, ...ofC]).size, 3 * CLIENTS, 'each has its own')
    await trio.b.get(`/hold/${id}`)
    const found = await trio.b.heard(told => told.event === 'settle' && told.id?.startsWith(`${id}#`) === true, CLIENTS + 1, 'the end of the late one')
    t.match(found.at(-1), { outcome: 'bypass', reason: 'unshareable' })
  })

  test('coalescing is switched off in the process that leads: those who wait elsewhere run', async t => {
    const { id, a, b, c } = await gather(trio)
    await release(id)
    await trio.a.do('disable')
    const time = await took(Promise.all([b, c]))
    t.ok(time < LEASE + BUSY, `after ${time.toFixed(0)} ms`)
    for (const body of await all(b, c)) t.match(body, /^[bc]:/)
    await trio.a.open(id)
    for (const body of await all(a)) t.match(body, /^a:/)
    await trio.a.do('enable')
    await trio.meet()
  })

  test('when all is done nothing is left, in the processes and in Redis', async t => {
    const state = async (app: App): Promise<object> => {
      const { flights, waiters, timers } = await app.state()
      return { flights, waiters, timers }
    }
    // Each of the two connections has a timer.
    const idle = JSON.stringify({ flights: 0, waiters: 0, timers: 2 })
    for (const app of trio.apps) await eventually(async () => JSON.stringify(await state(app)) === idle, `the end of everything in ${app.name}`)
    const left = async (): Promise<string[]> => (await server.command('KEYS', '*') as string[]).filter(key => !/:(?:purges|n:.*|c:.*)$/.test(key))
    await eventually(async () => (await left()).length === 0, 'the end of all keys')
    t.equal((await server.command('PUBSUB', 'CHANNELS') as string[]).length, 4, 'an inbox for each, and what is for all')
    await Promise.all(trio.apps.map(async app => { await app.do('close') }))
    for (const app of trio.apps) t.strictSame(await state(app), { flights: 0, waiters: 0, timers: 0 })
    t.strictSame(await server.command('PUBSUB', 'CHANNELS'), [])
    t.strictSame(await left(), [])
  })
})

t.test('what can never work is told at boot, by name', withServer, async t => {
  const [locked, server] = await Promise.all([redisServer(t, { config: { requirepass: 'right' }, login: { password: 'right' } }), redisServer(t)])
  await server.command('ACL', 'SETUSER', 'limited', 'on', '>pass', '~*', '&*', '+@all', '-@scripting')
  const http = createServer((_request, response) => { response.end('no Redis') })
  await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
  t.teardown(() => { http.close() })
  const failures: ReadonlyArray<readonly [url: string, message: RegExp]> = [
    [`redis://:wrong@127.0.0.1:${locked.port}`, /Redis does not accept the name or password of the client/],
    [`redis://limited:pass@127.0.0.1:${server.port}`, /Redis does not let the user of the client do what is needed/],
    [`redis://127.0.0.1:${(http.address() as AddressInfo).port}`, /what answers is not a Redis/]
  ]
  await Promise.all(failures.map(async ([url, message]) => {
    await t.rejects(startApp(t, 'wrong', url, OPTIONS).ready(), { code: 'FST_COALESCE_REDIS_UNUSABLE', message })
  }))
})
