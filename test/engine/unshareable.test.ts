import t from 'tap'
import { deduplicate } from '../../lib/index.js'
import { Refreshes } from '../../lib/engine/cache/refreshes.js'
import { NO_VARIANT } from '../../lib/variant.js'
import { Unshareable, type Boarder } from '../../lib/engine/unshareable.js'
import { Variants } from '../../lib/engine/variants.js'
import { TestClock } from '../fixtures/gate.js'
import { memoryUsed } from '../fixtures/heap.js'

t.test('however long its keys are, what is remembered of them takes little room', t => {
  const clock = new TestClock()
  const variants = new Variants(clock)
  const unshareable = new Unshareable(clock, new Variants(clock))
  const origin = {}
  const visiting = (key: string) => ({ key, boardedKey: key, value: () => null, origin, learned () {} }) as unknown as Boarder
  const refreshes = new Refreshes(() => clock.now())
  const memories: Record<string, { remember: (key: string) => unknown, has: (key: string) => boolean }> = {
    'that it cannot be shared': { remember: key => { unshareable.remember(visiting(key), NO_VARIANT, 'private', 1_000) }, has: key => unshareable.reasonFor(visiting(key)) !== undefined },
    'what tells its variants apart': {
      remember: key => { variants.learn(visiting(key), ['x-tenant']) },
      has: key => variants.namesOf(key).length > 0
    },
    'that it fails': { remember: key => { refreshes.failed(key) }, has: key => refreshes.isPausing(key) }
  }
  const long = 'x'.repeat(16_000)
  for (const [what, { remember, has }] of Object.entries(memories)) {
    const keys = Array.from({ length: 2_000 }, (_, index) => `${index} ${long}`)
    for (const key of ['', ...keys]) remember(key)
    const known = keys.filter(has)
    t.ok(known.length > 1_000 && known.length < 1_100, what)
    t.ok(has(keys.at(-1) as string))
  }
  t.end()
})

t.test('a function that keeps its results takes no room for failures before it fails', t => {
  const make = () => deduplicate(async (word: string) => word, { key: word => word, ttl: '1m' })
  const functions = [make()]
  const before = memoryUsed()
  while (functions.length <= 50) functions.push(make())
  const each = (memoryUsed() - before) / 50
  t.ok(each < 50_000, `${Math.round(each)} bytes each`)
  t.end()
})
