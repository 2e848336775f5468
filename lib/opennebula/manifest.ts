import { DriverError } from '../errors';
import type { DatastoreId, DiskId, ImageId, IncrementId, JobId, VmId } from './ids';

/** The name of the file that each of our backups carries, beside the disks and vm.xml. */
export const MANIFEST_FILE = 'manifest.json';

/** One file of a backup. */
export interface ManifestFile {
  readonly name: string;
  readonly sizeBytes: number;
  /** 64 hexadecimal digits, where the engine does not check what it stores by itself. */
  readonly sha256?: string;
  /** The disk that it holds, if it holds one. */
  readonly diskId?: DiskId;
  /** The size of that disk as the VM saw it, in MB. */
  readonly virtualSizeMb?: number;
}

/**
 * What a backup is, written into the backup itself, so that chains can be rebuilt when oned's database is lost.
 * Readers must accept fields that they do not know; `version` changes only when the meaning of one does.
 */
export interface Manifest {
  readonly version: 1;
  /** Which driver wrote it: `restic 0.1.0`. */
  readonly driver: string;
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly datastoreId: DatastoreId;
  /** The name of the backup, where the engine knows it before it is stored. */
  readonly source?: string;
  readonly vmId: VmId;
  readonly vmName?: string;
  readonly jobId?: JobId;
  /** The image of the chain, where the chain had one when this was written. */
  readonly imageId?: ImageId;
  readonly incrementId: IncrementId;
  /** The increment that this one builds on; absent for a full backup. */
  readonly parentId?: IncrementId;
  /** The sources that this backup replaced when it was merged from them. */
  readonly replaces?: readonly string[];
  readonly files: readonly ManifestFile[];
}

/** Reads a manifest. Throws `damaged` for what is none; fields that are not known are kept. */
export function parseManifest(text: string, what: string): Manifest {
  const refuse = (why: string): never => {
    throw new DriverError('damaged', `${what} is no manifest: ${why}`);
  };
  let found: Partial<Manifest> | null = null;
  try {
    found = JSON.parse(text) as Partial<Manifest> | null;
  } catch (error) {
    refuse((error as Error).message);
  }
  if (found?.version !== 1) return refuse('it is not of version 1');
  const isFile = (file: Partial<ManifestFile> | null): boolean =>
    typeof file?.name === 'string' && Number.isSafeInteger(file.sizeBytes) && !file.name.includes('/');
  if (!Array.isArray(found.files) || !found.files.every(isFile)) return refuse('its list of files is broken');
  const { replaces = [] } = found;
  if (!Array.isArray(replaces) || !replaces.every((one) => typeof one === 'string'))
    return refuse('"replaces" is broken');
  if (![found.vmId, found.incrementId].every(Number.isSafeInteger)) return refuse('VM and increment are not numbers');
  return found as Manifest;
}

/** Returns the manifest as the text of its file. */
export function formatManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}
