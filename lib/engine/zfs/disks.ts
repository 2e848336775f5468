import type { DiskId } from '../../opennebula/ids';
import type { ManifestFile } from '../../opennebula/manifest';
import type { StoredDisk } from '../inventory';
import type { Found, VmDataset } from './vm-dataset';

/** Says in a property of a snapshot what its disks are, so that a list needs to open none: `0:1048576:1024.1:65536`. */
export function formatDisks(held: readonly ManifestFile[], sizesMb: ReadonlyMap<DiskId, number>): string {
  return held
    .filter(({ diskId }) => diskId !== undefined)
    .map(({ diskId, sizeBytes }) => [diskId, sizeBytes, sizesMb.get(diskId as DiskId) ?? []].flat().join(':'))
    .join('.');
}

/** Reads that property; what is not of its form says nothing. */
export function parseDisks(text: string | undefined): StoredDisk[] {
  const disks = (text ?? '').split('.').flatMap((one): StoredDisk[] => {
    const [, id, bytes, sizeMb] = /^([0-9]{1,9}):([0-9]{1,16})(?::([0-9]{1,12}))?$/.exec(one) ?? [];
    if (id === undefined) return [];
    const virtualSizeMb = sizeMb === undefined ? undefined : Number(sizeMb);
    return [{ id: Number(id) as DiskId, file: `disk.${id}`, sizeBytes: Number(bytes), virtualSizeMb }];
  });
  return disks.sort((a, b) => a.id - b.id);
}

/** The size of a backup, in MB, as its snapshot says; its files are listed only where that says nothing. */
export async function storedMbOf(found: Found, dataset: VmDataset): Promise<number> {
  const told = parseDisks(found.backup.properties.disks);
  const held = told.length > 0 ? told : await dataset.server.files.list(await dataset.open(found), []);
  return Math.ceil(held.reduce((sum, { sizeBytes = 0 }) => sum + sizeBytes, 0) / 2 ** 20);
}
