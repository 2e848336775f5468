import { randomBytes } from 'node:crypto';
import {
  holdMerging,
  holdReceiving,
  MERGING,
  publish,
  RECEIVING,
  type Resumable,
  takeBack,
} from '../command/receiving';
import { asDriverError, ERROR_KINDS } from '../errors';
import type { Host } from '../host/host';
import { startKeeper } from '../host/keeper';
import { type AbsolutePath, joinPath } from '../opennebula/ids';
import type { EngineContext } from './engine';

/** Cancel has 10 s in all, in milliseconds. */
const TAKE_BACK_LIMIT_MS = 4_000;

/** A folder on the backup server in which folders are filled, one for each backup of one VM. */
export interface Place {
  readonly server: Host;
  readonly path: AbsolutePath;
}

/** A folder on the backup server that is being filled, and is no backup yet. */
export interface Filling {
  readonly path: AbsolutePath;
  /** It holds what a broken transfer has left. */
  readonly resumes: boolean;
}

/** What is to be filled: by a transfer, which may go on with what another one left, or by a merge. */
export type Filler = { readonly by: 'transfer'; readonly files: readonly Resumable[] } | { readonly by: 'merge' };

/** What comes of a folder when it has been filled: it becomes visible as the backup, or was only needed to make one. */
export type Outcome = 'publish' | 'remove';

/**
 * Lets `fill` fill a new folder beside the backups. With `publish`, it becomes visible under the name of `source` when that
 * is done and on disk.
 * When it fails, what a transfer has brought stays for the next one where a retry helps: not when it was cancelled or
 * refused, or the disk is full. Else nothing stays. When the action is killed, the same: what is left is swept, or used,
 * by the next action of the VM.
 */
export async function fillFolder(
  { server, path }: Place,
  source: string,
  filler: Filler,
  outcome: Outcome,
  fill: (filling: Filling) => Promise<void>,
  { log, signal }: Pick<EngineContext, 'log' | 'signal'>,
): Promise<void> {
  const isTransfer = filler.by === 'transfer';
  const name = `${isTransfer ? RECEIVING : MERGING}${source}`;
  const hold = isTransfer ? holdReceiving(path, source, filler.files) : holdMerging(path, source);
  const undo = (filled: string | undefined): Promise<void> =>
    server
      .run(takeBack(path, source, filled), { evenAbortedMs: TAKE_BACK_LIMIT_MS })
      .catch((error) => log(`left to the next action of the VM: ${asDriverError(error).message}`));
  const keeper = await startKeeper(server, hold).catch(async (error) => {
    if (signal.aborted) await undo(name); // by the time that it was stopped, it may have made the folder
    throw error;
  });
  const release = (): Promise<void> =>
    keeper.end().catch((error) => {
      if (!signal.aborted) log(asDriverError(error).message);
    });
  try {
    await fill({ path: joinPath(path, name), resumes: keeper.said === 'resume' });
    if (outcome === 'publish') await server.run(publish(path, name, source));
  } catch (error) {
    await release();
    const { kind } = asDriverError(error);
    const isOfUse = isTransfer && !signal.aborted && ERROR_KINDS[kind].retryHelps;
    await undo(isOfUse ? undefined : name);
    throw error;
  }
  await release();
  if (outcome === 'remove') await undo(name); // a cancel that comes now must not stop it half way
}

/** A name that no backup of the VM has, nor ever had: oned may still know one that is gone. */
export function newSource(): string {
  return randomBytes(6).toString('hex');
}
