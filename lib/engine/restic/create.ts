import { hostname } from 'node:os';
import * as restic from '../../command/restic';
import { asDriverError, DriverError } from '../../errors';
import type { FileEntry, Host } from '../../host/host';
import { type AbsolutePath, joinPath, parseAbsolutePath } from '../../opennebula/ids';
import type { EngineContext } from '../engine';
import type { Repository } from './repository';

type Watch = Pick<EngineContext, 'signal' | 'log'>;

/** Creating a repository takes seconds: one that is still beside its place after a day never will be one. */
const DEAD_AFTER_SECONDS = 86_400;

/**
 * Creates the repository beside its place and renames it there: two first backups at once cannot spoil each other
 * (restic 0.14 and 0.18 both answer 0 when two init at once, and leave two keys of which one fits nothing).
 * `server` gives the files of the backup server.
 */
export async function createRepository(repository: Repository, server: Host, { signal, log }: Watch): Promise<void> {
  const [parent, name] = parentAndName(repository.path);
  const staged = joinPath(parent, `${name}.new-${hostname()}.${process.pid}.${Date.now().toString(36)}`);
  await server.files.makeFolder(parent);
  await sweepStaging(repository, server);
  try {
    await repository.run(restic.init({ ...repository.access, repository: staged }));
    if (!(await repository.exists(server))) await setAsideRemains(repository, server, log);
    await server.files.rename(staged, repository.path);
  } catch (error) {
    await server.files.remove(staged);
    signal.throwIfAborted();
    if (!(await repository.exists(server))) throw error;
  }
}

/** Removes repositories beside this one that dead actions were creating. */
export async function sweepStaging(repository: Repository, server: Host): Promise<void> {
  const [parent, name] = parentAndName(repository.path);
  for (const dead of (await server.files.list(parent, [])).filter((entry) => isDeadStaging(entry, name))) {
    await server.files.remove(joinPath(parent, dead.name));
  }
}

/** What a killed `restic init` of the stock driver left has keys but no config: it holds nothing, and is kept aside. */
async function setAsideRemains(repository: Repository, server: Host, log: Watch['log']): Promise<void> {
  const entries = await entriesOf(server, repository.path);
  // With a config, somebody else's has just come there, and the rename fails.
  if (entries.length === 0 || entries.some(({ name }) => name === 'config')) return;
  await refuseHeadless(repository, server);
  const [parent, name] = parentAndName(repository.path);
  const aside = joinPath(parent, `${name}.broken-${Date.now().toString(36)}`);
  await server.files.rename(repository.path, aside);
  log(`${repository.path} was no repository and is now ${aside}`);
}

/** Throws `damaged` for what is no repository only because its file `config` is gone. */
export async function refuseHeadless({ path }: Repository, server: Host): Promise<void> {
  const kept = await entriesOf(server, joinPath(path, 'snapshots'));
  if (kept.length === 0) return;
  throw new DriverError('damaged', `${path} holds snapshots but no config, without which nothing can be read`, {
    host: server.name,
    hint: 'Put the file "config" back from a copy, or move the folder away',
  });
}

/** What a folder holds, nothing if it is not there. One that cannot be listed is not taken for empty. */
export async function entriesOf(server: Host, folder: AbsolutePath): Promise<FileEntry[]> {
  return server.files.list(folder, []).catch((error: unknown) => {
    if (asDriverError(error).kind === 'notFound') return [];
    throw error;
  });
}

function parentAndName(path: AbsolutePath): [AbsolutePath, string] {
  const at = path.lastIndexOf('/');
  return [parseAbsolutePath(path.slice(0, at) || '/', 'the datastore'), path.slice(at + 1)];
}

/** A repository that was being created by an action that is dead: on this front-end its process tells, on another its age. */
export function isDeadStaging({ name, modifiedAt }: FileEntry, repository: string): boolean {
  const prefix = `${repository}.new-`;
  if (!name.startsWith(prefix)) return false;
  const [, host, pid] = /^(.+)\.([0-9]+)\.[0-9a-z]+$/.exec(name.slice(prefix.length)) ?? [];
  if (host === hostname()) return !isRunning(Number(pid));
  return Date.now() / 1000 - modifiedAt > DEAD_AFTER_SECONDS;
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
