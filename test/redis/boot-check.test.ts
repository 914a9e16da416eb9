/**
 * "What is wrong for good is told at boot, by name and with what to change; what may pass is not."
 */
import t from 'tap'
import { BootCheck, faultOf } from '../../lib/redis/boot-check.js'
import type { Client } from '../../lib/redis/clients/client.js'
import { LOADERS } from '../../lib/redis/clients/connect.js'
import { probe } from '../../lib/redis/store/scripts.js'
import { urlClient } from '../../lib/redis/url-client.js'
import { gate } from '../fixtures/gate.js'
import { scripted, ScriptedClient, turn } from '../fixtures/redis/scripted.js'

const NO_SHARDS = /^this cluster has no sharded pub\/sub: it needs Redis 7 or later, or Valkey \(/

t.test('what servers and clients say of a configuration that is wrong is known', async t => {
  const wrong: ReadonlyArray<readonly [message: string, says: RegExp]> = [
    ['WRONGPASS invalid username-password pair or user is disabled.', /does not accept the name or password/],
    ['NOAUTH Authentication required.', /does not accept the name or password/],
    ['ERR invalid password', /does not accept the name or password/],
    ['ERR AUTH <password> called without any password configured for the default user.', /does not accept the name or password/],
    ['NOPERM this user has no permissions to run the \'evalsha\' command', /give it ~app:test:\* &app:test:\* \+@connection .*\+getrange .*\+unlink \+rename/],
    ['ERR The user executing the script can\'t run this command or subcommand', /give it ~app:test:\*/],
    ['ERR unknown command \'SSUBSCRIBE\', with args beginning with: ', NO_SHARDS],
    ['ERR unknown command `SPUBLISH`, with args beginning with: ', NO_SHARDS],
    ['ERR Unknown subcommand or wrong number of arguments for \'SHARDNUMSUB\'. Try PUBSUB HELP.', NO_SHARDS],
    ['ERR Error running script (call to f_1): @user_script:2: @user_script: 2: Unknown Redis command called from Lua script', NO_SHARDS],
    ['ERR unknown command \'EVAL\', with args beginning with: ', /^this server lacks a command/],
    ['ERR user_script:2: Script attempted to access nonexistent global variable \'struct\' script: 1, on @user_script:2.', /^this server lacks/],
    ['Protocol error, got "H" as reply type byte', /^what answers is not a Redis/],
    ['Unknown RESP type 72 "H"', /^what answers is not a Redis/]
  ]
  for (const [message, says] of wrong) t.match(faultOf(new Error(message), 'app:test:'), { code: 'FST_COALESCE_REDIS_UNUSABLE', message: says, cause: { message } }, message)
  for (const message of ['connect ECONNREFUSED 127.0.0.1:6379', 'LOADING Redis is loading', 'OOM command not allowed', 'CLUSTERDOWN Hash slot not served', 'getaddrinfo ENOTFOUND redis']) {
    t.equal(faultOf(new Error(message), ''), undefined, message)
  }
})

t.test('it is ready at once where all that is tried succeeds, and tries it each time', async t => {
  const { client, link } = scripted()
  const check = new BootCheck(link)
  await check.run()
  t.match(client.sent, [[['PUBSUB', 'NUMSUB'], ['EVALSHA', link.scripts.probe.sha]]])
  await check.run(probe)
  t.match(client.sent[1], [['PUBSUB'], ['EVALSHA'], ['EVALSHA', probe.sha, 2]], 'with what a store needs')
})

t.test('a server that is away is waited for twice the time limit, and no fault; once it is there it is tried', async t => {
  const client = new ScriptedClient()
  const { clock, link } = scripted({}, Object.assign(client, { up () {} }))
  const check = new BootCheck(link)
  const late = check.run()
  client.listener.failed(new Error('connect ECONNREFUSED 127.0.0.1:6379'))
  client.isReady = true
  client.listener.ready()
  clock.advance(199)
  await turn()
  t.equal(client.sent.length, 0, 'the inbox is not there yet')
  clock.advance(1)
  await late
  const soon = check.run()
  client.isInboxReady = true
  client.listener.inboxReady()
  await soon
  t.equal(client.sent.length, 1)
  t.equal(clock.timers, 0)
})

t.test('an answer that does not come is no fault', async t => {
  const { client, clock, link } = scripted()
  client.answer = gate<never>().promise
  const ready = new BootCheck(link).run()
  clock.advance(100)
  await ready
  t.equal(link.figures.timeouts, 1)
})

t.test('a fault is told each time, until what was wrong works', async t => {
  const { client, link } = scripted()
  const check = new BootCheck(link)
  client.answer = new Error('ERR unknown command \'EVALSHA\'')
  await t.rejects(check.run(), { message: /lacks a command/ })
  await t.rejects(check.run(), { message: /lacks a command/ })
  client.answer = 1
  await check.run()
})

t.test('a cluster whose servers have no sharded pub/sub is refused, whether it is the inbox or a probe that shows it', async t => {
  for (const answer of [new Error('ERR Unknown subcommand or wrong number of arguments for \'SHARDNUMSUB\'. Try PUBSUB HELP.'), new Error('ERR unknown command \'SPUBLISH\'')]) {
    const { client, link } = scripted({ lanes: 16 }, new ScriptedClient(true))
    client.answer = answer
    await t.rejects(new BootCheck(link).run(), { code: 'FST_COALESCE_REDIS_UNUSABLE', message: NO_SHARDS })
    t.match(client.sent[0]?.[0], ['PUBSUB', 'SHARDNUMSUB'])
  }
  const client = new ScriptedClient(true)
  const { link } = scripted({ lanes: 16 }, Object.assign(client, { up () {} }))
  const ready = new BootCheck(link).run()
  client.listener.failed(new Error('ERR unknown command \'SSUBSCRIBE\', with args beginning with: \'test\''))
  await t.rejects(ready, { code: 'FST_COALESCE_REDIS_UNUSABLE', message: NO_SHARDS })
})

t.test('a url without any package to connect with is refused, with what to install, and so is one that no client can be made for', async t => {
  const missing = async (): Promise<never> => { throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' }) }
  const broken = async (): Promise<never> => { throw new TypeError('Invalid protocol') }
  const check = (client: Client): BootCheck => new BootCheck(scripted({}, Object.assign(client, { up () {} }) as unknown as ScriptedClient).link)
  await t.rejects(check(urlClient('redis://localhost', LOADERS.map(([name]) => [name, missing]))).run(), {
    code: 'FST_COALESCE_REDIS_UNUSABLE', message: 'the option url needs a client: install one of ioredis, iovalkey, redis'
  })
  await t.rejects(check(urlClient('unix:///redis', [['redis', broken]])).run(), {
    code: 'FST_COALESCE_REDIS_UNUSABLE', message: 'no client can be made for the option url (Invalid protocol)'
  })
})
