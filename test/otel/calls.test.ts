/**
 * Calls of an app's functions have spans of their waits, children of whatever span is active where they are made.
 */
import t from 'tap'
import { context, trace as traces } from '@opentelemetry/api'
import { gate } from '../fixtures/gate.js'
import { complaints, spans, trace, traced, tracer } from '../fixtures/tracing.js'

t.test('a call that waits has a span, a child of its caller\'s, which links to the span of who runs, and says nothing of its caller', async t => {
  trace(t)
  const opening = gate()
  const server = await traced(t, 'ours', app => {
    const lookUp = app.coalesce.deduplicate(async () => await opening.promise, { key: () => 'secret', name: 'look up' })
    app.get('/:word', async () => { await lookUp() })
    app.get('/', async () => { await Promise.all([lookUp(), lookUp()]) })
  })
  const calls = (): number => server.app.coalesce.stats().totalRequests
  const one = server.get('/one')
  await server.arrived(1)
  const two = server.get('/two')
  await server.arrived(2)
  const both = server.get('/')
  await server.arrived(4)
  t.equal(calls(), 4)
  opening.open()
  await Promise.all([one, two, both])
  await spans.ended()
  const handlers = spans.all().filter(({ name }) => name.startsWith('handler - '))
    .sort((a, b) => a.startTime[0] - b.startTime[0] || a.startTime[1] - b.startTime[1])
  const waits = spans.waits()
  const said = { role: 'follower', function: 'look up', outcome: 'follower', reason: 'shared' }
  t.strictSame(spans.said(waits), [said, said, said])
  const [leader] = handlers.map(span => span.spanContext().spanId)
  t.strictSame(waits.map(spans.links), [[leader], [leader], [leader]])
  t.strictSame(waits.every(({ parentSpanContext }) => handlers.slice(1).some(span => span.spanContext().spanId === parentSpanContext?.spanId)), true)
  t.strictSame(spans.said([...spans.requests(), ...handlers]).filter(each => Object.keys(each).length > 0), [])
  t.strictSame(complaints, [])
})

t.test('a wait for a run of the same caller links to nothing, and one that nobody traces has no span', async t => {
  trace(t)
  const server = await traced(t, 'ours', app => { app.get('/', async () => 'ok') })
  const lookUp = server.app.coalesce.deduplicate(async () => { await new Promise(resolve => { setImmediate(resolve) }) }, { key: () => 'a', name: 'look up' })
  await Promise.all([lookUp(), lookUp()])
  t.strictSame(spans.all(), [])
  const span = tracer.startSpan('job')
  await context.with(traces.setSpan(context.active(), span), async () => await Promise.all([lookUp(), lookUp()]))
  span.end()
  t.strictSame(spans.waits().map(wait => [wait.parentSpanContext?.spanId, spans.links(wait)]), [[span.spanContext().spanId, []]])
  await spans.ended()
})
