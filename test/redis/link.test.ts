/**
 * "A server that says that it can do nothing now is not asked until it can, and what it was asked has settled."
 */
import t from 'tap'
import type { Reply } from '../../lib/redis/clients/connection.js'
import { commandOf, scripts } from '../../lib/redis/scripts.js'
import { gate } from '../fixtures/gate.js'
import { scripted, ScriptedClient, turn } from '../fixtures/redis/scripted.js'

const OK = Buffer.from('OK')

/** What servers say, alone and out of scripts, by the cause that it is. */
const UNABLE: ReadonlyArray<readonly [cause: string, message: string]> = [
  ['LOADING', 'LOADING Redis is loading the dataset in memory'],
  ['CLUSTERDOWN', 'CLUSTERDOWN Hash slot not served'],
  ['CLUSTERDOWN', 'CLUSTERDOWN The cluster is down'],
  ['MISCONF', 'MISCONF Redis is configured to save RDB snapshots, but it\'s currently unable to persist to disk.'],
  ['MISCONF', 'ERR Error running script (call to f_123): @user_script:3: -MISCONF Redis is configured to save RDB snapshots'],
  ['BUSY', 'BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.'],
  ['MASTERDOWN', 'MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to \'no\'.'],
  ['NOREPLICAS', 'NOREPLICAS Not enough good replicas to write.'],
  ['READONLY', 'READONLY You can\'t write against a read only replica. script: 1f2, on @user_script:2.'],
  ['OOM', 'OOM command not allowed when used memory > \'maxmemory\'.'],
  ['NOAUTH', 'NOAUTH Authentication required.'],
  ['NOPERM', 'NOPERM User app has no permissions to run the \'get\' command'],
  ['NOPERM', 'ERR The user executing the script can\'t run this command or subcommand script: 1f2, on @user_script:2.']
]

for (const [cause, message] of UNABLE) {
  t.test(`a reply opens the circuit: ${message.slice(0, 60)}`, async t => {
    const { client, clock, link, log } = scripted()
    client.answer = new Error(message)
    const [reply] = await link.send(0, [['GET', 'a']]) as readonly Reply[]
    t.match(reply, { message }, 'it is handed on')
    t.match(link.figures, { isOpen: true, openings: { [cause]: 1 } })
    t.equal(await link.send(0, [['GET', 'a']]), undefined)
    t.equal(client.sent.length, 1, 'nothing is sent any more')
    clock.advance(300)
    await turn()
    t.equal(client.sent.length, 2, 'but a probe')
    t.equal(link.isUsable, false)
    client.answer = OK
    clock.advance(300)
    await turn()
    t.equal(link.isUsable, true)
    t.strictSame(log, ['coordinator-down', 'coordinator-up'])
    await link.close()
    t.equal(clock.timers, 0)
  })
}

t.test('an error that is about what was asked opens nothing', async t => {
  const { client, link } = scripted()
  for (const message of ['ERR value is not an integer or out of range', 'WRONGTYPE Operation against a key holding the wrong kind of value', 'ERR BUSYKEY', 'ERR x-BUSYNESS']) {
    client.answer = new Error(message)
    await link.send(0, [['GET', 'a']])
    t.equal(link.isUsable, true, message)
  }
})

t.test('an answer that comes too late opens it, but not while something large is under way, which may take longer', async t => {
  const { client, clock, link } = scripted()
  client.answer = gate<readonly Reply[]>().promise
  const large = link.send(0, [['GET', 'a']], 400_000)
  const small = link.send(0, [['GET', 'b']])
  clock.advance(100)
  t.equal(await small, undefined)
  t.equal(link.isUsable, true, 'it may have waited for the large one')
  const other = link.send(0, [['GET', 'c']])
  clock.advance(199)
  t.equal(await other, undefined)
  t.equal(link.figures.timeouts, 2)
  clock.advance(1)
  t.equal(await large, undefined)
  t.equal(link.isUsable, true)
  const last = link.send(0, [['GET', 'd']])
  clock.advance(100)
  t.equal(await last, undefined)
  t.match(link.figures, { isOpen: true, timeouts: 4, openings: { timeout: 1 } })
})

t.test('a connection that is soon there again changes nothing, and one that is not opens it until it is', async t => {
  const { client, clock, link, log } = scripted()
  client.down()
  clock.advance(99)
  client.up()
  clock.advance(1000)
  t.strictSame(log, [])
  client.down()
  clock.advance(100)
  t.match(link.figures.openings, { closed: 1 })
  clock.advance(300)
  await turn()
  t.equal(client.sent.length, 0, 'nobody can be probed')
  client.up()
  await turn()
  t.equal(link.isUsable, true, 'it is probed at once')
  t.match(client.sent, [[['PING'], ['EVALSHA']]])
})

t.test('a script that the server has not is sent whole, and only that', async t => {
  const { client, link } = scripted()
  client.answer = ([name]) => name === 'EVALSHA' ? new Error('NOSCRIPT No matching script. Please use EVAL.') : Buffer.from(name)
  const call = { script: link.scripts.fetched, keys: ['a', 'b'], args: ['c'] }
  t.strictSame(await link.send(0, [['GET', 'a'], call, ['GET', 'b']]), ['GET', 'EVAL', 'GET'].map(name => Buffer.from(name)))
  t.strictSame(client.sent[1], [commandOf(call, true)])
})

t.test('in a cluster scripts publish in shards, and nowhere else', async t => {
  const { link } = scripted({ lanes: 2 }, new ScriptedClient(true))
  t.equal(link.isCluster, true)
  for (const [name, { source }] of Object.entries(scripts(true))) {
    t.notMatch(source, /'PUBLISH'/, name)
    t.equal(source.replaceAll("'SPUBLISH'", "'PUBLISH'"), scripts(false)[name as 'join'].source, name)
  }
  t.not(link.scripts.done.sha, scripts(false).done.sha)
})

t.test('a failure is told once, until it is another', async t => {
  const { client, log } = scripted()
  for (const message of ['a', 'a', 'b']) client.listener.failed(new Error(message))
  t.strictSame(log, ['coordinator-failed', 'coordinator-failed'])
})
