import { randomBytes } from 'node:crypto';
import * as restic from '../../command/restic';
import type { BackupSummary } from '../../command/restic-output';
import { asDriverError, DriverError } from '../../errors';
import { joinPath } from '../../opennebula/ids';
import { formatManifest } from '../../opennebula/manifest';
import { nameOf } from '../chain-files';
import type { BackupSource, StoredBackup } from '../engine';
import { manifestOf } from '../manifests';
import { parentIsGone, proveDisks } from '../parent';
import { examineStaging, type Staged, writeManifest } from '../staging';
import { snapshotsOf, vmTag } from './chain';
import { createRepository } from './create';
import { factsTag } from './facts';
import { type Content, type Destination, storeSnapshot, takeBack } from './store';
import { sweepUploads } from './sweep';

/** Cancel has 10 s in all: what of the cleaning up does not fit into this, the next action does, in milliseconds. */
const CLEAN_UP_LIMIT_MS = 3_500;
/** What is told to end at that limit takes its lock along, in milliseconds. */
const ENDING_MS = 1_500;
/** With less free than two packs of restic (16 MiB, restic manual, "Tuning backup parameters") a failure is for want of space. */
const FULL_BELOW_BYTES = 2 ** 25;

/** What backing up needs beside the source. */
export interface BackupMeans extends Destination {
  readonly driver: string;
}

/** By what a snapshot is found that restic stored and could not tell of. */
interface Own {
  /** No other snapshot has it. */
  readonly tag: string;
  /** The ids of the snapshots that were there when it began; undefined when they could not be listed. */
  readonly before: Promise<readonly string[] | undefined> | undefined;
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
  // Connects to the backup server while restic works, too.
  const listed = context.dryRun ? undefined : repository.snapshotFiles(means.server);
  const before = listed?.catch(() => undefined);
  const proven = listed === undefined ? undefined : proveParent(source, examined.files, listed, means);
  proven?.catch(() => {}); // awaited when restic has ended
  const ownTag = factsTag(manifest, staged.totalBytes, randomBytes(8).toString('hex'));
  try {
    const tags = [vmTag(source.vm.id), ownTag];
    const summary = await store(source, { files, tags, bytes: staged.totalBytes }, means);
    await proven?.catch(async (error) => {
      await takeBack(summary.snapshot, means);
      throw error;
    });
    await clearDeadLocks(means);
    if (context.signal.aborted) await takeBack(summary.snapshot, means);
    context.signal.throwIfAborted();
    return { source: summary.snapshot, sizeMb: Math.ceil(summary.bytes / 2 ** 20), format: staged.format };
  } catch (error) {
    await cleanUpInTime(cleanUp(asDriverError(error), { tag: ownTag, before }, means), context.log);
    throw await betterExplained(asDriverError(error), means);
  }
}

/**
 * Makes sure that what an increment builds on is stored: the snapshot that oned names, or what a flatten of which oned
 * never heard has put in its place; where oned does not say, any snapshot of the VM. Whose the snapshots in the repository
 * of a job are, and what disks one has, costs a call of restic: a named parent of a VM with one disk is spared it. Throws `notFound`.
 */
async function proveParent(
  source: BackupSource,
  staged: Staged['files'],
  listed: Promise<readonly string[]>,
  { repository, server }: BackupMeans,
): Promise<void> {
  const { vm, diskIds, jobId, parentSource } = source;
  if (vm.parentId === undefined) return;
  const ids = await listed;
  const named = await parentSource();
  if (named === undefined && jobId === undefined && ids.length > 0) return;
  if (named !== undefined && diskIds.length === 1 && ids.some((id) => id.startsWith(named))) return;
  const all = ids.length === 0 ? [] : snapshotsOf(await repository.snapshots([], vm.id, []), vm.id);
  if (named === undefined && all.length > 0) return;
  const parent = all.find(({ id, replaces }) => id.startsWith(named ?? '-') || replaces.some((one) => one === named));
  if (parent === undefined) throw parentIsGone(vm, server.name);
  const names = (await repository.filesOf(parent)).map(nameOf);
  await proveDisks(source, staged, names, { host: repository.host, server });
}

/** Creates the repository if that is what is missing, which costs nothing when it exists. Throws `notFound` for an increment. */
async function store({ vm }: BackupSource, content: Content, means: BackupMeans): Promise<BackupSummary> {
  const { repository, server, context } = means;
  repository.host.mention(restic.init(repository.access), 'only if there is no repository yet');
  try {
    return await storeSnapshot(content, means);
  } catch (error) {
    const missing =
      error instanceof DriverError && error.kind === 'notFound' && error.message.includes('there is no repository');
    if (!missing) throw error;
    if (vm.parentId !== undefined) throw parentIsGone(vm, server.name);
  }
  context.log(`creating the repository ${repository.path}`);
  await createRepository(repository, server, context);
  return storeSnapshot(content, means);
}

/** Locks of programs that were killed do not stop a backup, and would stay until one stops a prune; where they are, there are half uploads. */
async function clearDeadLocks({ repository, server, context }: BackupMeans): Promise<void> {
  try {
    if ((await repository.lockFiles(server)).length === 0) return;
    await repository.unlock(30_000);
    await sweepUploads(repository, server);
  } catch (error) {
    context.log(`the repository was not searched for old locks: ${asDriverError(error).message}`);
  }
}

/**
 * After a failure nobody else removes what restic left if it had to be killed: a snapshot that it stored and could not
 * tell of, its lock, half an upload and, when the backup was cancelled, the data that no snapshot needs. Data of a backup
 * that failed stays: the next one reuses it.
 */
async function cleanUp(failure: DriverError, own: Own, means: BackupMeans): Promise<void> {
  const { repository, server, context } = means;
  // A host that cannot be reached any more may have finished all the same.
  if (!['cancelled', 'failed', 'stalled', 'noSpace', 'damaged', 'unreachable'].includes(failure.kind)) return;
  const deadline = Date.now() + CLEAN_UP_LIMIT_MS;
  try {
    await takeBackUntold(own, means);
    if (await repository.hasLocks(server)) await repository.unlock(CLEAN_UP_LIMIT_MS);
    await sweepUploads(repository, server);
    if (failure.kind !== 'cancelled') return;
    const left = deadline - Date.now();
    if (left < 500) throw new DriverError('stalled', 'no time is left to remove the data that no snapshot needs');
    const unneeded = restic.prune(repository.access, { maxUnused: 'unlimited', maxRepack: '0' });
    await repository.run(unneeded, { evenAbortedMs: left });
  } catch (error) {
    context.log(`left to the next action: ${asDriverError(error).message}`);
  }
}

/** Opening the repository takes time; so it is only asked when there are snapshots that were not there before. */
async function takeBackUntold({ tag, before }: Own, means: BackupMeans): Promise<void> {
  const { repository, server } = means;
  const known = await before;
  const now = await repository.snapshotFiles(server);
  const ids = known === undefined ? [] : now.filter((id) => !known.includes(id));
  if (now.length === 0 || (known !== undefined && ids.length === 0)) return;
  const found = await repository.run(restic.snapshots(repository.access, { ids, tag }, []), {
    evenAbortedMs: CLEAN_UP_LIMIT_MS,
  });
  for (const { id } of found.filter(({ tags }) => tags.includes(tag))) await takeBack(id, means);
}

/** Waits no longer than that, whatever hangs: cancel has promised an end. */
async function cleanUpInTime(work: Promise<void>, log: (text: string) => void): Promise<void> {
  const limitMs = CLEAN_UP_LIMIT_MS + ENDING_MS;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      log(`left to the next action: cleaning up has not ended within ${limitMs / 1000} s`);
      resolve();
    }, limitMs);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}

/**
 * A full filesystem is a bare "Failure" in SFTP's words, or a restic that waits for ever (0.18 does when all its uploads
 * have failed at once); its size tells. What could not be uploaded, restic has removed again.
 */
async function betterExplained(error: DriverError, { repository, server }: BackupMeans): Promise<DriverError> {
  if (error.kind !== 'failed' && error.kind !== 'stalled') return error;
  const space = await server.files.space(repository.path).catch(() => undefined);
  if (space === undefined || space.totalBytes === 0 || space.freeBytes > FULL_BELOW_BYTES) return error;
  const freeMb = Math.floor(space.freeBytes / 2 ** 20);
  return new DriverError('noSpace', `the filesystem of ${repository.path} is full, ${freeMb} MB are free`, {
    host: server.name,
    hint: 'Free some space there, or remove old backups, and try again',
    cause: error,
  });
}
