/**
 * A variant: one of several results of a key, told apart by what they depend on besides the key.
 *
 * Invariant: immutable, and pure.
 */

/** Who has values for what tells variants apart: a request header, or the client's address; null if there is none. */
export interface Varying {
  value (name: string): string | null
}

export interface Variant {
  readonly names: readonly string[]
  readonly values: ReadonlyArray<string | null>
}

export const NO_VARIANT: Variant = Object.freeze({ names: Object.freeze([]), values: Object.freeze([]) })

/** Whether somebody agrees with a variant in everything that it depends on. */
export function isOfVariant (varying: Varying, { names, values }: Variant): boolean {
  return names.every((name, index) => varying.value(name) === values[index])
}

/** The variant of a result that depends on `names` and was made for somebody. */
export function variantOf (varying: Varying, names: readonly string[]): Variant {
  return names.length === 0 ? NO_VARIANT : { names, values: names.map(name => varying.value(name)) }
}

/** How many characters a variant has. */
export function sizeOfVariant ({ names, values }: Variant): number {
  return names.reduce((sum, name, index) => sum + name.length + (values[index]?.length ?? 0), 0)
}
