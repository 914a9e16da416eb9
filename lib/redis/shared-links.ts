/**
 * Links that their users share.
 *
 * Invariant: users of the same client, or url, with the same settings have the same link. It is there while it has users.
 */
import type { CoordinationLog } from '../../types/index.js'
import { BootCheck } from './boot-check.js'
import { readMessage } from './inbox.js'
import { Link } from './link.js'
import { clientFor, type LinkSettings } from './options.js'
import { Purges } from './purges.js'
import type { Script } from './scripts.js'
import { Seal } from './seal.js'

const CLUSTER_LANES = 16
const NO_SECRET = 'without the option secret, whoever can reach Redis and knows the namespace can read and write what processes tell each other'

/** A link, and what its users share besides. */
export class SharedLink {
  readonly link: Link
  readonly purges: Purges
  readonly #boot: BootCheck
  readonly #ended: () => void
  readonly #hasSecret: boolean
  #users = 0

  constructor (settings: LinkSettings, ended: () => void) {
    const client = clientFor(settings)
    const lanes = settings.lanes ?? (client.isCluster ? CLUSTER_LANES : 1)
    this.link = new Link(client, { ...settings, lanes }, new Seal(settings.namespace, settings.secret))
    this.purges = new Purges(this.link)
    this.#boot = new BootCheck(this.link)
    this.#ended = ended
    this.#hasSecret = settings.secret !== undefined
    const { broadcast } = this.link.names
    this.link.listen({
      usable: () => { this.purges.sendAgain() },
      inboxBack: () => { this.purges.missed() },
      message: (channel, message) => {
        if (channel === broadcast) this.#received(message)
      }
    })
  }

  /** One more user. */
  use (log: CoordinationLog): () => Promise<void> {
    this.#users++
    const end = this.link.journal.use(log)
    if (this.#users === 1 && !this.#hasSecret) this.link.journal.write('coordinator-no-secret', NO_SECRET)
    return async () => {
      if (--this.#users > 0) return end()
      this.#ended()
      await this.link.close()
      await this.purges.close()
      end()
    }
  }

  /**
   * @param probe tries what this user needs besides
   * @throws what is wrong with the configuration of Redis
   */
  async ready (...probe: readonly Script[]): Promise<void> {
    await this.#boot.run(...probe)
  }

  #received (bytes: Buffer): void {
    const message = readMessage(bytes)
    if (message?.type === 'purged' || message?.type === 'reset') this.purges.received(message)
    else {
      this.link.rejected()
      this.purges.missed()
    }
  }
}

const ofClients = new WeakMap<object, Map<string, SharedLink>>()
const ofUrls = new Map<string, SharedLink>()

/** The link for these settings. Who gets it has to use it. */
export function sharedLink (settings: LinkSettings): SharedLink {
  const { client, url, namespace, secret, lanes, opTimeout, clock } = settings
  let links = ofUrls
  if (client !== undefined) {
    links = ofClients.get(client) ?? new Map<string, SharedLink>()
    ofClients.set(client, links)
  }
  const name = JSON.stringify([url, namespace, secret, lanes, opTimeout])
  const known = links.get(name)
  if (known?.link.clock === clock) return known
  const shared = new SharedLink(settings, () => {
    if (links.get(name) === shared) links.delete(name)
  })
  links.set(name, shared)
  return shared
}
