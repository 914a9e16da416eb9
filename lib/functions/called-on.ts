/**
 * What a function is called on, as a part of the key of its calls.
 *
 * Invariant: two that are not the same have not the same text. That of an object means something in this process only, and
 * nothing here keeps an object alive.
 */
import { randomUUID } from 'node:crypto'
import { encodeKey } from './arguments.js'

/** In a store that others see too, an object of this process is none of theirs. */
const PROCESS = randomUUID()

export class CalledOn {
  readonly #ids = new WeakMap<object, string>()
  #objects = 0

  /** Whether something was called on before, so that there may be something to purge for it. */
  knows (self: unknown): boolean {
    return isObject(self) ? this.#ids.has(self) : self !== undefined && self !== null
  }

  /** Empty for nothing; undefined if it is something that cannot be told from all others. */
  textOf (self: unknown): string | undefined {
    if (!isObject(self)) return self === undefined || self === null ? '' : encodeKey([self])
    let id = this.#ids.get(self)
    if (id === undefined) this.#ids.set(self, id = `${PROCESS}/${++this.#objects}`)
    return id
  }
}

function isObject (value: unknown): value is object {
  return typeof value === 'function' || (typeof value === 'object' && value !== null)
}

/** How the text of an arrow function begins. One of a method that is called `async` begins so as well. */
const ARROW = /^(?:async\b\s*)?(?:\(|[\p{ID_Start}$_][\p{ID_Continue}$]*\s*=>)/u

/** Whether it is all the same to a function what it is called on. */
export function isArrowFunction (fn: { readonly name: string }): boolean {
  return fn.name !== 'async' && ARROW.test(Function.prototype.toString.call(fn))
}
