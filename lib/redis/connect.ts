/**
 * Tells which client a user has given, by what it has, and makes one for a url.
 *
 * Invariant: this is the only module that loads a client, and it does so for a url only.
 */
import { InvalidOptionError } from '../errors.js'
import type { Client } from './client.js'
import { ioredisWire, type Ioredis } from './clients/ioredis.js'
import { nodeRedisWire, type NodeRedis } from './clients/node-redis.js'
import { StandaloneConnection } from './standalone.js'

const CLIENTS = 'a client of ioredis, iovalkey, or redis (node-redis)'

function has (given: object, ...methods: readonly string[]): boolean {
  return methods.every(name => typeof (given as Record<string, unknown>)[name] === 'function')
}

/** @param option what the user calls it */
export function clientOf (given: unknown, option: string): Client {
  if (typeof given === 'object' && given !== null && has(given, 'duplicate', 'connect', 'on', 'off')) {
    if (has(given, 'pipeline', 'disconnect', 'ssubscribe')) return ioredisClient(given as Ioredis)
    if (has(given, 'sendCommand', 'destroy', 'sSubscribe')) return nodeRedisClient(given as NodeRedis)
  }
  throw new InvalidOptionError(option, CLIENTS, typeof given === 'object' ? 'another object' : typeof given)
}

function ioredisClient (client: Ioredis): Client {
  return {
    isCluster: false,
    keyPrefix: client.options.keyPrefix ?? '',
    connect: (channels, listener, timing) => new StandaloneConnection(
      (listener, timing) => ioredisWire(client, listener, timing), channels, listener, timing)
  }
}

function nodeRedisClient (client: NodeRedis): Client {
  return {
    isCluster: false,
    keyPrefix: String(client.options.keyPrefix ?? ''),
    connect: (channels, listener, timing) => new StandaloneConnection(
      (listener, timing) => nodeRedisWire(client, listener, timing), channels, listener, timing)
  }
}

const PACKAGES = ['ioredis', 'iovalkey', 'redis'] as const

/** Makes a client that does not connect, of the first package that is installed. */
export async function clientForUrl (url: string, option: string): Promise<Client> {
  for (const load of [
    async () => new (await import('ioredis')).Redis(url, { lazyConnect: true }),
    async () => new (await import('iovalkey')).Redis(url, { lazyConnect: true }),
    async () => (await import('redis')).createClient({ url })
  ]) {
    try {
      return clientOf(await load(), option)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    }
  }
  throw new InvalidOptionError(option, `used with one of ${PACKAGES.join(', ')} installed`, 'none')
}
