/**
 * "What names cost does not grow with what clients send."
 */
import t from 'tap'
import { Names } from '../../lib/redis/names.js'
import { Seal } from '../../lib/redis/seal.js'

class CountingSeal extends Seal {
  digests = 0

  override digestBytes (kind: string, text: string): Buffer {
    this.digests++
    return super.digestBytes(kind, text)
  }
}

t.test('places are kept, but not those of labels as long as a URL may be', t => {
  const seal = new CountingSeal('namespace', 'a secret for tests')
  const names = new Names('', 'namespace', 1, seal)
  const [short, long] = ['path:/short', `path:/${'x'.repeat(300)}`]
  for (const label of [short, short, long, long]) t.equal(names.placeOf(label), names.placeOf(label))
  t.equal(seal.digests, 1 + 4)
  t.end()
})
