// @ts-check
/**
 * Requests for 200 different words are a handful of queries: those that arrive together look their words up together.
 *
 * Run it: node examples/batching.js
 */
import Fastify from 'fastify'
import coalesce from 'fastify-coalesce'
// @ts-expect-error: it comes without types
import openSqlite from 'sql.js'

const { Database } = await openSqlite()

export async function build () {
  const db = new Database()
  db.run('CREATE TABLE words (word TEXT PRIMARY KEY, meaning TEXT)')
  for (let number = 0; number < 200; number++) db.run('INSERT INTO words VALUES (?, ?)', [`word-${number}`, `the meaning of ${number}`])

  const app = Fastify()
  await app.register(coalesce)
  let queries = 0

  const lookUp = app.coalesce.batched(async words => {
    queries++
    const [found] = db.exec(`SELECT word, meaning FROM words WHERE word IN (${words.map(() => '?').join()})`, words)
    // Rows come in any order, and only for words that there are.
    return new Map(/** @type {Array<[string, string]>} */ (found?.values ?? []))
  }, { key: (/** @type {string} */ word) => word, name: 'lookUp' })

  app.get('/word/:word', async (request, reply) => {
    const { word } = /** @type {{ word: string }} */ (request.params)
    return await lookUp(word) ?? await reply.callNotFound()
  })
  return { app, queries: () => queries }
}

if (process.argv[1] === import.meta.filename) {
  const { app, queries } = await build()

  const words = Array.from({ length: 200 }, (_, number) => `word-${number}`)
  const answers = await Promise.all(words.map(word => app.inject(`/word/${word}`)))
  const right = answers.filter(({ statusCode, body }, number) => statusCode === 200 && body === `the meaning of ${number}`)
  console.log(`${words.length} requests for ${words.length} words, ${queries()} queries: ${right.length} right answers`)

  const none = await app.inject('/word/no-such-word')
  console.log(`a word that there is not: ${none.statusCode}`)
  await app.close()
}
