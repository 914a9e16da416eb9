/**
 * What a function is called on (`this`), as a part of the key of its calls.
 *
 * Invariant: different values have different texts. The text of an object is valid in this process only, and does not keep the
 * object alive.
 */
import { randomUUID } from 'node:crypto'
import { functionKeyText } from '../http/key-parts.js'

/** Tells the objects of this process from those of others that use the same store. */
const PROCESS = randomUUID()

export class CalledOn {
  readonly #ids = new WeakMap<object, string>()
  #objects = 0

  /** Whether a call may have been made on it. */
  knows (self: unknown): boolean {
    return isObject(self) ? this.#ids.has(self) : self !== undefined && self !== null
  }

  /** Empty for undefined and null; undefined for a symbol, which no text tells from all others. */
  textOf (self: unknown): string | undefined {
    if (!isObject(self)) return self === undefined || self === null ? '' : functionKeyText([self])
    let id = this.#ids.get(self)
    if (id === undefined) this.#ids.set(self, id = `${PROCESS}/${++this.#objects}`)
    return id
  }
}

function isObject (value: unknown): value is object {
  return typeof value === 'function' || (typeof value === 'object' && value !== null)
}

/** How the source of an arrow function begins. That of a method named `async` begins so as well. */
const ARROW = /^(?:async\b\s*)?(?:\(|[\p{ID_Start}$_][\p{ID_Continue}$]*\s*=>)/u

/** Whether a function has no `this` of its own. */
export function isArrowFunction (fn: { readonly name: string }): boolean {
  return fn.name !== 'async' && ARROW.test(Function.prototype.toString.call(fn))
}
