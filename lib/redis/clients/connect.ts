/**
 * Tells which client a user has given, by what it has, and makes one for a url.
 *
 * Invariant: this is the only module that loads a client, and it does so for a url only.
 */
import { InvalidOptionError, RedisUnusableError } from '../../errors.js'
import type { Client, MakeWire } from './client.js'
import { ioredisWire, scoutIoredis, type Ioredis, type IoredisCluster } from './ioredis.js'
import { nodeRedisWire, scoutNodeRedis, type NodeRedis, type NodeRedisCluster } from './node-redis.js'
import { ClusterConnection, type Scouted } from './cluster.js'
import { StandaloneConnection } from './standalone.js'

const CLIENTS = 'a client, or a client of a cluster, of ioredis, iovalkey, or redis (node-redis)'

function has (given: object, ...methods: readonly string[]): boolean {
  return methods.every(name => typeof (given as Record<string, unknown>)[name] === 'function')
}

/** @param option what the user calls it */
export function clientOf (given: unknown, option: string): Client {
  if (typeof given !== 'object' || given === null) throw new InvalidOptionError(option, CLIENTS, given === null ? 'null' : typeof given)
  if (has(given, 'getSentinelNode')) {
    throw new InvalidOptionError(option, `${CLIENTS}; for Sentinel, one of ioredis or iovalkey`, 'a Sentinel client of node-redis')
  }
  if (has(given, 'duplicate', 'connect', 'on', 'off')) {
    if (has(given, 'pipeline', 'disconnect', 'ssubscribe')) {
      return has(given, 'nodes') ? ioredisCluster(given as IoredisCluster) : ioredis(given as Ioredis)
    }
    if (has(given, 'sendCommand', 'destroy', 'sSubscribe')) {
      return has(given, 'nodeClient') ? nodeRedisCluster(given as NodeRedisCluster) : nodeRedis(given as NodeRedis)
    }
  }
  throw new InvalidOptionError(option, CLIENTS, 'another object')
}

function standalone (keyPrefix: unknown, make: MakeWire): Client {
  return {
    isCluster: false,
    keyPrefix: String(keyPrefix ?? ''),
    connect: (channels, listener, timing) => new StandaloneConnection(make, channels, listener, timing)
  }
}

function cluster (keyPrefix: unknown, scout: () => Promise<Scouted>): Client {
  return {
    isCluster: true,
    keyPrefix: String(keyPrefix ?? ''),
    connect: (channels, listener, timing) => new ClusterConnection(scout, channels, listener, timing)
  }
}

function ioredis (client: Ioredis): Client {
  return standalone(client.options.keyPrefix, (listener, timing) => ioredisWire(client, listener, timing))
}

function ioredisCluster (client: IoredisCluster): Client {
  return cluster(client.options.keyPrefix, async () => await scoutIoredis(client))
}

function nodeRedis (client: NodeRedis): Client {
  return standalone(client.options.keyPrefix, (listener, timing) => nodeRedisWire(client, listener, timing))
}

function nodeRedisCluster (client: NodeRedisCluster): Client {
  return cluster(client._options?.keyPrefix, async () => await scoutNodeRedis(client))
}

/** By package, in the order in which they are tried. */
export const LOADERS: ReadonlyArray<readonly [name: string, load: (url: string) => Promise<unknown>]> = [
  ['ioredis', async url => new (await import('ioredis')).Redis(url, { lazyConnect: true })],
  ['iovalkey', async url => new (await import('iovalkey')).Redis(url, { lazyConnect: true })],
  ['redis', async url => (await import('redis')).createClient({ url })]
]

/** Makes a client that does not connect, of the first package that is installed. */
export async function clientForUrl (url: string, option: string, loaders = LOADERS): Promise<Client> {
  for (const [, load] of loaders) {
    try {
      return clientOf(await load(url), option)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    }
  }
  throw new RedisUnusableError(`the option ${option} needs a client: install one of ${loaders.map(([name]) => name).join(', ')}`)
}
