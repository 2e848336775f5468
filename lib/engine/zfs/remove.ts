import { setTimeout as sleep } from 'node:timers/promises';
import { holdLock } from '../../command/lock';
import * as zfs from '../../command/zfs';
import { asDriverError, DriverError } from '../../errors';
import type { RunOptions } from '../../host/host';
import { startKeeper } from '../../host/keeper';
import { joinPath, parseAbsolutePath } from '../../opennebula/ids';
import type { EngineContext } from '../engine';
import { INCOMING } from './backup';
import type { VmDataset } from './vm-dataset';

/** How often a busy dataset is tried again, and the pause before, in milliseconds: somebody may just be reading it. */
const BUSY_TRIES = 10;
const BUSY_PAUSE_MS = 1_000;

/** Destroys backups, all in one step; those that are gone are fine. Throws `locked` when somebody goes on using one. */
export async function destroyBackups(
  dataset: VmDataset,
  sources: readonly string[],
  signal: AbortSignal,
  options?: RunOptions,
): Promise<void> {
  const { server, access, name } = dataset;
  const state = await dataset.look();
  const doomed = (state?.backups ?? []).filter(({ source }) => sources.includes(source));
  if (doomed.length === 0) return;
  const held = doomed.filter(({ holds }) => holds > 0).map(({ source }) => source);
  if (held.length > 0) await server.run(zfs.release(access, name, held), options);
  const all = doomed.map(({ source }) => source);
  await whileBusy(() => server.run(zfs.destroySnapshots(access, name, all), options), signal);
}

/** Destroys the dataset of a VM that has no snapshot left, unless somebody is about to fill it; `parent` is the datastore's. */
export async function removeEmpty(dataset: VmDataset, parent: string, { log }: EngineContext): Promise<void> {
  const { server, access, name } = dataset;
  const state = await dataset.look();
  if (state === undefined || !state.isEmpty) return;
  try {
    const [own] = await server.run(zfs.list(parent, 'filesystem'));
    if (own?.mountpoint === undefined) return;
    const place = parseAbsolutePath(own.mountpoint, `the mountpoint of ${parent}`, 'failed');
    const keeper = await startKeeper(server, holdLock(joinPath(place, INCOMING, dataset.vmId, '.lock'), 0));
    try {
      const still = await dataset.look();
      if (still?.isEmpty) await server.run(zfs.destroy(access, name));
    } finally {
      await keeper.end();
    }
  } catch (error) {
    log(`the empty dataset ${name} stays: ${asDriverError(error).message}`);
  }
}

/** Tries again while zfs says that somebody uses it: whoever reads a snapshot has it mounted for a moment. */
async function whileBusy(act: () => Promise<unknown>, signal: AbortSignal): Promise<void> {
  for (let left = BUSY_TRIES; ; left--) {
    try {
      await act();
      return;
    } catch (error) {
      const isBusy = error instanceof DriverError && error.kind === 'locked';
      if (!isBusy || left === 0 || signal.aborted) throw error;
      await sleep(BUSY_PAUSE_MS, undefined, { signal }).catch(() => {});
    }
  }
}
