/**
 * A client for a url: the first that is installed, loaded when it is needed.
 *
 * Invariant: until it is loaded, the connection is one that is not ready.
 */
import type { Client, Timing } from './clients/client.js'
import { clientForUrl } from './clients/connect.js'
import type { Command, Connection, ConnectionListener, Reply } from './clients/connection.js'

class UrlConnection implements Connection {
  readonly isCluster = false
  readonly #connected: Promise<void>
  #connection: Connection | undefined
  #isClosed = false

  constructor (url: string, channels: readonly string[], listener: ConnectionListener, timing: Timing) {
    this.#connected = clientForUrl(url, 'url').then(client => {
      if (!this.#isClosed) this.#connection = client.connect(channels, listener, timing)
    }).catch((error: Error) => { listener.failed(error) })
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

export function urlClient (url: string): Client {
  return {
    isCluster: false,
    keyPrefix: '',
    connect: (channels, listener, timing) => new UrlConnection(url, channels, listener, timing)
  }
}
