import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from '../../host/host';
import { type AbsolutePath, joinPath } from '../../opennebula/ids';
import { entriesOf } from './create';
import type { Repository } from './repository';

/**
 * restic uploads under another name and renames; what a killed one left, no command of restic removes. By SFTP the name
 * is `<id>-restic-temp-<random>`, in a local folder, as on the backup server itself, `<id>-tmp-<random>`.
 */
const UPLOAD = /^[0-9a-f]{64}-(restic-temp-[0-9a-f]+|tmp-[0-9]+)$/;
const PARALLEL = 16;
/** A lock is a few hundred bytes: its upload does not take this long while its owner lives, in milliseconds. */
const LOCK_UPLOAD_MS = 2_000;

/** Unfinished uploads: of locks, which nothing protects, and of anything else. */
interface Uploads {
  readonly locks: readonly AbsolutePath[];
  readonly data: readonly AbsolutePath[];
}

/** Lists the unfinished uploads of a repository, whether their owners are dead or not. */
export async function listUploads(repository: Repository, server: Host): Promise<Uploads> {
  const at = (...names: string[]): AbsolutePath => joinPath(repository.path, ...names);
  const data = (await entriesOf(server, at('data'))).filter(
    (entry) => entry.type === 'folder' && /^[0-9a-f]{2}$/.test(entry.name),
  );
  const locks = await uploadsIn(at('locks'), server);
  const folders = [...data.map(({ name }) => at('data', name)), at('index'), at('snapshots')];
  const found: AbsolutePath[] = [];
  while (folders.length > 0)
    found.push(...(await Promise.all(folders.splice(0, PARALLEL).map((folder) => uploadsIn(folder, server)))).flat());
  return { locks, data: found };
}

/**
 * Removes the unfinished uploads of killed programs from a repository. They are listed first and the locks after:
 * an upload that is there while nobody holds a lock belongs to nobody, for its owner took a lock before it began.
 * Only the upload of a lock itself is not protected so; of those the ones go that do not move on.
 * Returns how many were removed.
 */
export async function sweepUploads(repository: Repository, server: Host): Promise<number> {
  const { locks, data } = await listUploads(repository, server);
  const doomed: AbsolutePath[] = [];
  if (locks.length > 0) {
    await sleep(LOCK_UPLOAD_MS);
    const still = await uploadsIn(joinPath(repository.path, 'locks'), server);
    doomed.push(...locks.filter((one) => still.includes(one)));
  }
  if (data.length > 0 && !(await repository.hasLocks(server))) doomed.push(...data);
  for (const path of doomed) await server.files.remove(path);
  return doomed.length;
}

async function uploadsIn(folder: AbsolutePath, server: Host): Promise<AbsolutePath[]> {
  const entries = await entriesOf(server, folder);
  return entries.filter(({ name }) => UPLOAD.test(name)).map(({ name }) => joinPath(folder, name));
}
