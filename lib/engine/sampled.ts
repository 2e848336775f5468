import { createHash } from 'node:crypto';
import type { CheckExtent } from './inventory';

/** Shares below this are taken for it: the data is divided into at most so many parts. */
const MOST_PARTS = 1000;

/** Something that is read as a whole, or not at all. */
export interface Readable {
  /** What tells it from all others. */
  readonly key: string;
  readonly sizeBytes: number;
}

/**
 * Chooses what to read, by its key: in an order that only the keys give all is laid end to end and cut into equal parts,
 * and the seed says which part it is, so that seeds one after the other come to all of it.
 */
export function sampled(all: readonly Readable[], { share, seed }: CheckExtent): Set<string> {
  if (share >= 1) return new Set(all.map(({ key }) => key));
  if (share <= 0) return new Set();
  const sorted = all
    .map((one) => ({ ...one, order: createHash('sha256').update(one.key).digest('hex') }))
    .sort((a, b) => (a.order < b.order ? -1 : 1));
  const parts = Math.min(MOST_PARTS, Math.max(2, Math.round(1 / share)));
  const total = sorted.reduce((sum, { sizeBytes }) => sum + sizeBytes + 1, 0);
  const part = seed % parts;
  const chosen = new Set<string>();
  let end = 0;
  for (const { key, sizeBytes } of sorted) {
    const middle = end + (sizeBytes + 1) / 2;
    end += sizeBytes + 1;
    if (Math.floor((middle / total) * parts) === part) chosen.add(key);
  }
  return chosen;
}
