/**
 * A variant: one of several results of a key, which differ by request headers that the key does not cover.
 *
 * Invariant: immutable, and pure.
 */

/** Gives the values that a variant depends on: those of request headers, or the client's address; null if there is none. */
export interface Varying {
  value (name: string): string | null
}

export interface Variant {
  readonly names: readonly string[]
  readonly values: ReadonlyArray<string | null>
}

export const NO_VARIANT: Variant = Object.freeze({ names: Object.freeze([]), values: Object.freeze([]) })

/** Whether a request has all the values of a variant. */
export function isOfVariant (varying: Varying, { names, values }: Variant): boolean {
  return names.every((name, index) => varying.value(name) === values[index])
}

/** The variant of a result that depends on `names`, with the values of the request that it was made for. */
export function variantOf (varying: Varying, names: readonly string[]): Variant {
  return names.length === 0 ? NO_VARIANT : { names, values: names.map(name => varying.value(name)) }
}

/** How many characters a variant has. */
export function sizeOfVariant ({ names, values }: Variant): number {
  return names.reduce((sum, name, index) => sum + name.length + (values[index]?.length ?? 0), 0)
}
