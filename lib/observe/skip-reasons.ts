/**
 * Why a response is not compared.
 *
 * Invariant: a closed set, fit for labels.
 */

/**
 * - `not-sampled`: it is not of the part that `rate` or `verify` asks for
 * - `budget`: comparing took its part of a core already
 * - `bytes`: there was no room to keep it for others to be compared with
 * - `too-large`: its body is larger than one response may be
 * - `stream`: its body is a stream, or was written past Fastify
 * - `unfinished`: its run or its client ended before there was a whole response
 * - `clean-threw`: the option `clean` threw, or gave no text
 */
export const SKIP_REASONS = Object.freeze(['not-sampled', 'budget', 'bytes', 'too-large', 'stream', 'unfinished', 'clean-threw'] as const)

export type SkipReason = typeof SKIP_REASONS[number]
