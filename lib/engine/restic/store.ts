import * as restic from '../../command/restic';
import { type BackupSummary, parseStatus, summaryIn } from '../../command/restic-output';
import { asDriverError, DriverError } from '../../errors';
import type { Host } from '../../host/host';
import type { EngineContext } from '../engine';
import type { Repository } from './repository';

/** Where a snapshot is stored. */
export interface Destination {
  readonly repository: Repository;
  /** The backup server, for its files. */
  readonly server: Host;
  readonly context: EngineContext;
}

/** What is stored, and how large all of it is. */
export type Content = restic.BackupInput & { readonly bytes: number };

/**
 * Stores files as one snapshot that is complete. What restic says it stored is compared with what there is to store; a
 * snapshot that differs, or whose run failed after all (restic makes one of what it could read), is removed again: nobody
 * may ever find it. Throws what the run failed with, or `failed`.
 */
export async function storeSnapshot(
  content: Content,
  { repository, server, context }: Destination,
): Promise<BackupSummary> {
  let stored: BackupSummary | undefined;
  const onLine = (line: string): void => {
    stored = summaryIn(line) ?? stored;
    const status = parseStatus(line);
    if (status !== undefined) context.progress(Math.min(status.bytesDone, content.bytes), content.bytes);
  };
  try {
    const summary = await repository.runPatiently(restic.backup(repository.access, content), { onLine });
    stored = summary;
    if (summary.lostLock) throw unprotected(repository);
    if (summary.files !== content.files.length || summary.bytes !== content.bytes)
      throw incomplete(summary, content, repository.host);
    return summary;
  } catch (error) {
    if (stored !== undefined) await takeBack(stored.snapshot, { repository, server, context });
    throw error;
  }
}

/** Removes a snapshot of which nobody was told, by the beginning of its id. */
export async function takeBack(snapshot: string, { repository, server, context }: Destination): Promise<void> {
  await repository.takeBack(server, snapshot).catch((error) => {
    context.log(`snapshot ${snapshot} belongs to no backup, and stays: ${asDriverError(error).message}`);
  });
}

/** While it had no lock a prune may have removed what it stored: nobody would know before a restore. */
function unprotected({ path, host }: Repository): DriverError {
  return new DriverError('failed', `somebody removed the lock in ${path} under which the backup was being stored`, {
    host: host.name,
    hint: 'Where clocks differ by half an hour restic takes a lock for a dead one: see `backupctl doctor`, and never run `restic unlock --remove-all`; then run the action again',
  });
}

function incomplete(summary: BackupSummary, { files, bytes }: Content, host: Host): DriverError {
  const read = `${summary.files} files with ${summary.bytes} bytes`;
  return new DriverError(
    'failed',
    `the backup was not stored: restic read ${read}, not ${files.length} with ${bytes}`,
    {
      host: host.name,
      hint: 'Something changed the files meanwhile; run the action again',
    },
  );
}
