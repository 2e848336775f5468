import { incrementOfDiskFile, parseDiskFile } from '../opennebula/backup-url';
import type { IncrementId, JobId, VmId } from '../opennebula/ids';
import { MANIFEST_FILE, type Manifest } from '../opennebula/manifest';
import type { Defect, StoredDisk, StoredPoint } from './inventory';

/** What the names of a backup's files tell of it. */
export interface Layout {
  readonly vmId: VmId;
  readonly jobId?: JobId | undefined;
  readonly source: string;
  readonly repository: string;
  readonly timeMs: number;
  readonly files: readonly { readonly name: string; readonly sizeBytes?: number | undefined }[];
  readonly replaces: readonly string[];
  readonly standsAlone?: boolean;
  readonly storedBytes?: number | undefined;
}

/** A backup as the names of its files tell it: that is all there is of one of the stock driver. */
export function pointOfLayout(layout: Layout): StoredPoint {
  const { vmId, jobId, source, repository, timeMs, files, replaces, standsAlone = false } = layout;
  const disks = files.flatMap(({ name, sizeBytes }): StoredDisk[] => {
    const disk = parseDiskFile(name);
    return disk === undefined ? [] : [{ id: disk.diskId, file: name, sizeBytes }];
  });
  const sizes = files.map(({ sizeBytes }) => sizeBytes);
  const known = sizes.length > 0 && sizes.every((size) => size !== undefined);
  return {
    ...{ vmId, jobId, source, repository, timeMs, replaces, standsAlone },
    incrementId: incrementOf(disks),
    type: typeOf(disks, replaces),
    storedBytes: layout.storedBytes ?? (known ? sizes.reduce((sum, size) => sum + size, 0) : undefined),
    disks: disks.sort((a, b) => a.id - b.id || a.file.localeCompare(b.file, 'en', { numeric: true })),
    hasManifest: files.some(({ name }) => name === MANIFEST_FILE),
    defects: [],
  };
}

/** The backup with what its manifest says of it, and what of that is not so. */
export function withManifest(point: StoredPoint, manifest: Manifest): StoredPoint {
  const { vmName, imageId, incrementId, parentId, replaces = point.replaces, files } = manifest;
  const listed = new Map(files.map((file) => [file.name, file]));
  return {
    ...point,
    ...{ vmName, imageId, incrementId, parentId, replaces },
    type: parentId === undefined || replaces.length > 0 ? 'FULL' : 'INCREMENT',
    disks: point.disks.map((disk) => ({ ...disk, virtualSizeMb: listed.get(disk.file)?.virtualSizeMb })),
    hasManifest: true,
  };
}

/** All of a manifest that is not so, by names and sizes: `disk.0.1 is gone`. */
export function defectsOf(
  { files }: Manifest,
  held: readonly { readonly name: string; readonly sizeBytes?: number | undefined }[],
): Defect[] {
  return files.flatMap(({ name, sizeBytes }) => {
    const found = held.find((file) => file.name === name);
    if (found === undefined) return [defect(name, `${name} is gone`)];
    const isSo = found.sizeBytes === undefined || found.sizeBytes === sizeBytes;
    return isSo ? [] : [defect(name, `${name} has ${found.sizeBytes} bytes, not ${sizeBytes}`)];
  });
}

/** Whether a file of it is there, but not as its manifest says. */
export function isRewritten({ disks, defects }: StoredPoint): boolean {
  return disks.some(({ file }) => defects.some((one) => one.file === file));
}

/** Something wrong with the file of that name. */
export function defect(file: string, what: string): Defect {
  return { file, diskId: parseDiskFile(file)?.diskId, what };
}

/** The number that the disks carry: the highest, for merged exports of rbd lie side by side. */
function incrementOf(disks: readonly StoredDisk[]): IncrementId | undefined {
  if (disks.length === 0) return undefined;
  return Math.max(...disks.map(({ file }) => incrementOfDiskFile(file) ?? 0)) as IncrementId;
}

function typeOf(disks: readonly StoredDisk[], replaces: readonly string[]): StoredPoint['type'] {
  if (disks.length === 0) return 'UNKNOWN';
  const isFull = replaces.length > 0 || incrementOf(disks) === 0 || disks.some(({ file }) => file.endsWith('.rbd2'));
  return isFull ? 'FULL' : 'INCREMENT';
}
