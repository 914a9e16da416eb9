/**
 * How urgent a run is, as a route or function says.
 *
 * Invariant: the answer is a level that there is. Whatever else a function of the app answers, or throws, stands for the middle level.
 */

/** What a function answered that is no level, or that it threw. */
export type NoLevel = { readonly type: 'unknown', readonly got: unknown } | { readonly type: 'threw', readonly error: unknown }

export type LevelOf<Subject extends readonly unknown[]> = (this: unknown, ...subject: Subject) => number

/**
 * @param priority a level's name, or what answers one; undefined: the middle one
 * @param levels their names, the most urgent first
 * @param noted is told of each answer that is no level
 */
export function levelOf<Subject extends readonly unknown[]> (
  priority: string | ((this: unknown, ...subject: Subject) => unknown) | undefined, levels: readonly string[],
  noted: (what: NoLevel) => void
): LevelOf<Subject> {
  const middle = levels.length >> 1
  if (typeof priority !== 'function') {
    const level = priority === undefined ? middle : Math.max(levels.indexOf(priority), 0)
    return () => level
  }
  return function (...subject) {
    try {
      const got = Reflect.apply(priority, this, subject)
      if (got === undefined) return middle
      const level = levels.indexOf(got as string)
      if (level >= 0) return level
      noted({ type: 'unknown', got })
    } catch (error) {
      noted({ type: 'threw', error })
    }
    return middle
  }
}
