/**
 * The signal among a function's arguments: the caller's, or that of a run in its place.
 *
 * Invariant: pure.
 */

/** The caller's signal: the last argument, or the `signal` of the last argument, be that a controller or a plain object. */
export function signalIn (args: readonly unknown[]): AbortSignal | undefined {
  const last: unknown = args.at(-1)
  if (typeof last !== 'object') return undefined
  if (last instanceof AbortSignal) return last
  if (!isCopied(last) || !('signal' in last)) return undefined
  return last.signal instanceof AbortSignal ? last.signal : undefined
}

/** A copy with another signal can stand for it. A request has a signal as well, but a copy of it is not a request. */
function isCopied (value: object | null): value is object {
  if (value === null) return false
  if (value instanceof AbortController) return true
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** The arguments with the signal of a run instead of the caller's. */
export function withSignal<A extends readonly unknown[]> (args: A, signal: AbortSignal): A {
  if (signalIn(args) === undefined) return args
  const last: unknown = args.at(-1)
  const own = last instanceof AbortSignal ? signal : { ...last as object, signal }
  return [...args.slice(0, -1), own] as unknown as A
}
