/**
 * Whether a text is well-formed: it has no lone surrogates, which UTF-8 cannot tell apart.
 *
 * Invariant: linear.
 */

/** In Node since version 20, in TypeScript's library since ES2024. */
type WellFormed = string & { isWellFormed: () => boolean }

export function isWellFormed (text: string): boolean {
  return (text as WellFormed).isWellFormed()
}
