import { asDriverError, DriverError } from '../errors';
import type { BackupImage } from '../opennebula/image';
import { type Chain, lastOf } from '../opennebula/increment';
import { chainOf, findMerged, type Links, relatedTo, resolveChain, type Stored } from './chain';
import type { EngineContext, FlattenedChain } from './engine';

/** A full backup that is stored completely. */
export interface FullBackup {
  readonly source: string;
  /** What it holds, in MB, rounded up. */
  readonly sizeMb: number;
}

/** What an engine does for a flatten; the order in which it is done is the same for all. */
export interface FlattenSteps<S extends Stored> {
  /** All backups of the VM. */
  readonly all: readonly S[];
  /** Looks at a stored backup; undefined unless it is complete, by its manifest where it has one. */
  readonly examine: (stored: S) => Promise<FullBackup | undefined>;
  /** Stores, as one new full backup, what the links hold; it must tell that it replaces the sources of `replaced`. */
  readonly merge: (links: Links<S>, replaced: Chain) => Promise<FullBackup>;
  readonly remove: (stored: readonly S[]) => Promise<void>;
}

/**
 * Merges the oldest increments into one new full backup. It is complete before anything old goes, and tells what it
 * replaces: when oned never gets the answer, both its old chain and a second try lead to the new backup.
 */
export async function flattenChain<S extends Stored>(
  { chain: known, vmId }: BackupImage,
  keepLast: number,
  { all, examine, merge, remove }: FlattenSteps<S>,
  { signal, log }: Pick<EngineContext, 'signal' | 'log'>,
): Promise<FlattenedChain> {
  // What an earlier flatten merged counts as merged, whether oned heard of it or not.
  const links = resolveChain(all, known, vmId);
  const chain = chainOf(links);
  const merged = chain.slice(0, Math.max(1, chain.length - keepLast + 1)) as unknown as Chain;
  const { id: last } = lastOf(merged);
  const replaced = known.filter(({ id }) => id <= last) as unknown as Chain;

  const existing = merged.length === 1 ? links[0].stored : findMerged(all, replaced);
  let full = existing === undefined ? undefined : await examine(existing);
  if (full === undefined && merged.length === 1)
    throw new DriverError('damaged', `backup ${merged[0].source} of VM ${vmId} is not what its manifest says`);
  if (full !== undefined) log(`backup ${full.source} already holds what is to be merged of VM ${vmId}`);
  full ??= await merge(links.slice(0, merged.length) as unknown as Links<S>, replaced);

  const rest = chain.slice(merged.length);
  const { source } = full;
  const stays = (stored: S): boolean => [source, ...rest.map((one) => one.source)].some(stored.isNamed);
  const old = relatedTo(all, [...known, ...merged]).filter((stored) => !stays(stored));
  try {
    await remove(old);
  } catch (error) {
    if (signal.aborted) throw error;
    // The answer is right all the same: what stays now, the next flatten or rm finds.
    log(`old backups stay until the next flatten: ${asDriverError(error).message}`);
  }
  return { sizeMb: full.sizeMb, chain: [{ id: last, source }, ...rest] };
}
