import type { DatastoreId, DiskId, ImageId, IncrementId, JobId, VmId } from './ids';

/** The name of the file that each of our backups carries, beside the disks and vm.xml. */
export const MANIFEST_FILE = 'manifest.json';

/** One file of a backup. */
export interface ManifestFile {
  readonly name: string;
  readonly sizeBytes: number;
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

/** Returns the manifest as the text of its file. */
export function formatManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}
