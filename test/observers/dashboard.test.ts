/**
 * "The dashboard for Grafana is well formed, its queries are Prometheus', and they speak of nothing that is not counted."
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { REASONS } from '../../lib/reasons.js'
import { everything } from '../fixtures/everything.js'
import { page, ROOT } from '../fixtures/markdown.js'
import { DATASOURCE, filledIn, PREFIX, promtool, usesOf, VARIABLES, wrongUses } from '../fixtures/prometheus.js'

interface Source {
  readonly type: string
  readonly uid: string
}

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description?: string
  readonly datasource?: Source
  readonly gridPos: { readonly x: number, readonly y: number, readonly w: number, readonly h: number }
  readonly targets?: ReadonlyArray<{ readonly refId: string, readonly expr: string, readonly datasource: Source, readonly legendFormat: string }>
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string, readonly noValue?: string } }
}

interface Dashboard {
  readonly uid: string
  readonly title: string
  readonly schemaVersion: number
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: ReadonlyArray<{ readonly name: string, readonly type: string, readonly query: unknown, readonly multi?: boolean, readonly includeAll?: boolean, readonly allValue?: string }> }
  readonly annotations: { readonly list: ReadonlyArray<{ readonly expr?: string }> }
}

const KNOWN = new Set([...Object.keys(REASONS), ...Object.values(REASONS).flat()])

const text = readFileSync(join(ROOT, 'grafana/dashboard.json'), 'utf8')
const dashboard = JSON.parse(text) as Dashboard
const panels = dashboard.panels.filter(({ type }) => type !== 'row')
const targets = panels.flatMap(({ targets = [] }) => targets)
const queries = targets.map(({ expr }) => expr)

t.test('it is one that Grafana 12 takes as it is, from whatever data source is picked', async t => {
  t.match(dashboard, { uid: 'fastify-coalesce', title: 'fastify-coalesce', schemaVersion: 41, id: null })
  t.same(dashboard.templating.list.map(({ name, type }) => `${name} ${type}`), ['datasource datasource', 'prefix textbox', 'job query', 'instance query', 'route query'])
  for (const { multi, includeAll, allValue } of dashboard.templating.list.slice(2)) t.same({ multi, includeAll, allValue }, { multi: true, includeAll: true, allValue: '.*' })
  const sources = [...text.matchAll(/"datasource": \{ "type": "\w+", "uid": "([^"]*)" \}/g)].map(([, uid]) => uid as string)
  t.equal(sources.length, text.split('"datasource": {').length - 1)
  t.same([...new Set(sources)].sort(), [DATASOURCE, '-- Grafana --'])
  t.ok(panels.every(({ datasource }) => datasource?.uid === DATASOURCE) && targets.every(({ datasource }) => datasource.uid === DATASOURCE))
})

t.test('panels have ids of their own, and lie side by side', async t => {
  t.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length)
  const taken = new Map<string, string>()
  for (const { title, gridPos: { x, y, w, h } } of dashboard.panels) {
    t.ok(x >= 0 && x + w <= 24, title)
    for (let across = x; across < x + w; across++) {
      for (let down = y; down < y + h; down++) {
        t.equal(taken.get(`${across} ${down}`), undefined, `${title} lies over another one`)
        taken.set(`${across} ${down}`, title)
      }
    }
  }
})

t.test('each panel says what a good value is, in a unit, and what it means if there is none', async t => {
  t.ok(panels.length > 25)
  for (const { title, description = '', fieldConfig, targets = [] } of panels) {
    t.ok(description.length > 50, title)
    t.type(fieldConfig?.defaults.noValue, 'string', title)
    if (!/Queues|Breakers|Batches|Followers of a run|The server/.test(title)) t.type(fieldConfig?.defaults.unit, 'string', title)
    t.ok(targets.length > 0 && targets.every(({ legendFormat }) => legendFormat !== ''), title)
    t.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title)
  }
})

t.test('every metric, label and value in its queries is there in a scrape', async t => {
  const asked = queries.concat(dashboard.templating.list.flatMap(({ query }) => (query as { query?: string } | undefined)?.query ?? []))
  t.ok(asked.every(query => query.includes(`${PREFIX}coalesce_`) || query.includes('ALERTS')), 'each name has the prefix')
  t.notMatch(asked.join('\n').replaceAll(`${PREFIX}coalesce_`, ''), 'coalesce_')
  t.same(wrongUses(asked.map(query => filledIn(query)), await everything(t), KNOWN), [])
  t.same(wrongUses(asked.map(query => filledIn(query, { ...VARIABLES, [PREFIX]: 'shop_' })), await everything(t, 'shop_'), KNOWN), [], 'with a prefix')
})

t.test('what is picked by a variable is what its queries show', async t => {
  for (const query of queries) {
    for (const { metric, labels } of usesOf(filledIn(query, { ...VARIABLES, $job: '$job', $instance: '$instance', $route: '$route' }))) {
      t.same(labels.get('job'), ['$job'], `${metric} in ${query}`)
      if (metric !== 'ALERTS') t.same(labels.get('instance'), ['$instance'], `${metric} in ${query}`)
      if (/requests_total|handler|wait_seconds|saved|followers/.test(metric) && !metric.includes('queue')) t.same(labels.get('route'), ['$route'], `${metric} in ${query}`)
    }
  }
})

t.test('Prometheus takes its queries, and a route that shares nothing is a 0 in the ratios', async t => {
  const annotations = dashboard.annotations.list.flatMap(({ expr }) => expr ?? [])
  const records = queries.concat(annotations).map((query, index) => `      - { record: 'panel:${index}', expr: ${JSON.stringify(filledIn(query))} }`)
  const saved = queries.flatMap((query, index) => panels.find(({ targets }) => targets?.[0]?.expr === query)?.title.startsWith('Saved') === true ? `panel:${index}` : [])
  t.equal(saved.length, 2)
  const folder = t.testdir({
    'rules.yml': `groups:\n  - name: panels\n    rules:\n${records.join('\n')}\n`,
    'test.yml': `rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - { series: 'coalesce_requests_total{method="GET",route="/w",outcome="leader",reason="shared"}', values: '0+60x10' }
      - { series: 'coalesce_requests_total{method="GET",route="/w",outcome="follower",reason="shared"}', values: '0x10' }
    promql_expr_test:
      - { expr: '${saved[0]}', eval_time: 9m, exp_samples: [{ labels: '${saved[0]}', value: 0 }] }
      - { expr: '${saved[1]}', eval_time: 9m, exp_samples: [{ labels: '${saved[1]}{route="/w"}', value: 0 }] }
`
  })
  promtool(t, ['check', 'rules', `${folder}/rules.yml`])
  promtool(t, ['test', 'rules', `${folder}/test.yml`])
})

t.test('the docs tell of each panel by its title, row by row', async t => {
  const { prose } = page('docs/grafana.md')
  for (const { title } of dashboard.panels) t.ok(prose.includes(`**${title}**`) || prose.includes(`### ${title}`), title)
})
