// @ts-check
/**
 * What the examples with several processes start if no Redis is given to them: a redis-server (or valkey-server) of their own, in memory only.
 */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const HOW_TO_GET_ONE = `This example needs redis-server or valkey-server, and neither is installed here.
  Debian, Ubuntu:  apt-get install redis-server
  Fedora:          dnf install valkey
  macOS:           brew install redis`

/** Starts a server that listens on a Unix socket, and on nothing else. */
export async function startRedis () {
  const program = ['redis-server', 'valkey-server'].find(name => spawnSync(name, ['--version']).status === 0)
  if (program === undefined) {
    console.error(HOW_TO_GET_ONE)
    process.exit(1)
  }
  const folder = await mkdtemp(join(tmpdir(), 'coalesce-'))
  const socket = join(folder, 'redis.sock')
  const server = spawn(program, [
    '--port', '0', '--unixsocket', socket, '--dir', folder, // only this machine's processes
    '--save', '', '--appendonly', 'no', // nothing on disk
    '--maxmemory', '64mb', '--maxmemory-policy', 'allkeys-lru' // bounded
  ], { stdio: ['ignore', 'pipe', 'inherit'] })
  let log = ''
  for await (const text of server.stdout.iterator({ destroyOnReturn: false })) {
    log += text
    if (/ready to accept connections/i.test(log)) break
  }
  server.stdout.resume()
  return {
    socket,
    async stop () {
      const ended = new Promise(resolve => server.once('close', resolve))
      server.kill()
      await ended
      await rm(folder, { recursive: true })
    }
  }
}
