import * as restic from '../../command/restic';
import type { Snapshot } from '../../command/restic-output';
import { asDriverError } from '../../errors';
import { makeTemporaryFolder } from '../../host/temporary-folder';
import { joinPath, parseAbsolutePath } from '../../opennebula/ids';
import type { BackupImage } from '../../opennebula/image';
import type { Chain } from '../../opennebula/increment';
import { MANIFEST_FILE, parseManifest } from '../../opennebula/manifest';
import { type Links, newestOf } from '../chain';
import { isBackupFile } from '../chain-files';
import type { FlattenedChain } from '../engine';
import { type FlattenSteps, type FullBackup, flattenChain } from '../flatten';
import { isComplete, mergedManifest, sizeMbOf } from '../manifests';
import { mergedTags, type StoredSnapshot, snapshotsOf, vmTag } from './chain';
import type { ResticConfig } from './config';
import { factsTag } from './facts';
import { layOut } from './lay-out';
import { restoreLinks } from './merge';
import { readSnapshotFile } from './snapshot-file';
import { type Destination, storeSnapshot } from './store';

/** What flattening needs beside the image; the repository is opened where the merging is done. */
export interface FlattenMeans extends Destination {
  readonly config: ResticConfig;
  readonly driver: string;
  /** Removes snapshots, and data that no snapshot needs any more. */
  readonly forget: (ids: readonly string[]) => Promise<void>;
}

/** Flattens a chain; the merged snapshot names by its tags what it replaces. */
export async function flatten(image: BackupImage, keepLast: number, means: FlattenMeans): Promise<FlattenedChain> {
  const all = await means.repository.snapshots([], image.vmId, dryRunSnapshots(image));
  const steps: FlattenSteps<StoredSnapshot> = {
    all: snapshotsOf(all, image.vmId),
    examine: (snapshot) => examine(snapshot, means),
    merge: (links, replaced) => merge(image, replaced, links, means),
    remove: (snapshots) => means.forget(snapshots.map(({ id }) => id)),
  };
  return flattenChain(image, keepLast, steps, means.context);
}

async function merge(
  image: BackupImage,
  replaced: Chain,
  links: Links<StoredSnapshot>,
  means: FlattenMeans,
): Promise<FullBackup> {
  const { repository, config, context } = means;
  const folder = await makeTemporaryFolder(repository.host, config.temporaryFolder, 'one-backup-flatten-');
  try {
    const restored = await restoreLinks(repository, links, folder.path, ['disk.*', 'vm.xml'], isBackupFile);
    const backup = await layOut(image, replaced, restored, folder.path, means);
    const bytes = backup.reduce((sum, file) => sum + file.sizeBytes, 0);
    const manifest = mergedManifest(image, replaced, backup, {
      driver: means.driver,
      datastoreId: context.datastore.id,
    });
    const content = {
      files: backup.map(({ name }) => joinPath(folder.path, image.vmId, 'backup', name)),
      tags: [...mergedTags(image.vmId, replaced), factsTag(manifest, bytes)],
      time: new Date(Date.parse(newestOf(links).stored.time) || Date.now())
        .toISOString()
        .slice(0, 19)
        .replace('T', ' '),
      bytes,
    };
    const summary = await storeSnapshot(content, means);
    return { source: summary.snapshot, sizeMb: Math.ceil(summary.bytes / 2 ** 20) };
  } finally {
    await folder.remove().catch((error) => context.log(asDriverError(error).message));
  }
}

/** Compares the files of a merged snapshot with its manifest: their names and sizes. Undefined when they differ. */
async function examine(snapshot: StoredSnapshot, { repository }: FlattenMeans): Promise<FullBackup | undefined> {
  const held = await repository.run(restic.listFiles(repository.access, snapshot.id));
  const path = held.map((file) => file.path).find((one) => one.endsWith(`/${MANIFEST_FILE}`));
  if (path === undefined) return undefined;
  const text = await readSnapshotFile(repository, snapshot.id, parseAbsolutePath(path, 'the manifest', 'damaged'));
  const manifest = parseManifest(text.toString(), `the manifest of snapshot ${snapshot.source}`);
  const files = held.map((file) => ({ name: file.path.slice(file.path.lastIndexOf('/') + 1), ...file }));
  if (!isComplete(manifest, files)) return undefined;
  return { source: snapshot.source, sizeMb: sizeMbOf(manifest.files) };
}

function dryRunSnapshots({ chain, vmId }: BackupImage): Snapshot[] {
  return chain.map(({ id, source }) => ({
    id: source,
    time: '',
    tags: [vmTag(vmId)],
    paths: [`/DIR/${vmId}/backup/disk.0.${id}`, `/DIR/${vmId}/backup/vm.xml`],
  }));
}
