/**
 * A client for a url: the first that is installed, loaded when it is needed.
 *
 * Invariant: until it is loaded, the connection is one that is not ready. That there is none to load is told as what is wrong for good.
 */
import { RedisUnusableError } from '../errors.js'
import { bare, type Client, type Timing } from './clients/client.js'
import { clientForUrl, LOADERS } from './clients/connect.js'
import type { Command, Connection, ConnectionListener, Reply } from './clients/connection.js'

class UrlConnection implements Connection {
  readonly isCluster = false
  readonly #connected: Promise<void>
  #connection: Connection | undefined
  #isClosed = false

  constructor (making: Promise<Client>, channels: readonly string[], listener: ConnectionListener, timing: Timing) {
    this.#connected = making.then(client => {
      if (!this.#isClosed) this.#connection = client.connect(channels, listener, timing)
    }).catch((error: unknown) => { listener.failed(unusable(error)) })
  }

  get isReady (): boolean {
    return this.#connection?.isReady === true
  }

  get isInboxReady (): boolean {
    return this.#connection?.isInboxReady === true
  }

  async send (key: string, commands: readonly Command[]): Promise<readonly Reply[]> {
    if (this.#connection === undefined) throw new Error('there is no connection')
    return await this.#connection.send(key, commands)
  }

  async close (): Promise<void> {
    this.#isClosed = true
    await this.#connected
    await this.#connection?.close()
  }
}

function unusable (error: unknown): Error {
  return error instanceof RedisUnusableError ? error : new RedisUnusableError(`no client can be made for the option url (${bare(error).message})`)
}

export function urlClient (url: string, loaders = LOADERS): Client {
  return {
    isCluster: false,
    keyPrefix: '',
    connect: (channels, listener, timing) => new UrlConnection(clientForUrl(url, 'url', loaders), channels, listener, timing)
  }
}
