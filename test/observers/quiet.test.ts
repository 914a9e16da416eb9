import t from 'tap'
import { loggingWithout, logging } from '../../lib/observers/log.js'
import type { Log } from '../../lib/observers/observer.js'
import { Tally } from '../../lib/observers/tally.js'
import { quiet } from '../../lib/observers/warn.js'

function collecting (): { readonly log: Log, readonly all: string[] } {
  const all: string[] = []
  const write = (level: string) => (_fields: object, message: string) => { all.push(`${level} ${message}`) }
  return { all, log: { debug: write('debug'), warn: write('warn'), error: write('error') } }
}

t.test('a quiet log leaves out the warnings of some names, and writes all else', t => {
  const { all, log } = collecting()
  t.equal(quiet(log, new Set()), log)
  const own = quiet(log, new Set(['a']))
  own.warn({ coalesce: { event: 'a' } }, 'no')
  own.warn({ coalesce: { event: 'b' } }, 'b')
  own.warn({}, 'none')
  own.debug({ coalesce: { event: 'a' } }, 'a')
  own.error({}, 'e')
  t.same(all, ['warn b', 'warn none', 'debug a', 'error e'])
  t.end()
})

t.test('a failed refresh is not logged where its warning is silenced, and others are', t => {
  const { all, log } = collecting()
  const subject = { id: '1', leaderId: '1', log, tally: new Tally('GET', '/') }
  t.equal(loggingWithout(new Set(['reads-query'])), logging)
  const own = loggingWithout(new Set(['refresh-failed']))
  own.refreshed(subject, 'failed', new Error('no'))
  own.refreshed(subject, 'refreshed', undefined)
  t.same(all, ['debug coalesce refreshed'])
  t.end()
})
