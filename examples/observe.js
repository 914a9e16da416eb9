// @ts-check
/**
 * Routes that are tried before they share: what their clients are answered is compared with what they would have been given.
 *
 * Run it: node examples/observe.js
 */
import Fastify from 'fastify'
import coalesce from 'fastify-coalesce'

const CATALOG = ['tea', 'coffee', 'cocoa']

export async function build () {
  const app = Fastify()
  // So that all is compared of what this program asks at once; the default is a hundredth of one core.
  await app.register(coalesce, { observe: { budget: 1 }, cookies: { ignore: ['session'] } })

  app.get('/search', { config: { coalesce: true } }, async request => {
    const { q = '' } = /** @type {{ q?: string }} */ (request.query)
    return { found: CATALOG.filter(name => name.includes(q)), at: new Date() }
  })

  // It says that this header does not matter, and is wrong.
  app.get('/home', { config: { coalesce: { learnVary: { ignore: ['user-agent'] } } } }, async request => (
    { layout: request.headers['user-agent'] === 'phone' ? 'narrow' : 'wide', items: CATALOG }
  ))
  return app
}

if (process.argv[1] === import.meta.filename) {
  const app = await build()
  for (let number = 0; number < 400; number++) {
    // Twelve clients. Each of them asks twice.
    const client = Math.floor(number / 2) % 12
    const headers = { cookie: `session=of-client-number-${client}`, 'user-agent': client % 3 === 0 ? 'phone' : 'desk' }
    const source = ['mail', 'ads', 'news'][number % 3]
    await app.inject({ url: `/search?q=${CATALOG[number % 2]}&utm_source=${source}`, headers })
    await app.inject({ url: '/home', headers })
  }

  const { routes } = app.coalesce.report()
  for (const { method, route, verdict, requests, differences, inert } of routes) {
    console.log(`${method} ${route}: ${verdict}, ${requests} requests compared`)
    for (const { path, causes } of differences) console.log(`  ${path} differs between clients, by ${causes[0]?.name}`)
    for (const { names } of inert) console.log(`  ${names.join()} makes no difference`)
  }
  await app.close()
}
