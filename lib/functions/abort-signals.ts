/**
 * Any number of actions for one AbortSignal, with one listener, because Node warns of many.
 *
 * Invariant: a signal without actions has no listener of ours.
 */

interface Waiting {
  readonly actions: Set<() => void>
  readonly listener: () => void
}

const waiting = new WeakMap<AbortSignal, Waiting>()

/** Calls `action` when the signal aborts. It must not have aborted yet. */
export function onAbort (signal: AbortSignal, action: () => void): void {
  let known = waiting.get(signal)
  if (known === undefined) {
    const actions = new Set<() => void>()
    known = { actions, listener: () => { for (const each of actions) each() } }
    waiting.set(signal, known)
    signal.addEventListener('abort', known.listener, { once: true })
  }
  known.actions.add(action)
}

/** Takes an action away. */
export function offAbort (signal: AbortSignal, action: () => void): void {
  const known = waiting.get(signal)
  if (known?.actions.delete(action) !== true || known.actions.size > 0) return
  waiting.delete(signal)
  signal.removeEventListener('abort', known.listener)
}
