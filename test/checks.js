/**
 * Lints, checks the types, and tests those that are published, at once: each takes no more than one core.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'

const codes = await Promise.all(['lint', 'typecheck', 'test:types'].map(async name => {
  const child = spawn(process.execPath, [String(process.env.npm_execpath), 'run', '--silent', name], { stdio: 'inherit' })
  const [code] = await once(child, 'close')
  return code
}))
process.exitCode = codes.every(code => code === 0) ? 0 : 1
