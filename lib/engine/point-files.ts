import { DriverError } from '../errors';
import { type BackupUrl, incrementOfDiskFile, parseDiskFile, siblingOf, TPM_FILE } from '../opennebula/backup-url';
import type { AbsolutePath, DiskId } from '../opennebula/ids';
import type { BackupFormat } from '../opennebula/image';
import { lastOf } from '../opennebula/increment';
import { nameOf } from './chain-files';
import type { Point, PointFiles, StoredFile } from './engine';

/** Tells what the files of a point's newest backup are, by their names; `urlOf` gives their URLs. Throws `damaged` when there are none. */
export function pointFiles(
  point: Point,
  paths: readonly AbsolutePath[],
  urlOf: (path: AbsolutePath, format: BackupFormat) => string,
): PointFiles {
  const { chain } = point;
  const toFile = (path: AbsolutePath, format: BackupFormat): StoredFile => ({ path, url: urlOf(path, format) });
  const disks = new Map<DiskId, StoredFile>();
  for (const path of [...paths].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))) {
    const disk = parseDiskFile(nameOf(path));
    if (disk !== undefined) disks.set(disk.diskId, toFile(path, disk.format));
  }
  const [any] = paths;
  if (any === undefined) throw new DriverError('damaged', `backup ${lastOf(chain).source} is empty`);
  const vmXml = paths.find((path) => nameOf(path) === 'vm.xml') ?? siblingOf(any, 'vm.xml');
  const tpm = paths.find((path) => nameOf(path) === TPM_FILE);
  return { point, disks, tpm: tpm === undefined ? undefined : toFile(tpm, 'raw'), vmXml };
}

/** Whether a file of that name holds what a URL asks for. */
export function holds(name: string, { disk }: Pick<BackupUrl, 'disk'>): boolean {
  return disk === 'tpm' ? name === TPM_FILE : parseDiskFile(name)?.diskId === disk;
}

/** The order in which exports of rbd are imported: the full one, which has no number, first. */
export function byImport(one: string, other: string): number {
  return (incrementOfDiskFile(one) ?? -1) - (incrementOfDiskFile(other) ?? -1);
}

/** The error for a disk that a backup does not hold. */
export function missingDisk({ disk }: Pick<BackupUrl, 'disk'>): DriverError {
  return new DriverError('notFound', `the backup holds no disk ${disk}`, {
    hint: 'The action "ls" names the disks that it holds',
  });
}
