import t from 'tap'
import { logging } from '../../lib/observers/log.js'
import { inTurn, type Observer } from '../../lib/observers/observer.js'
import { TestSubject } from './subjects.js'

/** All that an observer can be told. */
function tellAll (observer: Observer, leader: TestSubject, follower: TestSubject): void {
  observer.started(leader)
  observer.joined(follower, 2, false)
  observer.landed(leader, 'completed', 'shared', 2, undefined)
  observer.landed(leader, 'failed', 'failed', 1, undefined)
  observer.landed(leader, 'unshareable', 'set-cookie', 1, undefined)
  observer.landed(leader, 'abandoned', 'hijacked', 1, undefined)
  observer.cleanedUp(leader)
  observer.cutOff(leader, 'fell-behind')
  observer.settled(follower, 'follower', 'shared', 12.6, undefined)
}

t.test('each event is one line at debug level, with its route and its leader', async t => {
  const leader = new TestSubject('req-1')
  const follower = new TestSubject('req-2', 'req-1')

  tellAll(logging, leader, follower)

  const about = { method: 'GET', route: '/word/:word', leaderId: 'req-1' }
  const line = (message: string, fields: object) => ({ level: 'debug', fields: { coalesce: { ...about, ...fields } }, message })
  t.strictSame(leader.lines, [
    line('coalesce started', { event: 'started' }),
    line('coalesce completed', { event: 'completed', reason: 'shared', followers: 2 }),
    line('coalesce failed', { event: 'failed', reason: 'failed', followers: 1 }),
    line('coalesce unshareable', { event: 'unshareable', reason: 'set-cookie', followers: 1 }),
    line('coalesce abandoned', { event: 'abandoned', reason: 'hijacked', followers: 1 }),
    line('coalesce cleaned up', { event: 'cleaned up' }),
    line('coalesce cut off', { event: 'cut off', reason: 'fell-behind' })
  ])
  t.strictSame(follower.lines, [
    line('coalesce joined', { event: 'joined', waiters: 2 }),
    line('coalesce settled', { event: 'settled', outcome: 'follower', reason: 'shared', waited: 13 })
  ])
})

t.test('who waits for another process says so, and whose run was lost, and who ran there at the end', async t => {
  const follower = Object.assign(new TestSubject('req-2'), { leaderId: undefined as string | undefined })
  logging.joined(follower, 1, true)
  logging.peerLost(follower, 'gone')
  logging.settled(Object.assign(follower, { leaderId: 'a-1' }), 'peer', 'shared', 3, undefined)
  const about = { method: 'GET', route: '/word/:word' }
  t.strictSame(follower.lines.map(({ level, fields }) => [level, fields]), [
    ['debug', { coalesce: { event: 'joined', ...about, leaderId: undefined, waiters: 1, elsewhere: true } }],
    ['debug', { coalesce: { event: 'peer lost', ...about, leaderId: undefined, reason: 'gone' } }],
    ['debug', { coalesce: { event: 'settled', ...about, leaderId: 'a-1', outcome: 'peer', reason: 'shared', waited: 3 } }]
  ])
})

t.test('nothing is written for a level that is off', async t => {
  const asked: string[] = []
  const subject = new TestSubject('req-1', 'req-1', level => {
    asked.push(level)
    return false
  })

  tellAll(logging, subject, subject)

  t.strictSame(subject.lines, [])
  t.strictSame([...new Set(asked)], ['debug'])
})

t.test('a level that is on is written to', async t => {
  const subject = new TestSubject('req-1', 'req-1', () => true)
  logging.started(subject)
  t.equal(subject.lines.length, 1)
})

t.test('a refresh is told of at debug level, and one that failed is warned of, with its error', async t => {
  const subject = new TestSubject('req-1', undefined, level => level !== 'debug')
  const error = new Error('down')
  logging.refreshed(subject, 'refreshed', undefined)
  t.strictSame(subject.lines, [])
  logging.refreshed(subject, 'failed', error)
  t.match(subject.lines, [{ level: 'warn', fields: { err: error, coalesce: { event: 'refresh-failed', method: 'GET', route: '/word/:word' } } }])

  const chatty = new TestSubject('req-2')
  logging.refreshed(chatty, 'revalidated', undefined)
  t.match(chatty.lines, [{ level: 'debug', fields: { coalesce: { event: 'refreshed', result: 'revalidated', route: '/word/:word' } } }])
})

t.test('four observers are all told everything, in their order', async t => {
  const heard: unknown[][] = []
  const hearing = (name: string): Observer => ({
    held (...told) { heard.push([name, 'held', ...told]) },
    cutOff (...told) { heard.push([name, 'cutOff', ...told]) },
    started (...told) { heard.push([name, 'started', ...told]) },
    joined (...told) { heard.push([name, 'joined', ...told]) },
    peerLost (...told) { heard.push([name, 'peerLost', ...told]) },
    landed (...told) { heard.push([name, 'landed', ...told]) },
    cleanedUp (...told) { heard.push([name, 'cleanedUp', ...told]) },
    settled (...told) { heard.push([name, 'settled', ...told]) },
    refreshed (...told) { heard.push([name, 'refreshed', ...told]) }
  })
  const subject = new TestSubject('req-1')

  const all = inTurn(hearing('one'), hearing('two'), hearing('three'), hearing('four'))
  all.held(subject)
  all.started(subject)
  all.joined(subject, 3, true)
  all.peerLost(subject, 'gone')
  all.landed(subject, 'failed', 'failed', 4, 5)
  all.cleanedUp(subject)
  all.cutOff(subject, 'fell-behind')
  all.settled(subject, 'leader', 'split', 5, { cause: 'cookie', names: ['cookie'] })
  all.refreshed(subject, 'failed', 'down')

  const told = heard.map(([name, event, , ...rest]) => [name, event, ...rest.map(part => (part as { cause?: string } | undefined)?.cause ?? part)].join(' '))
  t.strictSame(told, [
    'held', 'started', 'joined 3 true', 'peerLost gone', 'landed failed failed 4 5', 'cleanedUp', 'cutOff fell-behind', 'settled leader split 5 cookie', 'refreshed failed down'
  ].flatMap(event => ['one', 'two', 'three', 'four'].map(name => `${name} ${event}`)))
  t.ok(heard.every(([, , told]) => told === subject))
})
