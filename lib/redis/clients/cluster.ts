/**
 * A connection to a cluster. Each command goes to the master that has its key; each channel is subscribed at the master that has it.
 *
 * Invariant: a command is sent a second time only if the node said that it did not carry it out, since the key is another node's. It is
 * ready while the nodes of all channels are, as each of them serves a part of the keys.
 */
import { retryDelay, type Address, type Timing } from './client.js'
import { ClusterNode, type MakeNodeWire } from './cluster-node.js'
import type { Command, Connection, ConnectionListener, Reply } from './connection.js'
import { nameOf, ownersOf, redirectionOf, slotOf, type Redirection } from './slots.js'

/** What the user's client knows of its cluster. */
export interface Scouted {
  /** Some of its nodes. */
  readonly seeds: readonly Address[]
  /** Makes wires as the client does, to where the client finds a node. */
  readonly make: MakeNodeWire
}

export class ClusterConnection implements Connection {
  readonly isCluster = true
  readonly #scout: () => Promise<Scouted>
  readonly #slots: ReadonlyMap<string, number>
  readonly #listener: ConnectionListener
  readonly #timing: Timing
  /** By name. */
  readonly #nodes = new Map<string, ClusterNode>()
  #make: MakeNodeWire | undefined
  #owners: ReadonlyMap<number, Address> = new Map()
  #ready = false
  #inboxReady = false
  #closed = false
  #refreshing = false
  #timer: unknown
  #rounds = 0
  /** For how many rounds one after the other no node could be asked. */
  #lost = 0

  constructor (scout: () => Promise<Scouted>, channels: readonly string[], listener: ConnectionListener, timing: Timing) {
    this.#scout = scout
    this.#slots = new Map(channels.map(channel => [channel, slotOf(channel)]))
    this.#listener = listener
    this.#timing = timing
    this.#later()
    this.#begin()
  }

  get isReady (): boolean {
    return this.#ready
  }

  get isInboxReady (): boolean {
    return this.#inboxReady
  }

  /** While it is not ready, it asks who has what again and again, and begins anew at times: the cluster may have moved altogether. */
  #later (): void {
    this.#timer = this.#timing.clock.setTimeout(() => {
      const lost = ![...this.#nodes.values()].some(({ commands }) => commands.isReady)
      this.#lost = lost ? this.#lost + 1 : 0
      if (lost && this.#lost % 10 === 0) this.#begin()
      else if (!this.#ready || !this.#inboxReady) this.#refresh()
      this.#later()
    }, retryDelay(Infinity))
  }

  #begin (): void {
    this.#scout().then(({ seeds, make }) => {
      if (this.#closed) return
      this.#make = make
      for (const seed of seeds) this.#node(seed)
    }, (error: Error) => {
      if (!this.#closed) this.#listener.failed(error)
    })
  }

  #node (address: Address): ClusterNode {
    const name = nameOf(address)
    let node = this.#nodes.get(name)
    if (node === undefined) {
      node = new ClusterNode(this.#make as MakeNodeWire, address, {
        changed: () => {
          if (this.#owners.size === 0) this.#refresh()
          this.#told()
        },
        moved: () => { this.#refresh() },
        message: (channel, message) => { this.#listener.message(channel, message) },
        failed: error => { this.#listener.failed(error) }
      }, this.#timing)
      this.#nodes.set(name, node)
    }
    return node
  }

  #owner (slot: number): ClusterNode | undefined {
    const address = this.#owners.get(slot)
    return address === undefined ? undefined : this.#nodes.get(nameOf(address))
  }

  /** Asks a node who has what. */
  #refresh (): void {
    const nodes = [...this.#nodes.values()].filter(({ commands }) => commands.isReady)
    const node = nodes[this.#rounds++ % nodes.length]
    if (this.#refreshing || node === undefined) return
    this.#refreshing = true
    node.commands.send([['CLUSTER', 'SLOTS']]).then(([reply]) => {
      this.#refreshing = false
      const owners = ownersOf(reply, node.address)
      if (this.#closed) return
      if (owners === undefined) this.#listener.failed(reply as Error)
      else this.#learn(owners)
    }, () => { this.#refreshing = false })
  }

  #learn (owners: ReadonlyMap<number, Address>): void {
    if (owners.size === 0) return
    this.#owners = owners
    const masters = new Map([...owners.values()].map(address => [nameOf(address), address]))
    for (const address of masters.values()) this.#node(address)
    for (const [name, node] of this.#nodes) {
      node.listen([...this.#slots].filter(([, slot]) => this.#owner(slot) === node).map(([channel]) => channel))
      if (masters.has(name)) continue
      this.#nodes.delete(name)
      node.close().catch(() => {})
    }
    this.#told()
  }

  /** Compares what is ready with what was told, and tells what has changed. */
  #told (): void {
    const slots = [...this.#slots]
    const ready = slots.every(([, slot]) => this.#owner(slot)?.commands.isReady === true)
    const inboxReady = slots.every(([channel, slot]) => this.#owner(slot)?.hears(channel) === true)
    if (ready !== this.#ready) {
      this.#ready = ready
      if (ready) this.#listener.ready()
      else this.#listener.closed()
    }
    if (inboxReady !== this.#inboxReady) {
      this.#inboxReady = inboxReady
      if (inboxReady) this.#listener.inboxReady()
      else this.#listener.inboxClosed()
    }
  }

  async send (key: string, commands: readonly Command[]): Promise<readonly Reply[]> {
    const node = this.#owner(slotOf(key))
    if (node === undefined) throw new Error('it is not known which node has the key')
    const replies = await node.commands.send(commands)
    const redirections = replies.map(reply => redirectionOf(reply, node.address))
    const redirection = redirections.find(found => found !== undefined)
    return redirection === undefined ? replies : await this.#again(commands, replies, redirections, redirection)
  }

  /** Sends what was refused to the node that it was sent on to, once. */
  async #again (
    commands: readonly Command[], replies: readonly Reply[], redirections: ReadonlyArray<Redirection | undefined>, { to }: Redirection
  ): Promise<readonly Reply[]> {
    this.#refresh()
    const node = this.#node(to)
    if (!node.commands.isReady) return replies
    const sent: Array<readonly [at: number, command: Command]> = []
    for (const [at, redirection] of redirections.entries()) {
      if (redirection === undefined || nameOf(redirection.to) !== nameOf(to)) continue
      if (redirection.type === 'ask') sent.push([-1, ['ASKING']])
      sent.push([at, commands[at] as Command])
    }
    const answers = await node.commands.send(sent.map(([, command]) => command))
    const all = [...replies]
    for (const [index, [at]] of sent.entries()) if (at >= 0) all[at] = answers[index] as Reply
    return all
  }

  async close (): Promise<void> {
    this.#closed = true
    this.#ready = this.#inboxReady = false
    this.#timing.clock.clearTimeout(this.#timer)
    await Promise.all([...this.#nodes.values()].map(async node => { await node.close() }))
  }
}
