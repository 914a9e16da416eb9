// @ts-check
/**
 * Child processes that answer one message with one, each on a core of its own where `taskset` can say so.
 *
 * Invariant: a child ends with its parent, because it watches the channel between them.
 */
import { spawn, spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'

/** Why processes are not pinned; undefined if they are. */
export const unpinned = availableParallelism() < 2
  ? 'there is one core only'
  : spawnSync('taskset', ['-c', '0,1', 'true']).status === 0 ? undefined : 'taskset is missing, or may not pin to cores 0 and 1'

const PATIENCE = 180_000

/** A module of this folder, in a process. */
export class Child {
  #process

  /**
   * @param {string} module
   * @param {number} core
   * @param {string[]} args those for Node come first, and begin with `--`
   */
  constructor (module, core, ...args) {
    const flags = args.filter(arg => arg.startsWith('--'))
    const node = [process.execPath, ...flags, fileURLToPath(new URL(module, import.meta.url)), ...args.slice(flags.length)]
    const [command, ...rest] = unpinned === undefined ? ['taskset', '-c', String(core), ...node] : node
    this.#process = spawn(/** @type {string} */ (command), rest, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  }

  /**
   * Its next message. Rejects when it reports an error, ends, or takes too long.
   *
   * @returns {Promise<any>}
   */
  answer () {
    const child = this.#process
    return new Promise((resolve, reject) => {
      /** @type {(settle: () => void) => void} */
      const finish = settle => {
        clearTimeout(timer)
        child.off('message', onMessage).off('exit', onExit).off('error', onError)
        settle()
      }
      /** @param {any} message */
      const onMessage = message => finish(() => message.error === undefined ? resolve(message) : reject(new Error(message.error)))
      /** @type {(code: number | null, signal: string | null) => void} */
      const onExit = (code, signal) => finish(() => reject(new Error(`${child.spawnargs.join(' ')} ended with ${code ?? signal}`)))
      /** @param {Error} error */
      const onError = error => finish(() => reject(error))
      const timer = setTimeout(() => finish(() => reject(new Error(`${child.spawnargs.join(' ')} does not answer`))), PATIENCE)
      child.on('message', onMessage).on('exit', onExit).on('error', onError)
    })
  }

  /**
   * @param {object} message
   * @returns {Promise<any>}
   */
  ask (message) {
    const answer = this.answer()
    this.#process.send(message)
    return answer
  }

  stop () {
    this.#process.kill()
  }
}
