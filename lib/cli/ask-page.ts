/**
 * Asks a live page what it knows.
 *
 * Invariant: what goes wrong is an error whose message says what to do. No redirect is followed: what the user sends is for this server only.
 */
import { request as plain, type IncomingMessage } from 'node:http'
import { request as secure } from 'node:https'
import type { Headers } from './command-line.js'
import { harmless } from './harmless.js'

/** In milliseconds. */
const PATIENCE = 10_000
/** In bytes. */
const MOST = 67_108_864

/** The page that a URL means: the usual one if it has no path. */
export function pageOf ({ origin, pathname }: URL): string {
  const path = pathname.replace(/\/+$/, '')
  return `${origin}${path === '' ? '/coalesce' : path}`
}

/** What the page's server answers, as JSON. */
export async function askPage (url: URL, headers: Headers, patience = PATIENCE, most = MOST): Promise<unknown> {
  const page = pageOf(url)
  const target = new URL(`${page}/state`)
  target.username = url.username
  target.password = url.password
  const { body, response } = await answerOf(target, headers, patience, most)
  const { statusCode: status } = response
  if (status !== 200) throw new Error(refusal(page, response, body))
  try {
    return JSON.parse(body) as unknown
  } catch {
    throw new Error(`what ${page} answers is not of a live page of fastify-coalesce`)
  }
}

interface Answer {
  readonly response: IncomingMessage
  readonly body: string
}

async function answerOf (target: URL, headers: Headers, patience: number, most: number): Promise<Answer> {
  const { origin } = target
  return await new Promise<Answer>((resolve, reject) => {
    const failed = (error: Error & { readonly code?: string }): void => {
      clearTimeout(late)
      reject(error.code === undefined ? error : new Error(`${origin} cannot be asked (is the app running there?): ${error.code}`))
    }
    // By whatever name it is asked for: no page of a browser can say this.
    const own = { accept: 'application/json', 'sec-fetch-site': 'none' }
    const asked = (target.protocol === 'https:' ? secure : plain)(target, { headers: { ...own, ...headers } as Record<string, string>, agent: false })
    const late = setTimeout(() => { giveUp(`${origin} does not answer within ${patience / 1000} s`) }, patience)
    const giveUp = (why: string): void => {
      failed(new Error(why))
      asked.destroy()
    }
    asked.on('error', failed).on('response', response => {
      const chunks: Buffer[] = []
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes > most) giveUp(`${origin} answers more than ${most} bytes`)
        chunks.push(chunk)
      }).on('error', failed).on('end', () => {
        clearTimeout(late)
        resolve({ response, body: Buffer.concat(chunks).toString() })
      })
    }).end()
  })
}

function refusal (page: string, { headers: { location }, statusCode: status }: IncomingMessage, body: string): string {
  switch (status) {
    case 401:
    case 403:
      return `${page} answers ${status}${messageOf(body)}; --header 'authorization: …' says who is asking, if its guard wants to know that, and so does user:pass@ before the host in the URL`
    case 404:
      return `there is no live page at ${page} (404): it is where a registration has dashboard: { … }, at /coalesce below its prefix unless dashboard.path says otherwise`
    default:
      return location === undefined
        ? `${page} answers ${String(status)}${messageOf(body)}`
        : `${page} answers ${String(status)} and leads to ${harmless(location)}: ask there, or say who is asking with --header 'cookie: …'`
  }
}

/** What an error of Fastify says. */
function messageOf (body: string): string {
  try {
    const { message } = JSON.parse(body) as { readonly message?: unknown }
    return typeof message === 'string' ? ` (${harmless(message).slice(0, 300)})` : ''
  } catch {
    return ''
  }
}
