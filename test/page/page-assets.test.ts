import { readFile } from 'node:fs/promises'
import t from 'tap'
import { ASSETS, embedded } from '../../lib/page/browser/embed.js'
import { PAGE_CSS, PAGE_HTML, PAGE_JS } from '../../lib/page/assets.js'

t.test('the page that is served is that of its sources', async t => {
  t.ok(await readFile(ASSETS, 'utf8') === await embedded(), 'lib/page/assets.ts is up to date, else: node lib/page/browser/embed.js')
})

t.test('all of the page is at most 30 kB', async t => {
  const sizes = [PAGE_HTML, PAGE_CSS, PAGE_JS].map(text => Buffer.byteLength(text))
  t.ok(sizes.reduce((sum, size) => sum + size, 0) <= 30_000, sizes.join(' + '))
})

t.test('nothing is inline, and nothing is made of text that is not text', async t => {
  t.notMatch(PAGE_HTML, /\sstyle=|\son\w+=|<style|javascript:|https?:|<script(?! type="module" src="page\.js"><\/script>)/)
  t.notMatch(PAGE_JS, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(|Function\(|https?:\/\/(?!www\.w3\.org\/2000\/svg")/)
  t.notMatch(PAGE_CSS, /url\(|@import/)
})

t.test('each address is relative', async t => {
  t.strictSame([...PAGE_HTML.matchAll(/(?:src|href|action)="([^"]*)"/g)].map(([, address]) => address), ['page.css', 'page.js'])
})
