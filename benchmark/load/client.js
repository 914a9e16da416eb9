// @ts-check
/**
 * A client of the load: a connection with one request at a time. It is to be faster than any server, so it writes and reads HTTP as
 * text.
 */
import { connect as connectTo } from 'node:net'

const CLOSED = new Error('the server has closed a connection')

export class Client {
  #host
  #socket
  #text = ''
  /** @type {() => void} */
  #onAnswer = () => {}
  /** @type {(error: Error) => void} */
  #onError = () => {}

  /** @param {string} origin */
  constructor (origin) {
    const { host, hostname, port } = new URL(origin)
    this.#host = host
    this.#socket = connectTo({ host: hostname, port: Number(port), noDelay: true }).setEncoding('latin1')
    this.#socket.on('data', text => { this.#read(String(text)) })
    this.#socket.on('error', error => { this.#onError(error) })
    this.#socket.on('close', () => { this.#onError(CLOSED) })
  }

  /** @returns {Promise<void>} */
  async connected () {
    if (this.#socket.connecting) await new Promise((resolve, reject) => { this.#socket.once('connect', resolve).once('error', reject) })
  }

  /**
   * @param {string} path
   * @returns {string}
   */
  text (path) {
    return `GET ${path} HTTP/1.1\r\nhost: ${this.#host}\r\nconnection: keep-alive\r\naccept: application/json\r\nuser-agent: load\r\n\r\n`
  }

  /**
   * @param {string} path
   * @param {() => void} onAnswer
   * @param {(error: Error) => void} onError
   */
  get (path, onAnswer, onError) {
    this.#onAnswer = onAnswer
    this.#onError = onError
    // It may have been closed while no round lasted: nothing more is told of it.
    if (this.#socket.destroyed) onError(CLOSED)
    else this.#socket.write(this.text(path))
  }

  /**
   * Asks for all of these at once, and waits for no answer.
   *
   * @param {readonly string[]} paths
   */
  ask (paths) {
    this.#socket.write(paths.map(path => this.text(path)).join(''))
  }

  /** @param {string} text */
  #read (text) {
    const all = this.#text + text
    const head = all.indexOf('\r\n\r\n')
    if (head === -1 || all.length < head + 4 + Number(/\r\ncontent-length: (\d+)/i.exec(all)?.[1])) {
      this.#text = all
      return
    }
    this.#text = ''
    if (all.startsWith('200', 9)) this.#onAnswer()
    else this.#onError(new Error(all.slice(0, head)))
  }
}

/** @type {Map<string, Client[]>} */
const connections = new Map()

/**
 * The first of the connections to a server, which stay open between rounds.
 *
 * @param {string} origin
 * @param {number} count
 * @param {string} [purpose] for which they are: those that wait for an answer are of no use for another one
 * @returns {Client[]}
 */
export function connect (origin, count, purpose = 'rounds') {
  const name = `${purpose} ${origin}`
  let clients = connections.get(name)
  if (clients === undefined) connections.set(name, clients = [])
  while (clients.length < count) clients.push(new Client(origin))
  return clients.slice(0, count)
}
