import t from 'tap'
import { SharedBodies, type Encoded } from '../../lib/http/encodings.js'
import { until } from '../fixtures/gate.js'
import { memoryUsed } from '../fixtures/heap.js'

function room (most = Infinity) {
  const held = { bytes: 0 }
  const hold = (bytes: number): boolean => {
    if (bytes > 0 && held.bytes + bytes > most) return false
    held.bytes += bytes
    return true
  }
  return { held, hold }
}

t.test('a body is found by its bytes while somebody uses it', t => {
  const { held, hold } = room()
  const bodies = new SharedBodies()
  const text = 'Übergröße'
  const bytes = Buffer.from(text)
  t.equal(bodies.find(bytes), undefined)
  const first = bodies.use(text, bytes.length, hold)
  const second = bodies.use(text, bytes.length, hold)
  const shared = bodies.find(Buffer.from(text))
  t.ok(shared)
  t.equal(bodies.find(Buffer.from('Ubergroße ')), undefined, 'not other bytes, of the same length or another')
  t.equal(bodies.find(Buffer.from('Über')), undefined)
  t.equal(held.bytes, bytes.length, 'the bytes of a string are held')
  first()
  first()
  t.equal(bodies.find(bytes), shared, 'to leave twice is to leave once')
  second()
  t.equal(bodies.find(bytes), undefined)
  t.same([held.bytes, bodies.size], [0, 0])
  t.end()
})

t.test('a body in use is encoded once in each way, and what it came to is counted until nobody uses it', t => {
  const { held, hold } = room()
  const bodies = new SharedBodies()
  const body = Buffer.from('body')
  const letGo = bodies.use(body, 4, hold)
  const shared = bodies.find(body)
  let times = 0
  const encode = (): Buffer => Buffer.alloc(10, ++times)
  t.equal(shared?.encodeSync('a', encode), shared?.encodeSync('a', encode))
  shared?.encodeSync('b', encode)
  t.equal(times, 2)
  t.equal(held.bytes, 20)
  let told: Buffer | undefined
  shared?.encode('b', () => { throw new Error('not asked') }, (_error, bytes) => { told = bytes })
  t.equal(told?.[0], 2)
  letGo()
  t.equal(held.bytes, 0)
  shared?.encodeSync('a', encode)
  t.equal(held.bytes, 0, 'who comes later is given it and nothing is kept')
  t.end()
})

t.test('what was made for an owner that lasts is there for its next use, and counted; nothing that was not made is', t => {
  const { held, hold } = room()
  const bodies = new SharedBodies()
  const owner = {}
  const body = Buffer.from('body')
  let times = 0
  const encode = (): Buffer => Buffer.alloc(10, ++times)
  bodies.use(body, 4, hold, owner)()
  t.equal(held.bytes, 0)
  for (let use = 0; use < 3; use++) {
    const letGo = bodies.use(body, 4, hold, owner)
    bodies.find(body)?.encodeSync('a', encode)
    letGo()
    t.equal(bodies.size, 0)
    t.equal(held.bytes, 10)
  }
  t.equal(times, 1)
  const letGo = bodies.use(body, 4, hold, {})
  bodies.find(body)?.encodeSync('a', encode)
  letGo()
  t.equal(times, 2, 'another owner knows nothing of it')
  t.equal(held.bytes, 20)
  t.end()
})

t.test('who asks while it is being encoded is told as well, and an error is told and not kept', t => {
  const { held, hold } = room()
  const bodies = new SharedBodies()
  const body = Buffer.from('body')
  const letGo = bodies.use(body, 4, hold)
  const shared = bodies.find(body)
  const started: Encoded[] = []
  const told: unknown[] = []
  const ask = (): void => shared?.encode('a', (_bytes, encoded) => { started.push(encoded) }, (error, bytes) => { told.push(error?.message ?? bytes) })
  ask()
  ask()
  t.equal(started.length, 1)
  started[0]?.(new Error('broken'), undefined)
  t.same(told, ['broken', 'broken'])
  ask()
  t.equal(started.length, 2)
  const made = Buffer.from('made')
  started[1]?.(null, made)
  ask()
  t.same(told, ['broken', 'broken', made, made])
  shared?.encode('b', () => { throw new Error('wrong options') }, error => { told.push(error?.message) })
  t.equal(told.at(-1), 'wrong options')
  t.equal(held.bytes, 4)
  letGo()
  t.equal(held.bytes, 0)
  t.end()
})

t.test('what there is no room for is not kept, nor are more ways than a few', t => {
  const { held, hold } = room(95)
  const bodies = new SharedBodies()
  const body = Buffer.from('body')
  const letGo = bodies.use(body, 4, hold)
  let times = 0
  const encode = (): Buffer => Buffer.alloc(10, ++times)
  for (let round = 0; round < 2; round++) {
    for (let way = 0; way < 20; way++) bodies.find(body)?.encodeSync(String(way), encode)
  }
  t.equal(times, 8 + 12 + 12)
  t.equal(held.bytes, 80)
  bodies.use('text', 100, hold)
  t.equal(bodies.find(Buffer.alloc(100)), undefined, 'no room for its bytes')
  letGo()
  t.equal(held.bytes, 0)
  t.end()
})

t.test('of very many bodies of one length only some are looked at, and none that is empty', t => {
  const { hold } = room()
  const bodies = new SharedBodies()
  const all = Array.from({ length: 100 }, (_, index) => bodies.use(String(index).padStart(3), 3, hold))
  t.equal(bodies.size, 16)
  bodies.use('', 0, hold)()
  bodies.use(null, 0, hold)()
  t.equal(bodies.find(Buffer.alloc(0)), undefined)
  for (const letGo of all) letGo()
  t.equal(bodies.size, 0)
  t.end()
})

t.test('what was made for an owner that is no more is let go, and what was made for one that is still there is not', async t => {
  const { held, hold } = room()
  const bodies = new SharedBodies()
  const make = (owner: object, size: number): void => {
    const body = Buffer.alloc(size, 'body')
    const letGo = bodies.use(body, size, hold, owner)
    bodies.find(body)?.encodeSync('a', () => Buffer.alloc(size * 10))
    letGo()
  }
  const lasting = {}
  make(lasting, 4)
  for (let owner = 0; owner < 100; owner++) make({}, 5)
  t.equal(held.bytes, 40 + 5000)
  await until(() => {
    memoryUsed()
    return held.bytes <= 40
  }, 'the end of what was made for who is no more')
  t.equal(held.bytes, 40)
  bodies.use(Buffer.alloc(4, 'body'), 4, hold, lasting)
  bodies.find(Buffer.alloc(4, 'body'))?.encodeSync('a', () => { throw new Error('not asked') })
})
