import * as restic from '../../command/restic';
import type { Snapshot } from '../../command/restic-output';
import { asDriverError, DriverError } from '../../errors';
import { makeTemporaryFolder } from '../../host/temporary-folder';
import { joinPath, parseAbsolutePath, type VmId } from '../../opennebula/ids';
import type { BackupImage } from '../../opennebula/image';
import { type Chain, lastOf } from '../../opennebula/increment';
import { MANIFEST_FILE, type Manifest } from '../../opennebula/manifest';
import type { FlattenedChain } from '../engine';
import { findMerged, type Links, mergedTags, relatedTo, resolveChain, vmTag } from './chain';
import type { ResticConfig } from './config';
import { isBackupFile, layOut } from './lay-out';
import { restoreLinks } from './merge';
import { readSnapshotFile } from './repository';
import { type Destination, storeSnapshot } from './store';

/** What flattening needs beside the image; the repository is opened where the merging is done. */
export interface FlattenMeans extends Destination {
  readonly config: ResticConfig;
  readonly driver: string;
  /** Removes snapshots, and data that no snapshot needs any more. */
  readonly forget: (ids: readonly string[]) => Promise<void>;
}

/**
 * Merges the oldest increments into one new full snapshot. It is complete before anything old goes, and names by its
 * tags what it replaces: when oned never gets the answer, both its old chain and a second try lead to the new snapshot.
 */
export async function flatten(
  image: BackupImage,
  keepLast: number,
  means: FlattenMeans,
): Promise<FlattenedChain | undefined> {
  const { repository } = means;
  const { vmId } = image;
  const all = await repository.snapshots([], vmId, dryRunSnapshots(image));
  // What an earlier flatten merged counts as merged, whether oned heard of it or not.
  const links = resolveChain(all, image.chain, vmId);
  const chain = links.map(({ increment }) => increment) as unknown as Chain;
  const merged = chain.slice(0, Math.max(1, chain.length - keepLast + 1)) as unknown as Chain;
  const { id: last } = lastOf(merged);
  const replaced = image.chain.filter((increment) => increment.id <= last) as unknown as Chain;
  const full =
    merged.length === 1
      ? await examine(links[0].snapshot, means)
      : ((await findComplete(all, replaced, vmId, means)) ??
        (await merge(image, replaced, links.slice(0, merged.length) as unknown as Links, means)));
  if (full === undefined)
    throw new DriverError('damaged', `snapshot ${merged[0].source} of VM ${vmId} is not what its manifest says`);
  const rest = chain.slice(merged.length);
  const stays = new Set([full.source, ...rest.map(({ source }) => source)]);
  const related = relatedTo(all, [...image.chain, ...merged], vmId).map(({ id }) => id);
  await removeReplaced(
    related.filter((id) => !stays.has(id.slice(0, 8))),
    means,
  );
  return { sizeMb: full.sizeMb, chain: [{ id: last, source: full.source }, ...rest] };
}

interface MergedSnapshot {
  readonly source: string;
  readonly sizeMb: number;
}

async function merge(image: BackupImage, replaced: Chain, links: Links, means: FlattenMeans): Promise<MergedSnapshot> {
  const { repository, config, context } = means;
  const folder = await makeTemporaryFolder(repository.host, config.temporaryFolder, 'one-backup-flatten-');
  try {
    const restored = await restoreLinks(repository, links, folder.path, ['disk.*', 'vm.xml'], isBackupFile);
    const backup = await layOut(image, replaced, restored, folder.path, means);
    const last = links[links.length - 1] as (typeof links)[number];
    const content = {
      files: backup.map(({ name }) => joinPath(folder.path, image.vmId, 'backup', name)),
      tags: mergedTags(image.vmId, replaced),
      time: new Date(Date.parse(last.snapshot.time) || Date.now()).toISOString().slice(0, 19).replace('T', ' '),
      bytes: backup.reduce((sum, file) => sum + file.sizeBytes, 0),
    };
    const { snapshot, bytes } = await storeSnapshot(content, means);
    return { source: snapshot, sizeMb: Math.ceil(bytes / 2 ** 20) };
  } finally {
    await folder.remove().catch((error) => context.log(asDriverError(error).message));
  }
}

/** What an earlier try had merged, if it is there and complete; anything less is merged again, and then removed. */
async function findComplete(
  all: readonly Snapshot[],
  merged: Chain,
  vmId: VmId,
  means: FlattenMeans,
): Promise<MergedSnapshot | undefined> {
  const existing = findMerged(all, merged, vmId);
  const found = existing === undefined ? undefined : await examine(existing, means);
  if (found !== undefined) means.context.log(`snapshot ${found.source} already holds the merged backups of VM ${vmId}`);
  return found;
}

/** Compares the files of a merged snapshot with its manifest: their names and sizes. Undefined when they differ. */
async function examine(snapshot: Snapshot, { repository }: FlattenMeans): Promise<MergedSnapshot | undefined> {
  const held = await repository.run(restic.listFiles(repository.access, snapshot.id));
  const path = held.map((file) => file.path).find((one) => one.endsWith(`/${MANIFEST_FILE}`));
  if (path === undefined) return undefined;
  const text = await readSnapshotFile(repository, snapshot.id, parseAbsolutePath(path, 'the manifest', 'damaged'));
  const { files } = JSON.parse(text.toString()) as Manifest;
  const complete = files.every(({ name, sizeBytes }) =>
    held.some((file) => file.path.endsWith(`/${name}`) && file.sizeBytes === sizeBytes),
  );
  if (!complete || !files.some(({ diskId }) => diskId !== undefined)) return undefined;
  return {
    source: snapshot.id.slice(0, 8),
    sizeMb: Math.ceil(files.reduce((sum, file) => sum + file.sizeBytes, 0) / 2 ** 20),
  };
}

/**
 * Forgets what the new snapshot replaces, and merged snapshots of which oned never heard. The answer is right whether
 * this succeeds or not: what stays now, the next flatten or rm finds by the same tags.
 */
async function removeReplaced(ids: readonly string[], { forget, context }: FlattenMeans): Promise<void> {
  try {
    await forget(ids);
  } catch (error) {
    if (context.signal.aborted) throw error;
    context.log(`old snapshots stay until the next flatten: ${asDriverError(error).message}`);
  }
}

function dryRunSnapshots({ chain, vmId }: BackupImage): Snapshot[] {
  return chain.map(({ id, source }) => ({
    id: source,
    time: '',
    tags: [vmTag(vmId)],
    paths: [`/DIR/${vmId}/backup/disk.0.${id}`, `/DIR/${vmId}/backup/vm.xml`],
  }));
}
