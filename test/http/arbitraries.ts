/**
 * What properties of the HTTP rules are tried on.
 */
import fc from 'fast-check'

/** Any text that a field could hold: Unicode, lone surrogates, bytes as Node decodes them, and control characters. */
export const anyText: fc.Arbitrary<string> = fc.oneof(
  fc.array(fc.nat(0xffff), { maxLength: 12 }).map(units => String.fromCharCode(...units)),
  fc.array(fc.nat(0xff), { maxLength: 20 }).map(bytes => String.fromCharCode(...bytes))
)

/** Texts of these characters. */
export function textOf (characters: string, minLength: number, maxLength: number): fc.Arbitrary<string> {
  return fc.array(fc.constantFrom(...characters), { minLength, maxLength }).map(all => all.join(''))
}

/** The given text in random case. */
export function anyCase (text: string): fc.Arbitrary<string> {
  return fc.array(fc.boolean(), { minLength: text.length, maxLength: text.length })
    .map(upper => [...text].map((char, index) => upper[index] === true ? char.toUpperCase() : char.toLowerCase()).join(''))
}

/** Optional white space between the members of a list. */
export const space: fc.Arbitrary<string> = fc.constantFrom('', '', ' ', '\t', ' \t ')
