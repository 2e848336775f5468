import { hostname } from 'node:os';
import { type LockFacts, readLock } from '../../command/restic-check';
import { asDriverError } from '../../errors';
import type { Host } from '../../host/host';
import { joinPath } from '../../opennebula/ids';
import type { Leftover, TellFailure } from '../inventory';
import { temporaryLeftovers } from '../temporary-leftovers';
import { entriesOf, isDeadStaging, isRunning } from './create';
import { type InventoryMeans, inEach, listRepositories } from './listing';
import type { RepositoryId } from './repositories';
import type { Repository } from './repository';
import { listUploads, sweepUploads } from './sweep';

/** restic takes a lock that was not refreshed for so long for one of a dead program (restic's internal/restic/lock.go). */
const STALE_AFTER_MS = 30 * 60_000;
const UNLOCK_LIMIT_MS = 60_000;

/** What dead actions left in the datastore's folder, in its repositories, and in the folders for temporary files. */
export async function leftoversOf(means: InventoryMeans, tell?: TellFailure): Promise<Leftover[]> {
  const { repositories, config, context } = means;
  const server = await repositories.server();
  const found = await besideRepositories(means, server);
  const look = ({ vmId, jobId }: RepositoryId): Promise<Leftover[]> =>
    inRepository(repositories.local(vmId, jobId), server, context.log);
  found.push(...(await inEach(await listRepositories(means), look, { tell, signal: context.signal })).flat());
  for (const host of [context.hosts.local, server])
    found.push(...(await temporaryLeftovers(host, config.temporaryFolder, context.log)));
  return found;
}

/** Repositories that were never finished, and what createRepository set aside. */
async function besideRepositories({ context }: InventoryMeans, server: Host): Promise<Leftover[]> {
  const { basePath } = context.datastore;
  const found: Leftover[] = [];
  for (const entry of await server.files.list(basePath, [])) {
    const path = joinPath(basePath, entry.name);
    const [, name, kind] = /^((?:job_)?[0-9]+)\.(new|broken)-/.exec(entry.name) ?? [];
    if (name === undefined || entry.type !== 'folder') continue;
    const isDead =
      kind === 'new' ? isDeadStaging(entry, name) : (await entriesOf(server, joinPath(path, 'snapshots'))).length === 0;
    if (!isDead) continue;
    const what = kind === 'new' ? 'a repository that was never finished' : 'remains that never were a repository';
    const rest = { where: `${server.name}:${path}`, modifiedMs: entry.modifiedAt * 1000 };
    found.push({ what, ...rest, remove: () => server.files.remove(path) });
  }
  return found;
}

async function inRepository(repository: Repository, server: Host, log: (text: string) => void): Promise<Leftover[]> {
  const where = `${server.name}:${repository.path}`;
  const found: Leftover[] = [];
  let held = 0;
  for (const id of (await repository.lockFiles(server)).filter((name) => /^[0-9a-f]{64}$/.test(name))) {
    const lock = await repository.run(readLock(repository.access, id)).catch((error) => {
      log(asDriverError(error).message); // it may have been released meanwhile
      return undefined;
    });
    if (lock === undefined) continue;
    const whose = `of PID ${lock.pid} on ${lock.hostname} (${lock.username})`;
    if (!isStale(lock)) {
      held += 1;
      log(`${where} is locked by a lock ${whose}: it stays`);
      continue;
    }
    const remove = async (): Promise<void> => {
      await repository.unlock(UNLOCK_LIMIT_MS);
      if ((await repository.lockFiles(server)).includes(id)) await repository.unlockAt(lock.hostname);
    };
    found.push({ what: `a stale lock ${whose}`, where, modifiedMs: lock.timeMs, remove });
  }
  const { locks, data } = await listUploads(repository, server);
  const dead = locks.length + (held === 0 ? data.length : 0);
  if (dead > 0) {
    const remove = async (): Promise<void> => void (await sweepUploads(repository, server));
    found.push({ what: `${dead} unfinished upload${dead === 1 ? '' : 's'}`, where, remove });
  }
  return found;
}

/** As restic judges it: by its age, and on its own host by its process. */
export function isStale({ timeMs, hostname: host, pid }: LockFacts): boolean {
  return Date.now() - timeMs > STALE_AFTER_MS || (host === hostname() && !isRunning(pid));
}
