import { removeOthers } from '../../command/copy';
import * as zfs from '../../command/zfs';
import type { RunOptions } from '../../host/host';
import type { State, VmDataset } from './vm-dataset';

/**
 * Gives back the space that a VM's dataset itself needs: destroys it when it has no snapshot, else goes back to the newest
 * one. For whoever has the lock of the VM. `state` may be older than a snapshot that is destroyed by now. Throws what zfs does.
 */
export async function giveBack(dataset: VmDataset, state: State, options?: RunOptions): Promise<void> {
  const { server, access, name } = dataset;
  const newest = state.backups.at(-1);
  // Files of which no backup is left may stay nowhere, also where somebody else's snapshots, or rights that only root has, keep the dataset.
  const empty = (): Promise<void> => server.run(removeOthers(state.mountpoint, []), options);
  if (state.isEmpty) await server.run(zfs.destroy(access, name), options).catch(empty);
  else if (newest === undefined) await empty();
  // Where somebody else has a newer snapshot, its data is not ours to free.
  else if (state.isNewest(newest)) await server.run(zfs.rollback(access, name, newest.source), options);
}
