// @ts-check
/**
 * What Node can do, in a process of its own: one response, prepared, with the headers of a hit. `/storm/` parks all who ask while
 * a run of 50 ms goes on, and writes to all when it has ended; anything else is answered at once.
 */
import { createServer } from 'node:http'
import { record } from '../work.js'
import { announce, counts, runEnds, settleNextTick } from './announce.js'

await settleNextTick()
const body = Buffer.from(JSON.stringify({ id: 'hot', record }))
const head = { 'content-type': 'application/json; charset=utf-8', 'content-length': body.length, age: '0' }
/** @type {Map<string, import('node:http').ServerResponse[]>} */
const parked = new Map()

/** @param {import('node:http').ServerResponse} response */
function write (response) {
  response.writeHead(200, head)
  response.end(body)
}

/**
 * @param {string} url
 * @param {import('node:http').ServerResponse} response
 */
function park (url, response) {
  const others = parked.get(url)
  if (others !== undefined) {
    others.push(response)
    return
  }
  const all = [response]
  parked.set(url, all)
  counts.runs++
  setTimeout(() => {
    parked.delete(url)
    runEnds()
    for (const each of all) write(each)
  }, 50)
}

const server = createServer({ keepAliveTimeout: 72_000 }, ({ url = '' }, response) => {
  if (url.startsWith('/storm/')) park(url, response)
  else write(response)
})
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  announce(/** @type {import('node:net').AddressInfo} */ (server.address()).port)
})
