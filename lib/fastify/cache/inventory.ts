/**
 * Lists what is cached, for operators.
 *
 * Invariant: no body and no header value, unless bodies are asked for; nothing here can change what is cached.
 */
import type { KeptEntry } from '../../../types/index.js'
import type { Listed } from '../../engine/cache/guarded-store.js'
import { readKeptResponse } from '../../http/kept-response.js'
import { partOf } from '../../http/labels.js'

/** @param now in milliseconds since 1970 */
export function inventory (listed: Iterable<Listed>, bodies: boolean, now: number): readonly KeptEntry[] {
  const found: KeptEntry[] = []
  for (const { entry, outdated } of listed) {
    const response = readKeptResponse(entry.value)
    if (response !== undefined) {
      const { key, labels, bytes } = entry
      const { status, age, body } = response
      const resident = now - entry.storedAt
      found.push({
        key,
        route: partOf(labels, 'route')[0] ?? '',
        path: partOf(labels, 'path')[0] ?? '',
        tags: partOf(labels, 'tag'),
        status,
        bytes,
        age: age + resident,
        fresh: outdated ? Math.min(0, entry.freshFor - resident) : entry.freshFor - resident,
        ...bodies ? { body: typeof body === 'object' && body !== null ? Buffer.from(body) : body } : {}
      })
    }
  }
  return found
}
