/**
 * A request that is made only to be explained.
 *
 * Invariant: it is known by the class of the very object that stands for Node's request, which nobody else can make one of.
 */
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Explanation } from '../../../types/index.js'

const kInquiry = Symbol('fastify-coalesce.inquiry')
/** How many are under way. */
let underWay = 0

/** Says nothing of a request that did not get as far as that. */
const NOTHING: Explanation = Object.freeze<Explanation>({
  route: undefined,
  coalesced: false,
  summary: '',
  parking: undefined,
  gate: undefined,
  steps: Object.freeze([]),
  outcome: undefined,
  reason: undefined,
  cause: undefined,
  key: undefined,
  outside: Object.freeze([]),
  variant: Object.freeze([]),
  unshareable: undefined,
  flight: undefined,
  coordinator: undefined,
  cached: undefined
})

export class Inquiry {
  /** Whether values are told as well. */
  readonly values: boolean
  /** Resolves once nothing more will become of it. */
  readonly over: Promise<void>
  /** What is known so far. */
  explanation = NOTHING
  /** It got as far as admission. */
  admitted = false
  /** What a hook has failed with. */
  error: string | undefined
  #end!: () => void
  #raw: Readable | undefined

  constructor (values: boolean) {
    this.values = values
    this.over = new Promise(resolve => { this.#end = resolve })
    underWay++
  }

  /** What `app.inject` makes its request from. */
  get Request (): object {
    const inquiry = this
    return class extends Readable { get [kInquiry] (): Inquiry { return inquiry } }
  }

  /** A hook has failed. */
  failed (error: Error & { readonly code?: unknown }): void {
    this.error ??= typeof error.code === 'string' ? error.code : error.name
  }

  /** A hook has taken the reply, and whether it ever ends that is not known. */
  hijacked (): void {
    this.tell({ summary: 'a hook takes the reply (reply.hijack) before it comes to coalescing' })
    this.#end()
  }

  tell (known: Partial<Explanation>): void {
    this.explanation = { ...this.explanation, ...known }
  }

  /** No hook and no handler runs for it: for Fastify it has been answered. */
  stop ({ raw }: FastifyRequest, { raw: response }: FastifyReply): void {
    Object.defineProperty(response, 'writableEnded', { value: true })
    this.#raw = raw
    this.#end()
  }

  /** It is over: what is left of it ends. */
  close (): void {
    underWay--
    this.#raw?.destroy()
  }
}

/** What a request is to be explained for; undefined if it is a client's. */
export function inquiryOf (request: FastifyRequest): Inquiry | undefined {
  return underWay === 0 ? undefined : (request.raw as { [kInquiry]?: Inquiry })[kInquiry]
}
