import * as qemuImg from '../../command/qemu-img';
import * as restic from '../../command/restic';
import { parseStatus, type Snapshot } from '../../command/restic-output';
import { sparsify } from '../../command/virt-sparsify';
import { asDriverError, DriverError } from '../../errors';
import { makeTemporaryFolder } from '../../host/temporary-folder';
import { incrementOfDiskFile, parseDiskFile } from '../../opennebula/backup-url';
import { type AbsolutePath, joinPath, parseIncrementId } from '../../opennebula/ids';
import type { BackupImage } from '../../opennebula/image';
import { type Chain, type Increment, lastOf } from '../../opennebula/increment';
import { formatManifest, MANIFEST_FILE, type Manifest, type ManifestFile } from '../../opennebula/manifest';
import type { EngineContext, FlattenedChain } from '../engine';
import { findMerged, findSnapshot, mergedTags, replacedBy, resolveChain, vmTag } from './chain';
import type { ResticConfig } from './config';
import { byDisk, mergeDisk, nameOf, type RestoredFile, restoreLinks } from './merge';
import type { Repository } from './repository';

/** What flattening needs beside the image. */
export interface FlattenMeans {
  /** Opened where the merging is done: on the backup server, or on the front-end. */
  readonly repository: Repository;
  readonly config: ResticConfig;
  readonly context: EngineContext;
  readonly driver: string;
  /** Removes data that no snapshot needs any more. */
  readonly prune: () => Promise<void>;
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
    const newest = restored.filter((file) => file.link === links.length - 1);
    const backup = await layOut(image, merged, restored, newest, folder.path, means);
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

/**
 * Brings the content of the new snapshot into `<folder>/<VM_ID>/backup`, the path by which the stock downloader
 * recognises the VM: each disk of the newest backup, merged and named as the newest, and the newest vm.xml and TPM state.
 * Exports of rbd are kept side by side, as they are: only Ceph could merge them, and one snapshot holds them as well.
 */
async function layOut(
  image: BackupImage,
  merged: Chain,
  restored: readonly RestoredFile[],
  newest: readonly RestoredFile[],
  folder: AbsolutePath,
  { repository, context, driver, config }: FlattenMeans,
): Promise<ManifestFile[]> {
  const { files } = repository.host;
  const target = joinPath(folder, image.vmId, 'backup');
  await files.makeFolder(target);
  const groups = byDisk(restored);
  for (const { name } of newest.filter((file) => parseDiskFile(file.name) !== undefined)) {
    const disk = parseDiskFile(name);
    const group = groups.get(disk?.diskId ?? -1);
    if (group === undefined || disk === undefined) continue;
    if (disk.format === 'rbd') {
      for (const part of group) await files.rename(part.path, joinPath(target, part.name));
    } else {
      const path = await mergeDisk(repository, group);
      if (config.sparsify) await makeSparse(repository, path, context);
      const number = incrementOfDiskFile(name) ?? lastOf(merged).id;
      await files.rename(path, joinPath(target, `disk.${disk.diskId}.${number}`));
    }
  }
  for (const { path, name } of newest.filter((file) => parseDiskFile(file.name) === undefined)) {
    await files.rename(path, joinPath(target, name));
  }
  const dryRun = newest.map(({ name }) => ({ name, type: 'file' as const, sizeBytes: 0, modifiedAt: 0 }));
  const held = (await files.list(target, dryRun)).map(({ name, sizeBytes }): ManifestFile => {
    const disk = parseDiskFile(name);
    return disk === undefined ? { name, sizeBytes } : { name, sizeBytes, diskId: disk.diskId };
  });
  const text = formatManifest(manifest(image, merged, held, { driver, datastoreId: context.datastore.id }));
  await files.write(joinPath(target, MANIFEST_FILE), text);
  return [
    ...held,
    { name: MANIFEST_FILE, sizeBytes: held.every((file) => file.sizeBytes === 0) ? 0 : Buffer.byteLength(text) },
  ];
}

/** RESTIC_SPARSIFY, where virt-sparsify is installed, as in the stock driver. A disk that it cannot read stays as it is. */
async function makeSparse({ host }: Repository, path: AbsolutePath, { log, signal }: EngineContext): Promise<void> {
  if (!(await host.programs(['virt-sparsify'])).has('virt-sparsify')) return;
  await host.run(sparsify(path)).catch((error) => {
    if (signal.aborted) throw error;
    log(`not made sparse: ${asDriverError(error).message}`);
  });
  await host.run(qemuImg.check(path));
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
  const { repository, context } = means;
  const sources = new Set(merged.map(({ source }) => source));
  const chained = new Set(image.chain.slice(merged.length).map(({ source }) => source));
  const replaced = merged.flatMap(({ source }) => findSnapshot(all, source, image.vmId)?.id ?? []);
  const older = all.filter((one) => sources.has(one.id.slice(0, 8))).flatMap(replacedBy);
  const leftovers = all
    .filter(
      (one) => one.tags.includes(vmTag(image.vmId)) && !one.id.startsWith(keep) && !chained.has(one.id.slice(0, 8)),
    )
    .filter(
      (one) =>
        older.some((source) => one.id.startsWith(source)) || replacedBy(one).some((source) => sources.has(source)),
    )
    .map((one) => one.id);
  const ids = [...new Set([...replaced, ...leftovers])];
  try {
    if (ids.length > 0) await repository.runPatiently(restic.forget(repository.access, ids));
    await means.prune();
  } catch (error) {
    if (context.signal.aborted) throw error;
    context.log(`old snapshots stay until the next flatten: ${asDriverError(error).message}`);
  }
}

function manifest(
  image: BackupImage,
  merged: Chain,
  files: readonly ManifestFile[],
  base: Pick<Manifest, 'driver' | 'datastoreId'>,
): Manifest {
  return {
    version: 1,
    ...base,
    time: new Date().toISOString(),
    vmId: image.vmId,
    ...(image.jobId === undefined ? {} : { jobId: image.jobId }),
    imageId: image.id,
    incrementId: lastOf(merged).id,
    replaces: merged.map(({ source }) => source),
    files,
  };
}

function isBackupFile(name: string): boolean {
  return name === 'vm.xml' || name.startsWith('disk.');
}

function dryRunSnapshots(chain: Chain, image: BackupImage): Snapshot[] {
  return chain.map(({ id, source }) => ({
    id: source,
    time: '',
    tags: [vmTag(image.vmId)],
    paths: [`/DIR/backup/disk.0.${parseIncrementId(String(id), 'id')}`, '/DIR/backup/vm.xml'],
  }));
}
