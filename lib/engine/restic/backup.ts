import * as restic from '../../command/restic';
import { type BackupSummary, parseStatus, parseSummary } from '../../command/restic-output';
import { asDriverError, DriverError } from '../../errors';
import type { Host } from '../../host/host';
import { joinPath } from '../../opennebula/ids';
import { formatManifest } from '../../opennebula/manifest';
import type { BackupSource, EngineContext, StoredBackup } from '../engine';
import { examineStaging, manifestOf, type Staged, writeManifest } from '../staging';
import { vmTag } from './chain';
import type { Repository } from './repository';
import { sweepUploads } from './sweep';

/** Cancel has 10 s in all: what of the cleaning up does not fit into this, the next action does, in milliseconds. */
const CLEAN_UP_LIMIT_MS = 4_000;

/** What backing up needs beside the source. */
export interface BackupMeans {
  readonly repository: Repository;
  /** The backup server, for its files. */
  readonly server: Host;
  readonly context: EngineContext;
  readonly driver: string;
}

/**
 * Stores a staging folder as one snapshot: restic on the host sends it straight to the backup server. What restic says
 * it stored is compared with what the folder holds; a snapshot that differs is removed again.
 */
export async function backUp(source: BackupSource, means: BackupMeans): Promise<StoredBackup> {
  const { repository, context } = means;
  const examined = await examineStaging(repository.host, source);
  const manifest = manifestOf(source, examined.files, { driver: means.driver, datastoreId: context.datastore.id });
  const staged = await writeManifest(repository.host, source.folder, formatManifest(manifest), examined);
  const files = staged.files.map(({ name }) => joinPath(source.folder, name));
  const command = restic.backup(repository.access, { files, tags: [vmTag(source.vm.id)], bytes: staged.totalBytes });
  let stored: BackupSummary | undefined;
  const onStored = (summary: BackupSummary): void => {
    stored = summary;
  };
  try {
    const summary = await store(command, staged, means, onStored);
    if (summary.files !== staged.files.length || summary.bytes !== staged.totalBytes) {
      await forgetAgain(repository, summary.snapshot);
      throw incomplete(summary, staged, source, repository.host);
    }
    await clearDeadLocks(means);
    return { source: summary.snapshot, sizeMb: Math.ceil(summary.bytes / 2 ** 20), format: staged.format };
  } catch (error) {
    await cleanUp(asDriverError(error), stored, means);
    throw await betterExplained(asDriverError(error), means);
  }
}

/** Runs restic; creates the repository if that is what is missing, which costs nothing when it exists. */
async function store(
  command: ReturnType<typeof restic.backup>,
  staged: Staged,
  means: BackupMeans,
  onStored: (summary: BackupSummary) => void,
): Promise<BackupSummary> {
  const { repository, server, context } = means;
  const onLine = (line: string): void => {
    if (line.includes('"message_type":"summary"')) onStored(parseSummary(line));
    const status = parseStatus(line);
    if (status !== undefined) context.progress(Math.min(status.bytesDone, staged.totalBytes), staged.totalBytes);
  };
  repository.host.mention(restic.init(repository.access), 'only if there is no repository yet');
  try {
    return await repository.runPatiently(command, { onLine });
  } catch (error) {
    if (
      !(error instanceof DriverError) ||
      error.kind !== 'notFound' ||
      !error.message.includes('there is no repository')
    )
      throw error;
  }
  context.log(`creating the repository ${repository.path}`);
  await repository.create(server);
  return repository.runPatiently(command, { onLine });
}

/** A snapshot that nobody was told of, or that is not complete. */
async function forgetAgain(repository: Repository, snapshot: string): Promise<void> {
  await repository.runPatiently(restic.forget(repository.access, [snapshot]));
}

/** Locks of programs that were killed do not stop a backup, and would stay until one stops a prune; where they are, there are half uploads. */
async function clearDeadLocks({ repository, server, context }: BackupMeans): Promise<void> {
  try {
    if (!(await repository.hasLocks(server))) return;
    await repository.unlock(30_000);
    await sweepUploads(repository, server);
  } catch (error) {
    context.log(`the repository was not searched for old locks: ${asDriverError(error).message}`);
  }
}

/**
 * After a failure nobody else removes what restic left if it had to be killed: its lock, half an upload and, when the
 * backup was cancelled, the data that no snapshot needs. Data of a backup that failed stays: the next one reuses it.
 * restic may have finished before the signal reached it: then its snapshot goes, too.
 */
async function cleanUp(
  failure: DriverError,
  stored: BackupSummary | undefined,
  { repository, server, context }: BackupMeans,
): Promise<void> {
  if (!['cancelled', 'failed', 'stalled', 'noSpace', 'damaged'].includes(failure.kind)) return;
  const deadline = Date.now() + CLEAN_UP_LIMIT_MS;
  try {
    if (failure.kind === 'cancelled' && stored !== undefined) await repository.takeBack(server, stored.snapshot);
    if (await repository.hasLocks(server)) await repository.unlock(CLEAN_UP_LIMIT_MS);
    await sweepUploads(repository, server);
    const left = deadline - Date.now();
    if (failure.kind !== 'cancelled' || left < 500) return;
    const unneeded = restic.prune(repository.access, { maxUnused: 'unlimited', maxRepack: '0' });
    await repository.run(unneeded, { evenAbortedMs: left });
  } catch (error) {
    context.log(`left to the next action: ${asDriverError(error).message}`);
  }
}

/** A full filesystem is a bare "Failure" in SFTP's words; its size tells. */
async function betterExplained(error: DriverError, { repository, server }: BackupMeans): Promise<DriverError> {
  if (error.kind !== 'failed') return error;
  const space = await server.files.space(repository.path).catch(() => undefined);
  if (space === undefined || space.totalBytes === 0 || space.freeBytes > 2 ** 20) return error;
  return new DriverError('noSpace', `the filesystem of ${repository.path} is full`, {
    host: server.name,
    hint: 'Free some space there, or remove old backups, and try again',
    cause: error,
  });
}

function incomplete(summary: BackupSummary, staged: Staged, { folder, vm }: BackupSource, host: Host): DriverError {
  const stored = `${summary.files} files with ${summary.bytes} bytes`;
  const expected = `${staged.files.length} with ${staged.totalBytes}`;
  return new DriverError(
    'failed',
    `the backup of VM ${vm.id} was not stored: of ${folder} restic read ${stored}, not ${expected}`,
    {
      host: host.name,
      hint: 'Something changed the staging folder meanwhile; run the backup again',
    },
  );
}
