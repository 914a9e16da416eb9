/**
 * Options of what uses Redis in; frozen, complete settings out.
 *
 * Invariant: a wrong option throws with its name, what it wants and what it got, and nothing is repaired.
 */
import type { Clock, Duration } from '../../types/index.js'
import { systemClock } from '../clock.js'
import { boolean, clock, duration, fail, integer, isObject, optional, read, type Parser, type Parsers } from '../options/parsers.js'
import { ownName } from './app-name.js'
import type { Client } from './clients/client.js'
import { clientOf } from './clients/connect.js'
import { urlClient } from './url-client.js'

/** What all that uses Redis has in common. Users of the same client and of the same of these share their connections. */
export interface RedisLinkOptions {
  /** A client of ioredis, iovalkey or node-redis. It is copied, not used. Or else `url`. */
  readonly client?: object
  readonly url?: string
  /**
   * Processes with another namespace are strangers.
   * @default the name of the app
   */
  readonly namespace?: string
  /** What is written to Redis is sealed with it: at least 16 characters, the same in all processes. */
  readonly secret?: string
  /** Over how many hash slots keys are spread; the same in all processes. */
  readonly lanes?: number
  /** How long Redis may take for an answer. */
  readonly opTimeout?: Duration
  readonly clock?: Clock
}

export interface RedisCoordinatorOptions extends RedisLinkOptions {
  /** How long a process leads that says nothing. */
  readonly lease?: Duration
  /** A process that others wait for, and that is not connected for so long, is gone: another one leads. */
  readonly livenessInterval?: Duration
  /** Larger results, in bytes, are put where others fetch them. */
  readonly maxInline?: number
  /** How long a result is kept for those who wait for it. */
  readonly handoffTtl?: Duration
  /** Results with more bytes are not handed over. */
  readonly maxMessageBytes?: number
  /** Streams that this process makes are read by the others while they are made, and not when they are complete. */
  readonly relay?: boolean
}

export interface LinkSettings {
  readonly client: object | undefined
  readonly url: string | undefined
  readonly namespace: string
  readonly secret: string | undefined
  /** Undefined: by what the client connects to. */
  readonly lanes: number | undefined
  readonly opTimeout: number
  readonly clock: Clock
}

export interface CoordinatorSettings extends LinkSettings {
  readonly lease: number
  readonly livenessInterval: number
  readonly maxInline: number
  readonly handoffTtl: number
  readonly maxMessageBytes: number
  readonly relay: boolean
}

const LEAST_SECRET = 16
const NAMESPACE = /^[\w.-]{1,64}$/
const NAME = 'a name of 1 to 64 letters, digits, `_`, `.` and `-`'
const NO_NAME = 'since the app has none: no package.json above its main script has a name'

const namespace: Parser<string> = (value, name) =>
  typeof value === 'string' && NAMESPACE.test(value) ? value : fail(name, value === undefined ? `${NAME}, ${NO_NAME}` : NAME, value)

/** What was given is not in the message: it may be most of a secret. */
const secret: Parser<string> = (value, name) =>
  typeof value === 'string' && value.length >= LEAST_SECRET
    ? value
    : fail(name, `a string of at least ${LEAST_SECRET} characters`, typeof value === 'string' ? `${value.length} characters` : typeof value)

/** What is given may have a password, and is not in the message. */
const url: Parser<string> = (value, name) =>
  typeof value === 'string' && /^(?:rediss?|unix):\/\/./.test(value) && URL.canParse(value)
    ? value
    : fail(name, "a url such as 'redis://localhost:6379'", typeof value === 'string' ? 'another text' : typeof value)

const client: Parser<object> = (value, name) => {
  clientOf(value, name)
  return value as object
}

export const linkReaders: Parsers<LinkSettings> = {
  client: optional(client),
  url: optional(url),
  namespace,
  secret: optional(secret),
  lanes: optional(integer(1, 1024)),
  opTimeout: duration,
  clock
}

export const LINK_DEFAULTS = Object.freeze({ opTimeout: 150, clock: systemClock })

const READERS: Parsers<CoordinatorSettings> = {
  ...linkReaders,
  lease: duration,
  livenessInterval: duration,
  maxInline: integer(0, 1_048_576),
  handoffTtl: duration,
  maxMessageBytes: integer(1, 536_870_912),
  relay: boolean
}

const DEFAULTS = Object.freeze({
  ...LINK_DEFAULTS, lease: 3_000, livenessInterval: 250, maxInline: 65_536, handoffTtl: 10_000, maxMessageBytes: 16_777_216, relay: false
})

/** @param path the name of the options in messages */
export function readLinkedOptions<T extends LinkSettings> (readers: Parsers<T>, options: unknown, defaults: Partial<T>, path: string): T {
  if (!isObject(options)) return fail(path, 'an object with a client or a url', options)
  const name = options.namespace === undefined ? ownName() : undefined
  const settings = read(readers, options, name === undefined ? defaults : { ...defaults, namespace: name }, path)
  if ((settings.client === undefined) === (settings.url === undefined)) fail(path, 'an object with either a client or a url', Object.keys(options))
  return settings
}

export function readCoordinatorOptions (options: unknown): CoordinatorSettings {
  return readLinkedOptions(READERS, options, DEFAULTS, 'redisCoordinator options')
}

export function clientFor ({ client, url }: LinkSettings): Client {
  return url === undefined ? clientOf(client, 'client') : urlClient(url)
}
