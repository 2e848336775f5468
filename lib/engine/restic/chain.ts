import type { Snapshot } from '../../command/restic-output';
import { DriverError } from '../../errors';
import type { VmId } from '../../opennebula/ids';
import type { Chain, Increment } from '../../opennebula/increment';

/** The tag of all snapshots of a VM, which the stock driver sets, too. */
export function vmTag(vmId: VmId): string {
  return `one-${vmId}`;
}

/** On a snapshot that flatten made: the source of a snapshot that it replaces, one tag for each. */
const REPLACES = 'one-replaces-';

/** The tags of a merged snapshot. */
export function mergedTags(vmId: VmId, merged: readonly Increment[]): string[] {
  return [vmTag(vmId), ...merged.map(({ source }) => `${REPLACES}${source}`)];
}

/** The sources that a snapshot replaces: none, unless flatten made it. */
function replacedBy(snapshot: Snapshot): string[] {
  return snapshot.tags.filter((tag) => tag.startsWith(REPLACES)).map((tag) => tag.slice(REPLACES.length));
}

/** The snapshot that a source names: by the beginning of its id, among those of the VM. Throws `damaged` if two match. */
export function findSnapshot(all: readonly Snapshot[], source: string, vmId: VmId): Snapshot | undefined {
  const found = all.filter((one) => one.id.startsWith(source) && one.tags.includes(vmTag(vmId)));
  if (found.length > 1)
    throw new DriverError('damaged', `the id ${source} names ${found.length} snapshots of VM ${vmId}`);
  return found[0];
}

/** The snapshot, made by a flatten, that replaces exactly these increments. */
export function findMerged(all: readonly Snapshot[], merged: readonly Increment[], vmId: VmId): Snapshot | undefined {
  const wanted = merged
    .map(({ source }) => source)
    .sort()
    .join();
  return all.find((one) => one.tags.includes(vmTag(vmId)) && replacedBy(one).sort().join() === wanted);
}

/**
 * All snapshots that hold, or once held, these increments: those that they name, what a flatten merged from them, and
 * what it was merged from. Several can be there at once when a flatten was killed.
 */
export function relatedTo(all: readonly Snapshot[], increments: readonly Increment[], vmId: VmId): Snapshot[] {
  const own = all.filter((one) => one.tags.includes(vmTag(vmId)));
  const related = new Set(increments.map(({ source }) => source.slice(0, 8)));
  const isRelated = (one: Snapshot): boolean => [one.id.slice(0, 8), ...replacedBy(one)].some((id) => related.has(id));
  for (let known = 0; known < related.size; ) {
    known = related.size;
    for (const one of own.filter(isRelated)) for (const id of [one.id.slice(0, 8), ...replacedBy(one)]) related.add(id);
  }
  return own.filter(isRelated);
}

/** One backup of a chain with the snapshot that holds it. */
interface Link {
  readonly increment: Increment;
  readonly snapshot: Snapshot;
}

/** A chain, each of its backups with its snapshot. */
export type Links = readonly [Link, ...Link[]];

/**
 * Finds the snapshots of a chain among all of the repository. When oned never heard of a flatten (it was killed after it
 * had removed the old snapshots), its chain names some that are gone: the merged one then stands for them.
 * Throws `notFound`, naming the increment, when neither is there.
 */
export function resolveChain(all: readonly Snapshot[], chain: Chain, vmId: VmId): Links {
  const found = chain.map((increment) => ({ increment, snapshot: findSnapshot(all, increment.source, vmId) }));
  const missing = found.findLastIndex(({ snapshot }) => snapshot === undefined);
  for (let end = missing; end >= 0 && end < chain.length; end++) {
    const merged = findMerged(all, chain.slice(0, end + 1), vmId);
    if (merged !== undefined) {
      const last = chain[end] as Increment;
      const rest = found.slice(end + 1) as Link[];
      return [{ increment: { id: last.id, source: merged.id.slice(0, 8) }, snapshot: merged }, ...rest];
    }
  }
  if (missing === -1) return found as unknown as Links;
  const gone = chain[missing] as Increment;
  throw new DriverError(
    'notFound',
    `increment ${gone.id} of VM ${vmId} is gone: the repository has no snapshot ${gone.source}`,
    {
      hint: 'Restore an increment before it; later ones need it',
    },
  );
}
