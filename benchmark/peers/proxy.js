// @ts-check
/**
 * Another program as a server of the benchmark: `node proxy.js <options as JSON>` starts nginx or Varnish on a free port, with a configuration
 * and a folder of its own, and behind it a server that says that its responses may be cached.
 *
 * Invariant: the program ends with this process, however that ends by itself, and its folder is removed.
 */
import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { announce, counts, runEnds } from '../servers/announce.js'
import { record } from '../work.js'
import { env, nginx, varnishd } from './programs.js'

/** How long a program may take until it answers. */
const PATIENCE = 20_000

const { proxy } = /** @type {{ proxy: 'nginx' | 'varnishd' }} */ (JSON.parse(String(process.argv[2])))

const origin = createServer({ keepAliveTimeout: 72_000 }, async ({ url = '' }, response) => {
  counts.runs++
  if (url.startsWith('/storm/')) await sleep(50)
  const body = JSON.stringify({ id: url.slice(url.lastIndexOf('/') + 1), record })
  response.writeHead(200, {
    'content-type': 'application/json; charset=utf-8', 'content-length': Buffer.byteLength(body), 'cache-control': 'public, max-age=3600'
  })
  runEnds()
  response.end(body)
})

/**
 * @param {import('node:net').Server} server
 * @returns {Promise<number>}
 */
function listen (server) {
  return new Promise((resolve, reject) => {
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => { resolve(/** @type {import('node:net').AddressInfo} */ (server.address()).port) })
  })
}

async function freePort () {
  const server = createServer()
  const port = await listen(server)
  await new Promise(resolve => { server.close(resolve) })
  return port
}

/**
 * @param {number} port
 * @returns {Promise<boolean>}
 */
function answers (port) {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    }).on('error', () => { resolve(false) })
  })
}

const folder = mkdtempSync(join(tmpdir(), 'fastify-coalesce-benchmark-'))
// Varnish reads it as a user that has no rights.
chmodSync(folder, 0o755)
const port = await freePort()
const { program, args, configuration } = { nginx, varnishd }[proxy]({ folder, port, origin: await listen(origin) })
writeFileSync(join(folder, 'configuration'), configuration)
const child = spawn(program, args, { env, stdio: ['ignore', 'ignore', 'pipe'] })
/** What it says, which matters if it ends. */
let said = ''
child.stderr.setEncoding('utf8').on('data', text => { said = (said + text).slice(-4000) })
child.on('error', error => { fail(String(error)) }).on('exit', code => { fail(`${program} ended with ${code}: ${said}`) })

/** @param {string} error */
function fail (error) {
  process.send?.({ error })
  process.exit()
}

/** It ends by itself, and takes its own children with it; or this process ends it before the folder is removed. */
function end () {
  child.removeAllListeners('exit')
  process.removeAllListeners('disconnect')
  const patience = setTimeout(() => { child.kill('SIGKILL') }, 2000)
  child.once('exit', () => {
    clearTimeout(patience)
    process.exit()
  })
  child.kill('SIGTERM')
}

process.on('exit', () => {
  child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
})
process.on('SIGTERM', end).on('SIGINT', end)

const start = performance.now()
while (!await answers(port)) {
  if (performance.now() - start > PATIENCE) fail(`${program} does not answer: ${said}`)
  await sleep(50)
}
announce(port)
// Instead of what servers do that have no program to end.
process.removeAllListeners('disconnect').on('disconnect', end)
