import * as restic from '../../command/restic';
import { parseStatus, type Snapshot } from '../../command/restic-output';
import { asDriverError, DriverError } from '../../errors';
import { makeTemporaryFolder } from '../../host/temporary-folder';
import { joinPath } from '../../opennebula/ids';
import type { BackupImage } from '../../opennebula/image';
import { type Chain, type Increment, lastOf } from '../../opennebula/increment';
import { MANIFEST_FILE, type Manifest } from '../../opennebula/manifest';
import type { EngineContext, FlattenedChain } from '../engine';
import { findMerged, mergedTags, relatedTo, resolveChain, vmTag } from './chain';
import type { ResticConfig } from './config';
import { isBackupFile, layOut } from './lay-out';
import { nameOf, restoreLinks } from './merge';
import type { Repository } from './repository';

/** What flattening needs beside the image. */
export interface FlattenMeans {
  /** Opened where the merging is done: on the backup server, or on the front-end. */
  readonly repository: Repository;
  readonly config: ResticConfig;
  readonly context: EngineContext;
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
  const { chain, vmId } = image;
  const merged = chain.slice(0, chain.length - keepLast + 1);
  if (merged.length < 2) return undefined;
  const rest = chain.slice(merged.length);
  const all = await repository.snapshots([], dryRunSnapshots(chain, image));
  const existing = findMerged(all, merged, vmId);
  const full =
    existing === undefined
      ? await merge(image, merged as unknown as Chain, all, means)
      : await sizeOf(existing, image, means);
  await removeReplaced(all, merged, image, full.source, means);
  return { sizeMb: full.sizeMb, chain: [{ id: lastOf(merged as unknown as Chain).id, source: full.source }, ...rest] };
}

interface MergedSnapshot {
  readonly source: string;
  readonly sizeMb: number;
}

async function merge(
  image: BackupImage,
  merged: Chain,
  all: readonly Snapshot[],
  means: FlattenMeans,
): Promise<MergedSnapshot> {
  const { repository, config, context } = means;
  const links = resolveChain(all, merged, image.vmId);
  const folder = await makeTemporaryFolder(repository.host, config.temporaryFolder, 'one-backup-flatten-');
  try {
    const restored = await restoreLinks(repository, links, folder.path, ['disk.*', 'vm.xml'], isBackupFile);
    const backup = await layOut(image, merged, restored, folder.path, means);
    const last = links[links.length - 1] as (typeof links)[number];
    const files = backup.map(({ name }) => joinPath(folder.path, image.vmId, 'backup', name));
    const command = restic.backup(repository.access, {
      files,
      tags: mergedTags(image.vmId, merged),
      time: last.snapshot.time.slice(0, 19).replace('T', ' '),
    });
    const onLine = (line: string): void => {
      const status = parseStatus(line);
      if (status !== undefined) context.progress(status.bytesDone, status.bytesTotal);
    };
    const summary = await repository.runPatiently(command, { onLine });
    const bytes = backup.reduce((sum, file) => sum + file.sizeBytes, 0);
    if (summary.files !== files.length || (bytes > 0 && summary.bytes !== bytes)) {
      await repository.runPatiently(restic.forget(repository.access, [summary.snapshot]));
      throw new DriverError(
        'failed',
        `the merged backup of VM ${image.vmId} was not stored completely; the old ones are untouched`,
        {
          host: repository.host.name,
          hint: 'Run the action again',
        },
      );
    }
    return { source: summary.snapshot, sizeMb: Math.ceil(summary.bytes / 2 ** 20) };
  } finally {
    await folder.remove().catch((error) => context.log(asDriverError(error).message));
  }
}

/** What an earlier try had stored before it was killed. */
async function sizeOf(
  existing: Snapshot,
  image: BackupImage,
  { repository, context }: FlattenMeans,
): Promise<MergedSnapshot> {
  const source = existing.id.slice(0, 8);
  context.log(`snapshot ${source} already holds the merged backups of VM ${image.vmId}`);
  const path = (await repository.filesOf(existing)).find((file) => nameOf(file) === MANIFEST_FILE);
  if (path === undefined) throw new DriverError('damaged', `snapshot ${source} holds no ${MANIFEST_FILE}`);
  const lines: string[] = [];
  await repository.run(restic.dump(repository.access, existing.id, path, 'no-lock'), {
    onLine: (line) => lines.push(line),
  });
  const { files } = JSON.parse(lines.join('\n')) as Manifest;
  return { source, sizeMb: Math.ceil(files.reduce((sum, file) => sum + file.sizeBytes, 0) / 2 ** 20) };
}

/**
 * Forgets what the new snapshot replaces, and merged snapshots of which oned never heard. The answer is right whether
 * this succeeds or not: what stays now, the next flatten or rm finds by the same tags.
 */
async function removeReplaced(
  all: readonly Snapshot[],
  merged: readonly Increment[],
  image: BackupImage,
  keep: string,
  means: FlattenMeans,
): Promise<void> {
  const { context } = means;
  const stays = new Set([keep, ...image.chain.slice(merged.length).map(({ source }) => source)]);
  const ids = relatedTo(all, merged, image.vmId)
    .map(({ id }) => id)
    .filter((id) => !stays.has(id.slice(0, 8)));
  try {
    await means.forget(ids);
  } catch (error) {
    if (context.signal.aborted) throw error;
    context.log(`old snapshots stay until the next flatten: ${asDriverError(error).message}`);
  }
}

function dryRunSnapshots(chain: Chain, image: BackupImage): Snapshot[] {
  return chain.map(({ id, source }) => ({
    id: source,
    time: '',
    tags: [vmTag(image.vmId)],
    paths: [`/DIR/backup/disk.0.${id}`, '/DIR/backup/vm.xml'],
  }));
}
