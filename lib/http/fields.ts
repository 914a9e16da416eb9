/**
 * The grammar of list-valued HTTP fields (RFC 9110 section 5.6), read strictly.
 *
 * Invariant: never throws on any input. A value that is not well formed is `undefined`; the caller then takes the restrictive reading.
 */

export type FieldValue = string | number | readonly string[] | undefined

const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y
const QUOTED = /"((?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*)"/y
const SPACE = /[ \t]*/y

/** The field's lines as one list (RFC 9110 section 5.3). */
export function combined (value: FieldValue): string {
  if (value === undefined) return ''
  return Array.isArray(value) ? value.join(', ') : String(value as string | number)
}

/** The field's lines. Each must be well formed by itself. */
export function lines (value: Exclude<FieldValue, undefined>): readonly string[] {
  // Node sends dates, URLs, null and other values as text.
  return Array.isArray(value) ? value.map(String) : [String(value)]
}

/** The members of a list of tokens, in lower case; undefined if it is not one (RFC 9110 section 5.6.1). */
export function tokenList (text: string): string[] | undefined {
  const members = directives(text)
  return members?.every(([, argument]) => argument === undefined) === true ? members.map(([name]) => name) : undefined
}

/**
 * The directives of a list such as Cache-Control (RFC 9111 section 5.2): `name`, `name=token` or `name="quoted"`, names in
 * lower case, in order. Undefined if any of it is not well formed.
 */
export function directives (text: string): Array<[name: string, argument: string | undefined]> | undefined {
  const found: Array<[string, string | undefined]> = []
  let at = 0
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    const match = pattern.exec(text)
    if (match !== null) at = pattern.lastIndex
    return match
  }
  for (;;) {
    take(SPACE)
    if (at === text.length) return found
    if (text[at] === ',') {
      at++
      continue
    }
    const name = take(TOKEN)
    if (name === null) return undefined
    let argument: string | undefined
    if (text[at] === '=') {
      at++
      const quoted = take(QUOTED)
      argument = quoted !== null ? (quoted[1] as string).replace(/\\(.)/g, '$1') : take(TOKEN)?.[0]
      if (argument === undefined) return undefined
    }
    found.push([name[0].toLowerCase(), argument])
    take(SPACE)
    if (at < text.length && text[at] !== ',') return undefined
  }
}
