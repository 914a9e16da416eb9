import t from 'tap'
import { KINDS, mistakes, TRAPS, tryKind, type Kind } from './routes.js'

const SEEDS = 25
const REQUESTS = 500

interface Score { trials: number, right: number, falseInert: string[], harmlessLeaks: string[], wrong: string[] }

function score (kinds: readonly Kind[], seeds: number): Score {
  const sum: Score = { trials: 0, right: 0, falseInert: [], harmlessLeaks: [], wrong: [] }
  for (const kind of kinds) {
    for (let seed = 1; seed <= seeds; seed++) {
      const { wrong, falseInert, isHarmlessLeak } = mistakes(kind, tryKind(kind, seed, REQUESTS).findings)
      sum.trials++
      if (wrong.length === 0) sum.right++
      sum.wrong.push(...wrong.map(mistake => `${kind.name}, seed ${seed}: ${mistake}`))
      sum.falseInert.push(...falseInert.map(name => `${kind.name}, seed ${seed}: ${name}`))
      if (isHarmlessLeak) sum.harmlessLeaks.push(`${kind.name}, seed ${seed}`)
    }
  }
  return sum
}

t.test('of twelve kinds of route with 500 requests, nearly each is judged right, no part that matters is called inert, and no leak harmless', async t => {
  const { trials, right, falseInert, harmlessLeaks, wrong } = score(KINDS, SEEDS)
  t.comment(`${right} of ${trials} right; false inert: ${falseInert.length}; leaks called harmless: ${harmlessLeaks.length}`, wrong)

  t.equal(trials, 300)
  t.ok(right >= 298, `${right} right: ${wrong.join('; ')}`)
  t.strictSame(falseInert, [])
  t.strictSame(harmlessLeaks, [])
})

t.test('leaks that look like noise are told, and parts that choose among noise are not called inert', async t => {
  const { trials, right, falseInert, harmlessLeaks, wrong } = score(TRAPS, 5)
  t.comment(`${right} of ${trials} right; false inert: ${falseInert.length}; leaks called harmless: ${harmlessLeaks.length}`, wrong)

  t.ok(right >= trials - 1, wrong.join('; '))
  t.strictSame(falseInert, [])
  t.strictSame(harmlessLeaks, [])
})

t.test('parts that make no difference are found, those that come and go together as one', async t => {
  const [search, , , , , , , , , , fixed] = KINDS as [Kind, ...Kind[]]
  const names = (kind: Kind): string[] => tryKind(kind, 1, 4 * REQUESTS).findings.inert.map(({ names }) => names.join()).sort()

  t.strictSame(names(search), ['?_', '?ref', '?utm_campaign,?utm_medium,?utm_source'])
  t.strictSame(names(fixed as Kind), ['?v'])
})
