import type { Writable } from 'node:stream';
import { concatenate, packFrom } from '../../command/archive';
import * as qemuImg from '../../command/qemu-img';
import { asDriverError } from '../../errors';
import { Shelf } from '../../host/shelf';
import { makeTemporaryFolder } from '../../host/temporary-folder';
import { type BackupUrl, formatBackupUrl } from '../../opennebula/backup-url';
import { type AbsolutePath, joinPath } from '../../opennebula/ids';
import { newestOf } from '../chain';
import { byDisk, type DiskFiles } from '../chain-files';
import type { DiskInPlace, EngineContext } from '../engine';
import { byImport, holds, missingDisk } from '../point-files';
import { needOnServer } from '../server-tools';
import type { RsyncConfig } from './config';
import { openDisk } from './merge';
import type { VmFolder } from './vm-folder';

/** What a download needs beside the URL. */
export interface DownloadMeans {
  readonly folder: VmFolder;
  readonly config: RsyncConfig;
  readonly context: EngineContext;
}

/**
 * Writes a disk to `output`: a full backup as it lies on the backup server; of a chain, a merged copy that is made there
 * and removed again; of rbd an archive of its exports, packed on the way.
 */
export async function download(url: BackupUrl, output: Writable, means: DownloadMeans): Promise<void> {
  const { folder } = means;
  const isAsked = (name: string): boolean => holds(name, url);
  if (url.disk === 'tpm') {
    const newest = newestOf(await folder.resolve(url.chain));
    const [held] = (await folder.chainFiles([newest], isAsked)).filter(({ name }) => isAsked(name));
    if (held === undefined) throw missingDisk(url);
    return stream(held.path, output, means);
  }
  const files = await filesOf(url, folder);
  if (url.format === 'rbd') return streamExports(files, output, means);
  if (files.length === 1) return stream(files[0].path, output, means);
  await streamMerged(url, files, output, means);
}

/** Where the disk of a URL is on the backup server. Throws `notFound`, or `damaged`. */
export async function inPlace(url: BackupUrl, { folder, config }: DownloadMeans): Promise<DiskInPlace> {
  const chain = await openDisk(folder.server, await filesOf(url, folder));
  return { host: folder.server, chain, temporary: config.temporaryFolder };
}

/** The files of a disk, in the order of its chain. Throws `notFound`. */
async function filesOf(url: BackupUrl, folder: VmFolder): Promise<DiskFiles> {
  const links = await folder.resolve(url.chain);
  const isAsked = (name: string): boolean => holds(name, url);
  const held = (await folder.chainFiles(links, isAsked)).filter(({ name }) => isAsked(name));
  const [files] = byDisk(held, links.length - 1).values();
  if (files === undefined) throw missingDisk(url);
  return files;
}

/** The shelf on which the first evaluation of a download command leaves its merged disk for the second. */
export function shelfOf(url: BackupUrl, { folder, config }: DownloadMeans): Shelf {
  return new Shelf(folder.server, false, config.temporaryFolder, formatBackupUrl(url));
}

async function stream(
  path: AbsolutePath,
  output: Writable,
  { folder, context }: DownloadMeans,
  sizeBytes = 0,
): Promise<void> {
  let sent = 0;
  const onData = (bytes: number): void => {
    sent += bytes;
    context.progress(sent, sizeBytes);
  };
  await folder.server.run(concatenate(path), { output, onData });
}

async function streamExports(files: DiskFiles, output: Writable, { folder }: DownloadMeans): Promise<void> {
  const paths = [...files].sort((a, b) => byImport(a.name, b.name)).map(({ path }) => path);
  await folder.server.run(packFrom(paths), { output });
}

async function streamMerged(url: BackupUrl, files: DiskFiles, output: Writable, means: DownloadMeans): Promise<void> {
  const { folder, config, context } = means;
  const { server } = folder;
  await needOnServer(server, ['qemu-img']);
  const temporary = await makeTemporaryFolder(server, config.temporaryFolder, 'one-backup-download-');
  const shelf = shelfOf(url, means);
  try {
    const ready = joinPath(temporary.path, 'ready');
    if (!(await shelf.take(ready))) {
      const chain = await openDisk(server, files);
      const bytes = chain[chain.length - 1]?.virtualSizeBytes ?? 0;
      const onLine = (line: string): void => {
        const share = qemuImg.convertedShare(line);
        if (share !== undefined) context.progress(share * bytes, bytes);
      };
      await server.run(qemuImg.convert(qemuImg.chainOf(chain), ready), { onLine });
    }
    const held = await server.files.list(temporary.path, []);
    try {
      await stream(ready, output, means, held.find(({ name }) => name === 'ready')?.sizeBytes);
    } catch (error) {
      // The reader that only looks at the beginning comes back for all of it.
      if (asDriverError(error).kind === 'cancelled' && !context.signal.aborted) await shelf.put(ready);
      throw error;
    }
  } finally {
    await temporary.remove().catch((error) => context.log(asDriverError(error).message));
  }
}
