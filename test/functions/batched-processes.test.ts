/**
 * "Of the keys of batches each runs once for all processes, and each process makes batches of those that it leads."
 */
import t from 'tap'
import Fastify from 'fastify'
import coalesce from '../../lib/index.js'
import { gate, TestClock, until } from '../fixtures/gate.js'
import { MemoryHub } from '../fixtures/memory-coordinator.js'

t.test('a key that another process runs is in no batch of this one, whatever its codec is', async t => {
  const clock = new TestClock()
  const hub = new MemoryHub(clock, { lease: 60_000, limit: 10_000, latency: 1_000 })
  const process = async (codec?: { encode (date: Date): string, decode (text: string): Date }) => {
    const app = Fastify()
    t.teardown(async () => { await app.close() })
    await app.register(coalesce, { clock, coordinator: hub.coordinator() })
    const batches: Array<readonly string[]> = []
    const { open, promise } = gate<undefined>()
    const fn = async (days: readonly string[]): Promise<Date[]> => {
      batches.push(days)
      await promise
      return days.map(day => new Date(day))
    }
    const dateOf = app.coalesce.batched(fn, { name: 'dates', key: (day: string) => day, ...codec !== undefined && { codec } })
    await app.ready()
    return { dateOf, batches, open }
  }
  const codec = { encode: (date: Date) => date.toISOString(), decode: (text: string) => new Date(text) }
  const [one, other] = [await process(codec), await process(codec)]
  const comes = async (what: () => boolean): Promise<void> => {
    await until(() => {
      for (const wire of hub.wires) wire.deliver()
      return what()
    })
  }
  const first = ['2026-01-01', '2026-01-02'].map(async day => await one.dateOf(day))
  await comes(() => one.batches.length === 1)
  const second = ['2026-01-02', '2026-01-03'].map(async day => await other.dateOf(day))
  await comes(() => other.batches.length === 1)

  t.strictSame(one.batches, [['2026-01-01', '2026-01-02']])
  t.strictSame(other.batches, [['2026-01-03']])

  for (const { open } of [one, other]) open(undefined)
  const found = Promise.all([...first, ...second])
  let isOver = false
  found.then(() => { isOver = true }, () => { isOver = true })
  await comes(() => isOver)
  t.strictSame((await found).map(date => date.toISOString().slice(0, 10)), ['2026-01-01', '2026-01-02', '2026-01-02', '2026-01-03'])
})
