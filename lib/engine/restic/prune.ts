import * as restic from '../../command/restic';
import { prunable } from '../../command/restic-check';
import type { VmId } from '../../opennebula/ids';
import type { StoredPoint, TellFailure } from '../inventory';
import { type InventoryMeans, inEach, listRepositories } from './listing';
import type { RepositoryId } from './repositories';
import { sweepUploads } from './sweep';

/** Prunes every repository; or only says what each prune would remove. */
export async function pruneAll(dryRun: boolean, means: InventoryMeans, tell?: TellFailure): Promise<string[]> {
  const { repositories, config, context } = means;
  const limits = { maxUnused: config.pruneMaxUnused, maxRepack: config.pruneMaxRepack };
  const prune = async (id: RepositoryId): Promise<string> => {
    const repository = await repositories.near(id);
    const what = await repository.runPatiently(prunable(repository.access, restic.pruneOptions(limits)));
    if (!dryRun) {
      await repository.runPatiently(restic.prune(repository.access, limits));
      await sweepUploads(repository, await repositories.server());
    }
    return `${repository.path}: ${what}`;
  };
  return inEach(await listRepositories(means), prune, { tell, signal: context.signal });
}

/** Forgets exactly these snapshots, and prunes the repositories that held them. */
export async function removePoints(
  points: readonly StoredPoint[],
  { repositories, config }: InventoryMeans,
): Promise<void> {
  const limits = { maxUnused: config.pruneMaxUnused, maxRepack: config.pruneMaxRepack };
  const groups = new Map<string, StoredPoint[]>();
  for (const point of points) groups.set(point.repository, [...(groups.get(point.repository) ?? []), point]);
  for (const [first, ...others] of groups.values() as Iterable<[StoredPoint, ...StoredPoint[]]>) {
    const id = { vmId: first.jobId === undefined ? first.vmId : (0 as VmId), jobId: first.jobId };
    const repository = await repositories.near(id);
    const sources = [first, ...others].map(({ source }) => source);
    await repository.runPatiently(restic.forget(repository.access, sources, limits));
    await sweepUploads(repository, await repositories.server());
  }
}
