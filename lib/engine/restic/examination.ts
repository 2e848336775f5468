import { hostname } from 'node:os';
import * as restic from '../../command/restic';
import { type LockFacts, readLock } from '../../command/restic-check';
import { asDriverError, type DriverError, type Mend } from '../../errors';
import type { Host } from '../../host/host';
import { type Check, type Examination, failed, fine, type Link, type Program, type Role } from '../examination';
import { folderLink } from '../examined-folder';
import { QEMU_IMG, sparsifyPrograms } from '../known-programs';
import { throttleLinks, throttlePrograms } from '../throttle-link';
import { isStale } from './leftovers';
import { type InventoryMeans, listRepositories } from './listing';
import type { RepositoryId } from './repositories';

/** The first version that compresses, and tells what an action has to know. */
const RESTIC = { args: ['version'], least: [0, 14] };
/** Opening a repository costs most of a second: no more are opened than so many, those that were changed last. */
const OPENED_AT_MOST = 8;

/** What the backups of a restic datastore need. */
export function resticExamination(means: InventoryMeans): Examination {
  const { config } = means;
  return {
    server: { server: config.server, user: config.user },
    needsShell: false,
    programs: (role) => programs(role, means),
    links: (role, host) => ({ 'front-end': here, host: onHost, server: onServer })[role](host, means),
  };
}

function programs(role: Role, { config }: InventoryMeans): readonly Program[] {
  const restic: Program = { name: 'restic', package: 'restic', version: RESTIC };
  if (role === 'front-end') return [restic, QEMU_IMG, ...sparsifyPrograms(config.sparsify)];
  if (role === 'host') return [restic, ...throttlePrograms(config.throttle)];
  const without = { state: 'ok' as const, says: 'chains are merged and pruned on the front-end' };
  return [
    { ...restic, without },
    { ...QEMU_IMG, without },
  ];
}

function here(host: Host, { config }: InventoryMeans): Link[] {
  return [folderLink(host, { what: 'tmp', path: config.temporaryFolder })];
}

function onHost(host: Host, { config }: InventoryMeans): Link[] {
  return throttleLinks(config.throttle, host);
}

function onServer(host: Host, means: InventoryMeans): Link[] {
  const { config, context } = means;
  const folder = { path: context.datastore.basePath, isMade: true, user: config.user, on: config.server };
  return [
    folderLink(host, { what: 'folder', ...folder }),
    { what: 'tmp', examine: () => tmpChecks(host, means) },
    { what: 'password', examine: async () => [await passwordCheck(host, means)] },
    { what: 'locks', after: ['password'], examine: () => lockChecks(host, means) },
  ];
}

/** Where the server gives a shell with all that it takes, chains are merged there. */
async function tmpChecks(host: Host, { config }: InventoryMeans): Promise<readonly [Check, ...Check[]]> {
  const isHere = (await host.programs(['restic', 'qemu-img'])).size === 2;
  if (!isHere) return [fine('not needed: chains are merged on the front-end')];
  const { temporaryFolder: path, user, server: on } = config;
  return folderLink(host, { what: 'tmp', path, user, on }).examine();
}

async function passwordCheck(host: Host, means: InventoryMeans): Promise<Check> {
  const all = await repositoriesOf(means);
  if (all.length === 0) return fine('there is no repository yet');
  const { basePath } = means.context.datastore;
  const changed = new Map((await host.files.list(basePath, [])).map(({ name, modifiedAt }) => [name, modifiedAt]));
  const age = ({ vmId, jobId }: RepositoryId): number =>
    changed.get(jobId === undefined ? String(vmId) : `job_${jobId}`) ?? 0;
  const newest = [...all].sort((a, b) => age(b) - age(a)).slice(0, OPENED_AT_MOST);
  const closed: string[] = [];
  let refused: DriverError | undefined;
  for (const { vmId, jobId } of newest) {
    const repository = means.repositories.local(vmId, jobId);
    const failure = await repository
      .run(restic.snapshots(repository.access, { ids: [], tag: undefined }, []))
      .then(() => undefined, asDriverError);
    if (failure?.kind === 'noProgram') return { state: 'not examined', says: 'restic must be on the front-end first' };
    if (failure === undefined) continue;
    if (failure.kind !== 'password') throw failure;
    refused ??= failure;
    closed.push(repository.path);
  }
  if (refused !== undefined) {
    if (closed.length === newest.length) throw refused;
    // The attribute is right for the others: a new one would close them.
    const says = `RESTIC_PASSWORD opens ${newest.length - closed.length} of ${newest.length} repositories, but not ${closed.join(', ')}`;
    const hint = 'Somebody has given those another password: change it back to RESTIC_PASSWORD, with restic key passwd';
    return { state: 'failure', says, hint };
  }
  const count =
    newest.length === all.length
      ? all.length === 1
        ? 'the'
        : `all ${all.length}`
      : `${newest.length} of ${all.length}`;
  return fine(`opens ${count} repositor${all.length === 1 ? 'y' : 'ies'}`);
}

async function lockChecks(host: Host, means: InventoryMeans): Promise<[Check, ...Check[]]> {
  const found: Check[] = [];
  let shared = 0;
  for (const { vmId, jobId } of await repositoriesOf(means)) {
    const repository = means.repositories.local(vmId, jobId);
    for (const id of (await repository.lockFiles(host)).filter((name) => /^[0-9a-f]{64}$/.test(name))) {
      const lock = await repository.run(readLock(repository.access, id)).catch(asDriverError);
      if (lock instanceof Error) {
        // It may have been released meanwhile, of which restic says no more than that a file does not exist.
        if ((await repository.lockFiles(host)).includes(id)) found.push(failed(lock));
      } else if (!lock.isExclusive) shared += 1;
      else if (!isStale(lock)) found.push(heldCheck(lock, repository.path, means));
    }
  }
  const users = shared === 0 ? 'none that exclude others' : `none that exclude others, ${shared} in use`;
  const [first = fine(users), ...rest] = found;
  return [first, ...rest];
}

/** A stale lock is a leftover; this one has a holder, for whom backups wait. */
function heldCheck(lock: LockFacts, path: string, { config }: InventoryMeans): Check {
  const since = new Date(lock.timeMs).toISOString().replace(/\.\d+Z$/, 'Z');
  const says = `${path} is locked by PID ${lock.pid} on ${lock.hostname} (${lock.username}) since ${since}`;
  const isLate = Date.now() - lock.timeMs > config.lockWaitSeconds * 1000;
  const on = lock.hostname === hostname() ? {} : { on: lock.hostname };
  const when =
    'A prune or check ends by itself; end it only if it hangs. Of a machine that is gone, sweep --yes removes the lock half an hour after its last sign of life';
  const mend: Mend = { commands: [{ command: `kill -INT ${lock.pid}`, ...on }], when };
  return { state: isLate ? 'failure' : 'warning', says, hint: when, mend };
}

function repositoriesOf(means: InventoryMeans): Promise<RepositoryId[]> {
  return listRepositories(means).catch((error: unknown) => {
    if (asDriverError(error).kind === 'notFound') return [];
    throw error;
  });
}
