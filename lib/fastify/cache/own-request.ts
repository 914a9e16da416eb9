/**
 * Requests that the app makes to itself. Node's parser reads them from bytes, as it reads those of clients.
 *
 * Invariant: no client can make one, because its connection has no other end. It runs in no client's asynchronous context, and its
 * response is not stored here.
 */
import { AsyncResource } from 'node:async_hooks'
import { createServer, validateHeaderName, validateHeaderValue, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { isIPv6, Socket } from 'node:net'

/** What a connection tells about its client. */
export interface Peer {
  readonly address: string
  /** It is one over TLS. */
  readonly encrypted: boolean
  /** The name that TLS was begun with. */
  readonly servername: unknown
}

export interface OwnRequest {
  readonly method: string
  /** The target. */
  readonly url: string
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: string | Buffer | undefined
  readonly peer: Peer
}

export interface Answer {
  readonly status: number | undefined
  /** All of it was sent. */
  readonly complete: boolean
  /** What its connection ended with. */
  readonly error: Error | null
}

export interface Asked {
  /** Never rejects. */
  readonly answer: Promise<Answer>
  /** Breaks off. */
  readonly destroy: () => void
}

export type Receive = (request: IncomingMessage, response: ServerResponse) => void

/** A context of no client: values in a client's context must not reach this request. */
const nowhere = new AsyncResource('CoalescedRefresh')
/** No limit of its own: the app's server has accepted the headers already. */
const MAX_HEADER_SIZE = 2 ** 30
const receivers = new WeakMap<Socket, Receive>()
let server: Server | undefined

/** A connection that brings one request and drops what is written to it. */
class Wire extends Socket {
  #bytes: Buffer | undefined

  constructor (bytes: Buffer, { address, encrypted, servername }: Peer) {
    super()
    this.#bytes = bytes
    const says = {
      remoteAddress: address,
      remoteFamily: isIPv6(address) ? 'IPv6' : 'IPv4',
      remotePort: 0,
      ...encrypted ? { encrypted, authorized: false, servername, getPeerCertificate: () => ({}) } : {}
    }
    for (const [name, value] of Object.entries(says)) {
      Object.defineProperty(this, name, { value, configurable: true, enumerable: false, writable: true })
    }
  }

  /** It does not end by itself, because Node would then take the request for aborted. */
  override _read (): void {
    if (this.#bytes === undefined) return
    this.push(this.#bytes)
    this.#bytes = undefined
  }

  override _write (_chunk: unknown, _encoding: string, done: () => void): void {
    done()
  }

  override _writev (_chunks: unknown, done: () => void): void {
    done()
  }
}

/** A server that listens on no port. */
function ownServer (): Server {
  const own = createServer({ maxHeaderSize: MAX_HEADER_SIZE, requireHostHeader: false }, (request, response) => {
    const { socket } = request
    try {
      (receivers.get(socket) as Receive)(request, response)
    } catch (error) {
      socket.destroy(error as Error)
    }
  })
  own.maxHeadersCount = 0
  own.on('clientError', (error, socket) => { socket.destroy(error) })
  return own
}

/**
 * Makes a request, which is given to `receive` as a server's is.
 *
 * @throws if it has what cannot be sent
 */
export function ask (own: OwnRequest, receive: Receive): Asked {
  const bytes = bytesOf(own)
  return nowhere.runInAsyncScope(() => {
    const wire = new Wire(bytes, own.peer)
    const answer = new Promise<Answer>(resolve => {
      let answered: ServerResponse | undefined
      receivers.set(wire, (request, response) => {
        answered = response
        response.once('close', () => { wire.destroy() })
        request.url = own.url
        receive(request, response)
      })
      wire.once('close', () => {
        resolve({ status: answered?.statusCode, complete: answered?.writableFinished === true, error: wire.errored })
      })
    });
    (server ??= ownServer()).emit('connection', wire)
    return { answer, destroy: () => { wire.destroy() } }
  })
}

/** Characters that a request line cannot contain. A target of HTTP/2, or one that a hook has changed, may. */
const UNSAFE = /[^!-~]/g
/** The length of the body is set below. */
const FRAMING = new Set(['content-length', 'transfer-encoding'])

function bytesOf ({ method, url, headers, body }: OwnRequest): Buffer {
  const lines = [`${method} ${url.replace(UNSAFE, '_')} HTTP/1.1`]
  for (const [name, values] of Object.entries(headers)) {
    if (FRAMING.has(name) || values === undefined) continue
    for (const value of [values].flat() as string[]) {
      validateHeaderName(name)
      validateHeaderValue(name, value)
      lines.push(`${name}: ${value}`)
    }
  }
  if (body !== undefined) lines.push(`content-length: ${Buffer.byteLength(body)}`)
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
  return body === undefined ? head : Buffer.concat([head, Buffer.from(body as string)])
}
