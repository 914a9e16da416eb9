/**
 * Asks the server how things are: once a second while somebody looks.
 *
 * Invariant: never more than one question at a time. Failures are told, make the next question later, and never end the asking.
 */
import type { PageState } from '../state.js'

const EVERY = 1000
const AT_MOST = 10_000
const SIGN_IN = ': sign in, and load the page anew'

/** Below the page, whatever a proxy makes of its path. */
export const urlOf = (path: string): URL => new URL(path, import.meta.url)

export const whatIsWrong = (error: unknown): string => error instanceof Error ? error.message : String(error)

export let isPaused = false
/** When the last answer came, by `performance.now()`; undefined before the first. */
export let answeredAt: number | undefined
/** What the server said, or did not say, since the last answer. */
export let failure: string | undefined

/** Begins to ask; gives what pauses and resumes it. `changed` is called when there is an answer, a failure or a pause. */
export function poll (since: () => number | undefined, take: (state: PageState) => void, changed: () => void): () => void {
  let failures = 0
  let isAsking = false
  let timer: ReturnType<typeof setTimeout>
  /** Asks, unless it is asking, or nobody looks. */
  const ask = async (): Promise<void> => {
    clearTimeout(timer)
    if (isPaused || isAsking || document.hidden) return
    isAsking = true
    try {
      const state = await answer(since())
      answeredAt = performance.now()
      failures = 0
      failure = undefined
      take(state)
    } catch (error) {
      failures++
      failure = whatIsWrong(error)
    }
    isAsking = false
    changed()
    timer = setTimeout(ask, Math.min(EVERY * 2 ** failures, AT_MOST))
  }
  document.onvisibilitychange = ask
  ask()
  return () => {
    isPaused = !isPaused
    changed()
    ask()
  }
}

/** @throws an error that says what is wrong */
async function answer (since: number | undefined): Promise<PageState> {
  const response = await fetch(urlOf(since ? `state?since=${since}` : 'state'), { cache: 'no-store', signal: AbortSignal.timeout(AT_MOST) })
    .catch(() => { throw new Error('The server does not answer') })
  const { ok, status } = response
  if (!ok) throw new Error(`The server answers ${status}${status === 401 || status === 403 ? SIGN_IN : ''}`)
  return await response.json().catch(() => { throw new Error(`The server answers something else${SIGN_IN}`) }) as PageState
}
