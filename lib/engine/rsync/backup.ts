import { sha256 } from '../../command/checksum';
import { rsync, transferredBytes } from '../../command/rsync';
import { throttle } from '../../command/throttle';
import { DriverError } from '../../errors';
import type { Host } from '../../host/host';
import { joinPath } from '../../opennebula/ids';
import { formatManifest, MANIFEST_FILE, type ManifestFile } from '../../opennebula/manifest';
import type { BackupSource, EngineContext, StoredBackup } from '../engine';
import { manifestOf, sizeMbOf } from '../manifests';
import { examineStaging, type Staged } from '../staging';
import type { RsyncConfig } from './config';
import { type Filling, fillFolder } from './receive';
import { newSource, type VmFolder } from './vm-folder';

/** What backing up needs beside the source. */
export interface BackupMeans {
  /** The host that holds the staging folder. */
  readonly host: Host;
  readonly folder: VmFolder;
  readonly config: RsyncConfig;
  readonly context: EngineContext;
  readonly driver: string;
}

/**
 * Stores a staging folder: rsync on the host sends it straight to the backup server, into a folder that becomes visible
 * when it is complete. Returns what is stored; throws what rsync failed with.
 */
export async function backUp(source: BackupSource, means: BackupMeans): Promise<StoredBackup> {
  const { host, folder, context } = means;
  const staged = await examineStaging(host, source);
  const name = newSource();
  const fill = (filling: Filling): Promise<void> => receive(source, staged, filling, means);
  const files = staged.files.filter(({ diskId }) => diskId !== undefined);
  await fillFolder(folder, name, { by: 'transfer', files }, fill, context);
  return { source: name, sizeMb: sizeMbOf(staged.files), format: staged.format };
}

async function receive(source: BackupSource, staged: Staged, filling: Filling, means: BackupMeans): Promise<void> {
  const { folder, context, driver } = means;
  if (filling.resumes) context.log(`going on with what an earlier backup of VM ${source.vm.id} had sent`);
  const hashes = await send(source, staged, filling, means);
  const files = staged.files.map((file, index): ManifestFile => ({ ...file, sha256: hashes[index] as string }));
  const manifest = manifestOf(source, files, { driver, datastoreId: context.datastore.id });
  await folder.server.files.write(joinPath(filling.path, MANIFEST_FILE), formatManifest(manifest));
  await compare(staged, filling, means);
}

/** Transfers the files and computes their checksums beside it; when one of the two fails, the other one is stopped. */
async function send(source: BackupSource, staged: Staged, filling: Filling, means: BackupMeans): Promise<string[]> {
  const { host, config, context } = means;
  const files = staged.files.map(({ name }) => joinPath(source.folder, name));
  const limits = throttle(config.throttle, source.folder);
  const { server, user, args } = config;
  const transfer = rsync({
    ...{ files, args, to: { server, user }, throttle: limits },
    folder: filling.path,
    resume: filling.resumes,
  });
  const stop = new AbortController();
  const orStop = async <T>(work: Promise<T>): Promise<T> =>
    work.catch((error) => {
      stop.abort();
      throw error;
    });
  const onLine = (line: string): void => {
    const done = transferredBytes(line);
    if (done !== undefined) context.progress(Math.min(done, staged.totalBytes), staged.totalBytes);
  };
  const [hashed, sent] = await Promise.allSettled([
    orStop(host.run(sha256(files, limits), { until: stop.signal })),
    orStop(host.run(transfer, { until: stop.signal, onLine })),
  ]);
  if (sent.status === 'rejected') throw sent.reason;
  if (hashed.status === 'rejected') throw hashed.reason;
  return hashed.value;
}

/** RSYNC_ARGS are the admin's: whether everything is there is not left to them. Throws `failed`. */
async function compare(staged: Staged, { path }: Filling, { folder: { server }, host }: BackupMeans): Promise<void> {
  const dryRun = staged.files.map(({ name, sizeBytes }) => ({ name, sizeBytes, type: 'file' as const, modifiedAt: 0 }));
  const held = await server.files.list(path, dryRun);
  for (const { name, sizeBytes } of staged.files) {
    const found = held.find((file) => file.name === name && file.type === 'file');
    if (found?.sizeBytes === sizeBytes) continue;
    const what = found === undefined ? 'is not there' : `has ${found.sizeBytes} bytes, not ${sizeBytes}`;
    throw new DriverError('failed', `the backup was not stored: after the transfer ${name} ${what}`, {
      host: server.name,
      hint: `See RSYNC_ARGS, and whether somebody changed the staging folder on ${host.name}; then try again`,
    });
  }
}
