/**
 * What a client of ioredis or iovalkey is known by, and how connections are made from it.
 */
import type { Client } from '../client.js'
import { StandaloneConnection } from '../standalone.js'
import { IoredisLine, lineOptions, type Ioredis } from './ioredis.js'

/** Undefined if it is none. */
export function ioredisClient (given: object): Client | undefined {
  const client = given as Partial<Ioredis>
  const fits = typeof client.duplicate === 'function' && typeof client.pipeline === 'function' && typeof client.disconnect === 'function' &&
    typeof client.status === 'string' && typeof client.options === 'object'
  return fits ? standalone(given as Ioredis) : undefined
}

function standalone (client: Ioredis): Client {
  return {
    isCluster: false,
    keyPrefix: client.options.keyPrefix ?? '',
    connect: (channels, listener, timing) => new StandaloneConnection(
      (heard, timing) => new IoredisLine(client.duplicate(lineOptions(client.options, timing)), heard, timing, false),
      channels, listener, timing)
  }
}
