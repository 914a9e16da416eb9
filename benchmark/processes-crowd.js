// @ts-check
/**
 * Very many clients who ask several servers the same at once, in a process of its own. Its parent sends one try after another over IPC, and
 * is told when the last client was answered; it ends when its parent does.
 */
import { connect } from 'node:net'

/**
 * @typedef {object} Try
 * @property {number[]} ports
 * @property {number} clients of each server
 * @property {string} path
 */

/** @type {Map<number, import('node:net').Socket[]>} */
const connections = new Map()

/**
 * @param {number} port
 * @param {number} count
 */
async function connected (port, count) {
  const sockets = connections.get(port) ?? []
  connections.set(port, sockets)
  while (sockets.length < count) {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    await new Promise((resolve, reject) => { socket.once('connect', resolve).once('error', reject) })
    sockets.push(socket.setEncoding('latin1'))
  }
  return sockets.slice(0, count)
}

/**
 * @param {import('node:net').Socket} socket
 * @param {string} path
 * @returns {Promise<void>}
 */
function ask (socket, path) {
  return new Promise((resolve, reject) => {
    let text = ''
    /** @param {string} chunk */
    const onData = chunk => {
      text += chunk
      const head = text.indexOf('\r\n\r\n')
      if (head === -1 || text.length < head + 4 + Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1])) return
      socket.off('data', onData).off('close', reject)
      if (text.startsWith('200', 9)) resolve()
      else reject(new Error(text.slice(0, head)))
    }
    // All servers are asked for the same host, which is part of the key.
    socket.on('data', onData).on('close', reject).write(`GET ${path} HTTP/1.1\r\nhost: app.test\r\n\r\n`)
  })
}

process.on('disconnect', () => process.exit())
process.on('message', async message => {
  const { ports, clients, path } = /** @type {Try} */ (message)
  try {
    /** @type {Array<import('node:net').Socket[]>} */
    const crowds = []
    for (const port of ports) crowds.push(await connected(port, clients))
    const start = performance.now()
    // The first client of each comes before the second one of any.
    const interleaved = Array.from({ length: clients }, (_, place) => crowds.flatMap(crowd => crowd.slice(place, place + 1))).flat()
    await Promise.all(interleaved.map(socket => ask(socket, path)))
    process.send?.({ last: performance.now() - start })
  } catch (error) {
    process.send?.({ error: String(error) })
  }
})
process.send?.({})
