import * as restic from '../../command/restic';
import type { Snapshot } from '../../command/restic-output';
import { asDriverError, DriverError } from '../../errors';
import { type AbsolutePath, joinPath, parseJobId, parseVmId, type VmId } from '../../opennebula/ids';
import { nameOf } from '../chain-files';
import type { EngineContext } from '../engine';
import type { StoredPoint, TellFailure } from '../inventory';
import { pointOfLayout } from '../inventory-points';
import { snapshotsOf } from './chain';
import type { ResticConfig } from './config';
import { withFacts } from './facts';
import type { Repositories, RepositoryId } from './repositories';
import type { Repository } from './repository';

/** What the parts of an inventory share. */
export interface InventoryMeans {
  readonly repositories: Repositories;
  readonly config: ResticConfig;
  readonly context: EngineContext;
}

/** The folders of a datastore that are repositories. Throws `notFound` when it has no folder. */
export async function listRepositories({ repositories, context }: InventoryMeans): Promise<RepositoryId[]> {
  const server = await repositories.server();
  const { basePath } = context.datastore;
  const entries = await server.files.list(basePath, []).catch((error) => {
    if (!(error instanceof DriverError) || error.kind !== 'notFound') throw error;
    throw new DriverError('notFound', `the datastore has no folder ${basePath}`, {
      host: server.name,
      hint: 'Nothing was backed up yet, or its BASE_PATH (--base-path, --id) is another one',
    });
  });
  const named = entries
    .filter(({ name, type }) => type === 'folder' && /^(job_)?[0-9]{1,10}$/.test(name))
    .map(({ name }) => ({ name, isJob: name.startsWith('job_') }));
  const isThere = await Promise.all(
    named.map(async ({ name }) => {
      const files = await server.files.list(joinPath(basePath, name), []).catch(asDriverError);
      // one that cannot be listed may be one: whoever opens it tells why it cannot
      return files instanceof DriverError ? files.kind !== 'notFound' : files.some((file) => file.name === 'config');
    }),
  );
  return named
    .filter((_, index) => isThere[index])
    .map(({ name, isJob }) =>
      isJob
        ? { vmId: 0 as VmId, jobId: parseJobId(name.slice('job_'.length), name) }
        : { vmId: parseVmId(name, 'a folder of the datastore'), jobId: undefined },
    )
    .sort((a, b) => (a.jobId ?? -1) - (b.jobId ?? -1) || a.vmId - b.vmId);
}

/** Does something in each repository; what some of them fail with is told (see TellFailure). */
export async function inEach<T>(
  all: readonly RepositoryId[],
  work: (id: RepositoryId) => Promise<T>,
  { tell, signal, parallel = 1 }: { tell: TellFailure | undefined; signal: AbortSignal; parallel?: number },
): Promise<T[]> {
  const queue = [...all];
  const found: T[] = [];
  const failures: DriverError[] = [];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      signal.throwIfAborted();
      try {
        found.push(await work(next));
      } catch (error) {
        const failure = asDriverError(error);
        if (tell === undefined || signal.aborted || ['cancelled', 'unreachable'].includes(failure.kind)) throw error;
        failures.push(failure);
      }
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  const [first] = failures;
  if (first !== undefined && found.length === 0) throw first;
  for (const failure of failures) tell?.(failure);
  return found;
}

/** All backups of a repository. */
export async function pointsOf(repository: Repository, { jobId }: RepositoryId): Promise<StoredPoint[]> {
  const all = await repository.run(restic.snapshots(repository.access, { ids: [], tag: undefined }, []));
  const vmIds = new Set(all.flatMap(({ tags }) => tags.flatMap((tag) => /^one-([0-9]{1,10})$/.exec(tag)?.[1] ?? [])));
  return [...vmIds].flatMap((text) => {
    const vmId = parseVmId(text, 'a tag', 'damaged');
    return snapshotsOf(all, vmId).map(({ source, replaces, ...snapshot }) => {
      const point = pointOfLayout({
        ...{ vmId, jobId, source, replaces, storedBytes: snapshot.bytes },
        repository: jobId === undefined ? String(vmId) : `job_${jobId}`,
        timeMs: Date.parse(snapshot.time) || 0,
        files: filesNamedBy(snapshot),
      });
      return withFacts(point, snapshot.tags);
    });
  });
}

/** The files that were named when a snapshot was made; of a whole folder none are. */
function filesNamedBy({ paths }: Snapshot): { name: string }[] {
  return paths.map((path) => ({ name: nameOf(path as AbsolutePath) }));
}
