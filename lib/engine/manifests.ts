import { parseDiskFile } from '../opennebula/backup-url';
import type { BackupImage } from '../opennebula/image';
import { type Chain, lastOf } from '../opennebula/increment';
import type { Manifest, ManifestFile } from '../opennebula/manifest';
import type { BackupSource } from './engine';

/** What an engine itself puts into a manifest. */
type Origin = Pick<Manifest, 'driver' | 'datastoreId'>;

/** The manifest of a new backup. */
export function manifestOf(source: BackupSource, files: readonly ManifestFile[], origin: Origin): Manifest {
  const { vm, jobId } = source;
  return {
    version: 1,
    ...origin,
    time: new Date().toISOString(),
    vmId: vm.id,
    vmName: vm.name,
    ...(jobId === undefined ? {} : { jobId }),
    ...(vm.chainImageId === undefined ? {} : { imageId: vm.chainImageId }),
    incrementId: vm.incrementId,
    ...(vm.parentId === undefined ? {} : { parentId: vm.parentId }),
    files,
  };
}

/** The manifest of a full backup that a flatten made of others. */
export function mergedManifest(
  image: BackupImage,
  merged: Chain,
  files: readonly ManifestFile[],
  origin: Origin,
): Manifest {
  return {
    version: 1,
    ...origin,
    time: new Date().toISOString(),
    vmId: image.vmId,
    ...(image.jobId === undefined ? {} : { jobId: image.jobId }),
    imageId: image.id,
    incrementId: lastOf(merged).id,
    replaces: merged.map(({ source }) => source),
    files,
  };
}

/** A file of a backup as its manifest names it. */
export function manifestFile({ name, sizeBytes }: Pick<ManifestFile, 'name' | 'sizeBytes'>): ManifestFile {
  const disk = parseDiskFile(name);
  return disk === undefined ? { name, sizeBytes } : { name, sizeBytes, diskId: disk.diskId };
}

/** Whether a backup holds all that its manifest says, by names and sizes: at least one disk, and nothing is cut short. */
export function isComplete({ files }: Manifest, held: readonly Pick<ManifestFile, 'name' | 'sizeBytes'>[]): boolean {
  const isHeld = ({ name, sizeBytes }: ManifestFile): boolean =>
    held.some((file) => file.name === name && file.sizeBytes === sizeBytes);
  return files.every(isHeld) && files.some(({ diskId }) => diskId !== undefined);
}

/** What a backup holds in MB (2^20 bytes), rounded up. */
export function sizeMbOf(files: readonly Pick<ManifestFile, 'sizeBytes'>[]): number {
  return Math.ceil(files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) / 2 ** 20);
}
