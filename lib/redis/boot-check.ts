/**
 * Whether the configuration of Redis can work at all, told once at boot.
 *
 * Invariant: a server that cannot be reached, or cannot do something now, is no fault. A fault has a name, and says what to change.
 */
import { RedisUnusableError } from '../errors.js'
import type { Link } from './link.js'
import type { Script } from './scripts.js'

/** What it is asked by coordinators and stores, with what the client needs for itself. */
const COMMANDS = [
  '@connection', '@scripting', '@pubsub', 'get', 'getrange', 'set', 'del', 'unlink', 'rename', 'strlen', 'pexpire', 'pttl', 'sadd', 'srem', 'smembers',
  'hset', 'hmget', 'hincrby', 'hexists', 'rpush', 'lrange', 'llen', 'info', 'cluster'
]

/** What is wrong, if it is wrong for good. */
export function faultOf (error: Error, prefix: string): Error | undefined {
  if (error instanceof RedisUnusableError) return error
  const { message } = error
  const fault = (what: string): Error => Object.assign(new RedisUnusableError(`${what} (${message})`), { cause: error })
  if (/WRONGPASS|NOAUTH|invalid (?:username-)?password|without any password configured/i.test(message)) {
    return fault('Redis does not accept the name or password of the client')
  }
  if (/NOPERM|user executing the script can't|ACL failure in script/i.test(message)) {
    return fault(`Redis does not let the user of the client do what is needed: give it ~${prefix}* &${prefix}* ${COMMANDS.map(name => `+${name}`).join(' ')}`)
  }
  if (/SPUBLISH|SSUBSCRIBE|SHARDNUMSUB|Unknown Redis command called from (?:Lua )?script|Unknown subcommand/i.test(message)) {
    return fault('this cluster has no sharded pub/sub: it needs Redis 7 or later, or Valkey')
  }
  if (/unknown command|nonexistent global variable/i.test(message)) return fault('this server lacks a command that is needed; scripts have to be allowed')
  if (/Protocol error|got .* as reply type byte|unexpected reply|Unknown RESP type/i.test(message)) return fault('what answers is not a Redis')
  return undefined
}

export class BootCheck {
  readonly #link: Link
  #fault: Error | undefined
  #told: Array<() => void> = []

  constructor (link: Link) {
    this.#link = link
    link.listen({
      usable: () => {
        if (this.#isConnected) this.#tell()
      },
      failed: error => {
        this.#fault = faultOf(error, link.names.prefix)
        if (this.#fault !== undefined) this.#tell()
      }
    })
  }

  get #isConnected (): boolean {
    return this.#link.isUsable && this.#link.isInboxReady
  }

  /**
   * @param more tries what is needed besides, with two keys
   * @throws what is wrong for good
   */
  async run (...more: readonly Script[]): Promise<void> {
    if (!this.#isConnected && this.#fault === undefined) await this.#connected()
    if (this.#isConnected) {
      const reply = await this.#tried(more)
      this.#fault = reply === undefined ? undefined : faultOf(reply, this.#link.names.prefix)
    }
    if (this.#fault !== undefined) throw this.#fault
  }

  /** What went wrong when all kinds of commands were tried. */
  async #tried (more: readonly Script[]): Promise<Error | undefined> {
    const { names, scripts, instance, isCluster } = this.#link
    const name = names.probe(0, instance)
    const replies = await this.#link.send(0, [
      ['PUBSUB', isCluster ? 'SHARDNUMSUB' : 'NUMSUB', names.inbox(0, instance)],
      { script: scripts.probe, keys: [name], args: [name] },
      ...more.map(script => ({ script, keys: [name, `${name}2`], args: [] }))
    ])
    return replies?.find(reply => reply instanceof Error)
  }

  /** Or not: it is not waited for long. */
  async #connected (): Promise<void> {
    await new Promise<void>(resolve => {
      const timer = this.#link.clock.setTimeout(resolve, 2 * this.#link.opTimeout)
      this.#told.push(() => {
        this.#link.clock.clearTimeout(timer)
        resolve()
      })
    })
  }

  #tell (): void {
    const told = this.#told
    this.#told = []
    for (const tell of told) tell()
  }
}
