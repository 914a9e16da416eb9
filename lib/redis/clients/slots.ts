/**
 * Which node of a cluster has a key: the rules of Redis Cluster, over plain data.
 */
import type { Address } from './client.js'
import type { Reply } from './connection.js'

const SLOTS = 16_384

/** CRC-16 of the kind that Redis uses, one entry for each byte. */
const CRC = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) !== 0 ? (crc << 1) ^ 0x1021 : crc << 1
  return crc
})

/** What counts of a key is what stands in its first pair of braces, if there is something. */
export function slotOf (key: string): number {
  const open = key.indexOf('{')
  const close = open === -1 ? -1 : key.indexOf('}', open)
  const counts = close > open + 1 ? key.slice(open + 1, close) : key
  let crc = 0
  for (const byte of Buffer.from(counts)) crc = ((crc << 8) ^ (CRC[((crc >> 8) ^ byte) & 255] as number)) & 0xffff
  return crc % SLOTS
}

export function nameOf ({ host, port }: Address): string {
  return `${host}:${port}`
}

/** The master of each slot, by the reply to `CLUSTER SLOTS` of a node at an address. Undefined if that is not what it is. */
export function ownersOf (reply: Reply | undefined, asked: Address): Map<number, Address> | undefined {
  if (!Array.isArray(reply)) return undefined
  const owners = new Map<number, Address>()
  for (const range of reply as ReadonlyArray<readonly [start: number, end: number, master: readonly [host: Buffer | null, port: number]]>) {
    const [start, end, [host, port]] = range
    const address = { host: hostOf(String(host ?? ''), asked), port }
    for (let slot = start; slot <= end; slot++) owners.set(slot, address)
  }
  return owners
}

/** A node that does not know its own name is where it was asked. */
function hostOf (host: string, asked: Address): string {
  return host === '' || host === '?' ? asked.host : host
}

/** Where the key of a refused command is now (`moved`), or is about to be (`ask`). */
export interface Redirection {
  readonly type: 'moved' | 'ask'
  readonly to: Address
}

/** What a reply of a node at an address says of another node. A command with such a reply was not carried out. */
export function redirectionOf (reply: Reply | undefined, asked: Address): Redirection | undefined {
  if (!(reply instanceof Error)) return undefined
  const [, type, host, port] = /^(MOVED|ASK) \d+ (.*):(\d+)$/.exec(reply.message) ?? []
  if (type === undefined) return undefined
  return { type: type === 'ASK' ? 'ask' : 'moved', to: { host: hostOf(String(host), asked), port: Number(port) } }
}
