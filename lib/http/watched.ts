/**
 * Proxies that tell what is read of an object.
 *
 * Invariant: every way to a value of the object is told before the value is given.
 */
import { inspect } from 'node:util'

/** A proxy has its whole object under this name. */
const kAll = Symbol('all')

/** The target of proxies. Code that looks behind a proxy, as `util.inspect` does, finds this. */
class Shadow {
  /** Called on the proxy. */
  [inspect.custom] (): unknown {
    return (this as unknown as { [kAll]: unknown })[kAll]
  }
}

class ArrayShadow extends Array<string> {
  /** Called on the proxy. */
  [inspect.custom] (): unknown {
    return (this as unknown as { [kAll]: unknown })[kAll]
  }
}

/** Is told what is read of a watched object, before the reader has it. */
export interface ReadObserver {
  /** A property is read. */
  note (name: string): void
  /** All properties are read at once. */
  readAll (): void
  /** A property is changed. */
  change (name: string | symbol): void
}

const SHADOW = new Shadow()
const ARRAY_SHADOW = new ArrayShadow()

/** The handler of one watched object. A class, so that a leader that reads nothing pays for little more than a proxy. */
class WatchHandler<T extends object> implements ProxyHandler<object> {
  readonly watched: T
  readonly reads: ReadObserver

  constructor (watched: T, reads: ReadObserver) {
    this.watched = watched
    this.reads = reads
  }

  note (name: string): void {
    this.reads.note(name)
  }

  get (_target: object, name: string | symbol): unknown {
    if (name === kAll) {
      this.reads.readAll()
      return this.watched
    }
    if (typeof name === 'string') this.note(name)
    return Reflect.get(this.watched, name)
  }

  has (_target: object, name: string | symbol): boolean {
    if (typeof name === 'string') this.note(name)
    return Reflect.has(this.watched, name)
  }

  getOwnPropertyDescriptor (_target: object, name: string | symbol): PropertyDescriptor | undefined {
    if (typeof name === 'string') this.note(name)
    const descriptor = Reflect.getOwnPropertyDescriptor(this.watched, name)
    // A proxy may say that a property is fixed only if it is so on the target: that is the length of an array.
    return descriptor === undefined ? undefined : { ...descriptor, configurable: !(Array.isArray(_target) && name === 'length') }
  }

  ownKeys (): Array<string | symbol> {
    this.reads.readAll()
    return Reflect.ownKeys(this.watched)
  }

  getPrototypeOf (): object | null {
    return Reflect.getPrototypeOf(this.watched)
  }

  set (_target: object, name: string | symbol, value: unknown): boolean {
    this.reads.change(name)
    return Reflect.set(this.watched, name, value)
  }

  defineProperty (_target: object, name: string | symbol, descriptor: PropertyDescriptor): boolean {
    this.reads.change(name)
    return Reflect.defineProperty(this.watched, name, descriptor)
  }

  deleteProperty (_target: object, name: string | symbol): boolean {
    this.reads.change(name)
    return Reflect.deleteProperty(this.watched, name)
  }

  // All proxies share their targets.
  setPrototypeOf (): boolean {
    return false
  }

  preventExtensions (): boolean {
    return false
  }
}

/** The handler of an array of names and values: a read of one member counts as a read of all. */
class ArrayWatchHandler extends WatchHandler<string[]> {
  override note (): void {
    this.reads.readAll()
  }
}

/** Makes a proxy that behaves like the object, and tells what is read of it. */
export function watched<T extends object> (object: T, reads: ReadObserver): T {
  return new Proxy<object>(SHADOW, new WatchHandler(object, reads)) as T
}

/** The same for an array of names and values. */
export function watchedArray (array: string[], reads: ReadObserver): string[] {
  return new Proxy<object>(ARRAY_SHADOW, new ArrayWatchHandler(array, reads)) as string[]
}
