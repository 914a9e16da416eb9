import t from 'tap'
import { readAction, readQuestion } from '../../lib/page/questions.js'

const ASKER = { host: 'localhost:3000', address: '10.0.0.7', mayForward: false }

function wrong (read: (given: unknown) => unknown, given: unknown): string {
  try {
    read(given)
    return 'accepted'
  } catch (error) {
    const { code, message } = error as { code: string, message: string }
    return code === 'FST_COALESCE_INVALID_OPTION' ? message : `another error: ${String(error)}`
  }
}

t.test('actions are read as they are meant', async t => {
  const route = { url: '/word/:word', method: 'GET,HEAD' }
  t.match(readAction({ action: 'disable' }), { action: 'disable', route: undefined })
  t.match(readAction({ action: 'enable', route }), { action: 'enable', route })
  t.match(readAction({ action: 'open', breaker: 'database' }), { action: 'open', breaker: 'database' })
  t.match(readAction({ action: 'close', breaker: 'database' }), { action: 'close', breaker: 'database' })
  t.match(readAction({ action: 'purge', purge: { tags: ['a'], soft: true } }), { action: 'purge', purge: { tags: ['a'], soft: true } })
  t.match(readAction({ action: 'purge', purge: { route: '/word/:word', url: '/word/a' } }), { action: 'purge', purge: { route: '/word/:word', url: '/word/a' } })
})

t.test('a wrong action says what is wrong', async t => {
  for (const [given, message] of [
    [null, 'action must be an object as JSON, got null'],
    [[], 'action must be an object as JSON, got []'],
    [{}, "action.action must be 'disable' or 'enable' or 'purge' or 'open' or 'close', got undefined"],
    [{ action: '__proto__' }, "action.action must be 'disable' or 'enable' or 'purge' or 'open' or 'close', got \"__proto__\""],
    [{ action: 'disable', breaker: 'x' }, 'action must be made of action, route, got "breaker"'],
    [{ action: 'disable', rout: {} }, 'action.rout is unknown; did you mean route?'],
    [{ action: 'disable', route: '/' }, 'action.route must be { url, method }, got "/"'],
    [{ action: 'enable', route: { url: '/' } }, 'action.route.method must be a non-empty string of at most 8192 characters, got undefined'],
    [{ action: 'purge' }, 'action.purge must be { tags, route, url, soft }, got undefined'],
    [{ action: 'purge', purge: { key: '[]' } }, 'action.purge must be made of tags, route, url, soft, got "key"'],
    [{ action: 'purge', purge: { tags: 'a' } }, 'action.purge.tags must be an array of names, got "a"'],
    [{ action: 'purge', purge: { url: 7 } }, 'action.purge.url must be a non-empty string of at most 8192 characters, got 7'],
    [{ action: 'open' }, 'action.breaker must be a non-empty string of at most 8192 characters, got undefined'],
    [JSON.parse('{"action":"open","breaker":"x","__proto__":1}'), 'action must be made of action, breaker, got "__proto__"']
  ] as const) t.equal(wrong(readAction, given), message)
  t.match(wrong(readAction, { action: 'close', breaker: 'x'.repeat(8193) }), /^action\.breaker must be/)
})

t.test('a question is what inject takes', async t => {
  t.strictSame(readQuestion({ url: '/search?q=a' }, ASKER), { remoteAddress: '10.0.0.7', method: 'GET', url: '/search?q=a', headers: { host: 'localhost:3000' } })
  t.strictSame(readQuestion({ url: '/search', method: 'query', headers: { Cookie: 'a=b', Host: 'example.com' }, body: '{}' }, ASKER), {
    remoteAddress: '10.0.0.7', method: 'QUERY', url: '/search', headers: { host: 'localhost:3000', Cookie: 'a=b', Host: 'example.com' }, payload: '{}'
  })
})

t.test('a wrong question says what is wrong', async t => {
  const path = "question.url must be a path such as '/search?q=a', of at most 8192 characters, got "
  for (const [given, message] of [
    ['x', 'question must be an object as JSON, got "x"'],
    [{}, `${path}undefined`],
    [{ url: 'http://elsewhere/' }, `${path}"http://elsewhere/"`],
    [{ url: '/a b' }, `${path}"/a b"`],
    [{ url: '/a\r\nx: y' }, `${path}"/a\\r\\nx: y"`],
    [{ url: '/', method: 'G T' }, 'question.method must be an HTTP method, got "G T"'],
    [{ url: '/', method: 'BREW' }, 'question.method must be an HTTP method, got "BREW"'],
    [{ url: '/', method: 7 }, 'question.method must be an HTTP method, got 7'],
    [{ url: '/', headers: [] }, 'question.headers must be an object of header names and values, got []'],
    [{ url: '/', headers: { 'a b': 'c' } }, 'question.headers must be an object of header names and values, got "a b"'],
    [{ url: '/', headers: { a: 1 } }, 'question.headers.a must be a string without line breaks, got 1'],
    [{ url: '/', headers: { a: 'b\r\nc: d' } }, 'question.headers.a must be a string without line breaks, got "b\\r\\nc: d"'],
    [{ url: '/', body: {} }, 'question.body must be a string, got {}'],
    [{ url: '/', values: true }, 'question must be made of method, url, headers, body, got "values"']
  ] as const) t.equal(wrong(each => readQuestion(each, ASKER), given), message)
})

t.test('who may do nothing asks in nobody else\'s name', async t => {
  for (const header of ['Forwarded', 'X-Forwarded-For', 'x-forwarded-host', 'X-Real-IP', 'via', 'cf-connecting-ip', 'x-original-url']) {
    const given = { url: '/', headers: { accept: 'text/html', [header]: '10.0.0.8' } }
    t.equal(wrong(each => readQuestion(each, ASKER), given),
      `question.headers must be an object of header names and values, without those by which proxies say for whom they ask unless dashboard.actions is true, got "${header}"`)
    t.strictSame(readQuestion(given, { ...ASKER, mayForward: true }).headers, { host: 'localhost:3000', ...given.headers })
  }
})
