/**
 * Runs first in each test file's process, and leaves out what tap does there for features that no test uses, since it costs more than most
 * tests do:
 *
 * - async hooks on every promise, which tell apart the subtests that an uncaught error may come from: here it ends the file, which fails;
 * - a loader of mocks, and one that notes each imported file for `tap --changed`;
 * - where no coverage is counted, the same for each process that a test starts.
 */
import hooks from 'node:async_hooks'
import module, { syncBuiltinESMExports } from 'node:module'

if (process.env._TAPJS_PROCESSINFO_COVERAGE_ === '0') process.env.__TAPJS_PROCESSINFO_TESTING_NO_REGISTER__ = String(process.pid)

const { createHook } = hooks
const { register } = module
const inert = { enable: () => inert, disable: () => inert }
hooks.createHook = () => inert
module.register = () => {}
syncBuiltinESMExports()
// Before there is a loader, since with one each import is a message to another thread. What counts coverage comes first, as it has to see
// the end of the process before tap does.
for (const option of process.execArgv.toReversed()) {
  if (option.startsWith('--import=file:')) await import(option.slice('--import='.length))
}
await import('tap')
hooks.createHook = createHook
module.register = register
syncBuiltinESMExports()
await import('./typescript.js')
