import type { VmId } from '../../opennebula/ids';
import type { CheckExtent, CheckItem, StoredPoint } from '../inventory';
import { grouped } from '../inventory-chains';
import type { InventoryMeans } from './listing';
import { RepositoryCheck } from './repository-check';

/** One check for each repository that holds one of the backups. */
export async function checksOf(
  points: readonly StoredPoint[],
  extent: CheckExtent,
  means: InventoryMeans,
): Promise<CheckItem[]> {
  const repositories = grouped(
    [...points].sort((a, b) => a.timeMs - b.timeMs),
    ({ repository }) => repository,
  );
  const vms = new Set(points.map(({ vmId }) => vmId));
  return [...repositories].map(([name, own]) => ({
    // with its newest backup: a check that was done before that was stored says nothing of it
    id: `repository:${name}:${own.at(-1)?.source}`,
    about: `repository ${name}`,
    points: own,
    run: async () => {
      const [{ vmId, jobId }] = own as [StoredPoint];
      const id = { vmId: jobId === undefined ? vmId : (0 as VmId), jobId };
      const repository = await means.repositories.near(id);
      const bandwidthLimitKib = extent.bandwidthLimitKib ?? repository.access.bandwidthLimitKib;
      const found = await new RepositoryCheck(repository, { ...repository.access, bandwidthLimitKib }, id).run(extent);
      return found.filter((damage) => damage.source === undefined || vms.has(damage.vmId));
    },
  }));
}
