import * as restic from '../../command/restic';
import { prunable } from '../../command/restic-check';
import type { VmId } from '../../opennebula/ids';
import type { StoredPoint } from '../inventory';
import { type InventoryMeans, listRepositories } from './listing';
import { sweepUploads } from './sweep';

/** Prunes every repository; or only says what each prune would remove. */
export async function pruneAll(dryRun: boolean, means: InventoryMeans): Promise<string[]> {
  const { repositories, config } = means;
  const limits = { maxUnused: config.pruneMaxUnused, maxRepack: config.pruneMaxRepack };
  const lines: string[] = [];
  for (const id of await listRepositories(means)) {
    const repository = await repositories.near(id);
    const what = await repository.runPatiently(prunable(repository.access, restic.pruneOptions(limits)));
    if (!dryRun) {
      await repository.runPatiently(restic.prune(repository.access, limits));
      await sweepUploads(repository, await repositories.server());
    }
    lines.push(`${repository.path}: ${what}`);
  }
  return lines;
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
