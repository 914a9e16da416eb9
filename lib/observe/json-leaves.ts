/**
 * Reads JSON as leaves: paths with the texts of their values.
 *
 * Invariant: linear, and without recursion. No character of a value is lost: numbers are not rounded, and of
 * names that stand twice both are told. Names are never keys of objects.
 */

/** What is deeper or longer is told together under `.…`. */
const LONGEST_PATH = 200

/** What is deeper is read as a text: it costs less, and nobody answers that. */
const DEEPEST = 500

const SCALAR = /^(?:true|false|null|-?\d[\d.eE+-]*)$/

const OBJECT = '}'.charCodeAt(0)
const ARRAY = ']'.charCodeAt(0)

interface Container {
  readonly path: string
  readonly end: number
  size: number
}

/** @returns false if it is no JSON; some leaves may have been told then */
export function jsonLeaves (text: string, leaf: (path: string, value: string) => void): boolean {
  const open: Container[] = []
  let path = '$'
  let at = past(text, 0)

  /** Moves to the next value of a container, and knows its path then. */
  const enter = (container: Container): boolean => {
    container.size++
    if (container.end === ARRAY) {
      path = below(container.path, '[]')
      return true
    }
    const end = endOfString(text, at)
    if (end < 0) return false
    path = below(container.path, `.${text.slice(at + 1, end - 1)}`)
    at = past(text, end)
    if (text[at] !== ':') return false
    at = past(text, at + 1)
    return true
  }

  for (;;) {
    const first = text[at]
    if (first === '{' || first === '[') {
      const container = { path, end: first === '{' ? OBJECT : ARRAY, size: 0 }
      at = past(text, at + 1)
      if (text.charCodeAt(at) !== container.end) {
        if (open.push(container) > DEEPEST) return false
        if (!enter(container)) return false
        continue
      }
      leaf(path, first)
      at++
    } else {
      const end = first === '"' ? endOfString(text, at) : endOfScalar(text, at)
      if (end < 0) return false
      leaf(path, text.slice(at, end))
      at = end
    }
    for (;;) {
      at = past(text, at)
      const container = open.at(-1)
      if (container === undefined) return at === text.length
      if (text[at] === ',') {
        at = past(text, at + 1)
        if (!enter(container)) return false
        break
      }
      if (text.charCodeAt(at) !== container.end) return false
      if (container.end === ARRAY) leaf(`${container.path}.length`, String(container.size))
      open.pop()
      at++
    }
  }
}

function below (path: string, step: string): string {
  if (path.endsWith('.…')) return path
  return path.length + step.length > LONGEST_PATH ? `${path}.…` : path + step
}

/** Past white space. */
function past (text: string, at: number): number {
  for (;;) {
    const code = text.charCodeAt(at)
    if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return at
    at++
  }
}

/** Behind the closing quote of the string that begins here; -1 if none does, or it has none. */
function endOfString (text: string, at: number): number {
  if (text[at] !== '"') return -1
  for (let index = at + 1; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === 34) return index + 1
    if (code === 92) index++
  }
  return -1
}

/** Behind the number or word that begins here; -1 if none does. */
function endOfScalar (text: string, at: number): number {
  let end = at
  while (end < text.length && !isBoundary(text.charCodeAt(end))) end++
  return SCALAR.test(text.slice(at, end)) ? end : -1
}

function isBoundary (code: number): boolean {
  return code <= 32 || code === 44 || code === ARRAY || code === OBJECT
}
