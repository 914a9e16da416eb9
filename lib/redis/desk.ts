/**
 * What the members of one coordinator share: who leads and waits here, and the link that they do it over.
 *
 * Invariant: what arrives at the inbox goes to whom it is for, and nobody else; what is for nobody is dropped.
 */
import type { CoordinationLog } from '../../types/index.js'
import { HandOffs } from './hand-offs.js'
import { readMessage } from './inbox.js'
import { Leases } from './leases.js'
import type { Link } from './link.js'
import type { CoordinatorSettings } from './options.js'
import { sharedLink, type SharedLink } from './shared-links.js'
import { Waits } from './waits.js'

/** How many leases a registration outlives that nobody renews. */
const KEEP_WAITERS = 4

export class Desk {
  readonly settings: CoordinatorSettings
  readonly keepWaiters: number
  readonly shared: SharedLink
  readonly link: Link
  readonly waits: Waits
  readonly leases: Leases
  readonly #handOffs: HandOffs
  readonly #ended: () => void
  readonly #stopListening: () => void
  #users = 0

  constructor (settings: CoordinatorSettings, ended: () => void) {
    this.settings = settings
    this.#ended = ended
    this.keepWaiters = Math.ceil(KEEP_WAITERS * settings.lease)
    this.shared = sharedLink(settings)
    this.link = this.shared.link
    this.waits = new Waits(this.link, { ...settings, keepWaiters: this.keepWaiters })
    this.#handOffs = new HandOffs(this.link, settings)
    this.leases = new Leases(this.link, settings, this.#handOffs)
    const { broadcast } = this.link.names
    this.#stopListening = this.link.listen({
      usable: () => { this.#handOffs.sendAgain() },
      unusable: () => { this.waits.loseAll() },
      inboxBack: () => { this.waits.checkAll() },
      message: (channel, message) => {
        if (channel !== broadcast) this.#received(message)
      }
    })
  }

  /** One more member. */
  use (log: CoordinationLog): () => Promise<void> {
    this.#users++
    const release = this.shared.use(log)
    return async () => {
      if (--this.#users === 0) this.#close()
      await this.#handOffs.settled()
      await release()
    }
  }

  #close (): void {
    this.#ended()
    this.#stopListening()
    this.waits.close()
    this.leases.close()
    this.#handOffs.close()
  }

  #received (bytes: Buffer): void {
    const message = readMessage(bytes)
    if (message === undefined || message.type === 'purged' || message.type === 'reset') this.link.rejected()
    else if (message.type === 'waited') this.leases.waited(message.token)
    else this.waits.ended(message)
  }
}
