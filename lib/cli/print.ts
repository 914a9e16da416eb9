/**
 * An explanation for people.
 *
 * Invariant: every line says one thing, and what there is nothing to say of has no line.
 */
import type { InjectOptions } from 'fastify'
import type { ExplainedPart, Explanation } from '../../types/index.js'

type Line = readonly [label: string, text: string]

export function printed ({ method, url }: InjectOptions, explanation: Explanation): string {
  const { reason, steps, summary } = explanation
  const facts = factsOf(explanation)
  const paragraphs = [
    [`${String(method)} ${String(url)}`, summary],
    aligned(facts.filter(([, text]) => text !== '')),
    aligned(steps.map(({ decides, step, text }) => [`${decides ? '→' : '✓'} ${step}`, text])),
    reason === undefined ? [] : [`What to do: docs/why-is-nothing-shared.md#${reason}`]
  ]
  return `${paragraphs.filter(lines => lines.length > 0).map(lines => lines.join('\n')).join('\n\n')}\n`
}

function factsOf ({ cached, flight, gate, key = [], outside, parking, route, unshareable, variant }: Explanation): Line[] {
  return [
    ['route', route === undefined ? '' : `${route.method} ${route.url}`],
    ['waits', parking === undefined ? '' : `in ${parking.at}: ${parking.why}${parking.skips.length === 0 ? '' : `; followers skip ${parking.skips.join(', ')}`}`],
    ['answered', gate === undefined ? '' : `${gate.status}${gate.error === undefined ? '' : ` ${gate.error}`}`],
    ['key', key.map(partText).join(', ')],
    ['not in it', outside.map(({ kind, name, treated }) => `${kind === 'query' ? '?' : ''}${name} (${treated})`).join(', ')],
    ['varies on', variant.map(({ learnedFrom, name, value }) => `${name}${valueText(value)} (${learnedFrom})`).join(', ')],
    ['remembered', unshareable === undefined ? '' : `${unshareable.cause}, for ${seconds(unshareable.remaining)}`],
    ['in the air', flight === undefined ? '' : `${flight.elsewhere === true ? 'in another process' : `request ${String(flight.leaderId)}`} for ${seconds(flight.since)}, followers: ${flight.followers}`],
    ['cached', cached === undefined
      ? ''
      : `${cached.status}, ${cached.bytes} bytes, age ${seconds(cached.age)}, fresh for ${seconds(cached.fresh)}, ` +
        `then stale for ${seconds(cached.staleWhileRevalidate)} while it is refreshed and ${seconds(cached.staleIfError)} on errors`]
  ]
}

function partText ({ name, part, value }: ExplainedPart): string {
  return `${part}${name === undefined ? '' : ` ${name}`}${valueText(value)}`
}

function valueText (value: unknown): string {
  return value === undefined ? '' : `=${JSON.stringify(value)}`
}

function seconds (time: number): string {
  return `${(time / 1000).toFixed(1)} s`
}

function aligned (lines: readonly Line[]): string[] {
  const width = Math.max(...lines.map(([label]) => label.length))
  return lines.map(([label, text]) => `  ${label.padEnd(width)}  ${text}`)
}
