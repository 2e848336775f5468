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

/** Sources of the stock driver are restic's short ids (contract, "Backup URLs"); what is shorter may name several. */
const SOURCE_LENGTH = 8;

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
      source: snapshot.id.slice(0, SOURCE_LENGTH),
      replaces: snapshot.tags.filter((tag) => tag.startsWith(REPLACES)).map((tag) => tag.slice(REPLACES.length)),
      isNamed: (source) => source.length >= SOURCE_LENGTH && snapshot.id.startsWith(source),
    }));
}
