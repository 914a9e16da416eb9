/**
 * Which sources a test file covers: those of the package. What it costs to count is not paid where time or memory is measured,
 * nor where the package runs in other processes. What asks a real Redis is not counted where there is none; what runs in a browser never is: the
 * coverage of a browser is none of Node's.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'

const UNCOUNTED = /(?:leaks|examples|package|page-in-browser|readme|architecture|memory|hot-path|redis\/processes[\w-]*)\.test\.ts$/

const hasRedis = ['redis-server', 'valkey-server'].some(server => spawnSync(server, ['--version'], { stdio: 'ignore' }).status === 0)
const folders = readdirSync(new URL('../lib/', import.meta.url), { withFileTypes: true }).filter(entry => entry.isDirectory() && (hasRedis || entry.name !== 'redis'))
const COUNTED = ['lib/*.ts', ...folders.map(({ name }) => name === 'page' ? 'lib/page/*.ts' : `lib/${name}/**/*.ts`)]

/** @param {string} file */
export default file => UNCOUNTED.test(file) ? null : COUNTED
