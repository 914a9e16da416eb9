// @ts-check
/** What rows need that is no devDependency, and how it is installed. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { env } from './programs.js'

/** @type {(name: string) => string} */
const debian = name => `apt-get install -y --no-install-recommends ${name}`
const npm = 'npm ci --prefix benchmark/peers'

/** @type {Record<string, { what: string, install: string, version: () => string | undefined }>} */
const PEERS = {
  nginx: { what: 'nginx', install: debian('nginx'), version: () => program('nginx', '-v') },
  varnishd: { what: 'Varnish', install: debian('varnish'), version: () => program('varnishd', '-V') },
  'async-cache-dedupe': { what: 'async-cache-dedupe', install: npm, version: () => packed('async-cache-dedupe') },
  bentocache: { what: 'bentocache', install: npm, version: () => packed('bentocache') },
  ocache: { what: 'ocache', install: npm, version: () => packed('ocache') }
}

/**
 * @param {string} name
 * @param {string} argument
 */
function program (name, argument) {
  const { status, stdout, stderr } = spawnSync(name, [argument], { encoding: 'utf8', env })
  return status === 0 ? /\d+(?:\.\d+)+/.exec(stdout + stderr)?.[0] ?? 'of an unknown version' : undefined
}

/** @param {string} name */
function packed (name) {
  const manifest = new URL(`node_modules/${name}/package.json`, import.meta.url)
  return existsSync(manifest) ? String(JSON.parse(readFileSync(manifest, 'utf8')).version) : undefined
}

/**
 * @typedef {object} Peers
 * @property {Record<string, string>} versions of those that are installed
 * @property {string[]} missing a sentence for each that is not
 */

/**
 * @param {ReadonlySet<string>} names
 * @returns {Peers}
 */
export function installed (names) {
  /** @type {Peers} */
  const peers = { versions: {}, missing: [] }
  for (const [name, { what, install, version }] of Object.entries(PEERS).filter(([name]) => names.has(name))) {
    const found = version()
    if (found === undefined) peers.missing.push(`${what} is not installed, so that rows with it are left out; to install it: ${install}`)
    else peers.versions[name] = found
  }
  return peers
}
