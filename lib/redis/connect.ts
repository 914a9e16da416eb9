/**
 * Tells which client a user has given, by what it has, and makes one for a url.
 *
 * Invariant: this is the only module that loads a client, and it does so for a url only.
 */
import { InvalidOptionError } from '../errors.js'
import { ioredisClient } from './clients/ioredis-client.js'
import type { Client } from './client.js'

const WANTED = 'a client of ioredis 5 or 6, iovalkey, or node-redis 5 or 6'

/** @param option what the user calls it */
export function clientOf (given: unknown, option: string): Client {
  const client = typeof given === 'object' && given !== null ? ioredisClient(given) : undefined
  if (client === undefined) throw new InvalidOptionError(option, WANTED, typeof given === 'object' ? String(given) : typeof given)
  return client
}
