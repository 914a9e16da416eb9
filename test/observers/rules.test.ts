/**
 * "The rules for Prometheus are taken by it, fire when they should, speak of nothing that is not counted, and say what to do."
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { REASONS } from '../../lib/reasons.js'
import { everything } from '../fixtures/everything.js'
import { brokenLinks, namedRows, page, ROOT, type Page } from '../fixtures/markdown.js'
import { promtool, rules, wrongUses } from '../fixtures/prometheus.js'

const FILE = join(ROOT, 'prometheus/rules.yml')
const KNOWN = new Set([...Object.keys(REASONS), ...Object.values(REASONS).flat()])

const all = rules()
const alerts = all.filter(({ type }) => type === 'alert')

t.test('Prometheus takes the rules', async t => {
  t.ok(alerts.length > 25)
  t.equal(new Set(all.map(({ name }) => name)).size, all.length, 'each has a name of its own')
  promtool(t, ['check', 'rules', FILE])
})

t.test('they record and fire when they should, and not otherwise', async t => {
  promtool(t, ['test', 'rules', join(ROOT, 'prometheus/rules.test.yml')])
})

t.test('each of them is tested, and each alert to be silent as well', async t => {
  const tests = readFileSync(join(ROOT, 'prometheus/rules.test.yml'), 'utf8')
  for (const { name, type } of all) {
    if (type === 'record') t.match(tests, new RegExp(`- expr: ${name}\\n.*\\n +exp_samples:\\n +- \\{`), name)
    else t.match(tests, new RegExp(`exp_samples:\\s[^\\]]*ALERTS\\{alertname="${name}",alertstate="firing",severity="`), name)
  }
  // At that time, before the first event, there is none of those that fire at one.
  t.match(tests, /expr: 'ALERTS\{alertstate="firing"\}', eval_time: 20m, exp_samples: \[\]/)
  const lasting = alerts.filter(({ name }) => !new RegExp(`^ {10}- \\{ labels: 'ALERTS\\{alertname="${name}"`, 'm').test(tests))
  t.ok(lasting.length > 8)
  for (const { name } of lasting) t.match(tests, new RegExp(`ALERTS\\{alertname="${name}",alertstate="firing"\\}', eval_time: \\w+, exp_samples: \\[\\] \\}`), name)
})

t.test('every metric, label and value in them is there in a scrape', async t => {
  const queries = all.map(({ query }) => query)
  t.ok(queries.every(query => query.includes('coalesce_')))
  t.same(wrongUses(queries, await everything(t), KNOWN), [])
})

t.test('each alert says what happens, what to do, and where that is written', async t => {
  for (const { name, severity, annotations } of alerts) {
    t.match(severity, /^(?:critical|warning)$/, name)
    t.same(Object.keys(annotations), ['summary', 'description', 'docs'], name)
    t.match(annotations.summary, /\.$/, name)
    t.match(annotations.description, /\.$/, name)
    const link = { path: 'README.md', prose: `[docs](${annotations.docs})` } as Page
    t.same(brokenLinks(link), [], name)
  }
})

t.test('the docs have each alert with its severity, and no other', async t => {
  const rows = namedRows(page('docs/grafana.md').section('The alerts'))
  t.same([...rows].map(([name, row]) => [name, row.split('|')[2]?.trim()]).sort(), alerts.map(({ name, severity }) => [name, severity]).sort())
})

t.test('with a prefix they are made by the command that the docs give', async t => {
  const [, script = ''] = /^sed '(.*)' /m.exec(page('docs/grafana.md').text) ?? []
  const text = execFileSync('sed', [script, FILE], { encoding: 'utf8' })
  t.same(wrongUses(rules(text).map(({ query }) => query), await everything(t, 'shop_'), KNOWN), [])
  promtool(t, ['check', 'rules', `${t.testdir({ 'rules.yml': text })}/rules.yml`])
})
