import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as archive from '../../command/archive';
import * as restic from '../../command/restic';
import type { Snapshot } from '../../command/restic-output';
import { asDriverError, DriverError } from '../../errors';
import { Shelf } from '../../host/shelf';
import { makeTemporaryFolder } from '../../host/temporary-folder';
import { type BackupUrl, formatBackupUrl } from '../../opennebula/backup-url';
import { type AbsolutePath, joinPath, type VmId } from '../../opennebula/ids';
import { lastOf } from '../../opennebula/increment';
import { type Links, newestOf, resolveChain } from '../chain';
import { byDisk, nameOf } from '../chain-files';
import type { EngineContext } from '../engine';
import { byImport, holds, missingDisk } from '../point-files';
import { type StoredSnapshot, snapshotsOf, vmTag } from './chain';
import type { ResticConfig } from './config';
import { mergeDisk, restoreLinks } from './merge';
import type { Repository } from './repository';

/** What a download needs beside the URL. */
export interface DownloadMeans {
  /** Opened on the front-end. */
  readonly repository: Repository;
  readonly config: ResticConfig;
  readonly context: EngineContext;
  readonly vmId: VmId;
}

/**
 * Writes a disk to `output`. A full backup flows from restic as it is stored, with no copy anywhere; of a chain, the
 * disk's files are restored into a temporary folder and merged there.
 */
export async function download(url: BackupUrl, output: Writable, means: DownloadMeans): Promise<void> {
  const whole = url.format === 'raw' && (url.chain.length === 1 || url.disk === 'tpm');
  if (whole) {
    try {
      return await streamFull(lastOf(url.chain).source, url.path, output, means);
    } catch (error) {
      if (!(error instanceof DriverError) || error.kind !== 'notFound') throw error;
    }
  }
  const all = await means.repository.snapshots([], means.vmId, dryRunSnapshots(url, means));
  const links = resolveChain(snapshotsOf(all, means.vmId), url.chain, means.vmId);
  if (whole || (links.length === 1 && url.format === 'raw')) {
    const { stored } = newestOf(links);
    const path = (await means.repository.filesOf(stored)).find((one) => holds(nameOf(one), url));
    if (path === undefined) throw missingDisk(url);
    return streamFull(stored.id, path, output, means);
  }
  await streamMerged(url, links, output, means);
}

/** The shelf on which the first evaluation of a download command leaves its merged disk for the second. */
export function shelfOf(url: BackupUrl, config: ResticConfig, { hosts }: EngineContext): Shelf {
  return new Shelf(hosts.local, true, config.temporaryFolder, formatBackupUrl(url));
}

/** Holds a lock while it streams, so that no prune takes the data away; but a lock never stops a restore. */
async function streamFull(
  snapshot: string,
  path: AbsolutePath,
  output: Writable,
  { repository, context }: DownloadMeans,
): Promise<void> {
  let written = 0;
  const onData = (bytes: number): void => {
    written += bytes;
    context.progress(written, 0);
  };
  try {
    await repository.run(restic.dump(repository.access, snapshot, path, 'lock'), { output, onData });
  } catch (error) {
    const { kind, message } = asDriverError(error);
    if (written > 0 || !['locked', 'failed', 'noSpace'].includes(kind)) throw error;
    context.log(`${message} - reading without a lock`);
    await repository.run(restic.dump(repository.access, snapshot, path, 'no-lock'), { output, onData });
  }
}

async function streamMerged(
  url: BackupUrl,
  links: Links<StoredSnapshot>,
  output: Writable,
  means: DownloadMeans,
): Promise<void> {
  const { repository, config, context } = means;
  const folder = await makeTemporaryFolder(repository.host, config.temporaryFolder, 'one-backup-download-');
  const shelf = shelfOf(url, config, context);
  try {
    const ready = joinPath(folder.path, 'ready');
    if (context.dryRun) return await prepare(url, links, folder.path, ready, means);
    if (!(await shelf.take(ready))) await prepare(url, links, folder.path, ready, means);
    try {
      await send(ready, output, context);
    } catch (error) {
      // process.stdout is never destroyed and remembers no error: only the write that failed tells.
      const { code } = (asDriverError(error).cause ?? {}) as NodeJS.ErrnoException;
      if (code === 'EPIPE' || output.destroyed) await shelf.put(ready);
      throw error;
    }
  } finally {
    await folder.remove().catch((error) => context.log(asDriverError(error).message));
  }
}

/** Restores and merges; leaves one file at `ready`: the disk, or for rbd the archive of its exports that Ceph's cp unpacks. */
async function prepare(
  url: BackupUrl,
  links: Links<StoredSnapshot>,
  folder: AbsolutePath,
  ready: AbsolutePath,
  { repository }: DownloadMeans,
): Promise<void> {
  const patterns = [`disk.${url.disk}`, `disk.${url.disk}.*`];
  const restored = await restoreLinks(repository, links, folder, patterns, (name) => holds(name, url));
  const [files] = byDisk(restored, links.length - 1).values();
  if (files === undefined) throw missingDisk(url);
  if (url.format === 'rbd') {
    const flat = joinPath(folder, 'exports');
    await repository.host.files.makeFolder(flat);
    for (const file of files) await repository.host.files.rename(file.path, joinPath(flat, file.name));
    const names = files.map(({ name }) => name).sort(byImport);
    await repository.run(archive.pack(flat, names, ready));
  } else {
    await repository.host.files.rename(await mergeDisk(repository, files), ready);
  }
}

async function send(file: AbsolutePath, output: Writable, { progress, signal }: EngineContext): Promise<void> {
  const { size } = await stat(file);
  const source = createReadStream(file, { highWaterMark: 1024 * 1024 });
  let sent = 0;
  source.on('data', (chunk) => {
    sent += chunk.length;
    progress(sent, size);
  });
  await pipeline(source, output, { end: false, signal }).catch((cause) => {
    throw new DriverError('cancelled', 'the reader of the data went away', { cause });
  });
}

function dryRunSnapshots({ chain, path }: BackupUrl, { vmId }: DownloadMeans): Snapshot[] {
  return chain.map(({ source }) => ({ id: source, time: '', tags: [vmTag(vmId)], paths: [path] }));
}
