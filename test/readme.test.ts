/**
 * The README is one screen and a half, and the way to everything else. What holds for all pages is in docs.test.ts.
 */
import t from 'tap'
import { page, PAGES } from './fixtures/markdown.js'

const readme = page('README.md')

t.test('the README has at most 200 lines and 1,500 words', t => {
  t.ok(readme.text.trimEnd().split('\n').length <= 200, 'lines')
  t.ok(readme.text.split(/\s+/).length <= 1_500, 'words')
  t.end()
})

t.test('the README links to every page', t => {
  const others = PAGES.filter(({ path }) => path !== 'README.md' && path !== 'docs/headers-hooks-read.md')
  t.same(others.filter(({ path }) => !readme.prose.includes(`(${path})`)).map(({ path }) => path), [])
  t.end()
})

t.test('the README begins with how to install it and how to try it', t => {
  const commands = readme.snippets.filter(({ language }) => language === 'sh').flatMap(({ code }) => code.trim().split('\n'))
  t.match(commands, [/^npm i fastify-coalesce$/, /^npm ci && npm start\b/, /^npm ci && npm test\b/])
  t.end()
})
