import { getEventListeners } from 'node:events'
import t from 'tap'
import { offAbort, onAbort } from '../../lib/functions/abort-signals.js'

t.test('all who wait for a signal are told, in order, by one listener', async t => {
  const controller = new AbortController()
  const { signal } = controller
  const told: number[] = []
  const actions = [0, 1, 2].map(index => () => {
    told.push(index)
    offAbort(signal, actions[index] as () => void)
  })
  for (const action of actions) onAbort(signal, action)
  offAbort(signal, actions[1] as () => void)
  t.equal(getEventListeners(signal, 'abort').length, 1)
  controller.abort()
  t.strictSame(told, [0, 2])
  t.equal(getEventListeners(signal, 'abort').length, 0)
})

t.test('a signal that nobody waits for any more has no listener, and can be waited for again', async t => {
  const { signal } = new AbortController()
  const action = (): void => {}
  onAbort(signal, action)
  offAbort(signal, action)
  offAbort(signal, action)
  t.equal(getEventListeners(signal, 'abort').length, 0)
  onAbort(signal, action)
  offAbort(signal, () => {})
  t.equal(getEventListeners(signal, 'abort').length, 1)
  offAbort(signal, action)
  t.equal(getEventListeners(signal, 'abort').length, 0)
})
