/**
 * What calls come to as it travels between processes: results as JSON or by the app's own codec, errors by a few of their members.
 *
 * Invariant: what the app's codec throws reaches no caller. An error that arrives is a plain one, with texts and numbers of bounded
 * length, and none of its sender's stack.
 */
import { types } from 'node:util'
import type { ResultCodec } from '../../types/index.js'
import { member, unfit, wanted } from '../codec/strict.js'
import type { LandingCodec } from '../engine/coordinators/codec.js'
import { MessageCodec, type RecordingFormat } from '../engine/coordinators/message-codec.js'
import { atOnce } from '../http/at-once.js'
import type { Log } from '../observers/observer.js'
import { warn } from '../observers/warn.js'
import { NO_VARIANT } from '../variant.js'
import type { CallResult } from './results.js'

const MOST_OF_A_NAME = 128
const MOST_OF_A_MESSAGE = 4096
const NO_NAMES: readonly string[] = Object.freeze([])

/**
 * The codec of one function.
 *
 * @param route its name in the log
 */
export function resultCodec (codec: ResultCodec<never> | undefined, route: string, log: Log): LandingCodec<CallResult> {
  let isWarned = false
  function refused (err: unknown): void {
    if (isWarned) return
    isWarned = true
    warn(log, err ?? new TypeError('JSON would change it, or it is too large'), { event: 'does-not-travel', route },
      `coalesce: what ${route} comes to does not travel to other processes, and each runs it for itself; give it the option codec, or silence this if that is fine`)
  }
  return new MessageCodec(resultFormat(codec as ResultCodec | undefined, refused), refused)
}

function resultFormat (codec: ResultCodec | undefined, refused: (error: unknown) => void): RecordingFormat<CallResult> {
  function decoded (encoded: unknown): unknown {
    if (codec === undefined || (typeof encoded !== 'string' && !Buffer.isBuffer(encoded))) return unfit()
    try {
      return settled(atOnce(codec.decode(encoded)))
    } catch (error) {
      refused(error)
      throw error
    }
  }

  return {
    kind: 'call',
    write (result) {
      if ('error' in result) return ['error', ...errorParts(result.error)]
      if (codec !== undefined) return ['encoded', encodedBy(codec, result.value)]
      return result.value === undefined ? ['nothing'] : ['value', result.value]
    },
    read (value, failed) {
      const type = member(value, '0')
      if (failed !== (type === 'error')) return unfit()
      switch (type) {
        case 'error': return { error: errorFrom(value) }
        case 'encoded': return { value: decoded(member(value, '1')) }
        case 'value': return codec === undefined ? { value: member(value, '1') } : unfit()
        case 'nothing': return codec === undefined ? { value: undefined } : unfit()
        default: return unfit()
      }
    },
    // Results of functions depend on their key only.
    names: value => Array.isArray(value) && value.length === 0 ? NO_NAMES : unfit(),
    variant: () => NO_VARIANT
  }
}

function encodedBy (codec: ResultCodec, value: unknown): string | Buffer {
  const encoded = atOnce(codec.encode(value))
  if (typeof encoded === 'string') return encoded
  if (!types.isUint8Array(encoded)) throw new TypeError(`its codec's encode answered ${typeof encoded}, and neither a text nor bytes`)
  return Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength)
}

/** A function never comes to a thenable, and whoever is given one would wait for it. */
function settled (value: unknown): unknown {
  if (typeof (value as { then?: unknown } | null | undefined)?.then !== 'function') return value
  throw new TypeError("its codec's decode answered a promise, and no result")
}

function errorParts (error: unknown): readonly unknown[] {
  if (!(error instanceof Error) && !types.isNativeError(error)) throw new TypeError('it threw what is no Error')
  const { code, message, name, statusCode } = error as Error & { readonly code?: unknown, readonly statusCode?: unknown }
  return [
    isName(name) ? name : 'Error', String(message).slice(0, MOST_OF_A_MESSAGE), isCode(code) ? code : null, isStatus(statusCode) ? statusCode : null
  ]
}

function errorFrom (parts: unknown): Error {
  const name = wanted(isName, member(parts, '1'))
  const message = wanted(isMessage, member(parts, '2'))
  const code = orNothing(isCode, member(parts, '3'))
  const statusCode = orNothing(isStatus, member(parts, '4'))
  const error = new Error(message)
  // As classes of errors have it: not listed.
  if (name !== 'Error') Object.defineProperty(error, 'name', { value: name, writable: true, configurable: true })
  Error.captureStackTrace(error, errorFrom)
  return Object.assign(error, code === undefined ? undefined : { code }, statusCode === undefined ? undefined : { statusCode })
}

function orNothing<T> (is: (value: unknown) => value is T, value: unknown): T | undefined {
  return value === null ? undefined : wanted(is, value)
}

function isName (value: unknown): value is string {
  return typeof value === 'string' && value.length <= MOST_OF_A_NAME
}

function isMessage (value: unknown): value is string {
  return typeof value === 'string' && value.length <= MOST_OF_A_MESSAGE
}

function isCode (value: unknown): value is string | number {
  return isName(value) || Number.isSafeInteger(value)
}

function isStatus (value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 100 && (value as number) <= 999
}
