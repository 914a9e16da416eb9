/**
 * "Once it is open, Redis is probed, once at a time, until a probe succeeds; then all goes on."
 */
import t from 'tap'
import { Circuit } from '../../lib/redis/circuit.js'
import { gate, TestClock, type Gate } from '../fixtures/gate.js'
import { turn } from '../fixtures/redis/scripted.js'

function circuited () {
  const clock = new TestClock()
  const said: string[] = []
  const probes: Array<Gate<boolean>> = []
  const circuit = new Circuit(clock, async () => {
    const probe = gate<boolean>()
    probes.push(probe)
    return await probe.promise
  }, { opened (cause) { said.push(cause) }, closed () { said.push('closed') } })
  return { clock, said, probes, circuit }
}

t.test('it opens once, is probed after a while, again after one that failed, and closes with the first that succeeds', async t => {
  const { clock, said, probes, circuit } = circuited()
  circuit.try()
  t.equal(probes.length, 0, 'a closed one is not probed')
  circuit.open('timeout')
  circuit.open('OOM')
  t.strictSame([circuit.isOpen, said], [true, ['timeout']])
  clock.advance(299)
  t.equal(probes.length, 0)
  clock.advance(1)
  probes[0]?.open(false)
  await turn()
  t.equal(circuit.isOpen, true)
  clock.advance(300)
  probes[1]?.open(true)
  await turn()
  t.strictSame([circuit.isOpen, said, probes.length, clock.timers], [false, ['timeout', 'closed'], 2, 0])
  circuit.open('closed')
  t.equal(circuit.isOpen, true, 'and may open again')
})

t.test('what has changed has it probed at once, and only once', async t => {
  const { clock, probes, circuit } = circuited()
  circuit.open('closed')
  circuit.try()
  circuit.try()
  t.strictSame([probes.length, clock.timers], [1, 0])
  probes[0]?.open(true)
  await turn()
  t.equal(circuit.isOpen, false)
})

t.test('one that has ended does nothing more, whatever comes', async t => {
  for (const outcome of [true, false]) {
    const { clock, said, probes, circuit } = circuited()
    circuit.open('closed')
    circuit.try()
    circuit.end()
    probes[0]?.open(outcome)
    await turn()
    circuit.try()
    t.strictSame([said, probes.length, clock.timers], [['closed'], 1, 0])
  }
  const { clock, said, circuit } = circuited()
  circuit.end()
  circuit.open('closed')
  t.strictSame([said, clock.timers, circuit.isOpen], [[], 0, false])
})
