/**
 * What `stats()` tells of what protects what is behind runs.
 *
 * Invariant: they are copies, which do not change any more. Without queues, breakers or batched functions it tells nothing of them.
 */
import type { CoalesceStats } from '../../types/index.js'
import type { Counts, Protected } from './protection-metrics.js'

export function protectionFiguresOf ({ batches, breakers, queues }: Protected): Pick<CoalesceStats, 'queues' | 'breakers' | 'batches'> {
  const [ofQueues, ofBreakers, ofBatches] = [figuresOf(queues()), figuresOf(breakers()), figuresOf(batches())]
  return {
    ...ofQueues.length > 0 && { queues: ofQueues },
    ...ofBreakers.length > 0 && { breakers: ofBreakers },
    ...ofBatches.length > 0 && { batches: ofBatches }
  }
}

function figuresOf<F> (all: Iterable<Counts<F>>): F[] {
  return [...all].map(who => who.figures())
}
