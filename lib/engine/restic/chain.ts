import type { Snapshot } from '../../command/restic-output';
import type { VmId } from '../../opennebula/ids';
import type { Increment } from '../../opennebula/increment';
import type { Stored } from '../chain';

/** A snapshot of a VM as a backup of a chain. */
export interface StoredSnapshot extends Stored, Snapshot {}

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

/** The snapshots of a VM among all of a repository. Sources are the beginnings of ids (contract, "Backup URLs"). */
export function snapshotsOf(all: readonly Snapshot[], vmId: VmId): StoredSnapshot[] {
  return all
    .filter(({ tags }) => tags.includes(vmTag(vmId)))
    .map((snapshot) => ({
      ...snapshot,
      source: snapshot.id.slice(0, 8),
      replaces: snapshot.tags.filter((tag) => tag.startsWith(REPLACES)).map((tag) => tag.slice(REPLACES.length)),
      isNamed: (source) => snapshot.id.startsWith(source),
    }));
}
