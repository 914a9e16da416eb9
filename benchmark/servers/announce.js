// @ts-check
/**
 * What all servers do: they tell their parent the port, answer what it asks over IPC with their figures, and end when it does.
 */

/**
 * @typedef {object} Figures
 * @property {number} runs handler runs since the start
 * @property {number} requests that have arrived since the start
 * @property {number} cpu microseconds of CPU time since the start
 * @property {number} ended when a run has ended last, in milliseconds by the clock that all processes of a machine have in common
 * @property {number} heap bytes in use
 * @property {number} collections of garbage since the start
 */

/**
 * @typedef {object} Question for the figures
 * @property {boolean} [collect] what nobody needs is collected first
 * @property {string} [ask] for something to be done first
 * @property {number} [number] for that
 */

/** What the server counts. */
export const counts = { runs: 0, requests: 0, ended: 0, collections: 0 }

export function runEnds () {
  counts.ended = Number(process.hrtime.bigint()) / 1e6
}

function noop () {}

/**
 * V8 compiles `process.nextTick` in one of two ways, as chance has it: a call takes 50 ns, or 280, of which a request has several. Called
 * often enough before anything else it is always the former.
 */
export async function settleNextTick () {
  for (let turn = 0; turn < 1000; turn++) {
    for (let call = 0; call < 100; call++) process.nextTick(noop)
    await new Promise(resolve => { setImmediate(resolve) })
  }
}

/** @param {boolean} collect whether what nobody needs is to be collected first */
async function figures (collect) {
  if (collect) {
    for (let round = 0; round < 3; round++) {
      await new Promise(resolve => { setImmediate(resolve) })
      globalThis.gc?.()
    }
  }
  const { user, system } = process.cpuUsage()
  return { ...counts, cpu: user + system, heap: process.memoryUsage().heapUsed }
}

/**
 * @param {number} port
 * @param {(ask: string, number: number) => void} [asked] told of what its parent asks for besides figures
 */
export function announce (port, asked) {
  if (!process.connected) process.exit()
  process.on('disconnect', () => process.exit())
  process.on('message', async message => {
    const { collect = false, ask, number = 0 } = /** @type {Question} */ (message)
    try {
      if (ask !== undefined) asked?.(ask, number)
      process.send?.(await figures(collect))
    } catch (error) {
      process.send?.({ error: String(error) })
    }
  })
  process.send?.({ port })
}
