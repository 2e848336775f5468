import { isLocked } from '../../command/lock';
import type { Dataset } from '../../command/zfs-list';
import type { Host } from '../../host/host';
import { type AbsolutePath, joinPath, parseVmId, type VmId } from '../../opennebula/ids';
import type { Leftover } from '../inventory';
import { INCOMING } from './backup';

/** What less is used is no disk: an empty dataset needs some 100 KiB. */
const LEAST_BYTES = 2 ** 20;

/**
 * Finds the datasets of VMs that hold disks and no backup: a first backup died in them. Those that an action works on are none.
 * `listed` is all of the datastore's dataset, which is mounted at `place`; `remove` removes what is found.
 */
export async function abandonedDatasets(
  server: Host,
  listed: readonly Dataset[],
  place: AbsolutePath,
  remove: (vmId: VmId) => Promise<void>,
): Promise<Leftover[]> {
  const [root] = listed;
  // What somebody has a snapshot of, or a dataset below, is a VM's that has backups, or not ours to judge.
  const used = new Set(
    listed.map(({ name, snapshot }) => (snapshot === undefined ? name.slice(0, name.lastIndexOf('/')) : name)),
  );
  const left: Leftover[] = [];
  for (const { name, usedBytes, snapshot } of listed) {
    const vm = /^\/([0-9]+)$/.exec(name.slice(root?.name.length))?.[1];
    if (vm === undefined || snapshot !== undefined || used.has(name) || usedBytes < LEAST_BYTES) continue;
    const vmId = parseVmId(vm, 'the name of a dataset', 'failed');
    if (await server.run(isLocked(joinPath(place, INCOMING, vmId, '.lock')))) continue;
    left.push({
      what: 'the disks of a first backup that was broken off',
      where: `${server.name}: the dataset ${name}`,
      bytes: usedBytes,
      remove: () => remove(vmId),
    });
  }
  return left;
}
