/**
 * What a key is made of, read from the key itself.
 *
 * Invariant: it mirrors `buildKey`, which says what stands where.
 */
import type { ExplainedPart } from '../../types/index.js'
import type { KeySettings } from './key.js'

type Settings = Pick<KeySettings<never>, 'headers' | 'cookies' | 'identity' | 'key' | 'body'>

export function partsOf (key: string, { headers, cookies, identity, key: keyOf }: Settings): ExplainedPart[] {
  const [route, method, protocol, host, target, who, headerValues, cookieValues, body, hidden] = JSON.parse(key) as unknown[]
  const parts: ExplainedPart[] = [
    { part: 'route', value: route }, { part: 'method', value: method }, { part: 'protocol', value: protocol }, { part: 'host', value: host },
    ...keyOf === undefined ? targetParts(target as unknown[]) : [{ part: 'key' as const, value: target }]
  ]
  if (identity !== undefined) parts.push({ part: 'identity', value: who })
  headers.forEach((name, index) => { parts.push({ part: 'header', name, value: (headerValues as unknown[])[index] }) })
  cookies.key.forEach((name, index) => { parts.push({ part: 'cookie', name, value: (cookieValues as unknown[])[index] }) })
  if (body !== undefined && body !== null) parts.push({ part: 'body', value: body })
  if (hidden !== undefined) parts.push({ part: 'hooks', value: hidden })
  return parts
}

function targetParts (target: unknown[]): ExplainedPart[] {
  const [path, delimiter, query] = target
  if (Array.isArray(path)) return [...targetParts(path), { part: 'original-url', value: delimiter }]
  const parts: ExplainedPart[] = [{ part: 'path', value: path }]
  for (const pair of query === undefined ? [] : (query as string).split('&')) {
    const end = pair.indexOf('=')
    parts.push({ part: 'query', name: end < 0 ? pair : pair.slice(0, end), value: end < 0 ? '' : pair.slice(end + 1) })
  }
  return parts
}
