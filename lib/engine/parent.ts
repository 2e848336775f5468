import { readHeaders } from '../command/qcow2-header';
import { DriverError } from '../errors';
import type { Host } from '../host/host';
import { parseDiskFile } from '../opennebula/backup-url';
import { type DiskId, joinPath } from '../opennebula/ids';
import type { ManifestFile } from '../opennebula/manifest';
import type { VmToBackUp } from '../opennebula/vm';
import type { BackupSource } from './engine';

/**
 * The error for an increment whose parent is not stored any more. oned does not look at the backup server: it extends a
 * chain night after night also when nothing of it is there, and no such increment could ever be restored.
 */
export function parentIsGone({ id, parentId }: VmToBackUp, host: string): DriverError {
  return new DriverError('notFound', `increment ${parentId} of VM ${id}, which this one builds on, is gone`, {
    host,
    hint: 'See that the storage there is mounted and is the right one, or begin a new chain with: onevm backup --reset',
  });
}

/**
 * The error for an increment of a disk that the parent does not have, as when BACKUP_VOLATILE was off for one backup: what
 * it builds on is nowhere, and taken for all of the disk it would restore to another one.
 */
export function parentLacksDisk(diskId: DiskId, parentId: string | number | undefined, host: string): DriverError {
  return new DriverError(
    'notFound',
    `disk ${diskId} comes as an increment, and increment ${parentId}, which it builds on, has no such disk`,
    { host, hint: 'Begin a new chain with: onevm backup --reset' },
  );
}

/**
 * Makes sure that the parent, whose files have these names, holds each disk that the staging folder holds an increment of.
 * A disk that was added to the VM comes without a backing file, as all of it. Throws `notFound`.
 */
export async function proveDisks(
  { folder, vm, diskIds }: BackupSource,
  staged: readonly ManifestFile[],
  parentNames: readonly string[],
  { host, server }: { readonly host: Host; readonly server: Host },
): Promise<void> {
  const held = new Set(parentNames.map((name) => parseDiskFile(name)?.diskId));
  const isNew = (diskId: DiskId | undefined): diskId is DiskId => diskId !== undefined && !held.has(diskId);
  const added = staged.filter(({ diskId }) => isNew(diskId) && diskIds.includes(diskId));
  if (added.length === 0) return;
  const headers = await host.run(readHeaders(added.map(({ name }) => joinPath(folder, name))));
  const orphan = added[headers.findIndex(({ hasBacking }) => hasBacking)]?.diskId;
  if (orphan !== undefined && vm.parentId !== undefined) throw parentLacksDisk(orphan, vm.parentId, server.name);
}
