// @ts-check
/**
 * How long a result takes from the process that leads to one that waits, against a bare PUBLISH of as many bytes that arrives at a
 * subscriber, in turns: `node processes-hops.js <port of Redis>`. It tells its figures once, in milliseconds.
 */
import { Redis } from 'ioredis'
import { redisCoordinator } from 'fastify-coalesce/redis'

const ROUNDS = 700
const WARM_UP = 200
const bytes = Buffer.alloc(1024, 'x')
const url = `redis://127.0.0.1:${process.argv[2]}`

const ignore = () => {}
const member = {
  group: 'hops',
  clock: { now: () => performance.now(), setTimeout, clearTimeout: /** @type {(timer: any) => void} */ (clearTimeout) },
  log: { debug: ignore, warn: ignore, error: ignore },
  purged: ignore,
  missedPurges: ignore
}
const open = () => redisCoordinator({ client: new Redis(url, { lazyConnect: true }), namespace: 'hops', secret: 'of the benchmark' }).open(member)
const [leader, follower] = [open(), open()]
await Promise.all([leader.ready(), follower.ready()])
const [publisher, subscriber] = [new Redis(url), new Redis(url)]
await subscriber.subscribe('bare')

const asking = { labels: [], as: /** @type {const} */ ('either'), leadsFor: 60_000 }

/**
 * @param {string} key
 * @returns {Promise<{ parked: number, handedOff: number }>}
 */
async function handOff (key) {
  const leads = await leader.join({ key, ...asking })
  const start = performance.now()
  const follows = await follower.join({ key, ...asking })
  const parked = performance.now() - start
  if (leads?.type !== 'leads' || follows?.type !== 'follows') throw new Error(`${leads?.type} and ${follows?.type}`)
  while (!leads.lease.isWaitedFor) await new Promise(resolve => setImmediate(resolve))
  return await new Promise((resolve, reject) => {
    let sent = 0
    follows.run.follow({
      landed () { resolve({ parked, handedOff: performance.now() - sent }) },
      lost (reason) { reject(new Error(reason)) }
    })
    sent = performance.now()
    leads.lease.land(() => bytes)
  })
}

/** @returns {Promise<number>} */
function publish () {
  return new Promise(resolve => {
    const start = performance.now()
    subscriber.once('messageBuffer', () => { resolve(performance.now() - start) })
    publisher.publish('bare', bytes)
  })
}

const figures = { parked: /** @type {number[]} */ ([]), handedOff: /** @type {number[]} */ ([]), bare: /** @type {number[]} */ ([]) }
for (let round = 0; round < WARM_UP + ROUNDS; round++) {
  const bare = await publish()
  const { parked, handedOff } = await handOff(`hop ${round}`)
  if (round < WARM_UP) continue
  figures.bare.push(bare)
  figures.parked.push(parked)
  figures.handedOff.push(handedOff)
}
process.send?.(figures)
process.exit()
