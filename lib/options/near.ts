/**
 * Which name was meant by one that is wrong.
 *
 * Invariant: linear in the length of the wrong name; a long one is near nothing.
 */

/** The known name that a wrong one is nearest to; undefined if it is near none. */
export function nearest (wrong: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let least = Infinity
  for (const name of known) {
    const distance = distanceOf(plain(wrong), plain(name))
    if (distance < least && distance <= (name.length < 5 ? 1 : 2)) [best, least] = [name, distance]
  }
  return best
}

/** Names that differ only in this are the same word. */
function plain (name: string): string {
  return name.length > 64 ? name : name.toLowerCase().replace(/[-_ ]/g, '')
}

/** How many letters have to be put in, left out, replaced, or exchanged with their neighbour; infinite if that is more than two at least. */
function distanceOf (a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return Infinity
  let before: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const next = [row]
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1]
      let least = Math.min(last[column] as number + 1, next[column - 1] as number + 1, last[column - 1] as number + (same ? 0 : 1))
      const exchanged = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      if (exchanged) least = Math.min(least, before[column - 2] as number + 1)
      next.push(least)
    }
    [before, last] = [last, next]
  }
  return last[b.length] as number
}
