/**
 * Of a body whose length was declared the last byte and the end belong together: to its client the last byte is the end.
 */
import { PassThrough, Readable, Writable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { Broadcast } from '../../lib/http/broadcast.js'
import { TestClock, until } from '../fixtures/gate.js'

const LISTENER = { cutOff: (reason: string, cause: Error | undefined) => cause ?? new Error(reason) }

function broadcast (source: Readable, length: number | undefined) {
  const clock = new TestClock()
  const events: string[] = []
  const cast = new Broadcast(source, {
    clock,
    pace: step => { while (step()); },
    maxBytes: 1000,
    length,
    wrongLength: (declared, got) => new Error(`${declared} is not ${got}`),
    hold: () => true
  }, {
    early () {},
    begun () {},
    tooLarge () {},
    over (how) { events.push(how) }
  })
  return { cast, clock, events }
}

/** What one who reads has so far; `.` is the end. */
function reading (reader: Readable): () => string {
  let got = ''
  reader.on('data', (chunk: Buffer) => { got += chunk.toString() }).on('end', () => { got += '.' })
  return () => got
}

async function turns (): Promise<void> {
  for (let count = 0; count < 5; count++) await turn()
}

t.test('the last chunk of a declared length waits for the end of its source', async t => {
  const source = new PassThrough()
  const { cast, clock, events } = broadcast(source, 6)
  const whole = reading(cast.join(LISTENER))
  cast.start()
  source.write('abc')
  await turns()
  t.equal(whole(), 'abc')
  source.write('def')
  await turns()
  const late = reading(cast.join(LISTENER))
  const [before, last] = [{ start: 1, end: 3 }, { start: 2, end: 6 }].map(span => reading(cast.join(LISTENER, span)))
  await turns()
  t.strictSame([whole(), late(), before?.(), last?.()], ['abc', 'abc', 'bc.', 'c'])
  source.end()
  await until(() => events.length > 0)
  await turns()
  t.strictSame([whole(), late(), last?.()], ['abcdef.', 'abcdef.', 'cdef.'])
  t.equal(clock.timers, 0)
})

t.test('a length that was not declared has no last byte before its end', async t => {
  const source = new PassThrough()
  const { cast } = broadcast(source, undefined)
  const whole = reading(cast.join(LISTENER))
  cast.start()
  source.write('abc')
  await turns()
  t.equal(whole(), 'abc')
  source.end()
  await turns()
  t.equal(whole(), 'abc.')
})

for (const [name, span, length] of [['a body', undefined, 6], ['a span of a body', { start: 1, end: 4 }, 12]] as const) {
  t.test(`who takes the last chunk of ${name} hears of the end with it, even if it has enough for now`, async t => {
    const source = new PassThrough()
    const { cast } = broadcast(source, length)
    const heard: string[] = []
    // It never asks for more.
    const client = new Writable({ highWaterMark: 1, write (chunk: Buffer) { heard.push(chunk.toString()) } })
    const end = client.end.bind(client)
    client.end = ((...args: []) => {
      heard.push('the end')
      return end(...args)
    }) as never
    cast.join(LISTENER, span).pipe(client)
    cast.start()
    await turns()
    source.write('abcdef')
    if (span === undefined) source.end()
    await until(() => heard.length > 0)
    await turns()
    t.strictSame(heard, [span === undefined ? 'abcdef' : 'bcd', 'the end'])
    source.destroy()
  })
}

t.test('a source that does not end has its last chunk given a second later, and its end when it comes', async t => {
  for (const closed of [false, true]) {
    const source = new PassThrough()
    const { cast, clock } = broadcast(source, 3)
    const whole = reading(cast.join(LISTENER))
    cast.start()
    if (closed) cast.close()
    source.write('abc')
    await turns()
    clock.advance(999)
    await turns()
    t.equal(whole(), '')
    clock.advance(1)
    await turns()
    t.equal(whole(), 'abc')
    source.end()
    await turns()
    t.equal(whole(), 'abc.')
    t.equal(clock.timers, 0)
  }
})

t.test('a source that fails at its end does not have its last chunk given', async t => {
  const source = new PassThrough()
  const { cast, clock, events } = broadcast(source, 6)
  const reader = cast.join(LISTENER)
  const whole = reading(reader)
  cast.start()
  source.write('abc')
  await turns()
  source.write('def')
  await turns()
  source.destroy(new Error('wrong checksum'))
  await until(() => reader.destroyed)
  t.match(reader.errored, { message: 'wrong checksum' })
  t.strictSame([whole(), events, clock.timers], ['abc', ['cut-off'], 0])
})

t.test('where nobody is left no chunk waits', async t => {
  const source = new PassThrough()
  const { cast, clock, events } = broadcast(source, 3)
  const reader = cast.join(LISTENER)
  cast.start()
  source.write('abc')
  await turns()
  reader.destroy()
  await until(() => events.length > 0)
  t.strictSame([events, clock.timers], [['unheard'], 0])
})

t.test('a source that is read no further than its fastest reader comes to its end all the same', async t => {
  const source = new PassThrough()
  const { cast } = broadcast(source, 6)
  const whole = reading(cast.join(LISTENER))
  cast.start()
  cast.close()
  source.write('abc')
  await turns()
  source.end('def')
  await turns()
  t.equal(whole(), 'abcdef.')
})
